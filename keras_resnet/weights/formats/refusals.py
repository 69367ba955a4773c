"""Error messages for checkpoints that cannot be read, with instructions for their owner."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keras_resnet.weights.formats.numpy_files import Array
from keras_resnet.weights.formats.pickles import Unknown
from keras_resnet.weights.formats.tensors import Tensor

# PyTorch's names of tensors that are distributed, sparse or quantized.
UNREADABLE = re.compile(r"torch\w*\..*(_rebuild\w*|Tensor|Storage)", re.DOTALL)


def no_tensors(content: Any, unknown: Mapping[str, Unknown], optimizers: Sequence[str]) -> str:
    """Returns the reason why a checkpoint has no named tensors.

    Args:
        content: of the checkpoint.
        unknown: objects in it, by their paths.
        optimizers: paths of optimizer states.
    """
    return next(_reasons(content, unknown, optimizers))


def _reasons(
    content: Any, unknown: Mapping[str, Unknown], optimizers: Sequence[str]
) -> Iterator[str]:
    """Yields possible reasons, the most helpful first."""
    if isinstance(content, Tensor | Array):
        yield "it contains one tensor without a name, not those of a network"
    if isinstance(content, Unknown):
        unknown = {"": content, **unknown}
    for path, value in unknown.items():
        if value.module:
            place = f" in {path[:80]!r}" if path else ""
            yield (
                f"it contains a pickled module, {value.kind}{place}, whose code is not run. In"
                " PyTorch, torch.save(model.state_dict(), new_file) writes only its weights"
            )
    for path, value in unknown.items():
        if UNREADABLE.fullmatch(value.kind):
            yield _unreadable(path, value)
    if optimizers:
        place = f" in {optimizers[0][:80]!r}" if optimizers[0] else ""
        yield (
            f"it contains the state of an optimizer{place}, and no weights. The"
            " weights are in another file of the same training; DeepSpeed's zero_to_fp32.py"
            " gathers partitioned ones"
        )
    for path, value in unknown.items():
        place = f"in {path[:80]!r}, " if path else ""
        yield f"it contains no tensors, but {place}an object of {value.kind}, which is not created"
    if not isinstance(content, dict):
        yield f"it contains a Python {type(content).__name__}, not a dictionary of tensors"
    yield f"it contains no tensors; its keys are {[str(key)[:80] for key in list(content)[:5]]}"


def check(tensors: Mapping[str, Tensor], unknown: Mapping[str, Unknown]) -> None:
    """Refuses a network of which the file contains only a part.

    Args:
        tensors: by name.
        unknown: objects in the same dictionary, by name.

    Raises:
        ValueError: if a tensor is sparse, quantized or distributed, or if its data are elsewhere.
    """
    for name, value in unknown.items():
        if UNREADABLE.fullmatch(value.kind):
            raise ValueError(_unreadable(name, value))
    flat = [name for name in tensors if re.fullmatch(r"(.*\.)?_?flat_param(_\d+)?", name)]
    if flat:
        raise ValueError(
            f"{flat[0][:80]!r} is a shard of FSDP. In PyTorch, save a state dict of type"
            " FULL_STATE_DICT"
        )
    if not any(tensor.size for tensor in tensors.values()):
        raise ValueError(
            "all of its tensors are empty, as in checkpoints of DeepSpeed's ZeRO-3; zero_to_fp32.py"
            " gathers the weights"
        )


def _unreadable(path: str, value: Unknown) -> str:
    return (
        f"{path[:80]!r} is a {value.kind}: sparse, quantized and distributed tensors are not read."
        " In PyTorch, save plain ones: tensor.to_dense(), .dequantize() or .full_tensor()"
    )
