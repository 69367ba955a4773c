"""Lines of progress: of steps that float16 left out, and on terminals of few letters."""

import io
import json

import pytest
import tensorflow as tf

from keras_resnet import console
from train.log import journal
from train.tasks import classification

NAN = float("nan")
INF = float("inf")
# Loss, accuracy in percent, and whether the step was left out.
STEPS = [(2.0, 50.0, 0.0), (NAN, 25.0, 1.0), (4.0, 100.0, 0.0), (INF, 0.0, 1.0)]


def test_a_line_is_of_the_steps_taken_and_its_speed_of_all(tmp_path, monkeypatch, capsys):
    pace = journal.Pace(steps=8, batch_size=8, log_every=4)
    now = [100.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: now[0])
    lines = journal.Journal(tmp_path, classification.task(), pace, 0)
    for step, (loss, accuracy, skipped) in enumerate(STEPS, 1):
        now[0] += 0.5
        metrics = {"loss": loss, "accuracy": accuracy, "skipped": skipped}
        lines.train(step, {name: tf.constant(x) for name, x in metrics.items()}, 0.1)
    (line,) = (json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert (line["loss"], line["accuracy"], line["skipped"]) == (3.0, 0.75, 0.5)
    assert line["images_per_second"] == pytest.approx(4 * 8 / 2.0)
    printed = capsys.readouterr().out
    assert "50.0% of the steps left out" in printed
    assert "ETA 0:00:02" in printed  # as long as it took so far


def test_the_time_without_data_is_told(tmp_path, monkeypatch):
    """Batches that come after 3 seconds, and steps of 1 second each."""
    pace = journal.Pace(steps=4, batch_size=8, log_every=2)
    now = [100.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: now[0])
    lines = journal.Journal(tmp_path, classification.task(), pace, 0)

    def slow():
        for step in range(1, 5):
            now[0] += 3.0
            yield step

    metrics = {"loss": tf.constant(1.0), "accuracy": tf.constant(1.0), "skipped": tf.constant(0.0)}
    for step in lines.timed(slow()):
        now[0] += 1.0
        lines.train(step, metrics, 0.1)
    rows = [json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["data_wait"] for row in rows] == [0.75, 0.75]
    assert lines.waiting() == "waited for data: 75.0% of the time of training"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", b"caf\\xe9: \\u65e5\n"),
        ("latin-1", b"caf\xe9: \\u65e5\n"),
        ("utf-8", "caf\xe9: \u65e5\n".encode()),
    ],
)
def test_names_that_a_terminal_cannot_show_are_escaped(monkeypatch, encoding, shown):
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding=encoding))
    console.say("caf\xe9: \u65e5")
    assert written.getvalue() == shown
