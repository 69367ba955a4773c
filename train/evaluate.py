"""Measures a trained network: `python -m train.evaluate --network=… --weights=… --dataset=…`."""

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from absl import app, flags

from keras_resnet import console, trained
from keras_resnet.manifest import Manifest
from keras_resnet.preprocessing import Preprocessing
from train import datasets, pipeline, scaling, steps
from train.decoding import Broken, message, watched, whole
from train.examples import Examples

FLAGS = flags.FLAGS


def evaluate(step: steps.EvalStep, batches: Iterable[Any]) -> dict[str, float]:
    """Returns top1 and top5 (percent), the mean loss, and the number of examples.

    Raises:
        ValueError: if there are none.
    """
    sums = {"top1": 0.0, "top5": 0.0, "loss": 0.0, "examples": 0.0}
    for batch in batches:
        for name, value in step(*batch).items():
            sums[name] += float(value)
    count = sums["examples"]
    if not count:
        raise ValueError("there is no image to measure on that can be decoded")
    percent = {name: 100 * sums[name] / count for name in ("top1", "top5")}
    return {**percent, "loss": sums["loss"] / count, "examples": count}


def define_flags() -> None:
    trained.define_flags()
    flags.DEFINE_string(
        "dataset", None, "As in a recipe: digits, folder, or a name of TFDS.", required=True
    )
    flags.DEFINE_string("data_dir", None, "Where the data set is; by default TFDS's own place.")
    flags.DEFINE_enum("split", "test", ["train", "test"], "Which examples to measure on.")
    flags.DEFINE_integer("batch_size", 100, "Examples at a time.", 1)
    flags.DEFINE_integer("max_broken", 10, "Images that cannot be decoded, and are left out.", 0)
    flags.DEFINE_string(
        "examples_out", None, "Also write these images and labels as .npz, to try an export on."
    )


def main(_: list[str]) -> None:
    console.quiet()
    try:
        model, manifest = trained.from_flags()
        examples = datasets.load(FLAGS.dataset, FLAGS.split, FLAGS.data_dir)
        _check(manifest, examples)
    except (ValueError, TypeError) as error:
        sys.exit(f"error: {error}")
    broken = Broken(FLAGS.max_broken)
    try:
        manifest = _with_mean(manifest, broken)
        if FLAGS.examples_out:
            save_examples(examples, manifest.scaling, FLAGS.examples_out, broken)
        batches = pipeline.eval_batches(examples, manifest.scaling, FLAGS.batch_size, broken=broken)
        step = steps.eval_step(tf.distribute.get_strategy(), model)
        result = evaluate(step, watched(batches, broken))
    except (ValueError, tf.errors.OpError) as error:
        sys.exit(f"error: {message(error)}")
    print(json.dumps({**result, "examples": int(result["examples"])}))


def _with_mean(manifest: Manifest, broken: Broken) -> Manifest:
    """Takes a mean image that nobody kept from the training split, where it came from."""
    if manifest.scaling.mean is not None:
        return manifest
    examples = datasets.load(FLAGS.dataset, "train", FLAGS.data_dir)
    mean = scaling.mean_image(examples, manifest.scaling, broken)
    return replace(manifest, preprocessing=replace(manifest.scaling, mean=mean))


def save_examples(examples: Examples, preprocess: Preprocessing, file: str, broken: Broken) -> None:
    """Writes `images` [n, size, size, channels] of 0..255, not yet scaled, and `labels` [n]."""
    pairs = list(watched(whole(examples, broken), broken))
    images = np.stack([preprocess.resize(image) for image, _ in pairs])
    np.savez_compressed(file, images=images, labels=np.stack([label for _, label in pairs]))


def _check(manifest: Manifest, examples: Examples) -> None:
    if len(manifest.labels) != len(examples.labels):
        raise ValueError(
            f"the network tells {len(manifest.labels)} classes apart, the data set has"
            f" {len(examples.labels)}"
        )
    if manifest.image_shape[2] != examples.channels:
        raise ValueError(
            f"the network takes images of {manifest.image_shape[2]} channels, the data set has"
            f" {examples.channels}"
        )


if __name__ == "__main__":
    define_flags()
    app.run(main)
