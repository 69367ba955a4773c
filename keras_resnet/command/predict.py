"""`keras-resnet predict`: classifies images with weights of any source, or with an export."""

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from absl import flags

from keras_resnet import console
from keras_resnet.command import streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from keras_resnet.command.answers import Answer
    from keras_resnet.command.evidence import Evidence
    from keras_resnet.command.inputs import Item
    from keras_resnet.manifest import Manifest

__all__ = ["ALIKE", "HELP", "WORDS", "define_flags", "main"]

FLAGS = flags.FLAGS
WORDS = sys.maxsize  # images
ALIKE = {"model": "weights", "k": "top", "topk": "top", "grad_cam": "evidence", "out": "evidence"}
BATCH = 16  # images that are computed at a time
HELP = """\
keras-resnet predict --weights=WEIGHTS IMAGE...

Says what is on images, by the preprocessing and the labels of the weights. An IMAGE is a file
(JPEG, PNG, WebP, BMP, GIF), a folder, a URL, - for standard input, or an archive of
`train.evaluate --examples_out`. Images that cannot be read are named, and the exit code is 1.

Examples
  keras-resnet predict --weights=imagenet --network=resnet50 photo.jpg
  keras-resnet predict --weights=hf://timm/resnet50d.ra2_in1k photos/ https://example.org/x.jpg
  keras-resnet predict --weights=runs/mine/final.keras --csv photos/ > photos.csv
  keras-resnet predict --weights=saved_models/mine/1 --top=1 photos/

  --weights=WEIGHTS    file, URL, hf://owner/name, a name of `keras-resnet list`; or an export: the
                       directory of a SavedModel, a .tflite or .onnx file, or OpenVINO's .xml file
  --top=N              classes per image [5]
  --json               a line of JSON for each image: file, classes, labels, probabilities
  --csv                a table with a row for each class: file, rank, class, label, score
  --evidence=DIR       writes a picture of each image to DIR: which regions are evidence for the
                       best class (Grad-CAM); needs weights and matplotlib
  --verbose            shows the notes of TensorFlow

What weights do not say (exports say everything)
  --network=NAME       such as resnet50; needed for a name such as imagenet
  --field=NAME=VALUE   a field of the network that differs, such as shortcut=C; may be repeated
  --source=NAME        project that the file is from    --prefix=TEXT    of names of tensors to read
  --preprocessing=caffe|torch|tf|none, or --mean=X,Y,Z --std=X,Y,Z --channel_order=rgb|bgr
  --image_size=N       --crop=SHARE       --interpolation=bilinear|bicubic
  --activation=softmax|sigmoid|none"""


class Classifier(NamedTuple):
    """What computes: a network or an export."""

    manifest: "Manifest"
    run: "Callable[[Any], Any]"  # float32 images of 0..255 to logits
    model: Any  # the network; None for an export


def define_flags() -> None:
    """Imports Keras, and defines the flags."""
    streams.import_keras("keras-resnet predict")
    from keras_resnet.models import weights_flags

    weights_flags.define_flags()
    flags.DEFINE_integer("top", 5, "Classes per image.", 1)
    flags.DEFINE_bool("json", False, "A line of JSON for each image.")
    flags.DEFINE_bool("csv", False, "A table with a row for each class.")
    flags.DEFINE_string("evidence", None, "Directory to write Grad-CAM pictures to.")


def main(*words: str) -> None:
    if FLAGS.json and FLAGS.csv:
        raise ValueError("give --json or --csv, not both")
    from keras_resnet.command import answers, inputs
    from keras_resnet.console import progress

    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="backslashreplace")  # labels may be in any language
    form = "json" if FLAGS.json else "csv" if FLAGS.csv else "text"
    items = inputs.named(words)
    with streams.aside():
        classifier = _classifier()
        evidence = _evidence(classifier)
        _tell(classifier.manifest)
        write = answers.WRITERS[form](out)
        failed = 0
        right = []
        shown = progress.terminal() and len(items) > 1 and (form == "text" or not out.isatty())
        for item, answer in _answered(classifier, items, evidence, shown=shown):
            write(answer)
            if answer.error:
                failed += 1
                print(f"{answer.file}: {answer.error}", file=sys.stderr)
            elif item.label is not None:
                right.append(_chosen(answer, classifier.manifest) == item.label)
    if right:
        print(
            f"top-1 {100 * sum(right) / len(right):.2f} % of {len(right):,} images with a label",
            file=sys.stderr,
        )
    if evidence:
        print(f"wrote {evidence.count:,} pictures to {evidence.folder}", file=sys.stderr)
    if failed:
        console.fail(f"{failed:,} of {len(items):,} images could not be read")


