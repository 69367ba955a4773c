"""Finds weights that are not on this disk yet: official ones, a URL, or the Hugging Face hub."""

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
from keras_resnet.weights.disk import digest, replacing
from keras_resnet.weights.formats import hashed_names
from keras_resnet.weights.sources import keras_applications

MD5_DIGITS = 32
SECONDS = 10  # without an answer
CHUNK = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
HUB = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?(/(?P<file>[\w./-]+))?")
HUB_FILE = "model.safetensors"
# The MD5 of keras.applications' files without a classifier.
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
    """Returns the place of weights on this disk, after a download if there is need.

    Args:
        weights: a path; a URL, also with "#sha256=..."; "hf://owner/name", also with "@revision"
            and "/file"; or "imagenet", the official ones of keras.applications for `network`.
        network: a name in `keras_resnet.FAMILY`.
        head: whether official weights must have their classifier.

    Raises:
        ValueError: if there are no such weights, or they are not what their hash says.
    """
    text = os.fspath(weights)
    if text == "imagenet":
        return _official(network, head=head)
    if text.startswith("hf://"):
        return _hub(text)
    if text.startswith(("http://", "https://")):
        return _url(text)
    try:
        return Path(text).expanduser()  # a shell leaves the tilde of --weights=~/x alone
    except RuntimeError as error:
        raise ValueError(f"there is no file of weights at {text!r}: {error}") from error


def _official(network: str | None, *, head: bool) -> Path:
    """Returns the file of keras.applications, which may be in the cache that Keras itself has."""
    if network not in keras_applications.OFFICIAL:
        raise ValueError(
            f'weights="imagenet" are those of keras.applications, for'
            f" {', '.join(keras_applications.OFFICIAL)}; got {network}. Other networks have theirs"
            ' at torchvision and timm, such as "hf://timm/resnet18.tv_in1k"'
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
    """Says what the cache of Keras has instead of the official file."""
    if whole.is_file():
        return f". {whole} is damaged: its MD5 is not that of keras.applications"
    if head and bare.is_file():
        return f". {bare} has no classifier: it is used with include_top=False"
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
        raise ValueError(f"a hash is given as #sha256= and 64 digits, got {fragment!r}")
    if not name:
        raise ValueError(f"{url} names no file")
    # Files of one name come from many places.
    folder = hashlib.sha256(url.encode()).hexdigest()[:16]
    return _get(f"{folder}/{name}", url, digits or hashed_names.digits(name))


def _get(name: str, url: str, digits: str) -> Path:
    """Downloads a file unless it is there; a crash leaves nothing that looks like the file."""
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
                raise ValueError(f"its hash should be {digits}, and is {found}")
        except (OSError, ValueError, HTTPException) as error:
            if isinstance(error, HTTPError):
                error.close()
            if getattr(error, "errno", None) in FULL:
                raise _unkept(url, place, error) from error
            raise ValueError(f"{url} cannot be downloaded: {error}") from error
    return place


def _unkept(url: str, place: Path, error: Any) -> ValueError:
    return ValueError(
        f"{url} cannot be kept in {place.parent}: {error.strerror}. Set KERAS_HOME to a folder"
        " that can be written, or download it yourself and give the file"
    )


def _copy(url: str, target: BinaryIO) -> None:
    """Downloads with a bar; a network that does not answer is an error after some seconds."""
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
        raise ValueError(f"{text} cannot be downloaded: {error}") from error
