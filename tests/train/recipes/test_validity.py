"""Whether a recipe can be followed at a place: each refusal names the values that do not fit."""

import pytest

from keras_resnet import preprocessing
from tests.support import helpers
from train.recipes import validity

PLACE = {"replicas": 1, "precision": "float32", "jit_compile": False}
QUANTIZED = {"quantize": True, "init_weights": "x.keras", "preprocessing": "weights"}

# Fields of the recipe, the place, and what the message says.
REFUSED = {
    "a batch that replicas cannot share": (
        {"batch_size": 10},
        {"replicas": 4},
        "multiple of the 4 replicas, got 10",
    ),
    "a micro-batch that replicas cannot share": (
        {"batch_size": 12, "micro_batches": 2},
        {"replicas": 4},
        "multiple of the 4 replicas, got 6",
    ),
    "mixup of an odd share": (
        {"batch_size": 6, "mixup": 0.2},
        {"replicas": 2},
        "even number of images a replica, got 3",
    ),
    "cutmix of an odd share": (
        {"batch_size": 6, "cutmix": 1.0},
        {"replicas": 2},
        "even number of images a replica, got 3",
    ),
    "sync_bn under XLA": ({"sync_bn": True}, {"jit_compile": True}, "jit_compile=True"),
    "sync_bn of micro-batches": (
        {"sync_bn": True, "batch_size": 8, "micro_batches": 2},
        {},
        "micro_batches=2",
    ),
    "int8 in bfloat16": (QUANTIZED, {"precision": "bfloat16"}, "float32, got bfloat16"),
    "int8 in float16": (QUANTIZED, {"precision": "float16"}, "float32, got float16"),
}
# The nearest places and recipes that fit.
ALLOWED = {
    "an even share": ({"batch_size": 12}, {"replicas": 4}),
    "micro-batches that replicas can share": (
        {"batch_size": 16, "micro_batches": 2},
        {"replicas": 4},
    ),
    "mixup of an even share": ({"batch_size": 8, "mixup": 0.2}, {"replicas": 2}),
    "an odd share that is not mixed": ({"batch_size": 6}, {"replicas": 2}),
    "sync_bn without XLA": ({"sync_bn": True, "batch_size": 8}, {"replicas": 2}),
    "XLA without sync_bn": ({"batch_size": 8, "micro_batches": 2}, {"jit_compile": True}),
    "int8 in float32": (QUANTIZED, {}),
    "half precision without int8": ({}, {"precision": "float16"}),
}


@pytest.mark.parametrize(("fields", "place", "told"), REFUSED.values(), ids=REFUSED)
def test_a_recipe_that_cannot_be_followed_is_refused(fields, place, told):
    with pytest.raises(ValueError, match=told):
        validity.check(helpers.recipe(**fields), **PLACE | place)


@pytest.mark.parametrize(("fields", "place"), ALLOWED.values(), ids=ALLOWED)
def test_its_neighbours_are_allowed(fields, place):
    validity.check(helpers.recipe(**fields), **PLACE | place)


@pytest.mark.parametrize("name", ["caffe", "torch"])
@pytest.mark.parametrize("channels", [1, 4])
def test_means_of_three_colours_need_three_channels(name, channels):
    chosen = preprocessing.mode(name)
    with pytest.raises(ValueError, match=f"{name}.*needs 3 channels, the images have {channels}"):
        validity.check_channels(name, chosen, channels)
    validity.check_channels(name, chosen, 3)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_one_mean_of_all_colours_fits_any_channels(channels):
    validity.check_channels("tf", preprocessing.mode("tf"), channels)
