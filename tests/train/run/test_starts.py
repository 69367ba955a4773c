"""A run records from which code, and on what, it was started."""

import json
import subprocess
from datetime import UTC, date, datetime

import pytest
import tensorflow as tf

from train.run import starts
from train.run.starts import Start

ONE = tf.distribute.get_strategy()


def git(folder, *words: str) -> str:
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(
        ["git", "-C", str(folder), *author, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "code.py").write_text("1")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    monkeypatch.setattr(starts, "CHECKOUT", folder)
    return folder


def test_the_commit_is_recorded_and_whether_files_differ(checkout, tmp_path):
    (checkout / "other.py").write_text("untracked files are results, as often as not")
    starts.note(tmp_path, 0, "bfloat16", ONE)
    (checkout / "code.py").write_text("2")
    starts.note(tmp_path, 7, "float32", ONE)
    first, second = starts.read(tmp_path)
    commit = git(checkout, "rev-parse", "HEAD")
    assert (first.commit, first.changed, first.precision) == (commit, False, "bfloat16")
    assert (second.commit, second.changed, second.after_step) == (commit, True, 7)
    threads, times, name = first.hardware.split(" ", 2)
    assert int(threads) >= 1
    assert date.fromisoformat(first.date) <= datetime.now(UTC).date()
    assert times == "x"
    assert name


@pytest.mark.parametrize("broken", ["no repository", "no git"])
def test_what_is_unknown_is_said(tmp_path, monkeypatch, broken):
    monkeypatch.setattr(starts, "CHECKOUT", tmp_path)
    if broken == "no git":
        monkeypatch.setenv("PATH", "")
    starts.note(tmp_path, 0, "float32", ONE)
    [start] = starts.read(tmp_path)
    assert (start.commit, start.changed) == ("", False)


def test_starts_of_steps_that_are_taken_again_are_dropped(tmp_path):
    for step in (0, 10, 20, 30):
        starts.note(tmp_path, step, "float32", ONE)
    starts.note(tmp_path, 20, "bfloat16", ONE)
    found = [(start.after_step, start.precision) for start in starts.read(tmp_path)]
    assert found == [(0, "float32"), (10, "float32"), (20, "bfloat16")]
    starts.note(tmp_path, 0, "bfloat16", ONE)
    assert [start.after_step for start in starts.read(tmp_path)] == [0]


@pytest.mark.parametrize("text", ["{", "[]\n", '{"after_step": 1}\n'])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "starts.jsonl").write_text(text)
    with pytest.raises(ValueError, match=r"starts\.jsonl does not list the starts of a run"):
        starts.read(tmp_path)


def test_no_file_is_no_start(tmp_path):
    assert starts.read(tmp_path) == []
    start = Start(1, "2026-01-31", "a", True, "b", "c")
    (tmp_path / "starts.jsonl").write_text(json.dumps(vars(start)) + "\n")
    assert starts.read(tmp_path) == [start]
