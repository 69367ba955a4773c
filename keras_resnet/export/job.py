"""One export: every format is written, run, and compared with the network before it is kept."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from keras_resnet.console import progress
from keras_resnet.export import calibration, directories, files, head, report
from keras_resnet.export.formats import BFLOAT16, FORMATS, Format
from keras_resnet.export.report import Array, Figures, Images
from keras_resnet.export.source import Source
from keras_resnet.manifest import Manifest
from keras_resnet.network import ResidualNetwork
from keras_resnet.rewrite.fold import fold
from keras_resnet.specs import DEEP_STEM, Spec
from keras_resnet.weights.disk import digest

__all__ = ["PRECISIONS", "Job", "export"]

PRECISIONS = ("float32", "bfloat16")
PARITY = ("max_difference", "mean_difference", "relative", "sqnr", "agreement")  # in `model.json`
GRAPH = 2**20  # bytes of a file without its weights, roughly


@dataclass(frozen=True)
class Job:
    """What to write, and with which images.

    Args:
        formats: names in `FORMATS`.
        precision: of the SavedModel's weights and activations: "float32" or "bfloat16".
        images: what formats are compared on; artificial images by default.
        calibration: for int8, other images than these, float32 of 0..255
            [n, height, width, channels].
        weights: the file that the weights came from, for `model.json`.
        tflite_features: whether TFLite files return the pooled features, too.

    Raises:
        ValueError: for an unknown format or precision, and if a package is missing that a format
            needs.
    """

    formats: Sequence[str] = ("saved_model", "tflite")
    precision: str = "float32"
    images: Images | None = None
    calibration: Array | None = None
    weights: Path | None = None
    tflite_features: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown or not self.formats:
            raise ValueError(f"formats must be of {', '.join(FORMATS)}; got {list(self.formats)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS}, got {self.precision!r}")
        if self.tflite_features and not any(name.startswith("tflite") for name in self.formats):
            raise ValueError(f"tflite_features needs a format of TFLite, got {list(self.formats)}")
        for name in self.formats:
            FORMATS[name].check_runtime(name)

    def check(self, manifest: Manifest, *, calibrated: bool) -> None:
        """Checks that every format can hold a network.

        Args:
            manifest: of the network.
            calibrated: whether there are images that show the ranges of its activations.

        Raises:
            ValueError: if a format cannot round, or needs such images.
        """
        for name in self.formats:
            chosen = FORMATS[name]
            if manifest.quantized and (not chosen.rounds or self.precision != "float32"):
                raise ValueError(
                    f"the network was trained to round to {manifest.quantized}; it is exported as"
                    f" tflite_int8 and saved_model, not as {name} in {self.precision}"
                )
            if chosen.calibrated and not manifest.quantized and not calibrated:
                raise ValueError(
                    f"{name} needs images that show how large activations are: give"
                    " --calibration_dir or --calibration_file"
                )

    def check_images(self, manifest: Manifest) -> None:
        """Raises ValueError if images do not fit the network, or show nothing."""
        if self.calibration is not None:
            calibration.check(self.calibration, "images to calibrate", manifest)
        if self.images:
            calibration.check(self.images.pixels, self.images.name, manifest)

    def calibrates(self, manifest: Manifest) -> bool:
        """Whether a format needs images that show the ranges of activations."""
        return not manifest.quantized and any(FORMATS[name].calibrated for name in self.formats)

    def format(self, name: str) -> Format:
        """Returns a format; the SavedModel's bound and size depend on the precision."""
        if name == "saved_model" and self.precision == "bfloat16":
            return replace(FORMATS[name], bound=BFLOAT16, bytes=2)
        return FORMATS[name]

    def size(self, network: keras.Model) -> int:
        """Returns roughly the bytes of all files, and of the one that TFLite is converted from."""
        count = network.count_params()
        size = sum(self.format(name).bytes * count + GRAPH for name in self.formats)
        if any(name.startswith("tflite") for name in self.formats):
            size += 4 * count + GRAPH
        return size


