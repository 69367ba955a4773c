"""Functions of a model: costs, signals and gradients by layer, and pictures of what it sees.

`plots` draws what they return; `memory` counts bytes.
"""

from keras_resnet.analysis.cost import Cost, cost
from keras_resnet.analysis.feature_maps import feature_maps
from keras_resnet.analysis.grad_cam import grad_cam
from keras_resnet.analysis.gradients import GradientNorms, gradient_norms
from keras_resnet.analysis.layer_responses import responses
from keras_resnet.analysis.layer_table import LayerTable, layers
from keras_resnet.analysis.lesions import Lesions, lesion

__all__ = [
    "Cost",
    "GradientNorms",
    "LayerTable",
    "Lesions",
    "cost",
    "feature_maps",
    "grad_cam",
    "gradient_norms",
    "layers",
    "lesion",
    "memory",
    "plots",
    "responses",
]
