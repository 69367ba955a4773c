"""Weights from elsewhere: URLs, the official ones of keras.applications, and the hub."""

import errno
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_resnet import resnet, weights
from keras_resnet.weights import download
from keras_resnet.weights.sources import keras_applications
from tests.support import helpers, variants
from tests.support.saved_networks import saved


class Hub(SimpleHTTPRequestHandler):
    """Serves files as a web server, and OWNER/NAME/resolve/REVISION/FILE as the hub does."""

    def translate_path(self, path: str) -> str:
        parts = path.split("?", maxsplit=1)[0].strip("/").split("/")
        if "resolve" in parts:
            parts = [*parts[:2], *parts[4:]]
        return str(Path(self.directory, *parts))

    def end_headers(self) -> None:
        if "/resolve/" in self.path:
            file = Path(self.translate_path(self.path))
            digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "0"
            self.send_header("ETag", f'"{digest}"')
            self.send_header("X-Repo-Commit", "0" * 40)
        super().end_headers()

    def log_message(self, *_) -> None:
        """Keeps the output of tests clean."""


@pytest.fixture
def site(tmp_path, monkeypatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which it is served."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_url_is_downloaded_once(site) -> None:
    folder, url = site
    model, digest = saved(folder)
    x = variants.images(2, 32, 32, 3)
    for address in (f"{url}/tiny.weights.h5", f"{url}/tiny.weights.h5#sha256={digest}"):
        np.testing.assert_array_equal(resnet.from_weights(address)(x), model(x))
    (folder / "tiny.weights.h5").unlink()
    np.testing.assert_array_equal(resnet.from_weights(f"{url}/tiny.weights.h5")(x), model(x))


def test_equal_names_of_two_places_are_two_files(site) -> None:
    folder, url = site
    (folder / "other").mkdir()
    _, first = saved(folder)
    (folder / "other" / "tiny.weights.h5").write_bytes(b"other")
    assert download.local(f"{url}/other/tiny.weights.h5").read_bytes() == b"other"
    assert (
        hashlib.sha256(download.local(f"{url}/tiny.weights.h5").read_bytes()).hexdigest() == first
    )


def test_hashes_are_checked_and_nothing_wrong_is_kept(site, tmp_path) -> None:
    folder, url = site
    _, digest = saved(folder)
    wrong = "0" * 64
    with pytest.raises(ValueError, match=rf"hash should be {wrong} but is {digest}"):
        download.local(f"{url}/tiny.weights.h5#sha256={wrong}")
    named = f"tiny-{digest[:8]}.pth"  # as torch.hub names its files
    (folder / named).write_bytes(b"damaged on the way")
    with pytest.raises(ValueError, match=f"hash should be {digest[:8]} but is"):
        download.local(f"{url}/{named}")
    assert [p for p in (tmp_path / "home").rglob("*") if p.is_file()] == []
    saved(folder, named)
    assert download.local(f"{url}/{named}").name == named


def test_a_kept_file_that_was_damaged_is_fetched_again(site) -> None:
    folder, url = site
    _, digest = saved(folder)
    address = f"{url}/tiny.weights.h5#sha256={digest}"
    kept = download.local(address)
    kept.write_bytes(b"damaged on the disk")
    assert hashlib.sha256(download.local(address).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("{url}/absent.pth", ["absent.pth cannot be downloaded", "404"]),
        ("{url}/", ["does not name a file"]),
        ("{url}/a.pth#md5=1", ["#sha256=", "'md5=1'"]),
        ("http://127.0.0.1:9/a.pth", ["http://127.0.0.1:9/a.pth cannot be downloaded"]),
        ("hf://timm", ["hf://owner/name", "'hf://timm'"]),
        ("hf://timm/../../etc", ["hf://", "cannot be downloaded"]),
        ("imagenet", ["resnet18", "resnet50", "resnet152_v2", "hf://timm"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_addresses_that_lead_nowhere(address, words, site, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match=words[0]) as caught:
        resnet("resnet18", weights=address.format(url=site[1]))
    assert [word for word in words if word not in str(caught.value)] == []


def test_official_weights_are_those_of_keras_applications(site, monkeypatch) -> None:
    folder, url = site
    official = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3))
    name = "resnet50_weights_tf_dim_ordering_tf_kernels.h5"
    official.save_weights(folder / "w.weights.h5")
    (folder / "w.weights.h5").rename(folder / name)
    monkeypatch.setattr(keras_applications, "URL", f"{url}/")
    with pytest.raises(ValueError, match=r"hash should be 2cb95161c43110f7111970584f804107"):
        resnet("resnet50", weights="imagenet")
    md5 = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setitem(keras_applications.OFFICIAL, "resnet50", ("resnet50", md5))
    model = resnet("resnet50", weights="imagenet")
    x = variants.images(1, 64, 64, 3)
    np.testing.assert_allclose(model(x), official(x), atol=1e-6)
    assert model.manifest.labels[207] == "golden_retriever"
    assert model.preprocessing.bgr


HUB = """
import sys, numpy as np
from keras_resnet import resnet
for address in sys.argv[2:]:
    model = resnet.from_weights(address)
    print(model.manifest.network, model.manifest.source["name"], model.preprocessing.crop,
          model.preprocessing.interpolation, model.manifest.image_shape)
np.save(sys.argv[1], model(np.load(sys.argv[1])))
"""


def test_the_hub_gives_weights_and_what_belongs_to_them(site, tmp_path) -> None:
    folder, url = site
    model = resnet("resnet18_v1_5", classifier_activation=None)
    place = folder / "timm" / "resnet18.mine"
    place.mkdir(parents=True)
    weights.save(model, place / "model.safetensors", as_="torchvision")
    config = {"crop_pct": 0.95, "interpolation": "bicubic", "input_size": [3, 160, 160]}
    config |= {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    told = {"architecture": "resnet18", "pretrained_cfg": config}
    (place / "config.json").write_text(json.dumps(told))
    x = tmp_path / "x.npy"
    np.save(x, variants.images(1, 64, 64, 3))
    expected = keras.activations.softmax(model(np.load(x)))
    done = helpers.python(
        "-c",
        HUB,
        str(x),
        "hf://timm/resnet18.mine",
        "hf://timm/resnet18.mine@main",
        "hf://timm/resnet18.mine/model.safetensors",
        HF_ENDPOINT=url,
        HF_HOME=str(tmp_path / "hf"),
        HF_HUB_DISABLE_XET="1",
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.splitlines()) == {"resnet18_v1_5 timm 0.95 bicubic (160, 160, 3)"}
    np.testing.assert_allclose(np.load(x), expected, atol=1e-6)


def test_a_date_in_a_url_is_no_hash(site) -> None:
    folder, url = site
    saved(folder, "tiny-20240315.weights.h5")
    assert download.local(f"{url}/tiny-20240315.weights.h5").is_file()


def test_a_cache_that_cannot_be_written_is_one_line(site, tmp_path, monkeypatch) -> None:
    folder, url = site
    saved(folder)
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))  # root may write to any folder
    told = rf"{url}/tiny\.weights\.h5 cannot be stored in .*file/models/keras_resnet.*KERAS_HOME"
    with pytest.raises(ValueError, match=told) as caught:
        download.local(f"{url}/tiny.weights.h5")
    assert "\n" not in str(caught.value)


def test_a_cache_that_is_full_says_what_to_do(tmp_path, monkeypatch) -> None:
    def full(*_) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(download, "_copy", full)
    told = r"cannot be stored in .*: No space left on device. Set KERAS_HOME to a writable"
    for wanted in (("http://a.b/c.pth", None), ("imagenet", "resnet50")):
        with pytest.raises(ValueError, match=told):
            download.local(*wanted)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_a_network_that_does_not_answer_is_given_up(tmp_path, monkeypatch) -> None:
    """A port that accepts and says nothing."""
    import socket

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(download, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.pth"
        with pytest.raises(ValueError, match=rf"{url} cannot be downloaded: .*timed out"):
            download.local(url)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_a_download_that_ends_early_is_not_kept(tmp_path, monkeypatch) -> None:
    class Short(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")

        def log_message(self, *_) -> None:
            """Keeps the output of tests clean."""

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), Short) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(ValueError, match="cannot be downloaded"):
                download.local(f"http://127.0.0.1:{server.server_port}/a.pth")
        finally:
            server.shutdown()
            thread.join()
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
