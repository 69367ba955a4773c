"""Tables, intervals and the picture of an evaluation, against scikit-learn, SciPy and a paper."""

import csv

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from sklearn import metrics

from train.measure import pictures, report
from train.measure.measurement import Measured

CLASSES = tuple(f"class {i}" for i in range(12))


@pytest.fixture(scope="module")
def found() -> report.Outcome:
    """300 examples of 12 classes, of which the third has none, and 5 broken ones."""
    random = np.random.default_rng(0)
    labels = random.choice([i for i in range(12) if i != 2], 305)
    logits = random.normal(size=(305, 12)) + 2 * np.eye(12)[labels]
    scores = np.float32(logits - np.log(np.exp(logits).sum(1, keepdims=True)))
    counts = np.arange(305) % 61 > 0
    names = [f"{i}.jpg" for i in range(305)]
    return report.outcome(Measured(scores, labels, counts), names, CLASSES)


def read(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3.
    [(81, 263, 25.53, 36.62), (15, 148, 6.24, 16.05), (0, 20, 0, 16.11), (1, 29, 0.61, 17.18)],
)
def test_intervals_are_those_of_a_paper(hits, count, low, high):
    assert report.wilson(hits, count) == pytest.approx((low, high), abs=0.006)


@pytest.mark.parametrize("case", [(0, 1), (1, 1), (37_000, 50_000), (50_000, 50_000)])
def test_intervals_are_those_of_scipy(case):
    expected = stats.binomtest(*case).proportion_ci(method="wilson")
    assert report.wilson(*case) == pytest.approx(
        (100 * expected.low, 100 * expected.high), abs=1e-4
    )


def test_accuracies_are_those_of_scikit_learn(found):
    values = report.result(found)
    assert values["examples"] == 300
    top1 = metrics.accuracy_score(found.labels, found.best[:, 0])
    assert values["top1"] == pytest.approx(100 * top1)
    assert values["top1_low"] < values["top1"] < values["top1_high"]
    np.testing.assert_array_equal(
        found.confusion, metrics.confusion_matrix(found.labels, found.best[:, 0], labels=range(12))
    )


def test_top5_and_loss_are_those_of_scikit_learn():
    random = np.random.default_rng(1)
    shares = random.dirichlet(np.ones(12), 200)
    labels = random.integers(0, 12, 200)
    measured = Measured(np.log(shares).astype(np.float32), labels, np.ones(200, bool))
    values = report.result(report.outcome(measured, [""] * 200, CLASSES))
    top5 = metrics.top_k_accuracy_score(labels, shares, k=5, labels=range(12))
    assert values["top5"] == pytest.approx(100 * top5)
    assert values["loss"] == pytest.approx(metrics.log_loss(labels, shares, labels=range(12)))


def test_scores_that_are_not_numbers_are_wrong():
    scores = np.float32([[np.nan, np.nan], [-0.1, -2.3]])
    measured = Measured(scores, np.array([0, 0]), np.array([True, True]))
    values = report.result(report.outcome(measured, ["a", "b"], ("x", "y")))
    assert (values["top1"], values["top5"]) == (50, 50)


def test_a_split_without_images_is_refused():
    nothing = Measured(np.zeros((2, 3), np.float32), np.zeros(2, int), np.zeros(2, bool))
    with pytest.raises(ValueError, match="no image of the split"):
        report.outcome(nothing, ["a", "b"], ("x", "y", "z"))


def test_tables_say_the_same(found, tmp_path):
    report.write(tmp_path, found)
    rows = read(tmp_path / report.PREDICTIONS)
    assert len(rows) == 300
    assert rows[0]["name"] == "1.jpg"  # the one before is broken
    for row, label, best, shares in zip(
        rows, found.labels, found.best, found.probabilities, strict=True
    ):
        assert (int(row["label"]), row["label_name"]) == (label, CLASSES[label])
        assert [int(row[place]) for place in report.PLACES] == best.tolist()
        assert float(row["predicted_probability"]) == pytest.approx(shares[0], rel=1e-5)
    classes = read(tmp_path / report.CLASSES)
    assert [row["name"] for row in classes] == [name for name in CLASSES if name != "class 2"]
    there = np.delete(np.arange(12), 2)
    recall = metrics.recall_score(found.labels, found.best[:, 0], average=None, labels=there)
    np.testing.assert_allclose([float(row["top1"]) for row in classes], 100 * recall, atol=0.006)
    matrix = np.zeros((12, 12), int)
    for row in read(tmp_path / report.CONFUSION_PAIRS):
        matrix[int(row["label"]), int(row["predicted"])] = int(row["examples"])
    with np.load(tmp_path / report.CONFUSION) as held:
        np.testing.assert_array_equal(held["counts"], matrix)
        assert held["classes"].tolist() == list(CLASSES)
    np.testing.assert_array_equal(matrix, found.confusion)


def outcome_of(counts: np.ndarray) -> report.Outcome:
    labels, best = (np.repeat(x, counts[np.nonzero(counts)]) for x in np.nonzero(counts))
    names = tuple(f"${i}$ of many" for i in range(len(counts)))
    best = best[:, np.newaxis]
    hits = best == labels[:, np.newaxis]
    return report.Outcome(names, labels, labels, best, np.ones(best.shape), hits, 0.0)


def test_few_classes_are_drawn_with_their_counts(tmp_path):
    counts = np.diag([90, 80, 0, 70])
    counts[0, 3] = 7
    counts[3, 1] = 11
    axes = pictures.confusion(outcome_of(counts)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        rf"\${i}\$ of many" for i in (0, 1, 3)
    ]
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "90", (1, 1): "80", (2, 2): "70", (2, 0): "7", (1, 2): "11"}
    pictures.save(outcome_of(counts), tmp_path / "a.png")
    assert np.std(np.asarray(Image.open(tmp_path / "a.png"))) > 10


def test_of_many_classes_the_worst_confusions_are_named():
    random = np.random.default_rng(0)
    counts = np.diag(np.full(1000, 40)) + (random.random((1000, 1000)) < 0.003)
    counts[17, 400] = 9
    counts[3, 999] = 8
    matrix, worst, _ = pictures.confusion(outcome_of(counts)).axes
    told = [label.get_text() for label in worst.get_yticklabels()]
    assert told[:2] == [r"\$17\$ of many → \$400\$ of many", r"\$3\$ of many → \$999\$ of many"]
    assert len(told) == pictures.SHOWN
    shown = matrix.get_images()[0].get_array()
    assert max(shown.shape) <= pictures.DOTS
    # A rare confusion is a dot of its own, and not hidden in a mean.
    step = -(-1000 // pictures.DOTS)
    assert shown[17 // step, 400 // step] == pytest.approx(100 * 9 / counts[17].sum())


def test_many_classes_without_an_error_are_drawn():
    _, worst, _ = pictures.confusion(outcome_of(np.diag(np.full(40, 2)))).axes
    assert worst.texts[0].get_text() == "no class was taken for another"
