"""Losses of labels and of mixed targets, against Torch and timm."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import timm.loss
import torch
from timm.data.mixup import mixup_target

from train.tasks import classification

CLASSES = 7
COUNT = 12
SHARE = 0.3
RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(0, 3, (COUNT, CLASSES)).astype("float32")
LABELS = RANDOM.integers(0, CLASSES, COUNT)
ONES = np.eye(CLASSES, dtype="float32")[LABELS]
MIXED = np.float32(SHARE * ONES + (1 - SHARE) * ONES[::-1])
SMOOTHINGS = [0.0, 0.1, 0.5]


def ours(targets: np.ndarray, logits: np.ndarray = LOGITS, **arguments: Any) -> Any:
    """Returns the losses, and the gradients of their sum."""
    at = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(at)
        found = classification.losses(tf.constant(targets), at, **arguments)
    return found.numpy(), tape.gradient(found, at).numpy()


def theirs(loss: Any, targets: Any) -> Any:
    """The same of a loss of Torch's kind, which averages over the examples that it is given."""
    at = torch.tensor(LOGITS, requires_grad=True)
    rows = [loss(at[i : i + 1], torch.as_tensor(targets)[i : i + 1]) for i in range(COUNT)]
    torch.stack(rows).sum().backward()
    return torch.stack(rows).detach().numpy(), at.grad.numpy()


def close(found: Any, expected: Any) -> None:
    for f, e in zip(found, expected, strict=True):
        assert f.dtype == np.float32
        np.testing.assert_allclose(f, e, rtol=1e-5, atol=1e-6)


def timm_mixes(smoothing: float) -> torch.Tensor:
    """Smoothed targets of images that were mixed with those of the batch in reverse."""
    return mixup_target(torch.tensor(LABELS), CLASSES, SHARE, smoothing)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_softmax_of_labels_is_that_of_torch(smoothing) -> None:
    expected = theirs(torch.nn.CrossEntropyLoss(label_smoothing=smoothing), LABELS)
    close(ours(LABELS, label_smoothing=smoothing), expected)
    close(ours(ONES, label_smoothing=smoothing), expected)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_softmax_of_mixed_targets_is_that_of_timm_and_torch(smoothing) -> None:
    found = ours(MIXED, label_smoothing=smoothing)
    close(found, theirs(timm.loss.SoftTargetCrossEntropy(), timm_mixes(smoothing)))
    close(found, theirs(torch.nn.CrossEntropyLoss(label_smoothing=smoothing), MIXED))


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_sigmoid_of_labels_is_that_of_timm(smoothing) -> None:
    expected = theirs(timm.loss.BinaryCrossEntropy(smoothing), LABELS)
    close(ours(LABELS, loss="sigmoid", label_smoothing=smoothing), expected)
    close(ours(ONES, loss="sigmoid", label_smoothing=smoothing), expected)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_sigmoid_of_mixed_targets_is_that_of_timm_and_torch(smoothing) -> None:
    found = ours(MIXED, loss="sigmoid", label_smoothing=smoothing)
    targets = timm_mixes(smoothing)
    close(found, theirs(timm.loss.BinaryCrossEntropy(0.0), targets))
    close(found, theirs(torch.nn.functional.binary_cross_entropy_with_logits, targets))


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("threshold", [0.2, 0.25, 0.4, 0.9])
def test_targets_above_a_threshold_count_as_1(threshold, smoothing) -> None:
    """0.2, as in arXiv:2110.00476, takes both images of a pair; 0.4 the larger share alone."""
    changes = {"loss": "sigmoid", "label_smoothing": smoothing, "target_threshold": threshold}
    loss = timm.loss.BinaryCrossEntropy(smoothing, target_threshold=threshold)
    close(ours(LABELS, **changes), theirs(loss, LABELS))
    close(ours(MIXED, **changes), theirs(loss, timm_mixes(smoothing)))


def test_a_target_at_the_threshold_is_below_it() -> None:
    halves = np.float32([[0.5, 0.5, 0, 0, 0, 0, 0]] * COUNT)
    loss = timm.loss.BinaryCrossEntropy(0.0, target_threshold=0.5)
    close(ours(halves, loss="sigmoid", target_threshold=0.5), theirs(loss, halves))


@pytest.mark.parametrize("targets", [LABELS, MIXED], ids=["labels", "mixed"])
@pytest.mark.parametrize(
    ("loss", "threshold"), [("softmax", 0.0), ("sigmoid", 0.0), ("sigmoid", 0.2)]
)
def test_a_weight_of_0_leaves_an_example_out(loss, threshold, targets) -> None:
    """Of loss, gradient and accuracy, as if it were not in the batch."""
    weights = np.float32(~np.isin(np.arange(COUNT), [0, 5, 11]))
    task = classification.task(loss, label_smoothing=0.1, target_threshold=threshold)
    loud = tf.constant(np.where(weights[:, None] > 0, LOGITS, 1e4 * LOGITS))

    def sums(*rows: Any) -> tuple[dict[str, float], np.ndarray]:
        chosen = tf.constant(rows[2])
        with tf.GradientTape() as tape:
            tape.watch(chosen)
            found = task.train_sums(tf.constant(rows[0]), tf.constant(rows[1]), chosen)
        assert set(found) == set(task.train_names)
        gradient = tape.gradient(found["loss"], chosen).numpy()
        return {name: float(value) for name, value in found.items()}, gradient

    kept = weights > 0
    all_of_them, gradients = sums(targets, weights, loud.numpy())
    those_kept, expected = sums(targets[kept], weights[kept], loud.numpy()[kept])
    assert all_of_them == pytest.approx(those_kept, rel=1e-6)
    assert np.all(gradients[~kept] == 0)
    np.testing.assert_allclose(gradients[kept], expected, rtol=1e-6)
    assert np.all(np.abs(expected).max(-1) > 0)


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_large_logits_have_finite_losses(loss) -> None:
    found, gradients = ours(MIXED, 1e30 * LOGITS, loss=loss)
    assert np.isfinite(found).all()
    assert np.isfinite(gradients).all()


def test_correct_is_the_largest_logit_at_the_largest_target() -> None:
    first = LOGITS.argmax(-1)
    labels = np.where(np.arange(COUNT) < 5, first, LABELS)
    expected = [float(label == best) for label, best in zip(labels, first, strict=True)]
    assert 5 <= sum(expected) < COUNT
    found = classification.correct(tf.constant(labels), tf.constant(LOGITS))
    assert found.dtype == tf.float32
    assert found.numpy().tolist() == expected
    shares = 0.6 * np.eye(CLASSES)[labels] + 0.4 * np.eye(CLASSES)[::-1][labels]
    again = classification.correct(tf.constant(shares, tf.float32), tf.constant(LOGITS))
    assert again.numpy().tolist() == expected


def test_accuracy_is_in_percent() -> None:
    logits = tf.constant(LOGITS)
    found = classification.task().train_sums(tf.argmax(logits, 1), tf.ones(COUNT), logits)
    assert float(found["accuracy"]) / COUNT == 100
