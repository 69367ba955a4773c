"""Whether a step fits into memory. Needs are lower bounds: what is refused could not have run."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from keras_resnet import transfer
from keras_resnet.analysis import memory
from train.recipes.recipe import Recipe
from train.run import devices, machine
from train.run.state import TrainState

SMALLER = "a smaller --batch_size or --image_size, or --precision=bfloat16"
Room = tuple[int, str]  # bytes, and what has them


@dataclass(frozen=True)
class Need:
    """The bytes that a step takes at least, on one GPU, or on the CPU.

    Attributes:
        fixed: of weights, slots of the optimizer, and averages of weights.
        gradients: of all weights that learn.
        kept: per image, from the forward to the backward pass.
        images: per replica and step.
        copies: of the network in the same memory, as replicas on parts of a CPU have.
    """

    fixed: int
    gradients: int
    kept: int
    images: int
    copies: int = 1

    def bytes(self, micro_batches: int) -> int:
        """Returns the least that is taken at a time.

        Activations go while gradients come, so that the larger of the two counts. Micro-batches add
        to a sum of gradients. Replicas on parts of a CPU may keep their activations in turns.
        """
        sums = self.gradients if micro_batches > 1 else 0
        kept = self.kept * self.images // micro_batches
        return self.copies * (self.fixed + sums) + max(self.copies * self.gradients, kept)


def need(state: TrainState, recipe: Recipe, shape: Sequence[int], *, compiled: bool) -> Need:
    """Returns what a step of a recipe takes at least, on images of (height, width, channels).

    XLA, if the step is compiled, may compute some activations again rather than keep them.
    """
    transfer.freeze(state.model, recipe.frozen(recipe.steps))  # at the end more parts learn
    slots = [v for group in state.update.variables.values() for v in group]
    return Need(
        memory.variable_bytes([*state.model.variables, *slots]),
        memory.variable_bytes(state.model.trainable_variables),
        memory.kept_bytes(state.model, shape, recomputed=compiled),
        recipe.batch_size // state.strategy.num_replicas_in_sync,
        1 if devices.gpus() else _replicas(state),
    )


def _replicas(state: TrainState) -> int:
    """Returns how many replicas this process has."""
    return state.strategy.num_replicas_in_sync // devices.workers(state.strategy)[1]


def room(replicas: int = 1) -> Room | None:
    """Returns the memory of the smallest GPU in use, or without GPUs of this machine."""
    if not devices.gpus():
        size = machine.host_bytes()
        return (size, "this machine") if size else None
    sizes = [machine.gpu_bytes(i) for i in range(min(replicas, devices.gpus()))]
    known = [size for size in sizes if size]
    return (min(known), "the GPU") if known else None


def check(
    state: TrainState, recipe: Recipe, shape: Sequence[int], *, compiled: bool = False
) -> None:
    """Raises a ValueError for a step that cannot fit into memory; it says what might."""
    found = room(_replicas(state))
    needed = need(state, recipe, shape, compiled=compiled)
    least = needed.bytes(recipe.micro_batches)
    if found and least > found[0]:
        images = needed.images // recipe.micro_batches
        raise ValueError(
            f"a step needs at least {_gib(least)} ({images} images at a time per replica),"
            f" {found[1]} has {_gib(found[0])}: {advice(needed, recipe, found[0])}"
        )


def advice(needed: Need, recipe: Recipe, room: int) -> str:
    """Returns the flags that make a step smaller, with micro-batches that take half of the room."""
    for parts in _parts(recipe, needed.images):
        if 2 * needed.bytes(parts) < room:
            least = _gib(needed.bytes(parts))
            return f"give --micro_batches={parts} (at least {least}), {SMALLER}"
    return f"give {SMALLER}"


def exhausted(error: tf.errors.OpError, recipe: Recipe, replicas: int) -> str | None:
    """Returns what to say of memory that ran out, or None for another error."""
    told = re.search(r"OOM when allocating [^\n]*|Out of memory[^\n]*", error.message or "")
    if not told:
        return None
    more = next(_parts(recipe, recipe.batch_size // replicas), None)
    parts = f"--micro_batches={more} or more, " if more else ""
    return f"out of memory: {told[0]}: give {parts}{SMALLER}"


def _parts(recipe: Recipe, images: int) -> Iterator[int]:
    """Yields more micro-batches than now, which share the images of a replica evenly."""
    if not recipe.sync_bn:  # which waits in the middle of the network for all of a batch
        larger = range(recipe.micro_batches + 1, images + 1)
        yield from (n for n in larger if not images % n)


def check_evaluation(model: keras.Model, shape: Sequence[int], batch_size: int) -> None:
    """Raises a ValueError for so many images that one convolution cannot fit into memory."""
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
