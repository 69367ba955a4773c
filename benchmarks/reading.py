"""Reading TFRecords: ways on one core, and what each of many workers reads of ImageNet.

`python -m benchmarks.reading` writes two tables. `reading` compares, on made-up records of the
size of ImageNet's, records of a worker's own rows per CPU second: the streams that every worker
reads whole, blocks of neighbours, and single records by `train.datasets.record_files`. `workers`
counts what the code reads for 1 to 512 workers on a made-up index; what it does not measure is
arithmetic, and its notes say so.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks import measure
from keras_resnet.preprocessing.views import Look, whole
from train.datasets import batches, record_files
from train.datasets.batches import Share, Stream
from train.datasets.decoding import READERS
from train.datasets.examples import Examples, Pair, indices
from train.datasets.record_files import FRAME, LENGTH, Piece, RecordFiles

COMMAND = "python -m benchmarks.reading"
EXAMPLES, FILES = 1_281_167, 1024  # of ImageNet, and of its TFRecords as TFDS writes them
SIZE = 110_000  # bytes of a record, about
BATCH = 8192
COUNTS = (1, 8, 64, 512)  # of workers in the second table
STEP = 100_000  # at which a run resumes
EACH = 500  # records of a made-up file
BLOCK = 10  # records that are read together
PART = 16  # the index is timed on one file in so many
OLD_BUFFER, OLD_FILES = 16_384, 16  # records in the buffer of the old way, and its open files
WORKERS = 8  # workers of the first table
TIMES = 4  # that a round reads all records
GB = 1e9
MB = 1e6


def made_up(folder: Path, files: int = 4) -> list[Piece]:
    """Writes records of random bytes, as incompressible as photographs."""
    pieces = []
    for i in range(files):
        pieces.append(Piece(str(folder / f"{i}"), EACH, 0, EACH))
        with tf.io.TFRecordWriter(pieces[-1].file) as writer:
            for _ in range(EACH):
                writer.write(os.urandom(SIZE))
    return pieces


def work(rows: tf.data.Dataset) -> measure.Work:
    """Returns a function that reads a stream to its end; graphs are traced before it is timed."""
    sizes = rows.map(tf.strings.length).repeat(TIMES).batch(1000)
    return lambda: list(sizes)


def old(files: RecordFiles, size: int) -> tf.data.Dataset:
    """One of several workers that reads all records, and drops those of the others."""
    numbered = files.all().take(size).enumerate()
    mine = numbered.filter(lambda number, _record: number % WORKERS == 0)
    return mine.map(lambda _number, record: record)


def own(order: tf.Tensor) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(order[: len(order) // WORKERS])


def block(files: RecordFiles, size: int) -> tf.data.Dataset:
    """Shuffled blocks of neighbouring records, each read in one go."""
    length = SIZE + FRAME

    def records(number: tf.Tensor) -> tf.data.Dataset:
        file, rest = number * BLOCK // EACH, number * BLOCK % EACH
        buffer = tf.constant(BLOCK * length, tf.int64)
        begin = tf.cast(rest, tf.int64) * length
        return record_files._from(files._files[file], begin, buffer).take(BLOCK)

    order = tf.random.experimental.stateless_shuffle(tf.range(size // BLOCK), [0, 0])
    return own(order).flat_map(records)


def single(files: RecordFiles, size: int) -> tf.data.Dataset:
    order = tf.random.experimental.stateless_shuffle(tf.range(size), [0, 0])
    return own(order).map(files.read)


def cold(files: RecordFiles, pieces: Sequence[Piece], rounds: int) -> tuple[float, float]:
    """Returns MB per second off the page cache: of files in order, and of single records."""
    size = len(pieces) * EACH
    order = tf.random.experimental.stateless_shuffle(tf.range(size), [0, 0])
    singles = tf.data.Dataset.from_tensor_slices(order).map(files.read, READERS)
    options = tf.data.Options()
    options.threading.private_threadpool_size = READERS
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for rows, own_seconds in zip((files.all(), singles), seconds, strict=True):
            one = rows.map(tf.strings.length).batch(1000).with_options(options)
            forget(pieces)
            begin = time.perf_counter()
            list(one)
            own_seconds.append(time.perf_counter() - begin)
    whole, alone = (size * SIZE / MB / statistics.median(one) for one in seconds)
    return whole, alone


def ways(rounds: int = 7) -> None:
    """Measures the ways to read records on one core."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        pieces = made_up(Path(folder))
        files = RecordFiles(pieces)
        size = len(pieces) * EACH
        works = {
            "every worker reads all": work(old(files, size)),
            f"blocks of {BLOCK}": work(block(files, size)),
            "single records": work(single(files, size)),
        }
        seconds = measure.alternate(works, rounds)
        whole, alone = cold(files, pieces, rounds)
    cached = (
        f"One of {WORKERS} workers, with the files in the page cache; a worker alone reads"
        f" {WORKERS} times as many in the first way, and as many as here in the others."
    )
    uncached = (
        f"Off the page cache, on the local disk: {whole:.0f} MB/s of files in order,"
        f" {alone:.0f} MB/s of single records, {READERS} at a time."
    )
    measure.Table(
        "reading",
        COMMAND,
        f"own records of {SIZE // 1000} kB per CPU second",
        "every worker reads all",
        measure.rates(seconds, TIMES * size // WORKERS),
        (cached, uncached),
    ).write()


def sparse(folder: Path, files: int) -> list[Piece]:
    """Writes files that have the lengths of records, and holes for the rest."""
    each = EXAMPLES // FILES
    sizes = np.random.default_rng(0).integers(SIZE // 2, SIZE * 3 // 2, each)
    ends = np.cumsum(sizes + FRAME)
    pieces = []
    for i in range(files):
        pieces.append(Piece(str(folder / f"{i}"), each, 0, each))
        with Path(pieces[-1].file).open("wb") as file:
            for end, length in zip(ends, sizes, strict=True):
                file.seek(int(end - length - FRAME))
                file.write(int(length).to_bytes(LENGTH, "little"))
            file.truncate(int(ends[-1]))
            os.fsync(file.fileno())
    return pieces


def forget(pieces: Iterable[Piece]) -> None:
    """Takes files out of the page cache."""
    for piece in pieces:
        descriptor = os.open(piece.file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def index_seconds() -> tuple[float, float, float]:
    """Returns CPU and wall seconds of ImageNet's index, and wall seconds off the page cache."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        pieces = sparse(Path(folder), FILES // PART)
        forget(pieces)
        begin = time.perf_counter()
        RecordFiles(pieces)
        cold = time.perf_counter() - begin
        begin, cpu = time.perf_counter(), time.process_time()
        RecordFiles(pieces)
        warm = time.perf_counter() - begin
        return PART * (time.process_time() - cpu), PART * warm, PART * cold


def unread(index: tf.Tensor, look: Look = whole) -> Pair:
    """Stands for reading an example."""
    return look(index).finish(index), index


def imagenet() -> Examples:
    """Examples that are an index only; nothing of them is read."""
    return Examples(EXAMPLES, ("a",), 3, indices(EXAMPLES), unread)


def indices_of_epoch(share: Share) -> np.ndarray:
    """Returns the examples that a worker reads in the steps that the first epoch fills."""
    stream = Stream(BATCH, look=lambda _seed: whole)
    own_rows = EXAMPLES // BATCH * len(share.rows(BATCH))
    rows = batches._positions(imagenet(), stream, 0, share).take(own_rows).batch(4096)
    return np.concatenate([part.numpy() for _, part in rows])


def resume_seconds(share: Share) -> tuple[float, float]:
    """Returns CPU and wall seconds until a run that resumes knows what to read first."""
    stream = Stream(BATCH, look=lambda _seed: whole)
    wall, cpu = time.perf_counter(), time.process_time()
    next(iter(batches._positions(imagenet(), stream, STEP, share)))
    return time.process_time() - cpu, time.perf_counter() - wall


def workers() -> None:
    """Counts what each of many workers reads, opens and holds."""
    sizes = np.random.default_rng(0).integers(SIZE // 2, SIZE * 3 // 2, EXAMPLES) + FRAME
    whole = sizes.sum()
    index = 8 * (EXAMPLES + FILES)
    order = 4 * EXAMPLES
    held = index + 4 * order + READERS * SIZE
    rows = []
    for count in COUNTS:
        share = Share(count - 1, count, count)
        read = sizes[indices_of_epoch(share)].sum() + LENGTH * EXAMPLES // count
        rows.append(
            (
                str(count),
                f"{whole / GB:.1f}",
                f"{read / GB:.2f}",
                f"{read * count / whole:.2f}",
                f"{OLD_FILES}, {min(READERS, BATCH // count)}",
                f"{OLD_BUFFER * SIZE / MB:,.0f}",
                f"{held / MB:,.0f}",
            )
        )
    cpu, warm, cold = index_seconds()
    first_cpu, first = resume_seconds(Share(1, 512, 512))
    columns = (
        "workers",
        "GB an epoch before",
        "GB now",
        "times 1/workers",
        "open files before, now",
        "MB held before",
        "MB held now",
    )
    counted = (
        f"Of ImageNet ({EXAMPLES:,} examples of about {SIZE // 1000} kB in {FILES:,} files), batch"
        f" size {BATCH:,}. GB now: counted by the code on a made-up index, with the lengths of"
        " the first epoch; all the rest is arithmetic. Memory now: the index, the orders of two"
        f" epochs, held twice, and {READERS} records; before: a buffer of {OLD_BUFFER:,} records."
    )
    timed = (
        f"The index by one worker: {cpu:.1f} CPU seconds; {warm:.1f} s with the lengths in the"
        f" page cache, {cold:.0f} s without, on the local disk ({PART} times the time of 1/{PART}"
        " of the files, with holes in place of images); several workers share this work."
        f" To resume at step {STEP:,}: {first_cpu:.2f} CPU seconds, {first:.2f} s."
    )
    notes = (counted, timed)
    measure.Columns("workers", COMMAND, columns, tuple(rows), notes).write()


def main() -> None:
    measure.pin()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    ways()
    workers()


if __name__ == "__main__":
    main()
