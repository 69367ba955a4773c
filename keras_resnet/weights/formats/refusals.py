"""Says why a checkpoint is not read, and what its owner can do about it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keras_resnet.weights.formats.numpy_files import Array
from keras_resnet.weights.formats.pickles import Unknown
from keras_resnet.weights.formats.tensors import Tensor

# What PyTorch calls tensors whose numbers lie in several files, or are no plain numbers.
UNREADABLE = re.compile(r"torch\w*\..*(_rebuild\w*|Tensor|Storage)", re.DOTALL)


def no_tensors(content: Any, unknown: Mapping[str, Unknown], optimizers: Sequence[str]) -> str:
    """Explains a checkpoint in which no tensor has a name.

    Args:
        content: of the checkpoint.
        unknown: the objects in it, by their paths.
        optimizers: the paths of states of optimizers.
    """
    return next(_reasons(content, unknown, optimizers))


def _reasons(
    content: Any, unknown: Mapping[str, Unknown], optimizers: Sequence[str]
) -> Iterator[str]:
    """Yields what can be said of such a checkpoint, the most helpful first."""
    if isinstance(content, Tensor | Array):
        yield "it holds one tensor without a name, and not those of a network"
    if isinstance(content, Unknown):
        unknown = {"": content, **unknown}
    for path, value in unknown.items():
        if value.module:
            place = f" in {path[:80]!r}" if path else ""
            yield (
                f"it holds a pickled module, {value.kind}{place}, whose code is not run. In"
                " PyTorch, torch.save(model.state_dict(), new_file) writes its weights alone"
            )
    for path, value in unknown.items():
        if UNREADABLE.fullmatch(value.kind):
            yield _unreadable(path, value)
    if optimizers:
        place = f" in {optimizers[0][:80]!r}" if optimizers[0] else ""
        yield (
            f"it holds the state of an optimizer{place}, and no weights. The"
            " weights are in another file of the same training; DeepSpeed's zero_to_fp32.py"
            " gathers those that it has split"
        )
    for path, value in unknown.items():
        place = f"in {path[:80]!r}, " if path else ""
        yield f"it holds no tensors, but {place}an object of {value.kind}, which is not built"
    if not isinstance(content, dict):
        yield f"it holds a Python {type(content).__name__}, and no dictionary of tensors"
    yield f"it holds no tensors; its keys are {[str(key)[:80] for key in list(content)[:5]]}"


def check(tensors: Mapping[str, Tensor], unknown: Mapping[str, Unknown]) -> None:
    """Refuses a network of which this file holds only a part.

    Args:
        tensors: by name.
        unknown: what is in their place or beside them, by name.

    Raises:
        ValueError: if a tensor is sparse, quantized or distributed, or its numbers are elsewhere.
    """
    for name, value in unknown.items():
        if UNREADABLE.fullmatch(value.kind):
            raise ValueError(_unreadable(name, value))
    flat = [name for name in tensors if re.fullmatch(r"(.*\.)?_?flat_param(_\d+)?", name)]
    if flat:
        raise ValueError(
            f"{flat[0][:80]!r} is a shard of FSDP. In PyTorch, save the state dict of type"
            " FULL_STATE_DICT"
        )
    if not any(tensor.size for tensor in tensors.values()):
        raise ValueError(
            "all of its tensors are empty, as DeepSpeed's ZeRO-3 leaves them: zero_to_fp32.py"
            " gathers the weights"
        )


def _unreadable(path: str, value: Unknown) -> str:
    return (
        f"{path[:80]!r} is a {value.kind}: sparse, quantized and distributed tensors are not read."
        " In PyTorch, save plain ones: tensor.to_dense(), .dequantize() or .full_tensor()"
    )
