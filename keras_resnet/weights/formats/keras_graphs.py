"""Reads the configuration that Keras stores with a model: its input, layers and head.

It is `config.json` in a `.keras` archive, and the attribute `model_config` in a legacy `.h5` file;
files with weights only do not have it. No model is built from it here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_resnet.specs import (
    ADD,
    BRANCH_CONV,
    LOGITS,
    PREDICTIONS,
    PROJECTION,
    STEM_CONV,
    STEM_POOL,
    Conv,
    pad_of,
    pattern,
    stem_conv,
)

BRANCH = pattern(BRANCH_CONV)
STEM = pattern(STEM_CONV)
SHORTCUT = pattern(PROJECTION)
SUM = pattern(ADD)
HEADS = (LOGITS, PREDICTIONS)  # names of last layers, here and in keras.applications


@dataclass(frozen=True)
class Graph:
    """What the configuration of a functional model states."""

    spec: Mapping[str, Any] | None = None  # fields of `keras_resnet.Spec`, in files of this package
    image_shape: tuple[int | None, int | None, int | None] | None = None
    head: str | None = None  # final activation, "none" for logits; None: no classifier
    layers: Mapping[str, str] = field(default_factory=dict)  # name: class, without inputs
    nested: tuple[str, ...] = ()  # layers that are models
    fields: Mapping[str, Any] = field(
        default_factory=dict
    )  # of a spec, shown by layers of our names
    classifier: str = LOGITS  # the dense layer that ends the model


def read(content: Any) -> Graph | None:
    """Returns the content of a configuration; None if it is not that of a functional model.

    Raises:
        ValueError: if it is malformed.
    """
    config = content.get("config") if isinstance(content, Mapping) else None
    if not isinstance(config, Mapping) or not isinstance(config.get("layers"), list):
        return None
    # Legacy files store a class of this package with its package.
    layers = {
        _name(row): {**row, "class_name": row["class_name"].rpartition(">")[-1]}
        for row in config["layers"]
    }
    inputs = [name for name, row in layers.items() if row["class_name"] == "InputLayer"]
    models = ("Functional", "Sequential", "ResidualNetwork", "Model")
    spec = config.get("spec")
    return Graph(
        spec=spec if isinstance(spec, Mapping) else None,
        image_shape=_image_shape(layers[inputs[0]]) if len(inputs) == 1 else None,
        head=_head(layers, config.get("output_layers")),
        layers={name: row["class_name"] for name, row in layers.items() if name not in inputs},
        nested=tuple(name for name, row in layers.items() if row["class_name"] in models),
        fields=_fields(layers) if stem_conv(1) in layers else {},
        classifier=_classifier(layers, config.get("output_layers")),
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
        return "a custom activation"
    return "none" if told == "linear" else told


def _classifier(layers: Mapping[str, Mapping[str, Any]], outputs: Any) -> str:
    names = list(_texts(outputs))
    dense = len(names) == 1 and layers.get(names[0], {}).get("class_name") == "Dense"
    return names[0] if dense else LOGITS


def _fields(layers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the fields of a spec that the layers of a network of this package show.

    Unlike shapes, layers show strides, padding, pooling and shortcuts.
    """
    configs = {name: row["config"] for name, row in layers.items()}
    kinds = {row["class_name"] for row in layers.values()}
    stem = [name for name in configs if STEM.fullmatch(name)]
    convs = {name: config for name, config in configs.items() if BRANCH.fullmatch(name)}
    strided = [name for name, config in convs.items() if _side(config, "strides") > 1]
    rows = [_row(configs[name]) for name in sorted(stem)]
    found: dict[str, Any] = {"stem": tuple(rows), "stem_pool": _pool(configs)}
    padded = [configs[name] for name in (*stem, *strided) if _pads(configs[name])]
    if padded:
        found["padding"] = "same" if padded[0]["padding"] == "same" else "symmetric"
    if strided:
        found |= _strides(strided, convs)
    if any(_side(config, "dilation_rate") > 1 for config in convs.values()):
        stages = {name.partition("_")[0] for name in strided}
        stride = math.prod(row.stride for row in rows) * (2 if found["stem_pool"] else 1)
        found["output_stride"] = stride * 2 ** len(stages)
    if not any(SUM.fullmatch(name) for name in configs):
        found["shortcut"] = None
    elif pads := [row["config"] for row in layers.values() if row["class_name"] == "PadChannels"]:
        found |= {"shortcut": "A", "zero_channels": "around" if pads[0]["before"] else "after"}
    elif projections := sum(SHORTCUT.fullmatch(name) is not None for name in configs):
        blocks = {name.rpartition("_")[0] for name in convs}
        pooled = "AveragePooling2D" in kinds
        found["shortcut"] = "D" if pooled else "C" if projections == len(blocks) else "B"
    return found


def _strides(strided: list[str], convs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields for the block of a stage that strides, and for its convolution."""
    match = BRANCH.fullmatch(strided[0])
    assert match  # `convs` has only such names
    stage, number, conv = map(int, match.group("stage", "block", "conv"))
    last = BRANCH_CONV.format(stage=stage, block=number + 1, conv=1) not in convs
    first = BRANCH_CONV.format(stage=stage, block=number, conv=1)
    first_kernel = _side(convs[first], "kernel_size")
    return {
        "stride_block": "last" if last and number > 1 else "first",
        "stride_on": "first" if conv == 1 or first_kernel == 3 else "3x3",
    }


def _row(config: Mapping[str, Any]) -> Conv:
    return Conv(_side(config, "kernel_size"), int(config["filters"]), _side(config, "strides"))


def _pads(config: Mapping[str, Any]) -> bool:
    """Whether a convolution shows the padding of its network."""
    kernel, _, stride = _row(config)
    return kernel > 1 and stride > 1


def _pool(configs: Mapping[str, Any]) -> str | None:
    if STEM_POOL not in configs:
        return None
    return "ceil" if configs[pad_of(STEM_POOL)]["padding"][0][0] == 0 else "symmetric"


def _side(config: Mapping[str, Any], name: str) -> int:
    value = config[name]
    return int(value[0] if isinstance(value, list | tuple) else value)


def _texts(outputs: Any) -> list[str]:
    """Returns the names of output layers: Keras 3 writes [name, 0, 0] or a list of these."""
    match outputs:
        case [str() as name, int(), int()]:
            return [name]
        case [*rows]:
            return [name for row in rows for name in _texts(row)]
        case _:
            return [""]
