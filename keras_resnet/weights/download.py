"""Locates weights and downloads them: names, URLs, and the Hugging Face hub."""

import errno
import hashlib
import os
import re
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import HTTPError
from urllib.parse import urldefrag, urlsplit

import keras

from keras_resnet import console
from keras_resnet.weights.catalogue import IMAGENET, shipped
from keras_resnet.weights.disk import digest, replacing
from keras_resnet.weights.formats import hashed_names
from keras_resnet.weights.sources import keras_applications

__all__ = ["local"]

MD5_DIGITS = 32
SECONDS = 10  # until a server that does not answer is an error
CHUNK = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
HUB = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?(/(?P<file>[\w./-]+))?")
HUB_FILE = "model.safetensors"
# MD5 of the files of keras.applications without a classifier.
NOTOP = {
    "resnet50": "4d473c1dd8becc155b73f8504c6f6626",
    "resnet101": "88cf7a10940856eca736dc7b7e228a21",
    "resnet152": "ee4c566cf9a93f14d82f913c2dc6dd0c",
    "resnet50_v2": "fac2f116257151a9d068a22e544a4917",
    "resnet101_v2": "c0ed64b8031c3730f411d2eb4eea35b5",
    "resnet152_v2": "ed17cf2e0169df9d443503ef94b23b33",
}


def local(
    weights: str | os.PathLike[str], network: str | None = None, *, head: bool = True
) -> Path:
    """Returns the local path of weights, and downloads them if necessary.

    Args:
        weights: a path; a URL, optionally with "#sha256=..."; "hf://owner/name", optionally with
            "@revision" and "/file"; or a name in `list_weights`: "imagenet" for the official
            weights of keras.applications, a data set such as "cifar10" for those of this package,
            or "cifar10/resnet20". A file that is called like one of them is "./cifar10".
        network: a name in `keras_resnet.FAMILY`; only for weights that are named by a data set.
        head: whether official weights must have their classifier.

    Raises:
        ValueError: for a name that no weights have, if there are none for this network, if a
            download fails, or if a hash does not match. A path is not checked.
    """
    text = os.fspath(weights)
    if text == IMAGENET:
        return _official(network, head=head)
    if text.startswith("hf://"):
        return _hub(text)
    if text.startswith(("http://", "https://")):
        return _url(text)
    if file := shipped(text, network):
        return file
    try:
        return Path(text).expanduser()  # a shell leaves the tilde of --weights=~/x alone
    except RuntimeError as error:
        raise ValueError(f"no file of weights at {text!r}: {error}") from error


def _official(network: str | None, *, head: bool) -> Path:
    """Returns the file of keras.applications, from the cache of Keras or downloaded."""
    if network not in keras_applications.OFFICIAL:
        raise ValueError(
            f'weights="imagenet" needs a network of keras.applications,'
            f" {', '.join(keras_applications.OFFICIAL)}; got {network}. Weights of other networks"
            ' are in torchvision and timm, such as "hf://timm/resnet18.tv_in1k"'
        )
    name, md5 = keras_applications.OFFICIAL[network]
    file = f"{name}_weights_tf_dim_ordering_tf_kernels.h5"
    bare = _home() / f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    if _holds(_home() / file, md5):
        return _home() / file
    if not head and _holds(bare, NOTOP[network]):
        return bare
    try:
        return _get(file, keras_applications.URL + file, md5)
    except ValueError as error:
        found = _beside(_home() / file, bare, head=head)
        raise ValueError(f"{error}{found}") from error


def _beside(whole: Path, bare: Path, *, head: bool) -> str:
    """Returns a hint at a file in the cache of Keras that cannot be used, or ""."""
    if whole.is_file():
        return f". {whole} is damaged: its MD5 differs from that of keras.applications"
    if head and bare.is_file():
        return f". {bare} has no classifier: it can be used with include_top=False"
    return ""


def _home() -> Path:
    return console.keras_home() / "models"


def _holds(file: Path, digits: str) -> bool:
    return file.is_file() and _hash(file, digits).startswith(digits)


def _url(text: str) -> Path:
    url, fragment = urldefrag(text)
    name = Path(urlsplit(url).path).name
    kind, _, digits = fragment.partition("=")
    if fragment and (kind != "sha256" or not re.fullmatch("[0-9a-f]{64}", digits)):
        raise ValueError(f"a hash must be #sha256= and 64 lower-case digits, got {fragment!r}")
    if not name:
        raise ValueError(f"{url} does not name a file")
    # A folder per URL: files from several places have the same name.
    folder = hashlib.sha256(url.encode()).hexdigest()[:16]
    return _get(f"{folder}/{name}", url, digits or hashed_names.digits(name))


def _get(name: str, url: str, digits: str) -> Path:
    """Downloads a file unless it is cached; a crash leaves no incomplete file of that name."""
    place = _home() / "keras_resnet" / name
    if _holds(place, digits):
        return place
    with replacing(place, f".partial.{os.getpid()}") as partial:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            target = partial.open("wb")
        except OSError as error:
            raise _unkept(url, place, error) from error
        try:
            with target:
                _copy(url, target)
            found = _hash(partial, digits)
            if not found.startswith(digits):
                raise ValueError(f"its hash should be {digits} but is {found}")
        except (OSError, ValueError, HTTPException) as error:
            if isinstance(error, HTTPError):
                error.close()
            if getattr(error, "errno", None) in FULL:
                raise _unkept(url, place, error) from error
            raise ValueError(f"{url} cannot be downloaded: {error}") from error
    return place


def _unkept(url: str, place: Path, error: Any) -> ValueError:
    return ValueError(
        f"{url} cannot be stored in {place.parent}: {error.strerror}. Set KERAS_HOME to a writable"
        " folder, or download the file yourself and give its path"
    )


def _copy(url: str, target: BinaryIO) -> None:
    """Downloads with a progress bar; a server that does not answer is an error."""
    with urllib.request.urlopen(url, timeout=SECONDS) as source:
        size = int(source.headers.get("Content-Length") or 0)
        print(f"Downloading {url}", flush=True)
        bar = keras.utils.Progbar(size or None)
        done = 0
        while chunk := source.read(CHUNK):
            target.write(chunk)
            done += len(chunk)
            bar.update(done)
    if done < size:
        raise ValueError(f"it ended after {done:,} of {size:,} bytes")


def _hash(file: Path, like: str) -> str:
    return digest(file, "md5" if len(like) == MD5_DIGITS else "sha256")


def _hub(text: str) -> Path:
    match = HUB.fullmatch(text)
    if not match:
        raise ValueError(
            f"weights on the hub must be hf://owner/name[@revision][/file], got {text!r}"
        )
    try:
        import huggingface_hub
    except ImportError as error:
        raise ValueError(
            f"{text} needs huggingface_hub: pip install 'he-keras-resnet[hub]'"
        ) from error
    repo, revision, file = match.group("repo", "revision", "file")
    try:
        if file is None:  # timm's description of the weights, read from the same folder
            huggingface_hub.hf_hub_download(repo, "config.json", revision=revision)
        return Path(huggingface_hub.hf_hub_download(repo, file or HUB_FILE, revision=revision))
    except Exception as error:  # the hub raises many kinds: network, names, permissions
        raise ValueError(f"{text} cannot be downloaded: {error}") from error
