"""Checkpoints that disks, people and crashes have damaged: the newest whole one, or an error."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.support.checkpoint_files import checkpoints, contents, restored, save


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


def test_no_flipped_bit_goes_unnoticed_or_stops_a_run(tmp_path):
    """Bits that do not matter may flip, such as those of a date; the numbers may not differ."""
    save(tmp_path, 10, 20)
    newest = tmp_path / "step_00000020.npz"
    data = newest.read_bytes()
    failures = {}
    for at in range(len(data)):
        newest.write_bytes(flip(data, at, at % 8))
        failures[f"byte {at}, bit {at % 8}"] = restored(tmp_path)
    assert {where: wrong for where, wrong in failures.items() if wrong} == {}


def damage(random: np.random.Generator, folder: Path, kind: str) -> None:
    """Does to one checkpoint, or between two, what disks, people and crashes do."""
    files = [p for p in sorted(folder.glob("step_*.npz")) if p.is_file()]
    if not files:
        return
    one, other = random.choice(files, 2)
    data = one.read_bytes()
    at = int(random.integers(one.stat().st_size or 1))
    if kind == "truncate":
        one.write_bytes(data[:at])
    elif kind == "flip" and data:
        one.write_bytes(flip(data, at, int(random.integers(8))))
    elif kind == "zero":
        one.write_bytes(data[:at] + bytes(len(data) - at))
    elif kind == "append":
        one.write_bytes(data + bytes(random.bytes(1 + at % 40)))
    elif kind == "swap":
        one.write_bytes(other.read_bytes())
        other.write_bytes(data)
    elif kind == "rename":
        one.rename(folder / f"step_{random.integers(100):08d}.npz")
    elif kind in ("delete", "directory"):
        one.unlink()
        if kind == "directory":
            one.mkdir()
    else:
        (folder / f"step_{random.integers(100):08d}.partial").write_bytes(data[:at])


KINDS = [
    "truncate",
    "flip",
    "zero",
    "append",
    "swap",
    "rename",
    "delete",
    "directory",
    "partial",
]


@pytest.fixture(scope="module")
def four(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("four")
    parts = [save(folder, step) and contents(folder) for step in (10, 20, 30, 40)]
    return parts[0] | parts[-1]


def test_of_a_hundred_random_damages_none_goes_unnoticed(tmp_path, four):
    """The newest file whose bytes are those that were written under its name, and only that."""
    random = np.random.default_rng(0)
    outcomes = Counter()
    for trial in range(100):
        folder = tmp_path / str(trial)
        folder.mkdir()
        for name, data in four.items():
            (folder / name).write_bytes(data)
        kinds = random.choice(KINDS, random.integers(1, 4))
        for kind in random.choice(kinds, random.integers(1, 12)):
            damage(random, folder, kind)
        before = contents(folder)
        whole = [int(n[5:13]) for n in before if before[n] == four.get(n)]
        reader, own = checkpoints(folder)
        if whole:
            outcome = str(max(whole))
            assert restored(folder) == "", f"{trial}: {kinds}"
            assert reader.restore_latest()[0] == max(whole), f"{trial}: {kinds}"
        elif any(n.endswith(".npz") for n in before):
            outcome = "error"
            untouched = np.asarray(own[0])
            with pytest.raises(ValueError, match=r"no checkpoint in .* is whole"):
                reader.restore_latest()
            np.testing.assert_array_equal(own[0], untouched)
        else:
            outcome = "none"
            assert reader.restore_latest() == (0, {})
        assert contents(folder) == before, f"{trial}: {kinds}"
        outcomes[outcome] += 1
    assert set(outcomes) == {"10", "20", "30", "40", "error", "none"}