def _classifier() -> Classifier:
    from keras_resnet.console import progress
    from keras_resnet.export import opened
    from keras_resnet.export.report import network_runner
    from keras_resnet.models import weights_flags
    from keras_resnet.preprocessing.image_kinds import has_suffix
    from keras_resnet.weights import list_weights

    (first, *_) = FLAGS.weights
    names = {offer.weights for offer in list_weights()}
    remote = first.startswith(("http://", "https://", "hf://"))
    path = Path(first).expanduser()
    if not remote and has_suffix(first) and path.is_file():
        raise ValueError(
            f"--weights={first} is an image: --weights takes weights or an export, images come"
            " without a flag"
        )
    with progress.shown("reading the weights"):
        if not remote and first not in names and opened.names_export(path):
            _check_alone(path)
            found = opened.opened(path)
            found.manifest.known_preprocessing()
            return Classifier(found.manifest, found.run, None)
        model, manifest, _file = weights_flags.from_flags(ends=True)
    return Classifier(manifest, network_runner(model, manifest), model)


def _check_alone(path: Path) -> None:
    """Refuses flags that describe weights beside an export, which would have no effect."""
    own = ("weights", "top", "json", "csv", "evidence")
    from keras_resnet.models import weights_flags

    names = {flag.name for flag in FLAGS.flags_by_module_dict()[weights_flags.__name__]}
    given = sorted(f"--{name}" for name in names - {*own} if FLAGS[name].present)
    if given:
        raise ValueError(
            f"{', '.join(given)} describes weights, and {path} is an export, which has its network"
            " and its preprocessing inside"
        )


def _evidence(classifier: Classifier) -> "Evidence | None":
    if FLAGS.evidence is None:
        return None
    if classifier.model is None:
        raise ValueError(
            f"--evidence needs the network, and --weights={FLAGS.weights[0]} is an export: give the"
            " weights that it was made from"
        )
    from keras_resnet.command.evidence import Evidence

    return Evidence(classifier.model, classifier.manifest, Path(FLAGS.evidence).expanduser())


def _tell(manifest: "Manifest") -> None:
    """Says once what every answer lacks."""
    from keras_resnet.labels import numbers
    from keras_resnet.manifest import NONE

    if manifest.labels == numbers(len(manifest.labels)):
        print("these weights do not name their classes: labels are their numbers", file=sys.stderr)
    if manifest.activation == NONE:
        print("this network ends in its logits: scores are no probabilities", file=sys.stderr)


def _answered(
    classifier: Classifier, items: "list[Item]", evidence: "Evidence | None", *, shown: bool
) -> "Iterator[tuple[Item, Answer]]":
    """Yields an answer for each image, in their order; a broken image does not stop the others."""
    from keras_resnet.command import inputs
    from keras_resnet.console import progress

    with progress.shown("classifying", len(items), "images", say=shown) as work:
        for batch in inputs.batches(items, BATCH):
            yield from _of_batch(classifier, batch, evidence)
            work.advance(len(batch))


def _of_batch(
    classifier: Classifier, batch: "list[Item]", evidence: "Evidence | None"
) -> "Iterator[tuple[Item, Answer]]":
    import numpy as np

    from keras_resnet.command.answers import Answer, probabilities
    from keras_resnet.labels import ranked
    from keras_resnet.manifest import NONE

    manifest = classifier.manifest
    kind = "logits" if manifest.activation == NONE else "probabilities"
    read: dict[int, Any] = {}
    errors: dict[int, str] = {}
    for place, item in enumerate(batch):
        try:
            image = item.read(manifest.known_preprocessing(), manifest.image_shape[2])
            read[place] = np.asarray(image, np.float32)
        except (ValueError, TypeError, OSError) as error:
            errors[place] = _reason(error, item)
    if read:
        images = np.stack(list(read.values()))
        logits = classifier.run(images)
        scores = dict(zip(read, probabilities(logits, manifest.activation), strict=True))
        best = dict(zip(read, ranked(logits, FLAGS.top), strict=True))
        if evidence:
            evidence.write([batch[place].name for place in read], images, logits.argmax(1))
    for place, item in enumerate(batch):
        if place in errors:
            yield item, Answer(item.name, [], [], [], kind, errors[place])
            continue
        classes = best[place].tolist()
        labels = [manifest.labels[i] for i in classes]
        yield item, Answer(item.name, classes, labels, scores[place][classes].tolist(), kind)


def _reason(error: Exception, item: "Item") -> str:
    """Returns the message of an error in one line, without the name that comes before it."""
    text = " ".join(str(error).split())
    return text.removeprefix(f"{item.name} ").removesuffix(f": {item.name}")


def _chosen(answer: "Answer", manifest: "Manifest") -> int:
    """Returns the class that a network chooses; one output chooses between 0 and 1."""
    if len(manifest.labels) == 1:
        return int(answer.scores[0] > (0.5 if answer.kind == "probabilities" else 0))
    return answer.classes[0]
