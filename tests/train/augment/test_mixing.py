"""mixup and cutmix against numpy and timm, random erasing against torchvision; all stateless."""

import numpy as np
import pytest
import scipy.stats
import sklearn.datasets
import tensorflow as tf
import torch
from timm.data import mixup as timm
from torchvision.transforms import RandomErasing

from tests.support import helpers
from train.augment import mixing
from train.augment.images import erase

CLASSES = 10


def seeds(count: int, first: int = 0) -> np.ndarray:
    return np.stack([np.full(count, 7), np.arange(first, first + count)], 1)


def mixed(
    images, labels, keys=None, weights=None, *, mixup=0.0, cutmix=0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Mixes one batch as a pipeline does; returns images and targets."""
    mix = mixing.pairwise(mixup, cutmix, CLASSES)
    keys = seeds(len(labels)) if keys is None else keys
    weights = np.ones(len(labels), "float32") if weights is None else weights
    batch = (np.float32(images), np.int64(labels), weights, keys)
    stream = tf.data.Dataset.from_tensors(batch).map(mix, tf.data.AUTOTUNE)
    images, targets, same = next(stream.as_numpy_iterator())
    np.testing.assert_array_equal(same, weights)
    return images, targets


def drawn(count: int, mixup: float = 0.0, cutmix: float = 0.0) -> np.ndarray:
    """What `count` pairs draw: cutmix or not, share, and the centre, [count, 4]."""
    stream = tf.data.Dataset.from_tensor_slices(seeds(count))
    stream = stream.map(lambda seed: mixing.draw(mixup, cutmix, seed))
    return next(stream.batch(count).as_numpy_iterator())


def digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours are of different classes."""
    found = sklearn.datasets.load_digits()
    return found.images[:count, :, :, np.newaxis], found.target[:count]


WAYS = {"mixup": {"mixup": 0.8}, "cutmix": {"cutmix": 1.0}, "both": {"mixup": 0.8, "cutmix": 1.0}}
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def test_mixup_weighs_two_images_and_their_labels():
    images = helpers.noise(64, 6, 9, 3)
    labels = np.arange(64) % CLASSES
    found, targets = mixed(images, labels, mixup=0.8)
    share = targets[np.arange(64), labels]
    np.testing.assert_array_equal(share[::2], share[1::2])
    partner = images.reshape(32, 2, 6, 9, 3)[:, ::-1].reshape(images.shape)
    weights = share[:, None, None, None]
    np.testing.assert_allclose(found, weights * images + (1 - weights) * partner, atol=1e-3)
    np.testing.assert_allclose(targets[np.arange(64), labels ^ 1], 1 - share, atol=1e-6)
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-6)


def test_cutmix_swaps_a_rectangle_and_counts_its_pixels():
    """Images that say of each pixel whose it is and whence."""
    rows, columns = np.mgrid[:12, :17]
    images = np.stack([np.stack([rows, columns, np.full_like(rows, i)], -1) for i in range(64)])
    labels = np.arange(64) % CLASSES
    found, targets = mixed(images, labels, cutmix=1.0)
    np.testing.assert_array_equal(found[..., :2], images[..., :2])  # no pixel moves
    swapped = found[..., 2] != images[..., 2]
    np.testing.assert_array_equal(found[swapped][:, 2], (images[swapped][:, 2]).astype(int) ^ 1)
    np.testing.assert_array_equal(swapped[::2], swapped[1::2])
    for box in swapped:
        assert box.sum() == box.any(0).sum() * box.any(1).sum()  # a rectangle, or none
    share = 1 - swapped.mean((1, 2))
    np.testing.assert_allclose(targets[np.arange(64), labels], share, atol=1e-6)
    np.testing.assert_allclose(targets[np.arange(64), labels ^ 1], 1 - share, atol=1e-6)
    assert len(np.unique(swapped, axis=0)) > 25


def is_beta(shares: np.ndarray, alpha: float) -> bool:
    """Compares two samples, rounded alike: a tenth of Beta(0.1, 0.1) is 1 in float32."""
    expected = np.random.default_rng(0).beta(alpha, alpha, 10_000).astype("float32")
    return scipy.stats.ks_2samp(shares, expected).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0])
