"""Checkpoints: what was saved comes back, and what is damaged does not."""

from pathlib import Path

import helpers
import keras
import numpy as np
import pytest
import tensorflow as tf

from train import pipeline, state
from train.checkpoints import Checkpoints

NUMBERS = {"error": 0.25, "warm": 1.0}


def variables(size: int = 5) -> list[keras.Variable]:
    values = np.random.default_rng(0).normal(size=(size, 3))
    return [keras.Variable(values, name="kernel"), keras.Variable(7, dtype="int64", name="count")]


def checkpoints(folder: Path, size: int = 5) -> tuple[Checkpoints, list[keras.Variable]]:
    own = variables(size)
    return Checkpoints(folder, {"model": own, "optimizer": [keras.Variable(0.5, name="v")]}), own


def save(folder: Path, *steps: int) -> list[np.ndarray]:
    """Saves the variables after each step, at which the first holds the step; returns the last."""
    writer, own = checkpoints(folder)
    for step in steps:
        own[0].assign(np.full((5, 3), step) + np.arange(3) / 3)
        writer.save(step, {**NUMBERS, "error": step / 100})
    return [np.asarray(v) for v in own]


def test_what_was_saved_comes_back(tmp_path):
    expected = save(tmp_path / "new" / "folder", 12)
    reader, own = checkpoints(tmp_path / "new" / "folder")
    assert reader.restore_latest() == (12, {"error": 0.12, "warm": 1.0})
    for variable, value in zip(own, expected, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_optimizer_slots_come_back(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    optimizer = keras.optimizers.SGD(0.1, 0.9)
    optimizer.build(model.trainable_variables)
    both = {"model": model.variables, "optimizer": optimizer.variables}
    optimizer.apply([np.ones((3, 2), "float32"), np.ones(2, "float32")])
    expected = [np.asarray(v) for v in optimizer.variables]
    Checkpoints(tmp_path, both).save(1, {})
    optimizer.apply([np.ones((3, 2), "float32"), np.ones(2, "float32")])
    Checkpoints(tmp_path, both).restore_latest()
    for variable, value in zip(optimizer.variables, expected, strict=True):
        np.testing.assert_array_equal(variable, value)


def train_state(folder: Path) -> state.TrainState:
    fields = {"repeats": [1, 1, 1], "stochastic_depth": 0.5}
    data = pipeline.open_data(helpers.recipe(warmup_error=0.8, fields=fields), None)
    return state.create(data, tf.distribute.get_strategy(), folder)


def test_a_warm_up_that_is_over_stays_so(tmp_path):
    run = train_state(tmp_path)
    for _ in range(100):
        run.warmup.observe(0.9)
    run.save(7)
    run.warmup.state.update(error=1.0, warm=0.0)
    assert (run.restore_latest(), run.warmup.factor) == (7, 1.0)


def test_a_run_may_resume_in_the_process_that_began_it(tmp_path):
    first, second = train_state(tmp_path), train_state(tmp_path)
    helpers.randomize(first.model)
    first.save(7)
    assert second.restore_latest() == 7
    for actual, expected in zip(second.model.weights, first.model.weights, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_without_a_checkpoint_a_run_starts_at_0(tmp_path):
    assert checkpoints(tmp_path)[0].restore_latest() == (0, {})
    assert checkpoints(tmp_path / "missing")[0].restore_latest() == (0, {})


def test_the_newest_three_are_kept(tmp_path):
    save(tmp_path, 5, 10, 900, 1000, 20_000)
    names = ["step_00000900.npz", "step_00001000.npz", "step_00020000.npz"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    assert checkpoints(tmp_path)[0].restore_latest()[0] == 20_000


def flip(data: bytes, at: int, bit: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


DAMAGES = {
    "empty": lambda data: b"",
    "first half": lambda data: data[: len(data) // 2],
    "last byte missing": lambda data: data[:-1],
    "a bit in the numbers": lambda data: flip(data, data.index(b"\x93NUMPY") + 130),
    "a bit in the name": lambda data: flip(data, 35),
    "zeros": lambda data: bytes(len(data)),
    "text": lambda data: b"hello",
    "pickle": lambda data: b"\x80\x04]\x94.",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, capsys, damage):
    save(tmp_path, 10, 20)
    newest = tmp_path / "step_00000020.npz"
    newest.write_bytes(DAMAGES[damage](newest.read_bytes()))
    reader, own = checkpoints(tmp_path)
    assert reader.restore_latest() == (10, {"error": 0.1, "warm": 1.0})
    assert np.asarray(own[0])[0, 0] == 10
    assert f"{newest} is damaged" in capsys.readouterr().out


def restored(folder: Path) -> str:
    """Says what is wrong with what a run restores; nothing if it is what was saved."""
    reader, own = checkpoints(folder)
    try:
        step, numbers = reader.restore_latest()
    except Exception as error:
        return repr(error)
    if not np.array_equal(own[0], np.full((5, 3), step) + np.arange(3) / 3):
        return f"other weights at step {step}"
    return "" if numbers == {"error": step / 100, "warm": 1.0} else f"{numbers} at step {step}"


def test_no_flipped_bit_goes_unnoticed_or_stops_a_run(tmp_path):
    """Bits that do not matter may flip, such as those of a date; the numbers may not differ."""
    save(tmp_path, 10, 20)
    newest = tmp_path / "step_00000020.npz"
    data, failures = newest.read_bytes(), {}
    for at in range(len(data)):
        newest.write_bytes(flip(data, at, at % 8))
        failures[f"byte {at}, bit {at % 8}"] = restored(tmp_path)
    assert {where: wrong for where, wrong in failures.items() if wrong} == {}


def test_if_all_are_damaged_the_user_decides(tmp_path):
    """Starting again without a word would cost the run, and what it has written of itself."""
    save(tmp_path, 10)
    (tmp_path / "step_00000010.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"no checkpoint in .* is whole.*another workdir"):
        checkpoints(tmp_path)[0].restore_latest()


def test_a_crash_while_writing_leaves_the_one_before(tmp_path, monkeypatch):
    save(tmp_path, 10)

    def crash(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("numpy.savez", crash)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 10)
    monkeypatch.undo()
    assert checkpoints(tmp_path)[0].restore_latest()[0] == 10
    save(tmp_path, 20)
    assert checkpoints(tmp_path)[0].restore_latest()[0] == 20


@pytest.mark.parametrize("name", ["step_00000099.partial", "step_99.npz", "notes.txt"])
def test_other_files_are_ignored(tmp_path, name):
    save(tmp_path, 10)
    (tmp_path / name).write_bytes(b"half a checkpoint")
    assert checkpoints(tmp_path)[0].restore_latest()[0] == 10


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    save(tmp_path, 10)
    with pytest.raises(ValueError, match=r"step_00000010\.npz is a checkpoint of another training"):
        checkpoints(tmp_path, size=4)[0].restore_latest()


def test_a_checkpoint_without_an_optimizer_is_refused(tmp_path):
    save(tmp_path, 10)
    with pytest.raises(ValueError, match="optimizer"):
        Checkpoints(tmp_path, {"model": variables()}).restore_latest()
