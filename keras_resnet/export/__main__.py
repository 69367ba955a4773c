"""Exports a trained network: `python -m keras_resnet.export --weights=… --out=NAME/1`."""

import shutil
import sys
from pathlib import Path

import keras
from absl import app, flags

from keras_resnet import console, trained
from keras_resnet.export import checks, saved_model, tflite
from keras_resnet.manifest import Manifest

FLAGS = flags.FLAGS
TFLITE_NAME = "model.tflite"


def define_flags() -> None:
    trained.define_flags()
    flags.DEFINE_string(
        "out", None, "A new directory: NAME/1 for the first version of NAME.", required=True
    )


def export(model: keras.Model, manifest: Manifest, out: Path) -> dict[str, float]:
    """Writes a SavedModel with `model.tflite` and `model.json` in it; all or nothing.

    Returns:
        The largest relative error of the logits of each format.

    Raises:
        ValueError: if a file computes something else than the network; nothing is left then.
    """
    partial = out.with_name(f".partial.{out.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        saved_model.write(model, manifest, partial)
        tflite.write(partial, partial / TFLITE_NAME)
        pixels = checks.images(manifest)
        expected = checks.logits(model, manifest, pixels)
        errors = {
            "SavedModel": checks.compare("SavedModel", saved_model.run(partial, pixels), expected),
            "TFLite": checks.compare("TFLite", tflite.run(partial / TFLITE_NAME, pixels), expected),
        }
        (partial / "model.json").write_text(manifest.to_json() + "\n")
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return errors


def main(_: list[str]) -> None:
    console.quiet()
    out = Path(FLAGS.out).expanduser()
    try:
        if out.exists():
            raise ValueError(f"{out} exists; export a new version beside it")
        tflite.check_runtime()
        model, manifest = trained.from_flags()
        out.parent.mkdir(parents=True, exist_ok=True)
        errors = export(model, manifest, out)
    except (ValueError, TypeError, OSError) as error:
        sys.exit(f"error: {error}")
    for name, largest in errors.items():
        print(
            f"{name} computes what {manifest.network} does, to {largest:.1e} of the largest logit"
        )
    print(f"done: {out}")


if __name__ == "__main__":
    define_flags()
    app.run(main)
