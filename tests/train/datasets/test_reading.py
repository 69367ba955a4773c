"""A worker reads its own records and no others, from any step on; damaged files are told."""

import threading
import time
from dataclasses import replace
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.preprocessing.views import Look, whole as whole_image
from tests.support import helpers
from train import datasets
from train.datasets import batches, record_files, records
from train.datasets.batches import Share, Stream
from train.datasets.decoding import Broken, watched
from train.datasets.examples import Examples, indices
from train.datasets.record_files import Crew, Piece, RecordFiles

COUNTS = [70, 64, 1, 57, 64]  # records of each file; 256 in all
SIZE = 40_000  # bytes of a record, about
BATCH = 16


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[list[Path], list[list[bytes]]]:
    """Files of TensorFlow's own writer, and their records, which begin with their number."""
    root = tmp_path_factory.mktemp("records")
    generator = np.random.default_rng(0)
    numbers = iter(range(sum(COUNTS)))
    paths, contents = [], []
    for i, count in enumerate(COUNTS):
        sizes = generator.integers(SIZE - 100, SIZE + 100, count)
        rows = [next(numbers).to_bytes(8, "little") + generator.bytes(size) for size in sizes]
        paths.append(root / f"{i}.tfrecord")
        with tf.io.TFRecordWriter(str(paths[-1])) as writer:
            for row in rows:
                writer.write(row)
        contents.append(rows)
    return paths, contents


def pieces_of(written) -> list[Piece]:
    return [Piece(str(path), len(c), 0, len(c)) for path, c in zip(*written, strict=True)]


def whole(written) -> RecordFiles:
    return RecordFiles(pieces_of(written))


def examples_of(files: RecordFiles, size: int = sum(COUNTS)) -> Examples:
    """Examples whose label is the number that stands in their record."""

    def decode(index: tf.Tensor, look: Look = whole_image) -> tuple[tf.Tensor, tf.Tensor]:
        number = tf.io.decode_raw(tf.strings.substr(files.read(index), 0, 8), tf.int64)
        return tf.zeros([8, 8, 1], tf.uint8), tf.ensure_shape(number, [1])[0]

    return Examples(size, ("a",), 1, indices(size), decode, files.name)


def test_any_record_is_read_alone(written):
    files = whole(written)
    expected = [row for rows in written[1] for row in rows]
    read = tf.function(files.read, input_signature=[tf.TensorSpec([], tf.int32)])
    for index in (255, 0, 69, 70, 133, 134, 135, 191, 192, 7):
        assert read(tf.constant(index)).numpy() == expected[index]
    assert list(files.all().as_numpy_iterator()) == expected
    names = [files.name(tf.constant(index)).numpy().decode() for index in (0, 69, 70, 134, 255)]
    numbers = [(0, 0), (0, 69), (1, 0), (2, 0), (4, 63)]
    assert names == [f"record {n} of {written[0][file]}" for file, n in numbers]


def test_pieces_of_files_are_numbered_through(written):
    paths, contents = written
    files = RecordFiles([Piece(str(paths[0]), 70, 65, 5), Piece(str(paths[3]), 57, 10, 3)])
    expected = contents[0][65:70] + contents[3][10:13]
    assert list(files.all().as_numpy_iterator()) == expected
    assert [files.read(tf.constant(i)).numpy() for i in range(8)] == expected
    assert files.name(tf.constant(4)).numpy().decode() == f"record 69 of {paths[0]}"
    assert files.name(tf.constant(5)).numpy().decode() == f"record 10 of {paths[3]}"


