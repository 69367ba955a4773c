"""Measures a trained network: `python -m train.evaluate --network=… --weights=… --dataset=…`."""

import json
from dataclasses import replace

import numpy as np
import tensorflow as tf
from absl import flags

from keras_resnet import console, labels
from keras_resnet.manifest import Manifest
from keras_resnet.models import weights_flags
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.preprocessing.decoding.errors import message
from keras_resnet.preprocessing.views import Look, whole as everything
from train import datasets
from train.datasets import summary
from train.datasets.batches import eval_batches
from train.datasets.decoding import Broken, watched, whole
from train.datasets.examples import Element, Examples, Pair, sample
from train.datasets.mean_image import mean_image
from train.run import devices, interruption, machine, memory
from train.tasks import classification
from train.tasks.evaluation import eval_step, evaluate

FLAGS = flags.FLAGS


def define_flags() -> None:
    weights_flags.define_flags()
    flags.adopt_module_key_flags(weights_flags)  # so that --help shows them, too
    flags.DEFINE_string(
        "dataset",
        None,
        "Data set: digits, folder, or the name of an image classification set of TensorFlow"
        " Datasets.",
        required=True,
    )
    flags.DEFINE_string(
        "data_dir", None, "Directory of the data set. Default: that of TensorFlow Datasets."
    )
    flags.DEFINE_enum("split", "test", ["train", "test"], "Which examples to measure on.")
    flags.DEFINE_enum(
        "device",
        None,
        devices.KINDS,
        "Kind of device. Default: a GPU if there is one, else the CPU.",
    )
    flags.DEFINE_integer("batch_size", 100, "Number of images per batch.", 1)
    flags.DEFINE_integer(
        "max_broken",
        10,
        "Number of images that may be left out because they cannot be decoded; one more is an"
        " error.",
        0,
    )
    flags.DEFINE_string(
        "examples_out",
        None,
        "Name of an .npz file to write images and labels to, to calibrate or test an export with.",
    )
    flags.DEFINE_integer(
        "examples",
        None,
        "Number of examples to measure on, and to write: a random sample. Default: all.",
        lower_bound=1,
    )


def main() -> None:
    interruption.install()
    machine.keep_freed_memory()
    devices.choose(FLAGS.device)
    model, manifest, _ = weights_flags.from_flags()
    memory.check_evaluation(model, manifest.image_shape, FLAGS.batch_size)
    examples = datasets.load(FLAGS.dataset, FLAGS.split, FLAGS.data_dir)
    for line in summary.lines(FLAGS.dataset, FLAGS.data_dir, {FLAGS.split: examples}):
        console.say(line)
    examples = relabelled(examples, manifest)
    if FLAGS.examples:
        examples = sample(examples, FLAGS.examples)
    broken = Broken(FLAGS.max_broken)
    try:
        manifest = _with_mean(manifest, broken)
        normalize = manifest.known_preprocessing().normalize
        task = replace(classification.task(), inputs=normalize)
        if FLAGS.examples_out:
            save_examples(examples, manifest.known_preprocessing(), FLAGS.examples_out, broken)
        batches = eval_batches(
            examples, manifest.known_preprocessing(), FLAGS.batch_size, broken=broken
        )
        step = eval_step(tf.distribute.get_strategy(), model, task)
        result = evaluate(step, watched(batches, broken), task)
    except (ValueError, tf.errors.OpError) as error:
        raise ValueError(message(error)) from error
    interruption.over()
    print(json.dumps({**result, "examples": int(result["examples"])}))


def _with_mean(manifest: Manifest, broken: Broken) -> Manifest:
    """Computes a mean image that the file does not hold, from the training split."""
    preprocessing = manifest.known_preprocessing()
    if preprocessing.mean is not None:
        return manifest
    examples = datasets.load(FLAGS.dataset, "train", FLAGS.data_dir)
    mean = mean_image(examples, preprocessing, broken)
    return replace(manifest, preprocessing=replace(preprocessing, mean=mean))


def save_examples(examples: Examples, preprocess: Preprocessing, file: str, broken: Broken) -> None:
    """Writes `images` [n, height, width, channels] of 0..255, not normalized, and `labels` [n]."""
    pairs = list(watched(whole(examples, preprocess.view, broken), broken))
    images = np.stack([image for image, _ in pairs]).astype(np.float32)
    np.savez_compressed(file, images=images, labels=np.stack([label for _, label in pairs]))


def relabelled(examples: Examples, manifest: Manifest) -> Examples:
    """Returns the same examples with the network's labels, found by the names of the classes.

    If the network or the data set does not name its classes, they are compared by number, and a
    line says so.

    Args:
        examples: of a data set.
        manifest: of the network.

    Raises:
        ValueError: for classes that the network does not have, and for another number of channels.
    """
    if manifest.image_shape[2] != examples.channels:
        raise ValueError(
            f"the network takes images of {manifest.image_shape[2]} channels, the data set has"
            f" {examples.channels}"
        )
    names = examples.labels
    known = manifest.labels
    if len(known) == 1:
        raise ValueError(
            f"the network has one output, {known[0]!r}: it says yes or no, and cannot be measured"
            f" on {len(names)} classes"
        )
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

    def decode(element: Element, look: Look = everything) -> Pair:
        image, label = examples.decode(element, look)
        return image, table[label]

    def gather(elements: Element) -> Pair:
        assert examples.gather
        images, labels = examples.gather(elements)
        return images, tf.gather(table, labels)

    counts = np.zeros(len(known), int)
    counts[list(places)] = examples.counts or 0
    own = tuple(counts.tolist()) if examples.counts else ()
    own_gather = gather if examples.gather else None
    return replace(examples, labels=known, decode=decode, gather=own_gather, counts=own)


def _nameless(names: tuple[str, ...], manifest: Manifest) -> str:
    """Returns which of the two has numbers instead of names: "network", "data set" or ""."""
    if not manifest.training and manifest.labels == labels.numbers(len(manifest.labels)):
        return "network"
    return "data set" if names == labels.numbers(len(names)) else ""


if __name__ == "__main__":
    define_flags()
    console.run(main)