@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_shares_are_of_a_beta_distribution(kind, alpha):
    cut, share, *centre = drawn(2000, **{kind: alpha}).T
    assert set(cut) == {float(kind == "cutmix")}
    assert is_beta(share, alpha)
    for place in centre:
        assert scipy.stats.kstest(place, "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef([share, *centre]) - np.eye(3)).max() < 0.1  # 4 deviations


def test_both_come_at_even_odds_each_with_its_alpha():
    cut, share, *_ = drawn(3000, mixup=0.1, cutmix=1.0).T
    assert cut.mean() == pytest.approx(0.5, abs=0.04)  # 4 deviations
    assert is_beta(share[cut == 1], 1.0)
    assert is_beta(share[cut == 0], 0.1)


def test_boxes_are_those_of_timm(monkeypatch):
    random = np.random.default_rng(0)
    for share, y, x in random.uniform(size=(200, 3)).astype("float32"):
        places = iter([int(y * 33), int(x * 20)])
        monkeypatch.setattr(np.random, "randint", lambda *_, places=places, **__: next(places))
        (top, bottom, left, right), _ = timm.cutmix_bbox_and_lam((3, 33, 20), float(share))
        found = mixing.box(*(tf.constant(v, tf.float32) for v in (33, 20, share, y, x)))
        assert [float(side) for side in found] == [top, left, bottom, right]


@each_way
def test_a_pair_depends_on_its_own_first_seed_alone(way):
    images, labels = digits(8)
    whole = mixed(images, labels, **way)
    parts = [mixed(images[i:j], labels[i:j], seeds(8)[i:j], **way) for i, j in ((0, 4), (4, 8))]
    for found, *pieces in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(found, np.concatenate(pieces))
    keys = seeds(8)
    keys[1::2] = -5
    for found, again in zip(whole, mixed(images, labels, keys, **way), strict=True):
        np.testing.assert_array_equal(found, again)


@each_way
def test_positions_and_runs_draw_apart(way):
    images, labels = digits(40)
    first = mixed(images, labels, **way)[0]
    run = seeds(40)
    run[:, 0] += 1
    for keys in (seeds(40, first=40), run):
        other = mixed(images, labels, keys, **way)[0]
        assert (first != other).any((1, 2, 3)).mean() > 0.8


@each_way
def test_images_that_could_not_be_read_are_mixed_with_nothing(way):
    images, labels = digits(8)
    weights = np.ones(8, "float32")
    weights[[1, 4, 6, 7]] = 0
    found, targets = mixed(images, labels, weights=weights, **way)
    alone = [0, 1, 4, 5, 6, 7]
    np.testing.assert_array_equal(found[alone], np.float32(images[alone]))
    np.testing.assert_array_equal(targets[alone], np.eye(CLASSES)[labels][alone])
    assert (targets[[2, 3]] > 0).sum() == 4


def test_pairs_of_one_class_keep_it():
    _, targets = mixed(helpers.noise(16, 5, 5, 3), [3] * 16, mixup=0.8, cutmix=1.0)
    np.testing.assert_allclose(targets, np.eye(CLASSES)[[3] * 16], atol=1e-6)


def test_nothing_is_mixed_unless_asked_for():
    images, labels = digits(5)
    found, targets = mixed(images, labels)
    np.testing.assert_array_equal(found, np.float32(images))
    np.testing.assert_array_equal(targets, np.eye(CLASSES)[labels])


def test_shapes_are_known_before_anything_is_mixed():
    mix = mixing.pairwise(0.8, 0.0, CLASSES)
    weights = np.ones(6, "float32")
    batch = (np.zeros((6, 8, 8, 1), "float32"), np.zeros(6, "int64"), weights, seeds(6))
    images, targets, weights = tf.data.Dataset.from_tensors(batch).map(mix).element_spec
    assert (images.shape, images.dtype) == ((6, 8, 8, 1), tf.float32)
    assert (targets.shape, targets.dtype) == ((6, CLASSES), tf.float32)
    assert (weights.shape, weights.dtype) == ((6,), tf.float32)


def test_odd_batches_cannot_be_paired():
    images, labels = digits(5)
    with pytest.raises(ValueError, match=r"pairs.*5 is odd"):
        mixed(images, labels, cutmix=1.0)


def erased(image: np.ndarray, probability: float, count: int) -> np.ndarray:
    stream = tf.data.Dataset.from_tensor_slices(seeds(count))
    stream = stream.map(
        lambda seed: erase(tf.constant(image), seed, probability, np.zeros(1, np.float32))
    )
    return next(stream.batch(count).as_numpy_iterator())


@pytest.mark.parametrize("shape", [(48, 64), (9, 7)], ids=str)
def test_erasing_takes_the_rectangles_of_torchvision(shape):
    """Two samples of one distribution, by Kolmogorov and Smirnov."""
    gone = erased(np.ones((*shape, 3), np.float32), 1.0, 1500) == 0
    np.testing.assert_array_equal(gone, np.broadcast_to(gone[..., :1], gone.shape))
    rows = gone.any((2, 3))
    columns = gone.any((1, 3))
    ours = np.stack([rows.argmax(1), columns.argmax(1), rows.sum(1), columns.sum(1)], 1)
    np.testing.assert_array_equal(gone[..., 0].sum((1, 2)), ours[:, 2] * ours[:, 3])
    torch.manual_seed(0)
    canvas = torch.ones(3, *shape)
    ranges = ((0.02, 0.33), (0.3, 3.3))
    theirs = np.array([RandomErasing.get_params(canvas, *ranges, [0.0])[:4] for _ in range(1500)])
    samples = []
    for found in (ours, theirs):
        top, left, high, wide = found[found[:, 2:].all(1)].T
        places = [top / (shape[0] - high), left / (shape[1] - wide)]
        samples.append(np.stack([high * wide, np.log(high / wide), *places]))
    for measured in zip(*samples, strict=True):
        assert scipy.stats.ks_2samp(*measured).pvalue > 1e-3
    apart = np.corrcoef(samples[0]) - np.corrcoef(samples[1])
    assert np.abs(apart).max() < 0.15  # 4 deviations


def test_erasing_takes_its_share_of_the_images_and_leaves_the_rest_of_them():
    image = np.random.default_rng(0).normal(3, 0.5, (16, 12, 3)).astype(np.float32)
    images = erased(image, 0.25, 2000)
    assert images.dtype == np.float32
    assert set(images[images != image]) == {0}
    changed = (images != image).any((1, 2, 3))
    assert changed.mean() == pytest.approx(0.25, abs=0.04)  # 4 deviations
    np.testing.assert_array_equal(images, erased(image, 0.25, 2000))
    assert (erased(image, 0.0, 50) == image).all()


def test_erasing_a_digit():
    images = erased(np.ones((8, 8, 1), "float32"), 1.0, 200)
    assert images.shape == (200, 8, 8, 1)
    assert 0.1 < (images == 0).mean() < 0.25  # 0.175 of large images
