"""Which devices a run takes: a CPU never stands in for a GPU that was asked for without a word."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import tensorflow as tf

from train.run import devices


@pytest.fixture
def hidden(monkeypatch) -> list:
    """A machine without GPUs, as TensorFlow sees it; what is hidden is recorded."""
    calls: list = []
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [])
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda *call: calls.append(call))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return calls


def with_gpus(count: int, monkeypatch) -> None:
    found = [f"GPU:{i}" for i in range(count)]
    monkeypatch.setattr(
        tf.config, "get_visible_devices", lambda kind: found if kind == "GPU" else []
    )


def node(machine: Path, name: str) -> Path:
    (machine / "dev").mkdir()
    (machine / "dev" / name).touch()
    return machine


def test_without_gpus_the_cpu_is_taken(hidden, tmp_path):
    devices.choose(None, tmp_path)
    assert hidden == []


def test_a_gpu_that_is_asked_for_has_to_be_there(hidden, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"finds no GPU: install .*, or give --device=cpu"):
        devices.choose("gpu", tmp_path)
    with_gpus(1, monkeypatch)
    devices.choose("gpu", tmp_path)
    devices.choose(None, tmp_path)
    assert hidden == []


@pytest.mark.parametrize("kind", [None, "gpu"])
def test_gpus_that_tensorflow_cannot_use_are_an_error(kind, hidden, tmp_path):
    machine = node(tmp_path, "nvidia0")
    with pytest.raises(ValueError, match=r"no GPU, but .*/dev/nvidia0 is one: .* --device=cpu"):
        devices.choose(kind, machine)
    devices.choose("cpu", machine)
    assert hidden == [([], "GPU")]


@pytest.mark.parametrize("named", ["0", "1,2", "GPU-8932f937", "MIG-1234", " 3"])
def test_named_gpus_that_are_missing_are_an_error(named, hidden, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    with pytest.raises(ValueError, match=f"CUDA_VISIBLE_DEVICES='{named}' names some"):
        devices.choose(None, tmp_path)
    devices.choose("cpu", tmp_path)


@pytest.mark.parametrize("named", ["", "-1", "-1,0", "NoDevFiles"])
def test_hidden_gpus_are_none(named, hidden, tmp_path, monkeypatch):
    """CUDA ends the list at the first entry that is not a device."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    devices.choose(None, node(tmp_path, "nvidia0"))


def test_other_files_of_the_driver_are_not_gpus(hidden, tmp_path):
    devices.choose(None, node(tmp_path, "nvidiactl"))


def test_mirrored_without_gpus_asks_for_replicas(hidden):
    with pytest.raises(ValueError, match=r"mirrored finds no GPU: give --replicas=N .* N parts of"):
        devices.count("mirrored", None)


def test_mirrored_takes_all_gpus(hidden, monkeypatch):
    with_gpus(4, monkeypatch)
    asked: list = []
    monkeypatch.setattr(
        tf.distribute,
        "MirroredStrategy",
        lambda names: asked.append(names) or tf.distribute.get_strategy(),
    )
    assert devices.count("mirrored", None) == 4
    assert devices.count("mirrored", 2) == 2
    devices.strategy("mirrored", 4)
    devices.strategy("mirrored", 2)
    assert asked == [["GPU:0", "GPU:1", "GPU:2", "GPU:3"], ["GPU:0", "GPU:1"]]
    with pytest.raises(ValueError, match="at most the 4 GPUs here, got 8"):
        devices.count("mirrored", 8)


def test_replicas_of_one_device_are_refused():
    assert devices.count("one", None) == devices.count("one", 1) == 1
    with pytest.raises(ValueError, match="replicas=2 needs strategy=mirrored"):
        devices.count("one", 2)


def test_workers_with_different_numbers_of_gpus_are_refused(hidden, monkeypatch):
    """This worker has two GPUs, and TensorFlow counts three replicas of two workers."""
    with_gpus(2, monkeypatch)
    workers = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(workers))
    cluster = SimpleNamespace(num_replicas_in_sync=3)
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", lambda: cluster)
    replicas = devices.count("multi_worker", None)
    assert replicas == 4
    with pytest.raises(ValueError, match=r"same number of GPUs: 4 replicas .*, and there are 3"):
        devices.strategy("multi_worker", replicas)
    cluster.num_replicas_in_sync = 4
    assert devices.strategy("multi_worker", replicas) is cluster
