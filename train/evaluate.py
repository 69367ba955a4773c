"""Measures a trained network: `python -m train.evaluate --network=… --weights=… --dataset=…`."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from absl import flags

from keras_resnet import console, labels
from keras_resnet.manifest import Manifest
from keras_resnet.models import flags as trained
from keras_resnet.preprocessing import Preprocessing
from train import datasets
from train.datasets import batches as pipeline, mean_image as scaling, summary as found
from train.datasets.decoding import Broken, message, watched, whole
from train.datasets.examples import Element, Examples, sample
from train.optimize import steps
from train.run import devices, interruption, memory

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
    flags.DEFINE_enum("device", None, devices.KINDS, "Default: a GPU, or the CPU if there is none.")
    flags.DEFINE_integer("batch_size", 100, "Examples at a time.", 1)
    flags.DEFINE_integer("max_broken", 10, "Images that cannot be decoded, and are left out.", 0)
    flags.DEFINE_string(
        "examples_out", None, "Also write these images and labels as .npz, to try an export on."
    )
    flags.DEFINE_integer(
        "examples", None, "Measure on (and write) only so many, a random sample.", lower_bound=1
    )


def main() -> None:
    interruption.install()
    devices.choose(FLAGS.device)
    model, manifest, _ = trained.from_flags()
    memory.check_evaluation(model, manifest.image_shape, FLAGS.batch_size)
    examples = datasets.load(FLAGS.dataset, FLAGS.split, FLAGS.data_dir)
    for line in found.lines(FLAGS.dataset, FLAGS.data_dir, {FLAGS.split: examples}):
        console.say(line)
    examples = relabelled(examples, manifest)
    if FLAGS.examples:
        examples = sample(examples, FLAGS.examples)
    broken = Broken(FLAGS.max_broken)
    try:
        manifest = _with_mean(manifest, broken)
        if FLAGS.examples_out:
            save_examples(examples, manifest.known_preprocessing(), FLAGS.examples_out, broken)
        batches = pipeline.eval_batches(
            examples, manifest.known_preprocessing(), FLAGS.batch_size, broken=broken
        )
        step = steps.eval_step(tf.distribute.get_strategy(), model)
        result = evaluate(step, watched(batches, broken))
    except (ValueError, tf.errors.OpError) as error:
        raise ValueError(message(error)) from error
    interruption.over()
    print(json.dumps({**result, "examples": int(result["examples"])}))


def _with_mean(manifest: Manifest, broken: Broken) -> Manifest:
    """Takes a mean image that nobody kept from the training split, where it came from."""
    if manifest.known_preprocessing().mean is not None:
        return manifest
    examples = datasets.load(FLAGS.dataset, "train", FLAGS.data_dir)
    mean = scaling.mean_image(examples, manifest.known_preprocessing(), broken)
    return replace(manifest, preprocessing=replace(manifest.known_preprocessing(), mean=mean))


def save_examples(examples: Examples, preprocess: Preprocessing, file: str, broken: Broken) -> None:
    """Writes `images` [n, size, size, channels] of 0..255, not yet scaled, and `labels` [n]."""
    pairs = list(watched(whole(examples, broken), broken))
    images = np.stack([preprocess.resize(image) for image, _ in pairs])
    np.savez_compressed(file, images=images, labels=np.stack([label for _, label in pairs]))


def relabelled(examples: Examples, manifest: Manifest) -> Examples:
    """Returns the same examples with the network's labels, found by the names of the classes.

    Where a network or a data set does not name its classes, their numbers have to do, as a line
    says.

    Raises:
        ValueError: for classes that the network does not have, and for other channels.
    """
    if manifest.image_shape[2] != examples.channels:
        raise ValueError(
            f"the network takes images of {manifest.image_shape[2]} channels, the data set has"
            f" {examples.channels}"
        )
    names, known = examples.labels, manifest.labels
    if len(known) == 1:
        raise ValueError(f"the network has one output, {known[0]!r}: it says yes or no, and cannot"
                         f" be measured on {len(names)} classes")  # fmt: skip
    try:
        places = labels.places(names, known)
    except ValueError:
        nameless = _nameless(names, manifest)
        if not nameless or len(names) != len(known):
            raise
        told = f"{names[0]!r} of the data set is {known[0]!r} of the network, and so on"
        console.say(f"the {nameless} does not name its classes; compared by number: {told}")
        return examples
    if places == tuple(range(len(known))):
        return examples
    table = tf.constant(places, tf.int64)

    def decode(element: Element) -> tuple[tf.Tensor, tf.Tensor]:
        image, label = examples.decode(element)
        return image, table[label]

    counts = np.zeros(len(known), int)
    counts[list(places)] = examples.counts or 0
    own = tuple(counts.tolist()) if examples.counts else ()
    return replace(examples, labels=known, decode=decode, counts=own)


def _nameless(names: tuple[str, ...], manifest: Manifest) -> str:
    """Returns which of the two has numbers for names, if one has."""
    if not manifest.training and manifest.labels == labels.numbers(len(manifest.labels)):
        return "network"
    return "data set" if names == labels.numbers(len(names)) else ""


if __name__ == "__main__":
    define_flags()
    console.run(main)
