"""Files whose names end in their hash, and files whose names only look like it."""

import hashlib
from pathlib import Path

import pytest

from keras_resnet import resnet
from keras_resnet.weights.formats import hashed_names
from keras_resnet.weights.formats.containers import opened
from tests.support.saved_networks import saved


def named(folder: Path, name: str) -> Path:
    """Writes weights under a name, in which 8, 16 or 64 digits of their SHA-256 may stand."""
    _, digest = saved(folder)
    file = folder / name.format(*(digest[:n] for n in (8, 16, 64)))
    return (folder / "tiny.weights.h5").rename(file)


@pytest.mark.parametrize("name", ["a-{0}.weights.h5", "a-{1}.weights.h5", "a-1-{2}.weights.h5"])
def test_a_file_that_ends_in_its_hash_is_compared_with_it(name: str, tmp_path) -> None:
    file = named(tmp_path, name)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if any(digit in "abcdef" for digit in digest[:8]):
        assert hashed_names.digits(file.name)
    resnet.from_weights(file)
    other = file.with_name("a-0a1b2c3d.weights.h5")
    told = rf"{other} is damaged or was renamed: its name ends in 0a1b2c3d, its SHA-256 begins"
    for change in (file.rename, lambda to: to.write_bytes(to.read_bytes()[:-1] + b"!")):
        change(other)
        with pytest.raises(ValueError, match=told):
            resnet.from_weights(other)
    other.rename(file.with_name("renamed.weights.h5"))


@pytest.mark.parametrize(
    "name",
    [
        "run-20240315.weights.h5",  # a date
        "run-00012000.weights.h5",  # a step
        "run-20240315123000.weights.h5",
        "run-abc123.weights.h5",  # too few digits
        "a-550e8400-e29b-41d4-a716-44665544000a.weights.h5",  # a UUID
        "a-d41d8cd98f00b204e9800998ecf8427e.weights.h5",  # an MD5
        "a-da39a3ee5e6b4b0d3255bfef95601890afd80709.weights.h5",  # a SHA-1
        "deadbeef.weights.h5",
        "a-deadbeef-best.weights.h5",
    ],
)
def test_other_digits_in_a_name_are_no_hash(name: str, tmp_path) -> None:
    resnet.from_weights(named(tmp_path, name))


def test_a_file_is_hashed_once(tmp_path, monkeypatch) -> None:
    """Official files have 100 MB."""
    _, digest = saved(tmp_path)
    file = (tmp_path / "tiny.weights.h5").rename(tmp_path / f"tiny-{digest}.weights.h5")
    count, usual = [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *a: count.append(1) or usual(*a))
    with opened(file) as container:
        assert container.sha256 == digest
    assert len(count) == 1
