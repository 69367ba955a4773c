"""Exports a trained network: `python -m keras_resnet.export --weights=… --out=NAME/1`."""

from dataclasses import replace
from pathlib import Path

from absl import flags

from keras_resnet import console
from keras_resnet.export import directories
from keras_resnet.export.calibration import RealImages
from keras_resnet.export.formats import FORMATS
from keras_resnet.export.job import PRECISIONS, Job, export
from keras_resnet.export.report import Images
from keras_resnet.models import flags as trained

FLAGS = flags.FLAGS


def define_flags() -> None:
    trained.define_flags()
    flags.DEFINE_string(
        "out", None, "A new directory: NAME/1 for the first version of NAME.", required=True
    )
    flags.DEFINE_list("formats", ["saved_model", "tflite"], f"Of {', '.join(FORMATS)}.")
    flags.DEFINE_enum(
        "precision", "float32", PRECISIONS, "Of the SavedModel's weights and activations."
    )
    flags.DEFINE_boolean(
        "tflite_features", False, "Return pooled features from TFLite files as well, for search."
    )
    flags.DEFINE_string(
        "calibration_dir",
        None,
        "Images of the kind to come: int8 learns its ranges from every other one, and all formats"
        " are compared on the rest. Folders named like labels say what is right.",
    )
    flags.DEFINE_string(
        "calibration_dataset", None, "The same from training and test split: digits, or of TFDS."
    )
    flags.DEFINE_string("data_dir", None, "Where the data set is; by default TFDS's own place.")


def _real_images() -> RealImages | None:
    directory, data_set, place = FLAGS.calibration_dir, FLAGS.calibration_dataset, FLAGS.data_dir
    if not (directory or data_set):
        if place:
            raise ValueError("data_dir needs calibration_dataset")
        return None
    return RealImages(directory and Path(directory), data_set, place and Path(place))


def main() -> None:
    out = Path(FLAGS.out).expanduser()
    directories.check(out, FLAGS.formats)
    job = Job(FLAGS.formats, FLAGS.precision, tflite_features=FLAGS.tflite_features)
    real = _real_images()
    model, manifest, file = trained.from_flags(ends=True)
    job = replace(job, weights=file)
    job.check(manifest, calibrated=real is not None)
    if real:
        pixels, classes = real.examples("test", manifest)
        images = Images(pixels, f"images of {real.directory or real.dataset}", True, classes)
        seen = real.take("train", manifest) if job.calibrates(manifest) else None
        job = replace(job, calibration=seen, images=images)
    export(model, manifest, out, job)
    print((out / "report.md").read_text(encoding="utf-8"))
    print(f"done: {out}")


if __name__ == "__main__":
    define_flags()
    console.run(main)
