"""Files made at random, as people have them: the right network, or one line."""

import random
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_resnet import resnet
from keras_resnet.specs import differences
from keras_resnet.weights.infer.authority import DECIDED
from tests.support import foreign, variants

COUNT, QUICK = 200, 8
BASIC, BOTTLENECK = ((3, 1), (3, 1)), ((1, 1), (3, 1), (1, 4))
STEMS = (((3, 4, 1),), ((3, 4, 2),), ((7, 4, 2),), ((7, 4, 1),), ((5, 4, 1),))


def network(chance: random.Random) -> tuple[keras.Model, dict[str, Any]]:
    """Returns a tiny network of any kind, and the fields that set it apart."""
    fields = {
        "branch": chance.choice([BASIC, BOTTLENECK]),
        "repeats": chance.choice([(1, 1), (1, 2), (2, 1, 1), (1, 1, 1, 1)]),
        "stem": chance.choice(STEMS),
        "stem_pool": chance.choice(["symmetric", "ceil", None]),
        "shortcut": chance.choice(["A", "B", "C", None]),
        "zero_channels": chance.choice(["after", "around"]),
        "stride_block": "first",
        "padding": chance.choice(["symmetric", "symmetric", "same"]),
    }
    if fields["branch"] == BOTTLENECK:
        fields["stride_on"] = chance.choice(["first", "3x3"])
    classes, head = chance.choice(
        [(1, "sigmoid"), (1, None), (3, "softmax"), (10, "sigmoid"), (10, None), (5, "tanh")]
    )
    sides = chance.choice([(32, 32), (24, 40), (None, None)])
    model = resnet(
        "resnet18",
        **fields,
        classes=classes,
        classifier_activation=head,
        input_shape=(*sides, chance.choice([1, 3, 3, 4])),
    )
    variants.randomize(model, chance.randrange(1000))
    return model, fields


def torch_file(model: keras.Model, file: Path, chance: random.Random) -> Path:
    """Writes a checkpoint as somebody's training would: nested, prefixed, beside other things."""
    import argparse

    import torch

    state = {name: torch.tensor(value) for name, value in foreign.state(model).items()}
    for prefix in chance.sample(["module.", "_orig_mod.", "model.", ""], k=chance.randrange(3)):
        state = {prefix + name: value for name, value in state.items()}
    content: Any = state
    place = chance.choice([None, "state_dict", "net", "model_state_dict", "model", "ema"])
    if place:
        content = {place: state, "epoch": 3, "args": argparse.Namespace(lr=0.1)}
    torch.save(content, file, _use_new_zipfile_serialization=chance.random() < 0.8)
    return file


def write(model: keras.Model, folder: Path, chance: random.Random) -> tuple[Path, str]:
    kind = chance.choice(["pth", "pth", "safetensors", "keras", "h5", "weights.h5", "plain"])
    file = folder / f"a.{'keras' if kind == 'plain' else kind}"
    if kind == "pth":
        return torch_file(model, file, chance), "torch"
    if kind == "safetensors":
        return foreign.safetensors(model, file), "torch"
    saved = foreign.plain(model) if kind == "plain" else model
    saved.save_weights(file) if kind == "weights.h5" else saved.save(file)
    return file, "keras"


def one_line(error: ValueError) -> None:
    assert "\n" not in str(error)
    assert "Traceback" not in str(error)


def same(found: keras.Model, made: keras.Model) -> None:
    x = variants.images(1, 24, 40, made.input_shape[-1])
    x = variants.images(1, 32, 32, made.input_shape[-1]) if made.input_shape[1] == 32 else x
    logits = keras.Model(made.input, made.get_layer("logits").output)
    expected = np.asarray(logits(x))
    np.testing.assert_allclose(found(x), expected, atol=1e-4 * max(1, np.abs(expected).max()))


def check(seed: int, folder: Path) -> None:
    chance = random.Random(seed)
    model, fields = network(chance)
    file, kind = write(model, folder, chance)
    # Whoever says everything gets just that.
    same(resnet.from_weights(file, classifier_activation=None, **fields), model)
    try:
        found = resnet.from_weights(file, classifier_activation=None)
    except ValueError as error:
        one_line(error)
        assert kind == "torch"  # what Keras saved of ours says all of it
        return
    other = differences(found.spec, model.spec)
    if kind == "torch":
        assert set(other) <= set(found.manifest.assumed)  # and so it was shown
    if kind == "keras":
        assert set(other) <= {"padding"}  # where nothing strides but 1x1 convolutions
    if kind == "keras" or not other:
        same(found, model)
    # A name that is wrong is never filled.
    wrong = {**fields, "repeats": (*fields["repeats"], 1)}
    with pytest.raises(ValueError, match="repeats=") as caught:
        resnet("resnet18", weights=file, **wrong)
    one_line(caught.value)


@pytest.mark.parametrize("seed", range(QUICK))
def test_files_end_in_the_right_network_or_in_one_line(seed: int, tmp_path) -> None:
    check(seed, tmp_path)


@pytest.mark.slow
def test_many_files_end_in_the_right_network_or_in_one_line(tmp_path) -> None:
    for seed in range(QUICK, COUNT):
        check(seed, tmp_path)
        keras.backend.clear_session()


def test_the_fields_that_are_decided_are_those_that_weights_depend_on() -> None:
    assert set(DECIDED) == {
        "branch",
        "repeats",
        "stem",
        "stem_pool",
        "shortcut",
        "zero_channels",
        "stride_on",
        "stride_block",
        "padding",
        "preact",
        "stem_norm",
    }
