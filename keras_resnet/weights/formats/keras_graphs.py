"""What the configuration that Keras keeps beside weights says of a model: its input, its head.

`.keras` archives have it as `config.json`, legacy `.h5` files as the attribute `model_config`, and
files of weights alone have none. Nothing of it is built or run here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

HEADS = ("logits", "predictions")  # layers that can end a network: ours, and keras.applications'


@dataclass(frozen=True)
class Graph:
    """A functional model, as its configuration tells it."""

    spec: Mapping[str, Any] | None = None  # fields of `keras_resnet.Spec`, of our networks
    image_shape: tuple[int | None, int | None, int | None] | None = None
    head: str | None = None  # the activation that ends it, "none" for logits; None: no classifier
    layers: Mapping[str, str] = field(default_factory=dict)  # name: class, inputs left out
    nested: tuple[str, ...] = ()  # models inside the model


def read(content: Any) -> Graph | None:
    """Returns what the configuration of a model says; None where it is of none that we know.

    Raises:
        ValueError: if it is malformed.
    """
    config = content.get("config") if isinstance(content, Mapping) else None
    if not isinstance(config, Mapping) or not isinstance(config.get("layers"), list):
        return None
    rows = config["layers"]
    layers = {_name(row): row for row in rows}
    inputs = [name for name, row in layers.items() if row["class_name"] == "InputLayer"]
    models = ("Functional", "Sequential", "ResidualNetwork", "Model")
    spec = config.get("spec")
    return Graph(
        spec=spec if isinstance(spec, Mapping) else None,
        image_shape=_image_shape(layers[inputs[0]]) if len(inputs) == 1 else None,
        head=_head(layers, config.get("output_layers")),
        layers={name: row["class_name"] for name, row in layers.items() if name not in inputs},
        nested=tuple(name for name, row in layers.items() if row["class_name"] in models),
    )


def _name(row: Any) -> str:
    if not isinstance(row, Mapping) or not isinstance(row.get("class_name"), str):
        raise ValueError("its configuration lists a layer without a class")
    inner = row.get("config")
    name = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(name, str):
        raise ValueError(f"its configuration lists a {row['class_name'][:80]} without a name")
    return name


def _image_shape(row: Mapping[str, Any]) -> tuple[int | None, int | None, int | None] | None:
    shape = row["config"].get("batch_shape") or row["config"].get("batch_input_shape")
    if not isinstance(shape, Sequence) or len(shape) != 4:
        return None
    if not all(size is None or (type(size) is int and size > 0) for size in shape[1:]):
        raise ValueError(f"its configuration has an input of shape {str(shape)[:80]}")
    return shape[1], shape[2], shape[3]


def _head(layers: Mapping[str, Mapping[str, Any]], outputs: Any) -> str | None:
    """Returns the activation of the layer that ends the model, if it is a classifier."""
    names = list(_texts(outputs))
    if len(names) != 1 or names[0] not in layers:
        return None
    last = layers[names[0]]
    if names[0] not in HEADS and last["class_name"] not in ("Dense", "QuantizedDense"):
        return None
    told = last["config"].get("activation", "linear")
    if isinstance(told, Mapping):  # an object that Keras serialized
        told = told.get("config")
    if not isinstance(told, str):
        return "an activation of its own"
    return "none" if told == "linear" else told


def _texts(outputs: Any) -> list[str]:
    """Returns the layers that end a model: Keras 3 writes [name, 0, 0] or a list of them."""
    match outputs:
        case [str() as name, int(), int()]:
            return [name]
        case [*rows]:
            return [name for row in rows for name in _texts(row)]
        case _:
            return [""]
