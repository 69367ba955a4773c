"""Any record of TFRecord files, read alone: an index says at which byte each of them begins.

With an index, an example is a number, as it is in a folder or in memory. So the order of an epoch
is one exact shuffle of all examples, a worker takes its own rows of a batch before anything is
read, a step is found by arithmetic, and a damaged record is one broken image. What was weighed
(`benchmarks/reading.py` measures it):

- Whole files that are dealt out to workers are read in one go, and need no index. But they are
  shuffled through a buffer only (16,384 photographs are 1.8 GB), which has to be filled again
  before a run can resume, and the number of files limits the number of workers.
- Blocks of some neighbours are read in less time, about 0.08 milliseconds a photograph less. But
  they need the same index, and a buffer for the records that are not due yet. To decode the
  photograph takes more than a millisecond.
- ArrayRecord files have an index inside. But their reader is called from Python, which may not run
  inside a pipeline (see `decoding.Broken`), and TensorFlow has no operation for them.

A record is 8 bytes of its length, 4 of their checksum, the data, and 4 of its checksum. An index
takes 8 bytes read of each record, and 8 bytes of memory.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np
import tensorflow as tf

LENGTH = 8  # bytes of the length of a record, little endian, at its begin
FRAME = 16  # bytes of a record besides its data
AT_ONCE = 32  # files that are indexed at a time, as a network disk is slow but parallel
BUFFER = 1 << 18  # bytes that are read at a time of a file that is read as a whole

Bounds = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Piece:
    """Neighbouring records of a file.

    Attributes:
        file: its path.
        records: number of records that the whole file should have.
        skip: number of records before these.
        take: number of these records.
    """

    file: str
    records: int
    skip: int
    take: int


@dataclass(frozen=True)
class Crew:
    """The workers of a training, who make one index together.

    Each reads the lengths of some files. If each read all of them, these small reads would take
    512 workers longer than an epoch of images, and 512 times as long on the disk that they share.

    Attributes:
        worker: number of this worker, from 0.
        workers: number of workers.
        total: adds up the arrays, int64, of all workers, who call it together.
    """

    worker: int = 0
    workers: int = 1
    total: Callable[[Bounds], Bounds] = lambda values: values

    def bounds(self, pieces: Sequence[Piece]) -> list[Bounds]:
        """Returns of each piece the bytes at which its records begin, and that after the last.

        Raises:
            ValueError: as `RecordFiles`, on all workers.
        """

        def own(i: int) -> Bounds:
            nothing = np.zeros(pieces[i].take + 1, np.int64)
            if i % self.workers != self.worker:
                return nothing
            try:
                return _of_piece(pieces[i])
            except ValueError:  # the others wait; all look at that file after them
                return nothing

        with ThreadPool(AT_ONCE) as pool:
            parts = pool.map(own, range(len(pieces)))
        edges = np.cumsum([len(part) for part in parts])[:-1]
        parts = np.split(self.total(np.concatenate(parts)), edges)
        return [
            part if part[-1] else _of_piece(piece)
            for part, piece in zip(parts, pieces, strict=True)
        ]


ALONE = Crew()


class RecordFiles:
    """The records of several pieces, numbered from 0 through all of them.

    Args:
        pieces: in order.
        crew: the workers that open them together.

    Raises:
        ValueError: naming a file that is missing, is truncated, or has another number of records.
    """

    def __init__(self, pieces: Sequence[Piece], crew: Crew = ALONE) -> None:
        # One bound more than a piece has records: record i, if it is of piece k, is at i + k.
        parts = crew.bounds(pieces)
        takes = np.array([piece.take for piece in pieces], np.int64)
        skips = np.array([piece.skip for piece in pieces], np.int64)
        stops = np.cumsum(takes)
        with tf.device("CPU:0"):  # where files are read
            self._files = tf.constant([piece.file for piece in pieces])
            self._takes = tf.constant(takes)
            self._stops = tf.constant(stops)
            self._numbers = tf.constant(skips + takes - stops)  # of a record in its file, less i
            self._bounds = tf.constant(np.concatenate(parts))
            self._begins = tf.constant([part[0] for part in parts])

    def all(self) -> tf.data.Dataset:
        """Lists the data of all records in order, strings; it is faster than one by one."""
        pieces = tf.data.Dataset.from_tensor_slices((self._files, self._begins, self._takes))
        return pieces.flat_map(
            lambda file, begin, take: _from(file, begin, tf.constant(BUFFER, tf.int64)).take(take)
        )

    def read(self, index: tf.Tensor) -> tf.Tensor:
        """Returns the data of a record, a string.

        Raises:
            DataLossError: at run time, if a checksum is wrong.
        """
        piece = self._piece(index)
        place = tf.cast(index, tf.int64) + piece
        begin = self._bounds[place]
        size = self._bounds[place + 1] - begin  # a buffer for one read, of no more than the record
        return _from(self._files[piece], begin, size).take(1).get_single_element()

    def name(self, index: tf.Tensor) -> tf.Tensor:
        """Returns "record 7 of FILE", a string; the first record of a file has the number 0."""
        piece = self._piece(index)
        number = tf.strings.as_string(tf.cast(index, tf.int64) + self._numbers[piece])
        return tf.strings.join(["record ", number, " of ", self._files[piece]])

    def _piece(self, index: tf.Tensor) -> tf.Tensor:
        """Returns the number of the piece that holds a record, int64."""
        index = tf.cast([index], tf.int64)
        return tf.searchsorted(self._stops, index, side="right", out_type=tf.int64)[0]


def _from(file: tf.Tensor, begin: tf.Tensor, buffer: tf.Tensor) -> tf.data.Dataset:
    """Lists the data of the records of a file from the one that begins at a byte."""
    records = tf.raw_ops.TFRecordDatasetV2(
        filenames=[file], compression_type="", buffer_size=buffer, byte_offsets=[begin]
    )
    return tf.data.experimental.from_variant(records, tf.TensorSpec([], tf.string))


def _of_piece(piece: Piece) -> Bounds:
    return bounds(piece.file, piece.records)[piece.skip : piece.skip + piece.take + 1]


def bounds(file: str, records: int) -> Bounds:
    """Returns the byte at which each record of a file begins, and the size of the file.

    Args:
        file: its path.
        records: how many there should be.

    Returns:
        int64 [records + 1].

    Raises:
        ValueError: if the file is missing, is truncated, or has another number of records.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from error
    try:
        size = os.fstat(descriptor).st_size
        found = [0]
        while found[-1] < size and len(found) <= records:
            length = int.from_bytes(os.pread(descriptor, LENGTH, found[-1]), "little")
            found.append(found[-1] + FRAME + length)
    finally:
        os.close(descriptor)
    if len(found) <= records or found[-1] != size:
        whole = sum(end <= size for end in found[1:])
        raise ValueError(
            f"a file of records is damaged: {file} has {size:,} bytes with {whole:,} whole records;"
            f" it should have {records:,} and nothing else"
        )
    return np.array(found, np.int64)
