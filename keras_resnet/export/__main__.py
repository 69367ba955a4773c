"""Exports a trained network: `python -m keras_resnet.export --weights=… --out=NAME/1`."""

import sys
from dataclasses import replace
from pathlib import Path

from absl import app, flags

from keras_resnet import console, trained, weights
from keras_resnet.export import report
from keras_resnet.export.calibration import RealImages
from keras_resnet.export.formats import FORMATS
from keras_resnet.export.job import PRECISIONS, Images, Job, export

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
    flags.DEFINE_string(
        "calibration_dir",
        None,
        "Images of the kind to come: int8 learns its ranges from every other one, and all formats"
        " are compared on the rest.",
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


def main(_: list[str]) -> None:
    console.quiet()
    out = Path(FLAGS.out).expanduser()
    try:
        if out.exists():
            raise ValueError(f"{out} exists; export a new version beside it")
        job, real = Job(FLAGS.formats, FLAGS.precision), _real_images()
        model, manifest = trained.from_flags()
        job = replace(job, weights=Path(weights.local(FLAGS.weights, FLAGS.network)))
        job.check(manifest, calibrated=real is not None)
        if real:
            job = replace(
                job,
                calibration=real.take("train", manifest) if job.calibrates(manifest) else None,
                images=Images(
                    real.take("test", manifest),
                    f"images of {real.directory or real.dataset}",
                    real=True,
                ),
            )
        out.parent.mkdir(parents=True, exist_ok=True)
        rows = export(model, manifest, out, job)
    except (ValueError, TypeError, OSError) as error:
        sys.exit(f"error: {error}")
    print(report.table(rows))
    print(f"done: {out}")


if __name__ == "__main__":
    define_flags()
    app.run(main)
