"""Measures trained networks: `python -m train.evaluate --weights=… --dataset=…`."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import flags

from keras_resnet import console
from keras_resnet.console import progress
from keras_resnet.manifest import Manifest
from keras_resnet.models import weights_flags
from keras_resnet.models.weights_flags import Trained
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.preprocessing.decoding.errors import message
from train import datasets
from train.datasets import summary
from train.datasets.decoding import Broken, watched, whole
from train.datasets.examples import Examples, sample
from train.datasets.mean_image import mean_image
from train.measure import evaluation, parts, pictures, report
from train.measure.measurement import Measurement
from train.measure.networks import check_channels, members, relabelled
from train.run import choices, devices, interruption, locks, machine
from train.tasks.protocols import MULTI_SCALE, ONE_CROP, PROTOCOLS, Protocol

FLAGS = flags.FLAGS


def define_flags() -> None:
    weights_flags.define_flags()
    flags.adopt_module_key_flags(weights_flags)  # so that --help shows them, too
    _define_examples()
    _define_protocol()
    _define_files()
    flags.DEFINE_enum(
        "device",
        None,
        choices.KINDS,
        "Kind of device. Default: a GPU if there is one, else the CPU.",
    )
    flags.DEFINE_integer("batch_size", 100, "Number of images, or crops, per batch.", 1)


def _define_examples() -> None:
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
    flags.DEFINE_integer(
        "examples",
        None,
        "Number of examples to measure on, and to write: a random sample. Default: all.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "max_broken",
        10,
        "Number of images that may be left out because they cannot be decoded; one more is an"
        " error.",
        0,
    )


def _define_protocol() -> None:
    flags.DEFINE_enum(
        "protocol",
        ONE_CROP,
        PROTOCOLS,
        "What a network sees of an image: the central crop; corners, centre and their mirror"
        " images; or the whole image and its mirror image at several scales.",
    )
    flags.DEFINE_list(
        "scales",
        None,
        "Pixels of the shorter side of an image with --protocol=multi_scale. Default:"
        " 224,256,384,480,640, as in the paper.",
    )
    flags.DEFINE_boolean(
        "only_classes",
        False,
        "Leave out the classes of the networks that the data set does not have: they cannot be"
        " predicted.",
    )


def _define_files() -> None:
    flags.DEFINE_string(
        "out",
        None,
        "Directory for predictions, the accuracy of each class, and the confusion matrix. An"
        " evaluation that is killed goes on from what it has saved there.",
    )
    flags.DEFINE_string(
        "examples_out",
        None,
        "Name of an .npz file to write images and labels to, to calibrate or test an export with.",
    )


def main() -> None:
    interruption.install()
    machine.keep_freed_memory()
    devices.choose(FLAGS.device)
    protocol = Protocol(FLAGS.protocol, _scales())
    _check_examples_out()
    with progress.shown("reading the weights"):
        trained = weights_flags.all_from_flags(any_size=protocol.name == MULTI_SCALE)
    with progress.shown("reading the data"):
        examples = datasets.load(FLAGS.dataset, FLAGS.split, FLAGS.data_dir)
    for line in summary.lines(FLAGS.dataset, FLAGS.data_dir, {FLAGS.split: examples}):
        console.say(line)
    for one in trained:
        check_channels(examples, one.manifest)
    if not FLAGS.only_classes:
        examples = relabelled(examples, trained[0].manifest)
    if FLAGS.examples:
        examples = sample(examples, FLAGS.examples)
    with _directory() as out:
        try:
            values = _measured(trained, examples, protocol, out)
        except (ValueError, tf.errors.OpError) as error:
            raise ValueError(message(error)) from error
    console.say(report.text(values))
    interruption.over()
    print(json.dumps(values))


def _scales() -> tuple[int, ...]:
    try:
        return tuple(int(side) for side in FLAGS.scales or ())
    except ValueError as error:
        raise ValueError(f"scales must be pixels, got {','.join(FLAGS.scales)!r}") from error


def _check_examples_out() -> None:
    if FLAGS.examples_out and len(FLAGS.weights) > 1:
        raise ValueError(
            f"--examples_out writes the images of one network, and --weights is given"
            f" {len(FLAGS.weights)} times"
        )
    if FLAGS.examples_out and FLAGS.only_classes:
        raise ValueError("--examples_out writes the labels of the network, not --only_classes")


@contextmanager
def _directory() -> Iterator[Path | None]:
    """Holds the directory of --out for this process; None without."""
    if not FLAGS.out:
        yield None
        return
    out = Path(FLAGS.out).expanduser()
    out.mkdir(parents=True, exist_ok=True)
    with locks.held(out):
        yield out


def _measured(
    trained: Sequence[Trained], examples: Examples, protocol: Protocol, out: Path | None
) -> dict[str, Any]:
    """Measures the networks, and writes what is asked for; returns the metrics."""
    names = evaluation.names(examples, FLAGS.data_dir)
    if out:
        what = evaluation.identity(trained, examples, names, protocol)
        said = {"dataset": FLAGS.dataset, "split": FLAGS.split, "only_classes": FLAGS.only_classes}
        parts.claim(out, {**said, **what})
    broken = Broken(FLAGS.max_broken)
    trained = [one._replace(manifest=_with_mean(one.manifest, broken)) for one in trained]
    if FLAGS.examples_out:
        preprocessing = trained[0].manifest.known_preprocessing()
        save_examples(examples, preprocessing, FLAGS.examples_out, broken)
    measurement = Measurement(
        members(trained, examples.labels, only=FLAGS.only_classes),
        examples,
        protocol,
        batch_size=FLAGS.batch_size,
        broken=broken,
    )
    measured = evaluation.all_parts(measurement, out)
    lost = int(np.sum(~measured.counts))
    if lost > FLAGS.max_broken:  # some of them before this process
        raise ValueError(f"{lost} images cannot be decoded, max_broken is {FLAGS.max_broken}")
    found = report.outcome(measured, names, examples.labels)
    values = {**report.result(found), "protocol": str(protocol)}
    if out:
        report.write(out, found)
        pictures.save(found, out / pictures.PICTURE)
        report.finish(out, values)
        parts.remove(out)
    return values


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


if __name__ == "__main__":
    define_flags()
    console.run(main)
