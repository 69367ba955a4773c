"""Parts of a graph, computed alone."""

import keras
import numpy as np

from keras_resnet.rewrite import graph
from tests.support import exporting


def test_a_tensor_is_computed_from_any_others() -> None:
    model, _ = exporting.network("resnet20", repeats=[2, 2])
    images = exporting.pixels(2)
    inner = model.get_layer("stage1_block2_relu").output
    wanted = model.get_layer("stage2_block1_relu").output
    maps, expected = keras.Model(model.input, [inner, wanted])(images)
    called: list[str] = []

    def call(layer, *args, **kwargs):
        called.append(layer.name)
        return layer(*args, **kwargs)

    known = {id(model.input): images}
    np.testing.assert_array_equal(graph.evaluate(model, known, wanted), expected)
    # From the middle, only the layers between are called; a known value replaces what computes it.
    found = graph.evaluate(model, {**known, id(inner): maps}, wanted, call)
    np.testing.assert_array_equal(found, expected)
    assert len(called) == 10
    assert all(name.startswith("stage2_block1") for name in called)
    assert graph.evaluate(model, {id(wanted): 5}, wanted) == 5


def test_a_call_can_change_what_a_layer_gives() -> None:
    model, _ = exporting.network("resnet20")
    images = exporting.pixels(2)

    def call(layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        return 0 * outputs if layer.name == "pool" else outputs

    logits = model.outputs[0]
    found = graph.evaluate(model, {id(model.input): images}, logits, call)
    bias = model.get_layer("logits").bias
    np.testing.assert_array_equal(found, [bias] * 2)


def test_values_are_dropped_after_their_last_reader() -> None:
    """Otherwise all activations of a network would be in memory at once."""
    image = keras.Input((1,))
    x = image
    for i in range(20):
        x = keras.layers.Activation("linear", name=f"layer{i}")(x)
    model = keras.Model(image, x)
    alive: set[int] = set()
    most = 0

    class Value:
        def __init__(self) -> None:
            alive.add(id(self))

        def __del__(self) -> None:
            alive.discard(id(self))

    def call(layer, value):
        nonlocal most
        result = Value()
        most = max(most, len(alive))
        return result

    graph.evaluate(model, {id(image): 0}, x, call)
    assert most == 2
