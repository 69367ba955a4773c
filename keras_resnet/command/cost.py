"""`keras-resnet cost`: parameters and multiply-adds of a network."""

from absl import flags

from keras_resnet import console, counts, family
from keras_resnet.command import streams
from keras_resnet.command.listing import aligned

__all__ = ["ALIKE", "HELP", "WORDS", "define_flags", "main", "summary"]

FLAGS = flags.FLAGS
WORDS = 1  # the name of the network
ALIKE = {"size": "image_size", "table": "layers"}
HELP = """\
keras-resnet cost NETWORK

Counts parameters that learn, and multiply-adds (the paper's FLOPs) for one image, part by part.

Examples
  keras-resnet cost resnet50
  keras-resnet cost resnet50 --image_size=320
  keras-resnet cost resnet20 --layers

  --image_size=N       pixels per side of an image [those that the network was published for]
  --layers             a row for each layer, with memory and receptive fields; builds the network"""
TITLES = ("part", "blocks", "output", "parameters", "multiply-adds")


def define_flags() -> None:
    """Defines the flags."""
    flags.DEFINE_integer("image_size", None, "Pixels per side of an image.", 1)
    flags.DEFINE_bool("layers", False, "A row for each layer.")


def main(network: str = "") -> None:
    if not network:
        raise ValueError("which network? Such as keras-resnet cost resnet50; keras-resnet list")
    spec = family.spec(network)
    size = FLAGS.image_size or family.PUBLISHED[network].image_size
    if FLAGS.layers:
        _print_layers(network, size)
        return
    for line in summary(network, spec, size):
        console.say(line)


def summary(network: str, spec: family.Spec, size: int) -> list[str]:
    """Returns the lines of a table with a row for each part of a network, and their sums."""
    classes = family.PUBLISHED[network].classes
    parts = counts.parts(spec, (size, size, 3), classes)
    rows = [
        (
            part.name,
            str(part.blocks or ""),
            "x".join(map(str, part.output)),
            f"{part.parameters:,}",
            f"{part.multiply_adds:,}",
        )
        for part in parts
    ]
    parameters, multiply_adds = counts.total(spec, (size, size, 3), classes)
    blocks = str(sum(part.blocks for part in parts))
    last = ("sum", blocks, "", f"{parameters:,}", f"{multiply_adds:,}")
    megabytes = 4 * parameters / 1e6
    return [
        f"{network}, images of {size}x{size}x3, {classes:,} classes",
        "",
        *aligned([TITLES, *rows, last], ("part",)),
        "",
        f"In float32 its weights take {megabytes:,.1f} MB.",
    ]


def _print_layers(network: str, size: int) -> None:
    streams.import_keras("keras-resnet cost --layers")
    from keras_resnet.analysis import layers
    from keras_resnet.console import progress
    from keras_resnet.models import resnet

    with streams.aside(), progress.shown(f"building {network}"):
        found = layers(resnet(network), (size, size, 3))
    for line in str(found).splitlines():
        console.say(line)
