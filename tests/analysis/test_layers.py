"""The table of layers: counts of PyTorch's modules, and fields that gradients show."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import keras_resnet
from keras_resnet.analysis import cost, layers, memory
from keras_resnet.analysis.receptive_field import Field
from keras_resnet.rewrite.fold import fold
from keras_resnet.rewrite.int8 import quantized
from tests.support import foreign, torch_nets

# Where strides, padding, pooling and dilation differ.
NETWORKS = {
    "v1": ("resnet50", {}),
    "v1.5": ("resnet50_v1_5", {}),
    "v2": ("resnet18_v2", {}),
    "D": ("resnet50_d", {}),
    "A": ("resnet18", {"shortcut": "A"}),
    "plain": ("plain18", {}),
    "ceil": ("resnet18", {"stem_pool": "ceil"}),
    "same": ("resnet18", {"padding": "same", "stem": ((3, 16, 1),), "stem_pool": None}),
    "last": ("resnet50_v2", {"stride_block": "last", "stem_norm": False, "repeats": [2, 1]}),
    "dilated": ("resnet18", {"output_stride": 4, "stem": ((3, 16, 1),)}),
}
SHAPE = (64, 49, 3)


def counted(net: torch.nn.Module, images: np.ndarray) -> dict[str, tuple]:
    """Output shape, parameters and multiply-adds of each module with weights, from its hook."""
    found = {}

    def hook(name: str):
        def see(module, inputs, output) -> None:
            shape = tuple(output.shape[1:])
            learn = sum(p.numel() for p in module.parameters())
            kernel = module.weight.numel() // len(module.weight)
            norm = isinstance(module, torch.nn.BatchNorm2d)
            adds = 0 if norm else output[0].numel() * kernel
            found[name] = (*shape[1:], shape[0]), learn, adds

        return see

    for name, module in net.named_modules():
        if not list(module.children()) and list(module.parameters()):
            module.register_forward_hook(hook(name))
    torch_nets.logits(net, images)
    return found


def test_each_layer_counts_as_the_module_of_torch() -> None:
    theirs = counted(torch_nets.build("torchvision.resnet50"), np.zeros((1, 64, 96, 3), "float32"))
    table = layers(keras_resnet.resnet("resnet50_v1_5"), (64, 96))
    ours = {
        foreign.torch_name(row.name): (row.output_shape, row.parameters, row.multiply_adds)
        for row in table.rows
        if row.parameters
    }
    assert len(ours) == 107  # 53 convolutions and as many normalizations, and the classifier
    assert ours == theirs


@pytest.mark.parametrize("kind", NETWORKS)
def test_sums_are_those_of_cost_and_memory(kind: str) -> None:
    name, fields = NETWORKS[kind]
    model = keras_resnet.resnet(name, **{"repeats": [2, 1], **fields})
    table = layers(model, SHAPE)
    assert table.cost == cost(model, SHAPE)
    assert sum(row.parameters for row in table.rows) == table.cost.parameters
    assert sum(row.multiply_adds for row in table.rows) == table.cost.multiply_adds
    assert table.kept_bytes == memory.kept_bytes(model, SHAPE) > 0


@pytest.mark.parametrize(("policy", "size"), [("float32", 4), ("mixed_bfloat16", 2)])
def test_bytes_are_those_of_the_dtype(policy: str, size: int) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        table = layers(keras_resnet.resnet("resnet20"))
    finally:
        keras.config.set_dtype_policy("float32")
    row = table["stage1_block1_conv1"]
    assert row.output_bytes == row.kept_bytes == size * 32 * 32 * 16
    assert table["stage1_block1_conv1_bn"].kept_bytes == 0
    assert table["logits"].output_bytes == 4 * 10


@pytest.mark.parametrize(
    ("depth", "size"),
    [
        (50, 483),
        pytest.param(101, 1027, marks=pytest.mark.slow),
        pytest.param(152, 1507, marks=pytest.mark.slow),
    ],
)
def test_fields_are_those_of_araujo(depth: int, size: int) -> None:
    """Table of "Computing Receptive Fields of Convolutional Neural Networks" (Distill, 2019)."""
    model = keras_resnet.resnet(f"resnet{depth}")
    height, width = layers(model)[model.endpoints["stage4"]].field
    assert height == width
    assert (height.size, height.stride) == (size, 32)


def positive(name: str, fields: dict) -> keras.Model:
    """A network in which no path is blocked: positive kernels, norms that change nothing."""
    keras.utils.set_random_seed(0)
    fields = {"repeats": [2, 1], **fields}
    model = keras_resnet.resnet(name, include_top=False, input_shape=SHAPE, **fields)
    for weight in model.weights:
        if "kernel" in weight.path:
            values = np.random.default_rng(0).uniform(0.5, 1.5, weight.shape)
            weight.assign(values / values.sum((0, 1, 2)))
    return model


def seen(model: keras.Model, names: list[str], units: dict) -> dict[tuple, list[tuple[int, int]]]:
    """The first and last row, and column, of pixels on which positions of layers depend."""
    # Few pixels are bright, so that max pooling picks each place of its windows in some image.
    noise = np.random.default_rng(1).uniform(size=(12, *SHAPE)) ** 100
    images = tf.constant(noise, "float32")
    outputs = keras.Model(model.input, [model.get_layer(name).output for name in names])
    found = {}
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(images)
        maps = dict(zip(names, outputs(images, training=False), strict=True))
        totals = {
            (name, unit): tf.reduce_sum(maps[name][:, unit[0], unit[1]])
            for name in names
            for unit in units[name]
        }
    for place, total in totals.items():
        pixels = np.abs(tape.gradient(total, images)).sum((0, 3)) > 0
        lines = [np.flatnonzero(pixels.any(axis)) for axis in (1, 0)]
        found[place] = [(int(line[0]), int(line[-1])) for line in lines]
    return found


def reach(field: Field, unit: int, length: int) -> tuple[int, int]:
    first = field.start + field.stride * unit
    return max(first, 0), min(first + field.size, length) - 1


@pytest.mark.parametrize("kind", NETWORKS)
def test_fields_are_the_pixels_with_a_gradient(kind: str) -> None:
    name, fields = NETWORKS[kind]
    model = positive(name, fields)
    table = layers(model)
    middle = [row for row in table.rows if row.name.endswith("block1_conv2")]
    rows = [*(table[end] for end in model.endpoints.values()), *middle[:1]]
    units = {}
    for row in rows:
        height, width, _ = row.output_shape
        units[row.name] = [(0, 0), (height // 2, width // 2), (height - 1, width - 1)]
    found = seen(model, [row.name for row in rows], units)
    expected = {
        (row.name, unit): [reach(*one) for one in zip(row.field, unit, SHAPE, strict=False)]
        for row in rows
        for unit in units[row.name]
    }
    assert found == expected
    # Of some fields the border of the image cuts nothing.
    assert any(first > 0 and last < SHAPE[0] - 1 for (first, last), _ in expected.values())


def test_a_layer_after_pooling_sees_the_image() -> None:
    table = layers(keras_resnet.resnet("resnet20"))
    assert table["pool"].field is None
    assert table["stage3_block3_relu"].field is not None


@pytest.mark.parametrize("rewrite", [fold, quantized])
def test_rewritten_networks_have_the_same_fields(rewrite) -> None:
    model = keras_resnet.resnet("resnet20", repeats=[1, 1, 1])
    table, other = layers(model), layers(rewrite(model), (32, 32))
    convs = [row for row in table.rows if row.multiply_adds]
    assert len(convs) == 8
    for row in convs:
        assert other[row.name].field == row.field
        assert other[row.name].multiply_adds == row.multiply_adds


def test_the_table_prints_a_line_per_layer() -> None:
    table = layers(keras_resnet.resnet("resnet20"))
    first, *lines, last = str(table).splitlines()
    assert len(lines) == len(table.rows)
    titles = "layer kind output parameters multiply-adds bytes kept bytes field stride start"
    assert " ".join(first.split()) == titles
    assert lines[1].split()[:5] == ["stem_conv1", "Conv2D", "32x32x16", "432", "442,368"]
    assert lines[1].split()[-3:] == ["3", "1", "-1"]
    assert last.split()[:3] == ["sum", "269,722", "40,551,040"]


def test_an_oblong_field_shows_both_sides() -> None:
    image = keras.Input((9, 8, 3))
    maps = keras.layers.Conv2D(4, (3, 1), (2, 1), "same", name="odd")(image)
    (_, row) = layers(keras.Model(image, maps)).rows
    assert row.field == (Field(3, 2, -1), Field(1, 1, 0))
    assert row.cells()[-3:] == ("3x1", "2x1", "-1x0")


def test_other_layers_are_refused() -> None:
    image = keras.Input((8, 8, 3))
    for layer in (
        keras.layers.UpSampling2D(name="odd"),
        keras.layers.Conv2D(3, 3, data_format="channels_first", name="odd"),
    ):
        model = keras.Model(image, layer(image))
        with pytest.raises(ValueError, match="the receptive field of odd is unknown"):
            layers(model)
    with pytest.raises(TypeError, match="needs a Keras model, got 'resnet20'"):
        layers("resnet20")
