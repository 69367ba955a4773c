"""Finds weights that are not on this disk yet: official ones, a URL, or the Hugging Face hub."""

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

import keras

from keras_resnet.weights.sources import keras_applications

# torch.hub writes the beginning of a file's SHA-256 into its name.
HASHED_NAME = re.compile(r"-([0-9a-f]{8,64})\.\w+$")
MD5_DIGITS = 32
HUB = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?(/(?P<file>[\w./-]+))?")
HUB_FILE = "model.safetensors"


def local(weights: str | os.PathLike[str], network: str | None = None) -> Path:
    """Returns the place of weights on this disk, after a download if there is need.

    Args:
        weights: a path; a URL, also with "#sha256=..."; "hf://owner/name", also with "@revision"
            and "/file"; or "imagenet", the official ones of keras.applications for `network`.
        network: a name in `keras_resnet.FAMILY`.

    Raises:
        ValueError: if there are no such weights, or they are not what their hash says.
    """
    text = os.fspath(weights)
    if text == "imagenet":
        return _official(network)
    if text.startswith("hf://"):
        return _hub(text)
    if text.startswith(("http://", "https://")):
        return _url(text)
    try:
        return Path(text).expanduser()  # a shell leaves the tilde of --weights=~/x alone
    except RuntimeError as error:
        raise ValueError(f"there is no file of weights at {text!r}: {error}") from error


def _official(network: str | None) -> Path:
    if network not in keras_applications.OFFICIAL:
        raise ValueError(
            f'weights="imagenet" are those of keras.applications, for'
            f" {', '.join(keras_applications.OFFICIAL)}; got {network}. Other networks have theirs"
            ' at torchvision and timm, such as "hf://timm/resnet18.tv_in1k"'
        )
    name, md5 = keras_applications.OFFICIAL[network]
    file = f"{name}_weights_tf_dim_ordering_tf_kernels.h5"
    return _get(file, keras_applications.URL + file, md5)


def _url(text: str) -> Path:
    url, fragment = urldefrag(text)
    name = Path(urlsplit(url).path).name
    kind, _, digest = fragment.partition("=")
    if fragment and (kind != "sha256" or not re.fullmatch("[0-9a-f]{64}", digest)):
        raise ValueError(f"a hash is given as #sha256= and 64 digits, got {fragment!r}")
    if not name:
        raise ValueError(f"{url} names no file")
    match = HASHED_NAME.search(name)
    # Files of one name come from many places.
    folder = hashlib.sha256(url.encode()).hexdigest()[:16]
    return _get(f"{folder}/{name}", url, digest or (match[1] if match else ""))


def _get(name: str, url: str, digest: str) -> Path:
    """Downloads once; a crash leaves nothing that looks like the file."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    place = home / "models" / "keras_resnet" / name
    if place.is_file() and _hash(place, digest).startswith(digest):
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f".partial.{os.getpid()}.{place.name}")
    try:
        keras.utils.get_file(partial.name, url, cache_dir=partial.parents[1],
                             cache_subdir=partial.parent)  # fmt: skip
        found = _hash(partial, digest)
        if not found.startswith(digest):
            raise ValueError(f"its hash should be {digest}, and is {found}")
        partial.replace(place)
    except Exception as error:  # Keras raises a bare Exception where a download fails
        raise ValueError(f"{url} cannot be had: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return place


def _hash(file: Path, like: str) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(
            stream, "md5" if len(like) == MD5_DIGITS else "sha256"
        ).hexdigest()


def _hub(text: str) -> Path:
    match = HUB.fullmatch(text)
    if not match:
        raise ValueError(f"the hub's weights are hf://owner/name[@revision][/file], got {text!r}")
    try:
        import huggingface_hub
    except ImportError as error:
        raise ValueError(
            f"{text} needs huggingface_hub: pip install 'he-keras-resnet[hub]'"
        ) from error
    repo, revision, file = match.group("repo", "revision", "file")
    try:
        if file is None:  # timm's description of the weights, which is to lie beside them
            huggingface_hub.hf_hub_download(repo, "config.json", revision=revision)
        return Path(huggingface_hub.hf_hub_download(repo, file or HUB_FILE, revision=revision))
    except Exception as error:  # of many kinds: network, names, rights
        raise ValueError(f"{text} cannot be had: {error}") from error