def export(
    model: ResidualNetwork, manifest: Manifest, out: Path, job: Job | None = None
) -> dict[str, Figures]:
    """Writes the formats of a job into a new directory, or nothing at all.

    `model.json`, `labels.txt`, `report.json` and `report.md` are written beside them. Every file is
    run, and compared with the network in float32, whatever Keras's dtype policy is.

    Args:
        model: a network that ends in its logits, or in a softmax, sigmoid or linear activation
            of them.
        manifest: how pixels are normalized, the labels, and what follows the logits. If its
            `activation` is None, it is the one in which the model ends, or softmax.
        out: the directory to create; NAME/VERSION if a SavedModel is among the formats.
        job: the formats; by default a SavedModel and TFLite in float32.

    Returns:
        The figures of each format, by its name.

    Raises:
        ValueError: if the model ends in anything else, and if a file is worse than its bound.
        FileExistsError: if `out` exists.
        OSError: if there is too little disk space.
    """
    job = job or Job()
    directories.check(out, job.formats)
    network, manifest = head.cut(model, manifest)
    job.check(manifest, calibrated=job.calibration is not None)
    job.check_images(manifest)
    with directories.staged(out) as stage, head.float32_policy():
        directories.check_room(out.parent, job.size(network))
        images = job.images or Images(report.artificial(manifest), "artificial images", real=False)
        run = report.network_runner(head.in_float32(network), manifest)
        with progress.shown(f"computing {len(images.pixels)} images by the network"):
            expected = report.in_batches(run, images.pixels)
        sources = _sources(network, manifest, model.endpoints, job)
        rows = _write_formats(sources, stage, job, images, expected)
        about = {
            "network": manifest.network,
            "images": f"{len(images.pixels)} {images.name}",
            "top1": report.top1(expected, images.classes),
        }
        report.write(stage, about, rows)
        _describe(model.spec, manifest, rows, job.weights, stage)
    return rows


def _sources(
    network: keras.Model, manifest: Manifest, endpoints: dict[str, str], job: Job
) -> dict[str, Source]:
    """Returns what each format is written from: all from one folded network in float32.

    Only the SavedModel may have another precision.
    """
    source = Source(
        fold(network),
        manifest,
        endpoints,
        calibration=job.calibration,
        tflite_features=job.tflite_features,
    )
    found = dict.fromkeys(job.formats, source)
    if "saved_model" in found and job.precision != "float32":
        found["saved_model"] = replace(source, network=fold(network, job.precision))
    return found


def _write_formats(
    sources: Mapping[str, Source], directory: Path, job: Job, images: Images, expected: Array
) -> dict[str, Figures]:
    """Writes, runs and checks each format; returns the figures by its name."""
    rows = {}
    for name, source in sources.items():
        chosen = job.format(name)
        path = directory / chosen.file
        path.parent.mkdir(exist_ok=True)
        with progress.shown(f"writing {name}"):
            chosen.write(source, path)
        with progress.shown(f"comparing {name} with the network"):
            run = chosen.runner(path)
            rows[name] = report.measure(run, path, images, expected, source.manifest)
        rows[name].check(name, chosen.bound, real=images.real)
    return rows


def _describe(
    spec: Spec, manifest: Manifest, rows: dict[str, Figures], weights: Path | None, directory: Path
) -> None:
    """Writes `model.json` and `labels.txt`, with the same bytes from run to run."""
    labels = [files.printable(label) for label in manifest.labels]
    about = {**manifest.to_dict(), "labels": labels, "variant": variant(spec)}
    if weights:
        about["weights"] = {"file": weights.name, "sha256": digest(weights)}
    about["parity"] = {
        name: {figure: float(f"{getattr(row, figure):.3g}") for figure in PARITY}
        for name, row in rows.items()
    }
    files.write_text(directory / "model.json", json.dumps(about, indent=1) + "\n")
    files.write_text(directory / "labels.txt", files.lines(manifest.labels))


def variant(spec: Spec) -> str:
    """Returns the name of a network's kind: "plain", "v2", "D", "v1.5" or "v1"."""
    if spec.shortcut is None:
        return "plain"
    if spec.preact:
        return "v2"
    if spec.stem == DEEP_STEM and spec.shortcut == "D":
        return "D"
    return "v1.5" if spec.stride_on == "3x3" else "v1"
