"""Files of weights after accidents: every damaged file loads, or one ValueError names it.

The accidents are drawn by seed; a failure tells the file's name, and with it format and seed.
"""

from pathlib import Path

import numpy as np
import pytest

from tests.support import hostile, samples

COUNT = 70  # of each of the formats
Random = np.random.Generator


def truncated(content: bytearray, random: Random) -> bytes:
    return content[: random.integers(0, len(content))]


def flipped(content: bytearray, random: Random) -> bytes:
    for place in random.integers(0, len(content), random.integers(1, 9)):
        content[place] ^= 1 << random.integers(0, 8)
    return content


def overwritten(content: bytearray, random: Random) -> bytes:
    for place in random.integers(0, len(content), random.integers(1, 17)):
        content[place] = random.integers(0, 256)
    return content


def _range(content: bytearray, random: Random) -> slice:
    start = random.integers(0, len(content))
    return slice(start, start + random.integers(1, 2000))


def zeroed(content: bytearray, random: Random) -> bytes:
    place = _range(content, random)
    content[place] = bytes(len(content[place]))
    return content


def removed(content: bytearray, random: Random) -> bytes:
    del content[_range(content, random)]
    return content


def doubled(content: bytearray, random: Random) -> bytes:
    place = _range(content, random)
    content[place.start : place.start] = content[place]
    return content


def swapped(content: bytearray, random: Random) -> bytes:
    size = random.integers(4, 1000)
    one, other = sorted(random.integers(0, len(content) - 2 * size, 2))
    other += size
    chunks = bytes(content[one : one + size]), bytes(content[other : other + size])
    content[one : one + size], content[other : other + size] = chunks[::-1]
    return content


def at_the_ends(content: bytearray, random: Random) -> bytes:
    """Headers lie at the beginning, directories of zip archives and pickles at the end."""
    for _ in range(random.integers(1, 5)):
        place = random.integers(0, 600)
        content[place if random.random() < 0.5 else -place - 1] = random.integers(0, 256)
    return content


def extreme(content: bytearray, random: Random) -> bytes:
    """Sizes and places are integers of 2 to 8 bytes."""
    for place in random.integers(0, min(len(content), 4000), 3):
        size = 1 << random.integers(1, 4)
        number = [b"\xff" * size, b"\0" * size, b"\xff" * (size - 1) + b"\x7f"][random.integers(3)]
        content[place : place + size] = number
    return content


ACCIDENTS = (
    truncated,
    flipped,
    overwritten,
    zeroed,
    removed,
    doubled,
    swapped,
    at_the_ends,
    at_the_ends,
    extreme,
)


def mutants(folder: Path, name: str) -> list[Path]:
    write, _ = samples.FORMATS[name]
    content = write(folder / name).read_bytes()
    files = []
    for seed in range(COUNT):
        accident = ACCIDENTS[seed % len(ACCIDENTS)]
        file = folder / f"{seed}_{accident.__name__}_{name}"
        file.write_bytes(accident(bytearray(content), np.random.default_rng(seed)))
        files.append(file)
    return files


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, list[hostile.Outcome]]:
    """What came of all files, format by format."""
    folder = tmp_path_factory.mktemp("mutants")
    cases = []
    for name, (_, source) in samples.FORMATS.items():
        for i, file in enumerate(mutants(folder, name)):
            doors = ("load", "from_weights") if i % 2 else ("load",)
            cases += [hostile.case(file, door, source, format=name) for door in doors]
    outcomes = hostile.outcomes(folder, cases)
    return {name: [o for o in outcomes if o.case["format"] == name] for name in samples.FORMATS}


@pytest.mark.parametrize("name", samples.FORMATS)
def test_damaged_files_load_or_are_refused(name: str, found) -> None:
    faulty = [str(outcome) for outcome in found[name] if outcome.faults]
    assert not faulty, "\n".join([f"{len(faulty)} of {len(found[name])}:", *faulty[:20]])
    # Otherwise the accidents would be too harmless to show anything.
    refused = sum(outcome.kind == "ValueError" for outcome in found[name])
    assert refused >= len(found[name]) / 3


@pytest.mark.parametrize("name", samples.FORMATS)
def test_whole_files_load(name: str, tmp_path) -> None:
    """The other side of the refusals: these files are good before the accident."""
    write, source = samples.FORMATS[name]
    model = samples.build(source)
    file = write(tmp_path / name)
    samples.weights.load(model, file)
    expected = samples.resnet.from_weights(file)
    for one, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
