"""A table of the layers of a network: what each computes, costs, keeps and sees."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras

from keras_resnet.analysis.cost import Cost, cost, image_size, multiply_adds
from keras_resnet.analysis.memory import kept_tensors, output_bytes
from keras_resnet.analysis.receptive_field import Field, receptive_fields
from keras_resnet.rewrite import graph

__all__ = ["LayerTable", "Row", "layers"]

COLUMNS = (
    "layer",
    "kind",
    "output",
    "parameters",
    "multiply-adds",
    "bytes",
    "kept bytes",
    "field",
    "stride",
    "start",
)
WORDS = 3  # columns to the left; the others are numbers


@dataclass(frozen=True)
class Row:
    """What one layer computes, for one image."""

    name: str
    kind: str  # class of the layer
    output_shape: tuple[int, ...]  # (height, width, filters), or (outputs,)
    parameters: int  # that learn; a layer that is called again counts none
    multiply_adds: int
    output_bytes: int  # in the dtype of the output
    kept_bytes: int  # of the output, if training keeps it until the backward pass
    field: tuple[Field, Field] | None  # along height and width; None: the whole image

    def cells(self) -> tuple[str, ...]:
        """Returns the texts of the row's cells, in the order of COLUMNS."""
        return (
            self.name,
            self.kind,
            "x".join(map(str, self.output_shape)),
            *(f"{n:,}" for n in (self.parameters, self.multiply_adds)),
            *(f"{n:,}" for n in (self.output_bytes, self.kept_bytes)),
            *_field_cells(self.field),
        )


def _field_cells(field: tuple[Field, Field] | None) -> list[str]:
    if field is None:
        return ["image", "", ""]
    height, width = field
    pairs = zip(height, width, strict=True)
    return [str(one) if one == other else f"{one}x{other}" for one, other in pairs]


@dataclass(frozen=True)
class LayerTable:
    """The layers of a network in the order of computation, the image first; and their sums."""

    rows: tuple[Row, ...]
    cost: Cost

    @property
    def kept_bytes(self) -> int:
        """Bytes per image that training keeps from the forward to the backward pass."""
        return sum(row.kept_bytes for row in self.rows)

    def __getitem__(self, name: str) -> Row:
        """Returns the row of a layer.

        Raises:
            KeyError: for a name that is not in the table.
        """
        return {row.name: row for row in self.rows}[name]

    def __str__(self) -> str:
        total = ("sum", "", "", f"{self.cost.parameters:,}", f"{self.cost.multiply_adds:,}")
        written = sum(row.output_bytes for row in self.rows)
        last = (*total, f"{written:,}", f"{self.kept_bytes:,}", "", "", "")
        lines = [COLUMNS, *(row.cells() for row in self.rows), last]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(_line(cells, widths) for cells in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    sides = ["<" if i < WORDS else ">" for i in range(len(widths))]
    texts = [f"{c:{s}{w}}" for c, s, w in zip(cells, sides, widths, strict=True)]
    return "  ".join(texts).rstrip()


def layers(model: keras.Model, image_shape: Sequence[int] | None = None) -> LayerTable:
    """Lists the layers of a network with their costs for one image, and their receptive fields.

    The sums of parameters and multiply-adds are those of `cost`, the sum of kept bytes is that of
    `memory.kept_bytes`. `print` shows the table.

    Args:
        model: a network of this package, or another functional model of such layers.
        image_shape: (height, width, channels), or (height, width); by default as in `cost`.

    Raises:
        TypeError: if it is not a Keras model.
        ValueError: as `cost`, and for a layer of which the receptive field is unknown.
    """
    total = cost(model, image_shape)
    functional = graph.functional(model, "layers")
    image = functional.inputs[0]
    shape = (*image_size(model, image_shape), image.shape[-1])
    nodes = graph.calls(functional)
    outputs = [image, *(node.outputs[0] for node in nodes)]
    operations = [graph.producer(image), *(node.operation for node in nodes)]
    shapes = graph.shapes(functional, outputs, shape)
    sizes = output_bytes(functional, [(tensor, tensor.dtype) for tensor in outputs], shape)
    adds = multiply_adds(functional, shape[:2])
    kept = kept_tensors(functional, shape)
    fields = receptive_fields(functional, shape)
    rows: list[Row] = []
    counted: set[int] = set()
    for operation, tensor, one_shape, size in zip(operations, outputs, shapes, sizes, strict=True):
        weights = getattr(operation, "trainable_weights", ())
        learn = [weight for weight in weights if id(weight) not in counted]
        counted.update(map(id, learn))
        rows.append(
            Row(
                operation.name,
                type(operation).__name__,
                tuple(one_shape[1:]),
                sum(math.prod(weight.shape) for weight in learn),
                adds.get(id(tensor), 0),
                size,
                kept.get(id(tensor), 0),
                fields[id(tensor)],
            )
        )
    return LayerTable(tuple(rows), total)
