"""`keras-resnet info`: what a file of weights or an export holds."""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from keras_resnet import console, counts, family
from keras_resnet.command import streams
from keras_resnet.command.listing import aligned

if TYPE_CHECKING:
    from keras_resnet.manifest import Manifest
    from keras_resnet.preprocessing import Preprocessing
    from keras_resnet.specs import Spec

__all__ = ["ALIKE", "HELP", "WORDS", "define_flags", "main"]

FLAGS = flags.FLAGS
WORDS = 1  # the file
ALIKE: dict[str, str] = {}
HELP = """\
keras-resnet info FILE

Says what a file of weights holds, of this package or any project that loads: network, images,
preprocessing, classes, training, hash; or what an export holds. FILE may also be a URL,
hf://owner/name, or a name such as cifar10/resnet20.

Examples
  keras-resnet info runs/mine/final.keras
  keras-resnet info resnet50-0676ba61.pth
  keras-resnet info saved_models/mine/1
  keras-resnet info --json saved_models/mine/1/model.tflite

  --json               the same for programs"""
SHOWN = 3  # labels, and digits of a number
Rows = list[tuple[str, str]]


def define_flags() -> None:
    """Defines the flags."""
    flags.DEFINE_bool("json", False, "The same for programs.")


def main(file: str = "") -> None:
    if not file:
        raise ValueError("which file? Such as keras-resnet info runs/mine/final.keras; see --help")
    streams.import_keras("keras-resnet info")
    from keras_resnet.export import opened

    path = Path(file).expanduser()
    remote = file.startswith(("http://", "https://", "hf://"))
    export = not remote and opened.names_export(path)
    with streams.aside():  # a download says what it does
        told, rows, tables = _of_export(path) if export else _of_weights(file)
    if FLAGS.json:
        print(json.dumps(told))
        return
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        console.say(f"{name:<{width}}  {text}")
    for line in tables:
        console.say(line)


def _of_weights(name: str) -> tuple[dict[str, Any], Rows, list[str]]:
    from keras_resnet.weights import Undecided, local, opened
    from keras_resnet.weights.disk import digest

    logging.getLogger("keras_resnet").setLevel(logging.ERROR)  # assumptions are among the rows
    path = local(name)
    with opened(path) as held:
        size = path.stat().st_size
        facts = {"file": str(path), "bytes": size, "sha256": digest(path)}
        facts["written_by"] = held.source.name
        rows = [
            ("file", str(path)),
            ("size", f"{size / 1e6:,.2f} MB"),
            ("sha256", str(facts["sha256"])),
            ("written by", held.source.name),
        ]
        try:
            manifest = held.settle()
        except Undecided as error:
            told = " ".join(str(error).split()).removeprefix(f"{path} is ")
            return facts | {"undecided": told}, [*rows, ("undecided", told)], []
    return facts | manifest.to_dict(), [*rows, *_rows(manifest)], []


def _of_export(path: Path) -> tuple[dict[str, Any], Rows, list[str]]:
    from keras_resnet.export import opened

    folder, about, manifest = opened.described(path)
    rows = [("export", str(path)), *_rows(manifest)]
    origin = about.get("weights")
    if origin and origin["sha256"] != manifest.source.get("sha256"):
        rows += [("of weights", origin["file"]), ("their sha256", origin["sha256"])]
    about["files"] = {name: _file(folder, chosen) for name, chosen in _formats(folder)}
    lines = [(name, *each.values()) for name, each in about["files"].items()]
    titles = ("format", "file", "MB", "sha256")
    shown = [(name, file, f"{size / 1e6:.2f}", digits[:12]) for name, file, size, digits in lines]
    return about, rows, ["", *aligned([titles, *shown], ("format", "file", "sha256"))]


def _formats(folder: Path) -> Iterator[tuple[str, str]]:
    """Yields the formats in a folder, each with its main file."""
    from keras_resnet.export.formats import FORMATS
    from keras_resnet.export.opened import SAVED_MODEL

    for name, chosen in FORMATS.items():
        if (folder / (chosen.file or SAVED_MODEL)).is_file():
            yield name, chosen.file or SAVED_MODEL


