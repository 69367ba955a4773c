"""Exports a trained network: `python -m keras_resnet.export --weights=… --out=NAME/1`."""

import sys
from dataclasses import replace
from pathlib import Path

from absl import app, flags

from keras_resnet import console, trained, weights
from keras_resnet.export import report
from keras_resnet.export.formats import FORMATS
from keras_resnet.export.job import PRECISIONS, Job, export

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


def main(_: list[str]) -> None:
    console.quiet()
    out = Path(FLAGS.out).expanduser()
    try:
        if out.exists():
            raise ValueError(f"{out} exists; export a new version beside it")
        job = Job(FLAGS.formats, FLAGS.precision)
        model, manifest = trained.from_flags()
        job = replace(job, weights=Path(weights.local(FLAGS.weights, FLAGS.network)))
        out.parent.mkdir(parents=True, exist_ok=True)
        rows = export(model, manifest, out, job)
    except (ValueError, TypeError, OSError) as error:
        sys.exit(f"error: {error}")
    print(report.table(rows))
    print(f"done: {out}")


if __name__ == "__main__":
    define_flags()
    app.run(main)
