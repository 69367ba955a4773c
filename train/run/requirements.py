"""The packages that the commands need, checked before Keras is imported."""

from keras_resnet import console
from keras_resnet.console import noise

# `train.curves` does not need Keras.
DRAWING = ("matplotlib",)
KERAS = (
    "train",
    "train.__main__",
    "train.evaluate",
    "train.lab",
    "train.lab.page",
    "train.lab.ship",
)


def check() -> None:
    """Ends `python -m train…` with one line if a package is missing, or Keras has another backend.

    Packages that a run imports late are checked, too: that may be after hours. `python -m train`
    imports Keras by itself, after its flags are read. Nothing is checked where other code imports
    `train`.
    """
    name = console.command()
    if name == "train.curves":
        console.check(f"python -m {name}", DRAWING, tensorflow=False)
    elif name in KERAS:
        noise.hide()
        console.check(f"python -m {name}", console.EXTRAS["train"], keras=name != "train")
