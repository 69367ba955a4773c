"""The weights of one network are found wherever a training script puts them, or refused."""

import argparse
import collections
import datetime
import enum
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.optim.swa_utils import AveragedModel

from keras_resnet.weights.formats.containers import opened
from tests.support import checkpoints
from tests.support.checkpoints import read, same, save, state

formats = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


class Colour(enum.Enum):
    RED = 1


class Settings(dict):
    """A dictionary of a class of its own, as EasyDict is."""


BESIDE = {
    "namespace": argparse.Namespace(lr=0.1, data=Path("a") / "b", milestones=[30, 60]),
    "path": Path("a"),
    "scalar": np.float64(71.5),
    "array": np.arange(6.0).reshape(2, 3),
    "texts": np.array(["cat", "dog"]),
    "date": datetime.datetime(2024, 3, 15, 12),
    "sets": ({1, 2}, frozenset("ab")),
    "counter": collections.Counter([30, 60]),
    "default": collections.defaultdict(list, a=[1]),
    "deque": collections.deque([1, 2], 5),
    "enum": Colour.RED,
    "class": argparse.Namespace,
    "complex": 1j,
    "keys": {(1, 2): 3, 0.5: 1, None: 2},
    "device": torch.device("cpu"),
    "dtype": torch.bfloat16,
    "generator": torch.get_rng_state(),
    "imaginary": torch.zeros(2, dtype=torch.complex64),
    "settings": Settings(a=Settings(b=1)),
    "random": random.Random(0).getstate(),
}
TENSORS = ("array", "generator", "imaginary")  # among those of a network they would be left over


@pytest.mark.parametrize("name", BESIDE)
def test_objects_beside_the_weights_change_nothing(name: str, tmp_path) -> None:
    content = {"epoch": 3, "first": BESIDE[name], "state_dict": state(), "last": BESIDE[name]}
    for protocol in (2, 3, 4, 5):
        torch.save(content, tmp_path / "a.pth", pickle_protocol=protocol)
        same(read(tmp_path / "a.pth"), state())
    if name != "imaginary":  # a storage of unknown width cannot be skipped
        same(read(save(content, tmp_path / "old.pth", zipped=False)), state())
    if name not in TENSORS:
        same(read(save({**state(), "first": BESIDE[name]}, tmp_path / "flat.pth")), state())


PLACES = [
    "net",
    "model_state_dict",
    "ema",
    "model_ema",
    "state_dict",
    "state_dict_ema",
    "model",
    "params",
    "weights",
    "backbone",
    "anything",
    "model.net",
    "0.net",
    "ckpt.model.state_dict",
]


def nested(place: str, value: Any) -> Any:
    for key in reversed(place.split(".")):
        value = [value] if key == "0" else {"epoch": 1, key: value}
    return value


@formats
@pytest.mark.parametrize("place", PLACES)
def test_weights_are_found_by_what_they_are(place: str, zipped: bool, tmp_path) -> None:
    content = {"optimizer": checkpoints.optimizer(), "best": 71.5, "0": nested(place, state())}
    same(read(save(content, tmp_path / "a.pth", zipped=zipped)), state())


@formats
@pytest.mark.parametrize(
    "average", ["state_dict_ema", "model_ema", "ema", "swa_model", "ema.module"]
)
def test_averaged_weights_are_chosen_and_it_is_told(average: str, zipped: bool, tmp_path) -> None:
    content = {"model": state(), "opt": checkpoints.optimizer(), **nested(average, state(1))}
    file = save(content, tmp_path / "a.pth", zipped=zipped)
    same(read(file), state(1))
    with opened(file) as container:
        assert container.chosen == f"{average} of model, {average}"
    same(read(file, "model"), state())


def test_an_averaged_model_of_pytorch_is_one(tmp_path) -> None:
    net = checkpoints.Net()
    averaged = AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5))
    for seed in (1, 2):
        averaged.update_parameters(checkpoints.Net(seed))
    expected = averaged.module.state_dict()
    assert "n_averaged" in averaged.state_dict()
    same(read(save(averaged.state_dict(), tmp_path / "a.pth")), expected)
    content = {"net": net.state_dict(), "other": averaged.state_dict()}
    same(read(save(content, tmp_path / "b.pth")), expected)
    with opened(tmp_path / "b.pth") as container:
        assert container.chosen == "other of net, other"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Torch's own
def test_a_compiled_or_parallel_module_has_the_names_of_its_network(tmp_path) -> None:
    net = checkpoints.Net()
    both = torch.compile(torch.nn.DataParallel(net), backend="eager")
    averaged = AveragedModel(torch.compile(net, backend="eager"))
    for wrapped in (torch.nn.DataParallel(net), torch.compile(net), both, averaged):
        same(read(save(wrapped.state_dict(), tmp_path / "a.pth")), net.state_dict())


@pytest.mark.parametrize("end", ["fc", "module.fc", "other.fc"])
def test_a_prefix_that_only_most_names_have_is_dropped(end: str, tmp_path) -> None:
    names = {k: f"module.encoder.{k}".replace("module.encoder.fc", end) for k in state()}
    found = read(save({names[k]: t for k, t in state().items()}, tmp_path / "a.pth"))
    short = "other.fc" if end == "other.fc" else "fc"
    same(found, {k.replace("fc", short): t for k, t in state().items()})


