"""Checkpoints: what was saved comes back, and what is damaged does not."""

import errno
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import helpers
from tests.support.checkpoint_files import NUMBERS, checkpoints, contents, restored, save, variables
from train.recipes.data import open_data
from train.run import state
from train.run.checkpoints import Checkpoints


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
    data = open_data(helpers.recipe(warmup_error=0.8, fields=fields), None)
    return state.create(data, tf.distribute.get_strategy(), folder)


def test_a_warm_up_that_is_over_stays_so(tmp_path):
    run = train_state(tmp_path)
    for _ in range(100):
        run.warmup.observe(90.0)
    run.save(7)
    run.warmup.state.update(error=1.0, warm=0.0)
    assert (run.restore_latest(), run.warmup.factor) == (7, 1.0)


def test_a_run_may_resume_in_the_process_that_began_it(tmp_path):
    first = train_state(tmp_path)
    second = train_state(tmp_path)
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


def test_a_checkpoint_of_an_earlier_version_comes_back(tmp_path, monkeypatch):
    """It said its step in the name alone."""
    savez = np.savez
    monkeypatch.setattr("numpy.savez", lambda file, step, **arrays: savez(file, **arrays))
    save(tmp_path, 10)
    assert checkpoints(tmp_path)[0].restore_latest()[0] == 10


def test_the_best_stays_beside_the_newest_three(tmp_path):
    writer, _ = checkpoints(tmp_path)
    best = {10: 10, 20: 20, 30: 20, 40: 20, 50: 20, 60: 20, 70: 70, 80: 70}
    kept = {}
    for step, then in best.items():
        writer.save(step, {}, then)
        kept[step] = [int(p.stem[5:]) for p in sorted(tmp_path.iterdir())]
    assert kept[60] == [20, 40, 50, 60]
    assert kept[80] == [60, 70, 80]


def test_an_old_one_that_cannot_be_removed_stops_nothing(tmp_path):
    (tmp_path / "step_00000010.npz").mkdir()
    save(tmp_path, 20, 30, 40, 50)
    assert sorted(int(p.stem[5:]) for p in tmp_path.iterdir()) == [10, 30, 40, 50]


def test_damaged_later_ones_do_not_cost_the_newest_whole_one(tmp_path):
    """As a run that starts again from the first step, or from far back, goes on to save."""
    for step in (70, 80, 90):
        (tmp_path / f"step_000000{step}.npz").write_bytes(b"")
    save(tmp_path, 5, 10, 15, 20)
    assert restored(tmp_path) == ""
    assert checkpoints(tmp_path)[0].restore_latest()[0] == 20
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_not_saved(tmp_path, value):
    save(tmp_path, 10)
    before = contents(tmp_path)
    writer, own = checkpoints(tmp_path)
    own[0].assign([[1, 2, 3]] * 4 + [[1, value, 3]])
    with pytest.raises(FloatingPointError, match=r"model/00000/kernel is not finite"):
        writer.save(20, NUMBERS)
    assert contents(tmp_path) == before


def test_a_full_disk_costs_one_checkpoint(tmp_path, monkeypatch):
    save(tmp_path, 10, 20, 30)
    (tmp_path / "step_00000025.partial").write_bytes(b"of a crash")
    before = contents(tmp_path)

    def full(file):
        assert [p.name for p in tmp_path.glob("*.partial")] == ["step_00000040.partial"]
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, 40)
    assert contents(tmp_path) == {n: b for n, b in before.items() if not n.endswith(".partial")}
    monkeypatch.undo()
    save(tmp_path, 50)
    assert sorted(contents(tmp_path)) == [f"step_000000{step}.npz" for step in (20, 30, 50)]
