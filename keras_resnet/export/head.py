"""The end of a network: its logits, and the activation that follows them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import keras

from keras_resnet import specs
from keras_resnet.manifest import NONE, SIGMOID, SOFTMAX, Manifest

__all__ = ["ORDER", "answers", "cut", "float32_policy", "in_float32"]

ENDS = (specs.LOGITS, specs.rounding_of(specs.LOGITS))  # layers that return the logits
ACTIVATIONS = {"softmax": SOFTMAX, "sigmoid": SIGMOID, "linear": NONE}  # Keras's names
ORDER = ("probabilities", "logits", "features")  # order of the outputs, in every format


@contextmanager
def float32_policy() -> Iterator[None]:
    """Sets Keras's dtype policy to float32 for a while, whatever the process has set."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def cut(model: keras.Model, manifest: Manifest) -> tuple[keras.Model, Manifest]:
    """Returns a model that ends in its logits, and a manifest that says what follows them.

    Args:
        model: a network with its classifier, which ends in `logits` or in an activation of them.
        manifest: of the network. If its `activation` is None, it becomes the one in which the
            model ends, or softmax if the model ends in its logits.

    Raises:
        ValueError: if the model ends in anything else, for a softmax over one output, and for a
            manifest that contradicts the model.
    """
    logits, found = _logits(model)
    said = manifest.activation
    if found and said and found != said:
        raise ValueError(
            f"{model.name} ends in {found}, but its manifest says {said}: correct one of them"
        )
    activation = found or said or SOFTMAX
    outputs = logits.shape[-1]
    if activation == SOFTMAX and outputs == 1:
        raise ValueError(
            f"{model.name} has one output, and a softmax over one output is always 1; the"
            f" activation of one output is {SIGMOID!r} or {NONE!r}"
        )
    if outputs != len(manifest.labels):
        raise ValueError(
            f"{model.name} has {outputs} outputs, but its manifest {len(manifest.labels)} labels"
        )
    _check_shape(model, manifest)
    network = model if logits is model.output else keras.Model(model.input, logits, name=model.name)
    return network, replace(manifest, activation=activation)


def answers(logits: Any, manifest: Manifest) -> dict[str, Any]:
    """Returns `logits` and, unless the activation is "none", `probabilities`, by these names."""
    if manifest.activation == NONE:
        return {"logits": logits}
    sigmoid = manifest.activation == SIGMOID
    function = keras.ops.sigmoid if sigmoid else keras.ops.softmax
    return {"probabilities": function(logits), "logits": logits}


def in_float32(network: keras.Model) -> keras.Model:
    """Returns the same network with float32 weights and activations."""
    if all(layer.compute_dtype == layer.variable_dtype == "float32" for layer in network.layers):
        return network

    def plain(layer: keras.layers.Layer) -> keras.layers.Layer:
        return layer.__class__.from_config({**layer.get_config(), "dtype": "float32"})

    functional = keras.Model(network.input, network.output, name=network.name)
    result = keras.models.clone_model(functional, clone_function=plain)
    for layer in network.layers:
        if layer.weights:
            result.get_layer(layer.name).set_weights(layer.get_weights())
    return result


def _logits(model: keras.Model) -> tuple[Any, str | None]:
    """Returns the logits of a model, and the activation in which the model ends, if any."""
    allowed = f"allowed are logits, {SOFTMAX}, {SIGMOID} and a linear activation"
    if not keras.utils.is_keras_tensor(model.output):
        raise ValueError(f"{model.name} returns {sorted(model.output)}; export needs its logits")
    tensor = model.output
    last = tensor._keras_history.operation
    found = None
    if isinstance(last, keras.layers.Activation):
        name = getattr(last.activation, "__name__", str(last.activation))
        if name not in ACTIVATIONS:
            raise ValueError(f"{model.name} ends in the activation {name}; {allowed}")
        found = ACTIVATIONS[name]
        tensor = last.input
        last = tensor._keras_history.operation
    if last.name not in ENDS:
        raise ValueError(f"{model.name} ends in the layer {last.name}; {allowed}")
    inner = getattr(model.get_layer(specs.LOGITS).activation, "__name__", "an unknown activation")
    if inner != "linear":
        raise ValueError(f"the layer logits of {model.name} applies {inner} itself; {allowed}")
    return tensor, found


def _check_shape(model: keras.Model, manifest: Manifest) -> None:
    pairs = zip(model.input.shape[1:], manifest.image_shape, strict=True)
    if any(own not in (None, told) for own, told in pairs):
        raise ValueError(
            f"{model.name} takes images of {model.input.shape[1:]}, but its manifest says"
            f" {manifest.image_shape}"
        )
