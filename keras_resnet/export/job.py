"""One export: every format is written, run, and compared with the network before it is kept."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from keras_resnet.export import calibration, directories, files, head, report
from keras_resnet.export.formats import BFLOAT16, FORMATS, Format, Source
from keras_resnet.export.report import Array, Figures, Images
from keras_resnet.manifest import Manifest
from keras_resnet.network import ResidualNetwork
from keras_resnet.rewrite.fold import fold
from keras_resnet.specs import DEEP_STEM, Spec
from keras_resnet.weights.disk import digest

PRECISIONS = ("float32", "bfloat16")
PARITY = ("max_difference", "mean_difference", "relative", "sqnr", "agreement")
GRAPHS = 2**20  # bytes of a format without its weights, roughly


@dataclass(frozen=True)
class Job:
    """What to write, and with which images."""

    formats: Sequence[str] = ("saved_model", "tflite")
    precision: str = "float32"  # of the SavedModel
    images: Images | None = None  # by default such that are made up
    calibration: Array | None = None  # other images than these, for int8
    weights: Path | None = None  # the file that they came from
    tflite_features: bool = False  # pooled features as another output of TFLite files

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

    def check_images(self, manifest: Manifest) -> None:
        """Raises ValueError if images are not such as the network takes, or show nothing."""
        if self.calibration is not None:
            calibration.check(self.calibration, "images to calibrate", manifest)
        if self.images:
            calibration.check(self.images.pixels, self.images.name, manifest)

    def calibrates(self, manifest: Manifest) -> bool:
        """Whether a format has to see images before it can be written."""
        return not manifest.quantized and any(FORMATS[name].calibrated for name in self.formats)

    def format(self, name: str) -> Format:
        if name == "saved_model" and self.precision == "bfloat16":
            return replace(FORMATS[name], bound=BFLOAT16, bytes=2)
        return FORMATS[name]

    def size(self, network: keras.Model) -> int:
        """Returns about how many bytes the files take, and TFLite's converter for a while."""
        count = network.count_params()
        kept = sum(self.format(name).bytes * count + GRAPHS for name in self.formats)
        converting = any(name.startswith("tflite") for name in self.formats)
        return kept + converting * (4 * count + GRAPHS)


def export(
    model: ResidualNetwork, manifest: Manifest, out: Path, job: Job | None = None
) -> dict[str, Figures]:
    """Writes the formats of a job into a new directory; all or nothing.

    Beside them come `model.json`, `labels.txt`, `report.json` and `report.md`. Everything is
    written, and compared with the network, in float32 under any dtype policy.

    Args:
        model: a network that ends in its logits, or in a softmax, sigmoid or linear activation
            of them.
        manifest: how pixels are scaled, the labels, and what follows the logits; None there is
            what the model says, or softmax.
        out: what is made: NAME/VERSION, where a SavedModel is among the formats.
        job: the formats; by default a SavedModel and TFLite in float32.

    Returns:
        The figures of each format.

    Raises:
        ValueError: for another head, and if a file is worse than its bound; nothing is left then.
        OSError: if `out` is taken, or there is no room.
    """
    job = job or Job()
    directories.check(out, job.formats)
    network, manifest = head.cut(model, manifest)
    job.check(manifest, calibrated=job.calibration is not None)
    job.check_images(manifest)
    with directories.staged(out) as stage, head.float32_policy():
        directories.check_room(out.parent, job.size(network))
        images = job.images or Images(report.made_up(manifest), "images made up", real=False)
        run = report.network_runner(head.in_float32(network), manifest)
        expected = report.in_batches(run, images.pixels)
        source = Source(
            fold(network), manifest, model.endpoints, tflite_features=job.tflite_features
        )
        rows = _write_formats(_sources(network, source, job), stage, job, images, expected)
        about = {
            "network": manifest.network,
            "images": f"{len(images.pixels)} {images.name}",
            "top1": report.top1(expected, images.classes),
        }
        report.write(stage, about, rows)
        _describe(model.spec, manifest, rows, job.weights, stage)
    return rows


def _sources(network: keras.Model, source: Source, job: Job) -> dict[str, Source]:
    if job.calibrates(source.manifest):
        source = replace(source, calibration=job.calibration)
    found = dict.fromkeys(job.formats, source)
    if "saved_model" in found and job.precision != "float32":
        found["saved_model"] = replace(source, network=fold(network, job.precision))
    return found


def _write_formats(
    sources: Mapping[str, Source], directory: Path, job: Job, images: Images, expected: Array
) -> dict[str, Figures]:
    rows = {}
    for name, source in sources.items():
        chosen, path = job.format(name), directory / FORMATS[name].file
        path.parent.mkdir(exist_ok=True)
        chosen.write(source, path)
        rows[name] = report.measure(chosen.runner(path), path, images, expected, source.manifest)
        rows[name].check(name, chosen.bound, real=images.real)
    return rows


def _describe(
    spec: Spec, manifest: Manifest, rows: dict[str, Figures], weights: Path | None, directory: Path
) -> None:
    """Writes what the files are, in a form that is the same from run to run."""
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
    """Names the kind of a network: plain, v2, D, v1.5 or v1."""
    if spec.shortcut is None:
        return "plain"
    if spec.preact:
        return "v2"
    if spec.stem == DEEP_STEM and spec.shortcut == "D":
        return "D"
    return "v1.5" if spec.stride_on == "3x3" else "v1"