def characters_read() -> int:
    """Returns how many bytes this process has read so far, from disk or from the page cache."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_a_worker_reads_its_share_of_the_bytes(written, workers):
    """Of one epoch; together, the workers see each example once."""
    examples = examples_of(whole(written))
    stream = Stream(BATCH, look=lambda _seed: whole_image, seed=3)
    total = sum(path.stat().st_size for path in written[0])
    seen = []
    for worker in range(workers):
        share = Share(worker, workers, workers)
        rows = batches._positions(examples, stream, 0, share).take(examples.size // workers)
        rows = batches._decoded(examples, stream, rows, 1, None)
        start = characters_read()
        seen += [int(label[0]) for _, _, label, _ in rows]
        assert characters_read() - start <= 1.1 / workers * total
    assert sorted(seen) == list(range(examples.size))


def test_an_index_reads_the_lengths_only(written):
    whole(written)  # what Python reads at the first time
    start = characters_read()
    whole(written)
    assert characters_read() - start <= 8 * sum(COUNTS) + 4096


@pytest.mark.parametrize(("repeats", "first"), [(1, 0), (1, 13), (3, 13)])
def test_a_batch_of_records_is_the_same_for_all_workers(written, repeats, first):
    examples = examples_of(whole(written))
    stream = Stream(24, look=lambda _seed: whole_image, seed=3, repeats=repeats)

    def labels(step: int, count: int, share: Share) -> np.ndarray:
        rows = batches.train_batches(examples, stream, step, share)
        return np.stack([y for _, y, _ in helpers.arrays(rows, count)])

    expected = labels(0, first + 3, Share())[first:]
    for workers in (2, 3, 8):
        shares = [Share(worker, workers, workers) for worker in range(workers)]
        found = np.concatenate([labels(first, 3, share) for share in shares], 1)
        np.testing.assert_array_equal(found, expected)


def crew_of(count: int) -> list[Crew]:
    """Workers in threads, whose arrays are added up as those of processes are."""
    barrier = threading.Barrier(count, timeout=60)
    given: dict[int, np.ndarray] = {}

    def total(worker: int, values: np.ndarray) -> np.ndarray:
        given[worker] = values
        barrier.wait()
        return np.sum(list(given.values()), 0)

    return [Crew(worker, count, partial(total, worker)) for worker in range(count)]


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_workers_make_one_index_together(written, monkeypatch, workers):
    """Each reads the lengths of its own files only."""
    pieces = pieces_of(written)
    expected = record_files.ALONE.bounds(pieces)
    looked_at = []
    bounds = record_files.bounds
    monkeypatch.setattr(
        record_files, "bounds", lambda *file: looked_at.append(file[0]) or bounds(*file)
    )
    with ThreadPool(workers) as pool:
        found = pool.map(lambda crew: crew.bounds(pieces), crew_of(workers))
    for parts in found:
        for part, one in zip(parts, expected, strict=True):
            np.testing.assert_array_equal(part, one)
    assert sorted(looked_at) == sorted(piece.file for piece in pieces)


def test_a_damaged_file_is_told_by_all_workers(written):
    pieces = pieces_of(written)
    pieces[3] = replace(pieces[3], records=58)

    def error(crew: Crew) -> str:
        with pytest.raises(ValueError, match="damaged") as caught:
            RecordFiles(pieces, crew)
        return str(caught.value)

    with ThreadPool(2) as pool:
        first, second = pool.map(error, crew_of(2))
    assert first == second
    assert pieces[3].file in first


IMAGENET = (1_281_167, 1024)  # examples, files


def test_a_run_resumes_at_step_100_000_of_imagenet_within_seconds(monkeypatch):
    size, count = IMAGENET
    edges = np.linspace(0, size, count + 1).astype(int)
    monkeypatch.setattr(record_files, "bounds", lambda _file, records: np.arange(records + 1))
    files = RecordFiles(
        [Piece(f"file {i}", int(n), 0, int(n)) for i, n in enumerate(np.diff(edges))]
    )
    examples = examples_of(files, size)
    stream = Stream(256, look=lambda _seed: whole_image, seed=7)
    start = time.process_time()
    rows = batches._positions(examples, stream, 100_000, Share(3, 8, 8)).take(32)
    found = [(int(p), files.name(i).numpy().decode()) for p, i in rows]
    assert time.process_time() - start < 5  # seconds; a replay of an epoch takes minutes
    positions = 256 * 100_000 + 3 * 32 + np.arange(32)
    epoch = int(positions[0] // size)
    order = tf.random.experimental.stateless_shuffle(np.arange(size), [7, epoch]).numpy()
    expected = order[positions % size]
    file = np.searchsorted(edges, expected, side="right") - 1
    names = [f"record {n} of file {f}" for n, f in zip(expected - edges[file], file, strict=True)]
    assert found == list(zip(positions, names, strict=True))


def test_bounds_are_those_of_the_format(written):
    """8 bytes of length, 4 of checksum, the data, 4 of checksum."""
    for path, rows in zip(*written, strict=True):
        expected = np.cumsum([0, *(16 + len(row) for row in rows)])
        np.testing.assert_array_equal(record_files.bounds(str(path), len(rows)), expected)


DAMAGES = {
    "cut in the data": lambda data: data[:-10_000],
    "cut in the last checksum": lambda data: data[:-1],
    "cut in a length": lambda data: data[: 16 + int.from_bytes(data[:8], "little") + 5],
    "empty": lambda _: b"",
    "zeros at the end": lambda data: data + bytes(1000),
    "a huge length": lambda data: b"\xff" * 8 + data[8:],
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_files_of_another_length_are_refused(written, tmp_path, kind):
    path = tmp_path / "0.tfrecord"
    path.write_bytes(DAMAGES[kind](written[0][0].read_bytes()))
    with pytest.raises(ValueError, match=f"^a file of records is damaged: {path} has .* have 70"):
        RecordFiles([Piece(str(path), 70, 10, 5)])


def test_more_or_fewer_records_are_refused(written, tmp_path):
    path = str(written[0][0])
    for count in (69, 71):
        with pytest.raises(ValueError, match=f"damaged: {path} .* should have {count}"):
            RecordFiles([Piece(path, count, 0, 69)])
    with pytest.raises(ValueError, match="none cannot be read: No such file"):
        RecordFiles([Piece(f"{tmp_path}/none", 1, 0, 1)])


def test_a_wrong_checksum_is_one_broken_image(tmp_path, monkeypatch, capsys):
    """It is told by name; all others are read."""
    monkeypatch.setattr(records, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("train.datasets.classes.FIRST", 1)
    helpers.tfds_set(tmp_path, {"train": 24, "test": 9})
    shard = sorted(tmp_path.rglob("*train.tfrecord*"))[1]
    data = shard.read_bytes()
    second = 16 + int.from_bytes(data[:8], "little")
    damaged = bytearray(data)
    damaged[second + 60] ^= 1
    shard.write_bytes(damaged)
    examples = datasets.load("shapes", "train", str(tmp_path))
    broken = Broken(1)
    rows = batches.eval_batches(examples, helpers.PLAIN, 8, broken=broken)
    assert sum(float(tf.reduce_sum(weights)) for *_, weights in watched(rows, broken)) == 23
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("broken image")]
    assert line.startswith(f"broken image record 1 of {shard}: a file of records is damaged: ")
