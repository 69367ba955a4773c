"""Residual networks of He et al. (arXiv:1512.03385, arXiv:1603.05027) for Keras 3."""

from typing import TYPE_CHECKING

from keras_resnet import console
from keras_resnet.console import noise

if console.command().startswith("keras_resnet."):
    noise.hide()
    console.check(f"python -m {console.command()}")

# The commands of `train` and `keras-resnet` check what is installed first, and import the modules
# that they use: their help is quick. To them these names are unknown.
if TYPE_CHECKING or not console.imports_itself():
    from keras_resnet.analysis.cost import Cost, cost
    from keras_resnet.analysis.grad_cam import grad_cam
    from keras_resnet.family import FAMILY
    from keras_resnet.labels import decode_predictions
    from keras_resnet.layers import FusedBatchNormalization
    from keras_resnet.models import builders, from_weights, resnet
    from keras_resnet.models.builders import *
    from keras_resnet.preprocessing import Preprocessing, preprocess
    from keras_resnet.rewrite.fold import fold
    from keras_resnet.specs import Spec
    from keras_resnet.transfer import freeze
    from keras_resnet.weights import list_weights

__all__ = [
    "FAMILY",
    "Cost",
    "FusedBatchNormalization",
    "Preprocessing",
    "Spec",
    "cost",
    "decode_predictions",
    "fold",
    "freeze",
    "from_weights",
    "grad_cam",
    "list_weights",
    "preprocess",
    "resnet",
]

if not TYPE_CHECKING and "builders" in globals():
    __all__ += builders.__all__

__version__ = "0.1.0"  # read as text by setup.py

MODULES = (
    "analysis",
    "manifest",
    "preprocessing",
    "rewrite",
    "transfer",
    "weights",
)  # with a public interface


def __dir__() -> list[str]:
    return [*__all__, *MODULES, "__version__"]
