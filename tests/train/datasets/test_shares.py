"""However many workers and replicas read a stream, each global batch is the same."""

from dataclasses import replace

import numpy as np
import pytest

from keras_resnet.preprocessing import Preprocessing
from tests.support import helpers
from train import datasets
from train.datasets.batches import ALONE, Share, eval_batches
from train.datasets.examples import Examples
from train.recipes import plan
from train.recipes.data import Data, open_data
from train.recipes.recipe import Recipe

PLAIN = Preprocessing(image_size=8, crop=1.0)
RECIPE = helpers.recipe(batch_size=24, augmentation="shift")
RECIPES = {
    "labels": RECIPE,
    "mixed": replace(RECIPE, mixup=0.2, cutmix=1.0, erasing=0.5, policy="trivial"),
    "repeated": replace(RECIPE, repeats=3),
}
SHARES = [(1, 2), (2, 4), (4, 4), (3, 3)]  # workers, and replicas of all of them


@pytest.fixture(scope="module")
def digits() -> Examples:
    return datasets.load("digits", "train", None)


def read(workers: int, replicas: int, batches, count: int) -> list[np.ndarray]:
    """Puts global batches together from what each replica of each worker is given."""
    own = replicas // workers
    parts = [
        helpers.arrays(batches(Share(worker, workers, replicas)), count * own)
        for worker in range(workers)
    ]
    return [
        np.concatenate([np.concatenate([row[column] for row in part]) for part in step])
        for column in range(len(parts[0][0]))
        for step in zip(
            *([part[i * own : (i + 1) * own] for i in range(count)] for part in parts), strict=True
        )
    ]


@pytest.mark.parametrize(("workers", "replicas"), SHARES)
@pytest.mark.parametrize("kind", RECIPES)
def test_a_training_batch_is_the_same_for_all_shares(digits, kind, workers, replicas):
    def batches(share: Share):
        return plan.train_batches(digits, RECIPES[kind], PLAIN, 58, share)  # past an epoch

    whole = read(1, 1, batches, 3)
    shared = read(workers, replicas, batches, 3)
    for one, many in zip(whole, shared, strict=True):
        np.testing.assert_array_equal(many, one)


@pytest.mark.parametrize(("workers", "replicas"), SHARES)
def test_every_test_image_counts_once(workers, replicas):
    examples = datasets.load("digits", "test", None)

    def batches(share: Share):
        return eval_batches(examples, PLAIN, 24, share)

    whole = read(1, 1, batches, 15)
    shared = read(workers, replicas, batches, 15)
    for one, many in zip(whole, shared, strict=True):
        np.testing.assert_array_equal(many, one)
    assert np.sum(shared[30:]) == examples.size == 360


@pytest.mark.parametrize(("batch_size", "times"), [(24, 3), (24, 4), (10, 4), (8, 2), (5, 7)])
@pytest.mark.parametrize("first", [0, 1, 7])
def test_repeated_images_are_a_batchs_share_apart(digits, batch_size, times, first):
    """Position p of the stream is of image p // (s t) * s + p % s; s images come before the next.

    With them, t times in a row: Hoffer et al., arXiv:1901.09335.
    """
    recipe = helpers.recipe(batch_size=batch_size, repeats=times)
    count = 20 * batch_size
    raw = [int(e) for e in digits.elements(np.array([0, 0]))]
    size = max(1, batch_size // times)
    positions = np.arange(first * batch_size, first * batch_size + count)
    expected = np.array(raw)[positions // (size * times) * size + positions % size]
    labels = [int(digits.decode(i)[1]) for i in expected]
    batches = helpers.arrays(plan.train_batches(digits, recipe, PLAIN, first), 20)
    np.testing.assert_array_equal(np.concatenate([y for _, y, _ in batches]), labels)
    assert (np.bincount(expected)[expected] <= times).all()


def test_a_worker_decodes_its_own_images_only(digits):
    """The others pass by as they are; that is what makes several workers faster."""
    decoded: list[int] = []

    def decode(index, look):
        import tensorflow as tf

        def note(i: int) -> np.int32:
            decoded.append(int(i))
            return np.int32(0)

        with tf.control_dependencies([tf.numpy_function(note, [index], tf.int32)]):
            return digits.decode(index, look)

    watched = replace(digits, decode=decode, gather=None)
    stream = plan.train_batches(watched, RECIPE, PLAIN, 0, Share(1, 4, 4))
    helpers.arrays(stream, 2)
    order = [int(e) for e in digits.elements(np.array([0, 0]))]
    mine = {order[24 * batch + row] for batch in range(50) for row in range(6, 12)}
    assert len(decoded) >= 12
    assert set(decoded) <= mine


def other_size(tmp_path, **changes) -> Data:
    values = {"dataset": "folder", "augmentation": "random_resized_crop", "test_size": 16}
    recipe = helpers.recipe(**{**values, "preprocessing": "torch", "crop": 0.95, **changes})
    helpers.image_folder(tmp_path, 30)
    return open_data(recipe, str(tmp_path))


def test_test_images_may_have_another_size(tmp_path):
    data = other_size(tmp_path)
    train = helpers.arrays(data.train_batches(0)(ALONE), 1)[0][0]
    test = helpers.arrays(data.eval_batches("test")(ALONE), 1)[0][0]
    assert (train.shape, test.shape) == ((8, 8, 8, 3), (8, 16, 16, 3))
    assert (data.train_shape, data.image_shape) == ((8, 8, 3), (16, 16, 3))
    assert data.input_shape == (None, None, 3)
    assert (data.preprocessing.image_size, data.preprocessing.crop) == (16, 0.95)


REFUSED: list[tuple[dict, str]] = [
    ({"augmentation": "shift"}, "test_size=16 needs an augmentation that chooses a scale"),
    ({"preprocessing": "per_pixel"}, "test_size=16 .* mean colour"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_other_sizes_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        Recipe(
            network="resnet20",
            dataset="digits",
            steps=1,
            test_size=16,
            **{"augmentation": "random_resized_crop", **changes},
        )
