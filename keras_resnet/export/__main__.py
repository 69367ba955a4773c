"""Exports a trained network: `python -m keras_resnet.export --weights=... --out=NAME/1`."""

from dataclasses import replace
from pathlib import Path

from absl import flags

from keras_resnet import console
from keras_resnet.console import progress
from keras_resnet.export import directories
from keras_resnet.export.calibration import File, Folder
from keras_resnet.export.formats import FORMATS
from keras_resnet.export.job import PRECISIONS, Job, export
from keras_resnet.export.report import Images
from keras_resnet.models import weights_flags

FLAGS = flags.FLAGS
USE_A_FILE = (
    "write images with `python -m train.evaluate --split=train --examples=1024"
    " --examples_out=FILE.npz` and give --calibration_file=FILE.npz"
)
REMOVED = {"calibration_dataset": USE_A_FILE, "data_dir": USE_A_FILE}  # flags of version 0.1


def define_flags() -> None:
    weights_flags.define_flags()
    flags.adopt_module_key_flags(weights_flags)  # so that --help shows them, too
    flags.DEFINE_string(
        "out",
        None,
        "The directory to create: NAME/1 for the first version of NAME.",
        required=True,
    )
    flags.DEFINE_list(
        "formats", ["saved_model", "tflite"], f"Formats to write, of {', '.join(FORMATS)}."
    )
    flags.DEFINE_enum(
        "precision", "float32", PRECISIONS, "Of the SavedModel's weights and activations."
    )
    flags.DEFINE_boolean(
        "tflite_features",
        False,
        "Also return the pooled features from TFLite files, for search by similarity.",
    )
    flags.DEFINE_string(
        "calibration_dir",
        None,
        "A folder of images like those that the network will see: int8 learns its ranges from"
        " every other one, and all formats are compared on the rest. Folders that are named like"
        " labels tell the classes, for the accuracy in the report.",
    )
    flags.DEFINE_string(
        "calibration_file",
        None,
        "The same from an .npz file: images [n, height, width, channels] of 0..255 and, where"
        " known, labels [n]. `python -m train.evaluate --examples_out` writes such a file.",
    )


def _real_images() -> Folder | File | None:
    directory = FLAGS.calibration_dir
    file = FLAGS.calibration_file
    if directory and file:
        raise ValueError(
            f"give --calibration_dir or --calibration_file, not both: got {directory} and {file}"
        )
    if directory:
        return Folder(Path(directory))
    return File(Path(file)) if file else None


def main() -> None:
    out = Path(FLAGS.out).expanduser()
    directories.check(out, FLAGS.formats)
    job = Job(FLAGS.formats, FLAGS.precision, tflite_features=FLAGS.tflite_features)
    real = _real_images()
    with progress.shown("reading the weights"):
        model, manifest, file = weights_flags.from_flags(ends=True)
    job = replace(job, weights=file)
    job.check(manifest, calibrated=real is not None)
    if real:
        pixels, classes = real.to_compare(manifest)
        images = Images(pixels, f"images of {real}", True, classes)
        seen = real.to_calibrate(manifest) if job.calibrates(manifest) else None
        job = replace(job, calibration=seen, images=images)
    export(model, manifest, out, job)
    print((out / "report.md").read_text(encoding="utf-8"))
    print(f"done: {out}")


if __name__ == "__main__":
    define_flags()
    console.run(main, console.Help(removed=REMOVED))
