"""Whether a step fits into memory, by lower bounds: what is refused could not have run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras

from keras_resnet.analysis import memory
from keras_resnet.preprocessing.decoding import errors
from train.optimize.batching import Batching
from train.run import devices, machine
from train.run.state import TrainState

SMALLER = "a smaller --batch_size or --image_size, or --precision=bfloat16"
Room = tuple[int, str]  # bytes, and what has them


@dataclass(frozen=True)
class Need:
    """The bytes that a step takes at least, on one GPU or on the CPU.

    Attributes:
        fixed: bytes of weights, slots of the optimizer, and averages of weights.
        gradients: bytes of the gradients of all weights that learn.
        kept: bytes per image, from the forward to the backward pass.
        images: images per replica and step.
        copies: copies of the network in the same memory, as replicas on parts of a CPU have.
    """

    fixed: int
    gradients: int
    kept: int
    images: int
    copies: int = 1

    def bytes(self, micro_batches: int) -> int:
        """Returns the least number of bytes at the peak of a step.

        Activations are freed while gradients are computed, so the larger of the two counts.
        Micro-batches need a sum of gradients besides. Replicas on parts of a CPU may keep their
        activations one after another.
        """
        sums = self.gradients if micro_batches > 1 else 0
        kept = self.kept * self.images // micro_batches
        return self.copies * (self.fixed + sums) + max(self.copies * self.gradients, kept)


def need(state: TrainState, shape: Sequence[int], batch_size: int, *, compiled: bool) -> Need:
    """Returns what a step takes at least, with the parts of the network that are frozen now.

    Args:
        state: the network and its update.
        shape: height, width and channels of a training image.
        batch_size: images of a global batch.
        compiled: whether XLA compiles the step: it may compute some activations again rather than
            keep them.
    """
    slots = [v for group in state.update.variables.values() for v in group]
    return Need(
        memory.variable_bytes([*state.model.variables, *slots]),
        memory.variable_bytes(state.model.trainable_variables),
        memory.kept_bytes(state.model, shape, recomputed=compiled),
        batch_size // state.strategy.num_replicas_in_sync,
        1 if devices.gpus() else _replicas(state),
    )


def _replicas(state: TrainState) -> int:
    """Returns how many replicas this process has."""
    return state.strategy.num_replicas_in_sync // devices.num_workers(state.strategy)


def room(replicas: int = 1) -> Room | None:
    """Returns the memory of the smallest GPU in use or, without GPUs, of this machine."""
    if not devices.gpus():
        size = machine.host_bytes()
        return (size, "this machine") if size else None
    sizes = [machine.gpu_bytes(i) for i in range(min(replicas, devices.gpus()))]
    known = [size for size in sizes if size]
    return (min(known), "the GPU") if known else None


def check(
    state: TrainState, shape: Sequence[int], batching: Batching, *, compiled: bool = False
) -> None:
    """Checks that a step can fit into memory, with the parts of the network that are frozen now.

    Args:
        state: as of `need`.
        shape: as of `need`.
        batching: size and parts of a batch.
        compiled: as of `need`.

    Raises:
        ValueError: if it cannot, naming flags with which it might.
    """
    found = room(_replicas(state))
    needed = need(state, shape, batching.size, compiled=compiled)
    least = needed.bytes(batching.micro_batches)
    if found and least > found[0]:
        images = needed.images // batching.micro_batches
        raise ValueError(
            f"a step needs at least {_gib(least)} ({images} images at a time per replica),"
            f" {found[1]} has {_gib(found[0])}: {advice(needed, batching, found[0])}"
        )


def told(state: TrainState, shape: Sequence[int], batching: Batching, *, compiled: bool) -> str:
    """Returns what a step needs at least, and what there is.

    Args:
        state: as of `need`.
        shape: as of `need`.
        batching: size and parts of a batch.
        compiled: as of `need`.
    """
    least = need(state, shape, batching.size, compiled=compiled).bytes(batching.micro_batches)
    found = room(_replicas(state))
    has = f"{found[1]} has {_gib(found[0])}" if found else "how much there is, is unknown"
    return f"a step needs at least {_gib(least)}, up to twice as much in practice; {has}"


def advice(needed: Need, batching: Batching, room: int) -> str:
    """Returns the flags that make a step smaller, with micro-batches that take half of the room."""
    for parts in _parts(batching, needed.images):
        if 2 * needed.bytes(parts) < room:
            least = _gib(needed.bytes(parts))
            return f"give --micro_batches={parts} (at least {least}), {SMALLER}"
    return f"give {SMALLER}"


def exhausted(error: Exception, batching: Batching, replicas: int) -> str:
    """Returns a message if memory ran out in a step, and "" for any other error."""
    told = errors.out_of_memory(error)
    if not told:
        return ""
    more = next(_parts(batching, batching.size // replicas), None)
    parts = f"--micro_batches={more} or more, " if more else ""
    return f"out of memory: {told}: give {parts}{SMALLER}"


def _parts(batching: Batching, images: int) -> Iterator[int]:
    """Yields larger numbers of micro-batches, which share the images of a replica evenly."""
    if not batching.sync_bn:
        larger = range(batching.micro_batches + 1, images + 1)
        yield from (n for n in larger if not images % n)


def check_evaluation(model: keras.Model, shape: Sequence[int], batch_size: int) -> None:
    """Checks that the widest convolution can fit into memory.

    Args:
        model: any network.
        shape: height, width and channels of an image.
        batch_size: images at a time.

    Raises:
        ValueError: if it cannot.
    """
    found = room()
    least = memory.variable_bytes(model.variables)
    least += batch_size * memory.widest_bytes(model, shape)
    if found and least > found[0]:
        raise ValueError(
            f"{batch_size} images at a time need at least {_gib(least)}, {found[1]} has"
            f" {_gib(found[0])}: give a smaller --batch_size"
        )


def _gib(size: int) -> str:
    return f"{size / 2**30:.3g} GiB" if size < 1000 * 2**30 else f"{size / 2**30:,.0f} GiB"
