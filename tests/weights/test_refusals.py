"""Files of PyTorch that hold no weights, or not all of them: what the error tells to do."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import checkpoints
from tests.support.checkpoints import read, save, state

# Torch deprecates what users have used for years.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
SHARDED = """
import sys, torch, torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}.init", rank=0, world_size=1)
mesh = init_device_mesh("cpu", (1,))
tensors = {name: distribute_tensor(torch.ones(4, 3, 3, 3), mesh, [Shard(0)])
           for name in ("conv1.weight", "layer1.0.conv1.weight")}
torch.save({"model": tensors, "epoch": 1}, sys.argv[1])
"""


class Wrapper:
    """Holds a network as an attribute, as averages of old scripts do."""

    def __init__(self) -> None:
        self.ema, self.decay = checkpoints.Net(), 0.99


def script(file: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 3)).save(str(file))


def quantized(file: Path) -> None:
    kernel = torch.quantize_per_tensor(torch.ones(4, 3, 3, 3), 0.1, 0, torch.qint8)
    save({**state(), "conv1.weight": kernel}, file)


def sharded(file: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHARDED, str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def flat(file: Path) -> None:
    save({"model": {"_fsdp_wrapped_module._flat_param": torch.zeros(99)}}, file)


def zero3(file: Path) -> None:
    save({"module": {name: torch.zeros(0) for name in state()}, "ds_version": "0.14"}, file)


def holding(content: Any) -> Callable[[Path], object]:
    return lambda file: save(content, file)


PARTITION = {"optimizer_state_dict": {"zero_stage": 3, "fp32_flat_groups": [torch.zeros(9)]}}
MODULE = r"contains a pickled module, tests\.support\.checkpoints\.Net"
WRITE = r"whose code is not run\. In PyTorch, torch\.save\(model\.state_dict\(\), new_file\)"
SPLIT = r"distributed tensors are not read\. In PyTorch, save plain ones: .*\.full_tensor\(\)"
CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "module": (holding(checkpoints.Net()), f"{MODULE}, {WRITE}"),
    "module in a checkpoint": (
        holding({"model": checkpoints.Net(), "epoch": 3}),
        f"{MODULE} in 'model', {WRITE}",
    ),
    "module of modules": (holding([{"a": {"net": checkpoints.Net()}}]), f"{MODULE} in '0.a.net', "),
    "object": (holding({"ema": Wrapper()}), r"no tensors, but in 'ema', an object of .*Wrapper, "),
    "TorchScript": (script, r"is a TorchScript archive, .*torch\.jit\.load\(file\)\.state_dict"),
    "optimizer": (
        holding({"optimizer": checkpoints.optimizer()}),
        "the state of an optimizer in 'optimizer', and no weights",
    ),
    "optimizer alone": (holding(checkpoints.optimizer()), "state of an optimizer, and no weights"),
    "optimizers": (
        holding({"optimizer_states": [checkpoints.optimizer()]}),
        r"the state of an optimizer in 'optimizer_states\.0', and no weights",
    ),
    "ZeRO optimizer": (holding(PARTITION), r"an optimizer in 'optimizer_state_dict'.*zero_to_fp32"),
    "ZeRO-3": (zero3, r"all of its tensors are empty, .*; zero_to_fp32\.py gathers"),
    "FSDP": (flat, r"'_fsdp_wrapped_module\._flat_param' is a shard of FSDP\..*FULL_STATE_DICT"),
    "DTensor": (sharded, rf"'model\.conv1\.weight' is a torch.*DTensor: .*{SPLIT}"),
    "quantized": (quantized, r"'conv1\.weight' is a torch\._utils\._rebuild_qtensor: .*quantized"),
    "sparse": (
        holding({"model": {**state(), "fc.weight": torch.eye(3).to_sparse()}}),
        r"'fc\.weight' is a torch\._utils\._rebuild_sparse_tensor: sparse",
    ),
    "tensor": (holding(torch.zeros(3)), "contains one tensor without a name"),
    "tensors": (holding([torch.zeros(3)]), "contains a Python list, not a dictionary of tensors"),
    "number": (holding(3), "contains a Python int, not a dictionary of tensors"),
    "numbers": (holding({"epoch": 3, "lr": 0.1}), r"no tensors; its keys are \['epoch', 'lr'\]"),
}


@pytest.mark.parametrize("name", CASES)
def test_it_says_what_to_do(name: str, tmp_path) -> None:
    write, told = CASES[name]
    write(tmp_path / "file.pth")
    with pytest.raises(ValueError, match=rf"file\.pth cannot be read: .*{told}") as caught:
        read(tmp_path / "file.pth")
    assert "\n" not in str(caught.value)


def test_what_it_says_to_do_helps(tmp_path) -> None:
    """The ways that the errors name lead to files that are read."""
    net = checkpoints.Net()
    checkpoints.same(read(save(net.state_dict(), tmp_path / "a.pth")), net.state_dict())
    torch.jit.script(net).save(str(tmp_path / "script.pt"))
    with pytest.raises(ValueError, match="TorchScript"):
        read(tmp_path / "script.pt")
    again = torch.jit.load(str(tmp_path / "script.pt")).state_dict()
    checkpoints.same(read(save(again, tmp_path / "b.pth")), net.state_dict())
