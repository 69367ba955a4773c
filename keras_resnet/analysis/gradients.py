"""Gradients of the loss by depth: do they vanish on their way to the image?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops

from keras_resnet.analysis.arguments import classes_of, fed, logits_of
from keras_resnet.manifest import SIGMOID
from keras_resnet.network import ResidualNetwork, ending_of, spec_of
from keras_resnet.rewrite import graph
from keras_resnet.specs import Spec, stem_conv

__all__ = ["GradientNorms", "gradient_norms", "value_and_gradients"]


@dataclass(frozen=True)
class GradientNorms:
    """L2 norms of the gradient of a loss, by names of layers in the order from image to logits."""

    loss: float  # mean cross-entropy, in nats
    kernels: dict[str, float]  # of the convolutions of stem and branches
    blocks: dict[str, float]  # of the outputs of blocks, over the whole batch


def gradient_norms(model: ResidualNetwork, images: Any, labels: Any) -> GradientNorms:
    """Measures the gradient of the mean cross-entropy at kernels and block outputs.

    As in a training step, normalizations that learn use the moments of the batch. Nothing is
    changed: moving statistics stay as they are, stochastic depth drops no branch, and ranges of
    int8 are kept. The gradient at an output of a block is that of the mean over the batch, so that
    its norm falls with the square root of the number of images: compare at equal numbers.

    Args:
        model: a plain or residual network of this package with a classifier.
        images: [batch, height, width, channels] of any float dtype, preprocessed for the network;
            one batch, which has to fit into memory as in training.
        labels: an integer per image, in an array, a tensor or a list.

    Returns:
        Norms by depth, and the loss.

    Raises:
        TypeError: if it is not a Keras model.
        ValueError: for a model that this package did not build, without a classifier or with a
            sigmoid; for labels that are not integers in the range of the classifier; and for a
            backend that computes no gradients.
    """
    spec = spec_of(model, "gradient_norms")
    functional = graph.functional(model, "gradient_norms")
    logits = logits_of(functional, "gradient_norms")
    if ending_of(model) == SIGMOID or logits.shape[-1] == 1:
        raise ValueError(f"gradient_norms needs a softmax over classes; {model.name} has a sigmoid")
    classes = classes_of("labels", labels, len(images), logits.shape[-1])
    known = fed(functional, images)
    names = _convolutions(spec)
    ends = [spec.output_of(place) for place in spec.places()]
    variables = [functional.get_layer(name).kernel for name in names]
    kernels = [ops.convert_to_tensor(variable.value) for variable in variables]
    tensors = [functional.get_layer(name).output for name in ends]
    (shape,) = [value.shape for value in known.values()]
    shapes = graph.shapes(functional, tensors, shape[1:])
    # An added zero has the gradient of the sum.
    zeros = [
        ops.zeros((len(classes), *size[1:]), tensor.dtype)
        for tensor, size in zip(tensors, shapes, strict=True)
    ]

    def loss(values: Sequence[Any]) -> Any:
        added = dict(zip(ends, values[len(kernels) :], strict=True))
        call = _training(added)
        given = zip(variables, values, strict=False)  # the kernels come first
        with keras.StatelessScope(state_mapping=list(given)):
            found = graph.evaluate(functional, known, logits, call)
        scores = ops.log_softmax(ops.cast(found, "float32"))
        return -ops.mean(ops.take_along_axis(scores, classes[:, None], axis=1))

    value, found = value_and_gradients(loss, [*kernels, *zeros])
    norms = [float(ops.norm(ops.reshape(ops.cast(one, "float32"), -1))) for one in found]
    return GradientNorms(
        float(value),
        dict(zip(names, norms, strict=False)),
        dict(zip(ends, norms[len(names) :], strict=True)),
    )


def _convolutions(spec: Spec) -> list[str]:
    """Returns the names of the convolutions of stem and branches, from image to logits."""
    stem = [stem_conv(number) for number in range(1, len(spec.stem) + 1)]
    numbers = range(1, len(spec.branch) + 1)
    return stem + [place.conv(number) for place in spec.places() for number in numbers]


def _training(added: dict[str, Any]) -> Callable[..., Any]:
    """Returns a call of layers as in training, which adds to the outputs of some."""

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, layers.BatchNormalization):
            kwargs["training"] = True
        outputs = layer(*args, **kwargs)
        return outputs + added[layer.name] if layer.name in added else outputs

    return call


def value_and_gradients(
    function: Callable[[list[Any]], Any], arguments: list[Any]
) -> tuple[Any, list[Any]]:
    """Returns the value of a function and its gradients.

    Args:
        function: from a list of tensors to a scalar.
        arguments: the tensors.

    Raises:
        ValueError: for another backend than TensorFlow and JAX.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf  # deferred: the library also runs where TensorFlow is absent

        with tf.GradientTape() as tape:
            tape.watch(arguments)
            value = function(arguments)
        return value, tape.gradient(value, arguments)
    if backend == "jax":
        import jax

        return jax.value_and_grad(function)(arguments)
    raise ValueError(f"gradients need TensorFlow or JAX, the backend is {backend}")
