"""The training stream is a function of (seed, step); evaluation sees every example once."""

from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.preprocessing import Preprocessing
from tests.support import helpers
from train import datasets
from train.datasets import records
from train.datasets.batches import ALONE, eval_batches
from train.datasets.examples import Examples
from train.recipes import plan
from train.recipes.data import open_data
from train.recipes.recipe import Recipe
from train.run import state

# For each source its images, its batches an epoch, and an augmentation that fits.
SOURCES = {
    "digits": (1437, 3, "shift"),
    "folder": (27, 3, "random_resized_crop"),
    "tfds": (24, 3, "shift_flip"),
    "tfds stream": (24, 3, "shift_flip"),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, tuple[str, str | None]]:
    root = tmp_path_factory.mktemp("sets")
    (root / "tfds").mkdir()
    name = helpers.tfds_set(root / "tfds", {"train": 24, "test": 7})
    tfds = (name, str(root / "tfds"))
    folder = ("folder", str(helpers.image_folder(root / "folder", 30)))
    return {"digits": ("digits", None), "folder": folder, "tfds": tfds, "tfds stream": tfds}


# In memory, images of TFDS are read as digits are.
@pytest.fixture(
    params=[pytest.param(x, marks=pytest.mark.slow) if x == "tfds" else x for x in SOURCES]
)
def source(request, places, monkeypatch) -> tuple[Examples, Recipe]:
    if request.param == "tfds stream":
        monkeypatch.setattr(records, "IN_MEMORY_BYTES", 0)
    name, place = places[request.param]
    size, batches, augmentation = SOURCES[request.param]
    examples = datasets.load(name, "train", place)
    assert examples.size == size
    return examples, helpers.recipe(batch_size=size // batches, augmentation=augmentation)


PLAIN = Preprocessing(image_size=8, crop=1.0)


def stream(examples: Examples, recipe: Recipe, first: int, count: int, **changes) -> list:
    recipe = helpers.recipe(**{**recipe_changes(recipe), **changes})
    return helpers.arrays(plan.train_batches(examples, recipe, PLAIN, first), count)


def recipe_changes(recipe: Recipe) -> dict:
    return {"batch_size": recipe.batch_size, "augmentation": recipe.augmentation}


def keys(batches: list) -> list[tuple[bytes, int]]:
    return [(x.tobytes(), int(y)) for batch in batches for x, y in zip(*batch[:2], strict=True)]


def test_a_stream_that_starts_late_goes_on_as_the_whole_one(source):
    whole = stream(*source, 0, 7)
    for first in (1, 5):
        late = stream(*source, first, 7 - first)
        assert keys(late) == keys(whole[first:])


def test_the_global_seed_changes_nothing(source):
    found = []
    for seed in (0, 7):
        keras.utils.set_random_seed(seed)
        found.append(keys(stream(*source, 1, 3)))
    assert found[0] == found[1]


@pytest.mark.parametrize("batch_size", [7, 50])
def test_batches_may_cross_epochs(places, batch_size):
    examples = datasets.load(places["tfds"][0], "train", places["tfds"][1])
    recipe = helpers.recipe(batch_size=batch_size, augmentation="shift_flip")
    whole = stream(examples, recipe, 0, 8)
    late = stream(examples, recipe, 4, 4)
    assert keys(late) == keys(whole[4:])
    assert {len(labels) for _, labels, _ in whole} == {batch_size}


def test_each_epoch_is_every_example_once_in_another_order(source):
    examples, recipe = source
    every = Counter(keys(helpers.arrays(eval_batches(examples, PLAIN, examples.size))))
    batches = stream(examples, recipe, 0, 9, augmentation="none")
    epochs = [keys(batches[i : i + 3]) for i in (0, 3, 6)]
    assert all(Counter(epoch) == every for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_another_seed_is_another_order(source):
    first, same, other = (stream(*source, 0, 3, augmentation="none", seed=s) for s in (0, 0, 1))
    assert keys(first) == keys(same)
    assert keys(first) != keys(other)
    assert Counter(keys(first)) == Counter(keys(other))


def test_an_example_is_augmented_by_its_position(source):
    """Position p of the stream has the seed (recipe.seed, p), in every epoch another."""
    examples, recipe = source
    change = helpers.augmentation(helpers.recipe(**recipe_changes(recipe)), PLAIN)
    batches = stream(examples, recipe, 0, 6)
    raw = [e for epoch in (0, 1) for e in examples.elements(np.array([0, epoch]))]
    for position in (0, 1, examples.size - 1, examples.size, 2 * examples.size - 1):
        step, row = divmod(position, recipe.batch_size)
        image, label = examples.decode(raw[position])
        expected = change(image, np.array([0, position]))
        np.testing.assert_allclose(batches[step][0][row], expected, atol=1e-3)
        assert batches[step][1][row] == label


def test_train_batches_hold_pixels(source):
    """The step normalizes them, on its device."""
    examples, recipe = source
    half = Preprocessing(mean=(10.0,), std=(2.0,), image_size=8, crop=1.0)
    (plain, *_), (scaled, *_) = (
        helpers.arrays(plan.train_batches(examples, recipe, p, 0), 1)[0] for p in (PLAIN, half)
    )
    assert plain.dtype == np.uint8
    np.testing.assert_array_equal(scaled, plain)


@pytest.mark.parametrize("batch_size", [1, 8, 24, 100])
def test_eval_batches_pad_the_last_with_weight_zero(places, batch_size):
    examples = datasets.load(places["tfds"][0], "test", places["tfds"][1])
    batches = helpers.arrays(eval_batches(examples, PLAIN, batch_size))
    images, labels, weights = (np.concatenate(column) for column in zip(*batches, strict=True))
    assert {len(batch[0]) for batch in batches} == {batch_size}
    assert len(batches) == -(-7 // batch_size)
    np.testing.assert_array_equal(weights, [1.0] * 7 + [0.0] * (len(weights) - 7))
    expected = [examples.decode(element) for element in examples.elements(None)]
    np.testing.assert_array_equal(images[:7], np.stack([image for image, _ in expected]))
    np.testing.assert_array_equal(labels[:7], [label for _, label in expected])


def test_per_pixel_mean_is_of_the_training_examples_only(places):
    name, place = places["tfds"]
    recipe = helpers.recipe(dataset=name, preprocessing="per_pixel", validation=4)
    data = open_data(recipe, place)
    train = data.splits["train"]
    images = [train.decode(element)[0] for element in train.elements(None)]
    assert len(images) == 20
    np.testing.assert_allclose(data.preprocessing.mean, np.mean(images, 0), atol=1e-3)
    assert data.eval_split == "validation"
    assert sum(w.sum() for *_, w in helpers.arrays(data.eval_batches("validation")(ALONE))) == 4
    assert sum(w.sum() for *_, w in helpers.arrays(data.eval_batches("test")(ALONE))) == 7


def test_a_missing_test_split_is_missed_before_training(tmp_path):
    helpers.image_folder(tmp_path / "train", 6)
    with pytest.raises(ValueError, match="no test/"):
        open_data(helpers.recipe(dataset="folder"), str(tmp_path))


def test_random_crops_are_evaluated_on_the_middle_seven_eighths(places):
    name, place = places["folder"]
    for augmentation, crop in [("shift", 1.0), ("scale_jitter", 0.875)]:
        recipe = helpers.recipe(dataset=name, augmentation=augmentation, preprocessing="caffe")
        assert open_data(recipe, place).preprocessing.crop == crop


@pytest.mark.parametrize("mode", ["caffe", "torch"])
def test_means_of_three_channels_do_not_fit_grey_images(mode):
    with pytest.raises(ValueError, match=f"{mode}.*3 channels.*have 1"):
        open_data(helpers.recipe(preprocessing=mode), None)


def test_the_steps_of_a_run_have_the_recipes_preprocessing(tmp_path):
    data = open_data(helpers.recipe(preprocessing="tf"), None)
    task = state.create(data, tf.distribute.get_strategy(), tmp_path).task
    images = task.inputs(helpers.arrays(data.train_batches(0)(ALONE), 1)[0][0]).numpy()
    assert (images.min(), images.max()) == (-1.0, 1.0)
    assert data.image_shape == (8, 8, 1)
    assert data.eval_split == "test"