def test_what_stands_twice_is_refused(tmp_path) -> None:
    content = {**state(prefix="module."), "fc.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"contains 'fc\.weight' twice.*prefix='module\.'"):
        read(save(content, tmp_path / "a.pth"))
    same(read(tmp_path / "a.pth", "module."), state())


MOCO = {
    **state(prefix="module.encoder_q."),
    **state(1, "module.encoder_k."),
    "module.queue": torch.zeros(4, 9),
    "module.queue_ptr": torch.zeros(1),
}


def write(content: dict[str, torch.Tensor], file: Path) -> Path:
    if file.suffix == ".safetensors":
        save_file(content, file)
    elif file.suffix == ".npz":
        np.savez(file, **{name: tensor.numpy() for name, tensor in content.items()})
    elif file.suffix == ".pkl":
        arrays = {name: tensor.numpy() for name, tensor in content.items()}
        file.write_bytes(pickle.dumps({"model": arrays, "__author__": "MoCo"}))
    else:
        save({"state_dict": content}, file)
    return file


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "a.npz", "a.pkl"])
def test_a_prefix_chooses_a_network(name: str, tmp_path) -> None:
    file = write(MOCO, tmp_path / name)
    same(read(file, "module.encoder_q."), state())
    same(read(file, "module.encoder_k"), state(1))
    told = (
        rf"{name} cannot be read: it contains 2 sets of weights, in .*encoder_k\., .*encoder_q\.;"
    )
    with pytest.raises(ValueError, match=told + " choose one, such as prefix='.*encoder_k"):
        read(file)
    told = r"no name of a tensor begins with 'backbone\.'; there are .*module\.encoder_k\., "
    with pytest.raises(ValueError, match=told):
        read(file, "backbone.")
    same(read(write(state(prefix="module."), tmp_path / name)), state())


def test_a_prefix_may_name_the_place(tmp_path) -> None:
    file = save({"student": state(), "teacher": state(1, "module.")}, tmp_path / "a.pth")
    for prefix in ("teacher", "teacher.", "teacher.module."):
        same(read(file, prefix), state(1))
    same(read(file, "module."), state(1))
    with pytest.raises(ValueError, match=r"2 sets of weights, in student\., teacher\.; choose"):
        read(file)
    with pytest.raises(ValueError, match=r"begins with 'x'; there are student\., teacher\."):
        read(file, "x")


def test_two_sets_of_averaged_weights_are_a_choice(tmp_path) -> None:
    content = {"model": state(), "ema_0.999": state(1), "ema_0.9999": state(2)}
    with pytest.raises(ValueError, match=r"3 sets of weights, in model\., ema_0\.999\., ema_0"):
        read(save(content, tmp_path / "a.pth"))
    same(read(tmp_path / "a.pth", "ema_0.9999"), state(2))


def test_averaged_weights_may_have_a_prefix_of_their_own(tmp_path) -> None:
    content = {"state_dict": {**state(prefix="model."), **state(1, "ema_model.module.")}}
    same(read(save(content, tmp_path / "a.ckpt")), state(1))
    with opened(tmp_path / "a.ckpt") as container:
        assert container.chosen == (
            "state_dict.ema_model.module of state_dict.ema_model.module, state_dict.model"
        )


WORDS = ("module", "_orig_mod", "model", "net", "encoder", "backbone", "student", "features", "x1")


def drawn(seed: int) -> tuple[dict[str, Any], dict[str, torch.Tensor] | None]:
    """A checkpoint, and the weights in it; None where nothing tells which."""
    draw = random.Random(seed)

    def prefix() -> str:
        return "".join(f"{draw.choice(WORDS)}." for _ in range(draw.randint(0, 4)))

    def place() -> str:
        return ".".join(
            draw.choice(["net", "weights", "a", "0"]) for _ in range(draw.randint(1, 3))
        )

    others: dict[str, Any] = {"epoch": 3, "optimizer": checkpoints.optimizer()}
    others |= {name: BESIDE[name] for name in draw.sample(sorted({*BESIDE} - {*TENSORS}), 3)}
    own = state(0, prefix())
    if draw.random() < 0.3:
        own["n_averaged"] = torch.tensor(3)
    kind = draw.choice(["flat", "nested", "averaged", "two"])
    if kind == "flat":
        content = {**others, **own}
    elif kind == "nested":
        content = {**others, "the": nested(place(), own)}
    else:
        name = {"averaged": "ema", "two": "other"}[kind]
        own.pop("n_averaged", None)
        content = {**others, "the": nested(place(), state(1, prefix())), name: nested(place(), own)}
    shuffled = dict(draw.sample(list(content.items()), len(content)))
    return shuffled, None if kind == "two" else state()


@pytest.mark.parametrize("seed", range(200))
def test_any_nesting_and_prefix_ends_in_the_same_tensors_or_one_line(seed: int, tmp_path) -> None:
    content, expected = drawn(seed)
    file = save(content, tmp_path / "drawn.pth")
    if expected is not None:
        same(read(file), expected)
        return
    with pytest.raises(ValueError, match=r"drawn\.pth.*2 sets of weights.*prefix=") as caught:
        read(file)
    assert "\n" not in str(caught.value)