def _file(folder: Path, name: str) -> dict[str, Any]:
    """Returns name, bytes and hash of a file; the bytes are those of OpenVINO's two files."""
    from keras_resnet.weights.disk import digest

    path = folder / name
    files = {path, *path.parent.glob(f"{path.stem}.bin")}
    size = sum(file.stat().st_size for file in files)
    return {"file": name, "bytes": size, "sha256": digest(path)}


def _rows(manifest: "Manifest") -> Iterator[tuple[str, str]]:
    spec = manifest.spec
    height, width, channels = manifest.image_shape
    fields = ", ".join(f"{name}={value}" for name, value in manifest.fields.items())
    yield "network", manifest.network + (f" with {fields}" if fields else "")
    yield from _cost(spec, manifest)
    sides = f"{height}x{width}" if height else "any size"
    kinds = {1: "grey", 3: "RGB", 4: "RGBA"}
    yield "images", f"{sides}, {kinds.get(channels, f'{channels} channels')}"
    yield "preprocessing", _scaling(manifest.preprocessing)
    yield "classes", _classes(manifest.labels)
    yield "after the logits", manifest.activation or "unknown: give --activation"
    if manifest.quantized:
        yield "rounds to", manifest.quantized
    if manifest.source:
        yield "comes from", ", ".join(manifest.source.values())
    yield from _training(manifest.training)
    if manifest.assumed:
        sources = ", ".join(sorted(set(manifest.assumed.values())))
        yield "assumed", f"{', '.join(manifest.assumed)}, as usual for {sources}"


def _cost(spec: "Spec", manifest: "Manifest") -> Iterator[tuple[str, str]]:
    height, width, channels = manifest.image_shape
    usual = family.PUBLISHED[manifest.network].image_size
    shape = (height or usual, width or usual, channels)
    parameters, multiply_adds = counts.total(spec, shape, len(manifest.labels))
    yield "parameters", f"{parameters:,}"
    yield "multiply-adds", f"{multiply_adds:,} for an image of {shape[0]}x{shape[1]}"


def _scaling(found: "Preprocessing | None") -> str:
    if found is None:
        return "unknown: give --preprocessing, or --mean and --std"
    order = "BGR" if found.bgr else "RGB"
    height, width = found.size
    view = f"{found.interpolation} to {height}x{width}"
    if found.crop < 1:
        view += f", the central {found.crop:.4g} of a side"
    mean, std = _levels(found.mean), _levels(found.std)
    if (mean, std) == ("0", "1"):
        return f"{order} of 0..255 as they are; {view}"
    return f"({order} - {mean}) / {std}; {view}"


def _levels(values: Any) -> str:
    if values is None:
        return "an unknown mean image"
    if not isinstance(values, tuple):
        return f"{values:.6g}"
    if isinstance(values[0], tuple):
        return "an image"
    return ",".join(f"{value:.6g}" for value in values)


def _classes(labels: tuple[str, ...]) -> str:
    from keras_resnet.labels import numbers

    if labels == numbers(len(labels)):
        return f"{len(labels):,}, without names"
    shown = labels if len(labels) <= SHOWN + 1 else (*labels[:SHOWN], "...", labels[-1])
    return f"{len(labels):,}: {', '.join(shown)}"


def _training(training: "Mapping[str, Any]") -> Iterator[tuple[str, str]]:
    """Tells what a run of `train` writes; a file may hold only a part of it, or something else."""
    recipe = training.get("recipe")
    if isinstance(recipe, dict):
        told = [f"{recipe['dataset']}"] if "dataset" in recipe else []
        told += [f"{recipe['steps']:,} steps"] if "steps" in recipe else []
        told += [recipe["source"].partition(";")[0]] if recipe.get("source") else []
        yield "trained on", ", ".join(told)
    result = training.get("result")
    if isinstance(result, dict) and "top1" in result:
        images = f" of {result['examples']:,.0f} images" if "examples" in result else ""
        yield "accuracy", f"top-1 {result['top1']:.2f} %{images}"
