"""One export: every format is written, run, and compared with the network before it is kept."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keras_resnet.export import report
from keras_resnet.export.formats import BFLOAT16, FORMATS, Format, Source
from keras_resnet.export.report import Array, Figures
from keras_resnet.folding import fold
from keras_resnet.manifest import Manifest
from keras_resnet.network import ResidualNetwork
from keras_resnet.specs import DEEP_STEM, Spec

PRECISIONS = ("float32", "bfloat16")
PARITY = ("max_difference", "mean_difference", "relative", "sqnr", "agreement")


@dataclass(frozen=True)
class Images:
    """What formats are compared on, float32 of 0..255 [n, height, width, channels]."""

    pixels: Array
    name: str
    real: bool  # of the kind that the network was trained for, so that its choices mean something


@dataclass(frozen=True)
class Job:
    """What to write, and with which images."""

    formats: Sequence[str] = ("saved_model", "tflite")
    precision: str = "float32"  # of the SavedModel
    images: Images | None = None  # by default such that are made up
    calibration: Array | None = None  # other images than these, for int8
    weights: Path | None = None  # the file that they came from

    def __post_init__(self) -> None:
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown or not self.formats:
            raise ValueError(f"formats must be of {', '.join(FORMATS)}; got {list(self.formats)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS}, got {self.precision!r}")
        for name in self.formats:
            FORMATS[name].check_runtime()

    def check(self, manifest: Manifest, *, calibrated: bool) -> None:
        """Raises ValueError if a format cannot hold the network, or its ranges are not known."""
        for name in self.formats:
            chosen = FORMATS[name]
            if manifest.quantized and (not chosen.rounds or self.precision != "float32"):
                raise ValueError(f"the network was trained to round to {manifest.quantized}; it is"
                                 f" exported as tflite_int8 and saved_model, not as {name} in"
                                 f" {self.precision}")  # fmt: skip
            if chosen.calibrated and not manifest.quantized and not calibrated:
                raise ValueError(f"{name} needs images that show how large activations are: give"
                                 " --calibration_dir or --calibration_dataset")  # fmt: skip

    def calibrates(self, manifest: Manifest) -> bool:
        """Whether a format has to see images before it can be written."""
        return not manifest.quantized and any(FORMATS[name].calibrated for name in self.formats)

    def format(self, name: str) -> Format:
        if name == "saved_model" and self.precision == "bfloat16":
            return replace(FORMATS[name], bound=BFLOAT16)
        return FORMATS[name]


def export(
    model: ResidualNetwork, manifest: Manifest, out: Path, job: Job = Job()
) -> dict[str, Figures]:
    """Writes the formats of a job into a new directory; all or nothing.

    Beside them come `model.json`, `labels.txt`, `report.json` and `report.md`.

    Returns:
        The figures of each format.

    Raises:
        ValueError: if a file is worse than its bound; nothing is left then.
    """
    job.check(manifest, calibrated=job.calibration is not None)
    partial = out.with_name(f".partial.{out.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        images = job.images or Images(report.made_up(manifest), "images made up", real=False)
        rows = _write_formats(model, manifest, partial, job, images)
        about = {"network": manifest.network, "images": f"{len(images.pixels)} {images.name}"}
        report.write(partial, about, rows)
        _describe(model.spec, manifest, rows, job.weights, partial)
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return rows


def _write_formats(
    model: ResidualNetwork, manifest: Manifest, directory: Path, job: Job, images: Images
) -> dict[str, Figures]:
    expected = report.in_batches(report.network_runner(model, manifest), images.pixels)
    source = Source(
        fold(model),
        manifest,
        model.endpoints,
        job.calibration if job.calibrates(manifest) else None,
    )
    rows = {}
    for name in job.formats:
        chosen, path = job.format(name), directory / FORMATS[name].file
        exact = job.precision == "float32" or name != "saved_model"
        own = source if exact else replace(source, network=fold(model, job.precision))
        path.parent.mkdir(exist_ok=True)
        chosen.write(own, path)
        rows[name] = report.measure(chosen.runner(path), path, images.pixels, expected)
        rows[name].check(name, chosen.bound, real=images.real)
    return rows


def _describe(
    spec: Spec, manifest: Manifest, rows: dict[str, Figures], weights: Path | None, directory: Path
) -> None:
    """Writes what the files are, in a form that is the same from run to run."""
    about = {**manifest.to_dict(), "variant": variant(spec)}
    if weights:
        sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
        about["weights"] = {"file": weights.name, "sha256": sha256}
    about["parity"] = {
        name: {figure: float(f"{getattr(row, figure):.3g}") for figure in PARITY}
        for name, row in rows.items()
    }
    (directory / "model.json").write_text(json.dumps(about, indent=1) + "\n")
    (directory / "labels.txt").write_text("".join(f"{label}\n" for label in manifest.labels))


def variant(spec: Spec) -> str:
    """Names the kind of a network: plain, v2, D, v1.5 or v1."""
    if spec.shortcut is None:
        return "plain"
    if spec.preact:
        return "v2"
    if spec.stem == DEEP_STEM and spec.shortcut == "D":
        return "D"
    return "v1.5" if spec.stride_on == "3x3" else "v1"
