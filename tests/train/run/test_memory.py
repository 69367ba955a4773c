"""What a step needs at least: against PyTorch, against a process's memory, and what is said."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

import keras_resnet
from keras_resnet import transfer
from keras_resnet.analysis.memory import kept_bytes, variable_bytes, widest_bytes
from tests.support import helpers
from train.optimize.batching import Batching
from train.run import machine, memory
from train.run.memory import Need

GIB = 2**30
MIB = 2**20


def saved_by_torch(net, images) -> int:
    """Returns the bytes of all activations that PyTorch keeps for the backward pass."""
    import torch

    kept: dict[int, int] = {}
    own = {parameter.data_ptr() for parameter in net.state_dict().values()}

    def pack(tensor):
        if tensor.is_floating_point() and tensor.data_ptr() not in own and tensor.dim() > 1:
            kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = net(images)  # held, so that no place in memory is used twice
    assert outputs.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_as_much_is_kept_as_pytorch_keeps(name):
    """But for padded inputs, tensors of their own here: of the stem instead of the image."""
    import torch
    import torchvision.models.resnet as torchvision

    torch_net = getattr(torchvision, name)(weights=None).train()
    expected = saved_by_torch(torch_net, torch.zeros(2, 3, 64, 96)) // 2
    model = keras_resnet.resnet(
        f"{name}_v1_5", input_shape=(None, None, 3), classifier_activation=None
    )
    padded = [layer for layer in model.layers if layer.name.endswith("_pad")]
    sizes = padded_bytes(model, padded, (64, 96, 3)) - 4 * 64 * 96 * 3
    assert kept_bytes(model, (64, 96, 3)) == expected + sizes
    assert kept_bytes(model, (128, 96, 3)) > 1.9 * expected


def padded_bytes(model, layers, shape) -> int:
    import keras

    maps = keras.Model(model.input, [layer.output for layer in layers])
    return sum(4 * int(np.prod(s[1:])) for s in maps.compute_output_shape((1, *shape)))


def tiny(**fields):
    fields = {"repeats": (1, 1, 1), "input_shape": (8, 8, 3), **fields}
    return keras_resnet.resnet("resnet20", classifier_activation=None, **fields)


def test_half_precision_takes_half(request):
    import keras

    full = kept_bytes(tiny(), (8, 8, 3))
    request.addfinalizer(lambda: keras.config.set_dtype_policy("float32"))
    for policy in ("mixed_bfloat16", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        # The classifier computes in float32.
        assert kept_bytes(tiny(), (8, 8, 3)) == full / 2 + 2 * 64


def test_what_is_frozen_from_the_image_on_keeps_nothing():
    model = tiny()
    sizes = []
    for parts in ([], ["stem"], ["stem", "stage1"], ["stem", "stage1", "stage2", "stage3"]):
        transfer.freeze(model, parts)
        sizes.append(kept_bytes(model, (8, 8, 3)))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 4 * 64  # the input of the classifier
    transfer.freeze(model, ["stage2"])  # the gradient passes through it, to the stem
    assert sizes[-1] < kept_bytes(model, (8, 8, 3)) < sizes[0]


def test_variables_are_counted_in_their_dtypes():
    model = tiny()
    assert variable_bytes(model.weights) == 4 * model.count_params()


def test_the_widest_convolution():
    """ResNet-50: the projection from 56x56x256 to 28x28x512, by the paper's Table 1."""
    model = keras_resnet.ResNet50(input_shape=(224, 224, 3))
    assert widest_bytes(model, (224, 224, 3)) == 4 * (56 * 56 * 256 + 28 * 28 * 512)


NEED = Need(fixed=2 * GIB, gradients=GIB, kept=GIB, images=64)


@pytest.mark.parametrize(
    ("need", "micro_batches", "expected"),
    [
        (NEED, 1, 66),
        (NEED, 8, 2 + 1 + 8),
        (NEED, 64, 2 + 1 + 1),
        (dataclasses.replace(NEED, kept=1), 1, 3),
        (dataclasses.replace(NEED, copies=4), 1, 4 * 2 + 64),
    ],
    ids=["one", "eighths", "images", "gradients", "copies"],
)
def test_the_sum(need, micro_batches, expected):
    assert need.bytes(micro_batches) == expected * GIB


def test_micro_batches_that_take_half_of_the_room_are_told():
    batching = Batching(64)
    others = "a smaller --batch_size or --image_size, or --precision=bfloat16"
    assert memory.advice(NEED, batching, 24 * GIB) == (
        f"give --micro_batches=8 (at least 11 GiB), {others}"
    )
    assert memory.advice(NEED, batching, 4 * GIB) == f"give {others}"
    synchronized = Batching(64, sync_bn=True)
    assert memory.advice(NEED, synchronized, 24 * GIB) == f"give {others}"


def test_memory_that_runs_out():
    text = "Graph execution error:\n\nOOM when allocating tensor with shape[9,9] by GPU_0_bfc\n [[x"
    error = tf.errors.ResourceExhaustedError(None, None, text)
    batching = Batching(64, micro_batches=2)
    told = memory.exhausted(error, batching, 2)
    assert told.startswith("out of memory: OOM when allocating tensor with shape[9,9] by GPU_0_bfc")
    assert "give --micro_batches=4 or more, a smaller --batch_size" in told
    full = tf.errors.ResourceExhaustedError(None, None, "events: No space left on device")
    assert memory.exhausted(full, batching, 2) == ""


def test_the_smallest_gpu_in_use_counts(monkeypatch):
    sizes = [80 * GIB, 24 * GIB, 8 * GIB]
    monkeypatch.setattr(memory.devices, "gpus", lambda: len(sizes))
    monkeypatch.setattr(machine, "gpu_bytes", lambda i: sizes[i])
    assert memory.room(1) == (80 * GIB, "the GPU")
    assert memory.room(2) == (24 * GIB, "the GPU")
    monkeypatch.setattr(machine, "gpu_bytes", lambda i: None)
    assert memory.room(2) is None  # nothing is known, and nothing refused


HUGE = ["--preprocessing=none", "--image_size=1024", "--batch_size=8192"]


@pytest.fixture(scope="module")
def refusals(tmp_path_factory) -> dict:
    tmp = tmp_path_factory.mktemp("memory")
    from keras_resnet import weights
    from keras_resnet.manifest import Manifest
    from keras_resnet.preprocessing import Preprocessing

    model = tiny(input_shape=(8, 8, 1))
    manifest = Manifest(
        "resnet20",
        (8, 8, 1),
        tuple("0123456789"),
        Preprocessing(image_size=8, crop=1.0),
        {"repeats": [1, 1, 1]},
    )
    weights.save(model, tmp / "a.keras", manifest)
    run = ["train", helpers.TINY, *HUGE, f"--workdir={tmp}/new"]
    measure = ["train.evaluate", f"--weights={tmp}/a.keras", "--dataset=digits"]
    cases = {
        "train": run,
        "replicas": [*run, "--strategy=mirrored", "--replicas=2"],
        "evaluate": [*measure, "--batch_size=1000000000"],
        "fits": [*measure, "--batch_size=400"],
    }
    results = helpers.modules(list(cases.values()))
    return {"tmp": tmp, **dict(zip(cases, results, strict=True))}


TOLD = {
    "train": ("a step needs at least", "(8192 images at a time per replica)", "--micro_batches="),
    "replicas": ("(4096 images at a time per replica)", "--micro_batches="),
    "evaluate": ("1000000000 images at a time need at least", "give a smaller --batch_size"),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_cannot_fit_is_refused_before_a_step(name, refusals):
    done = refusals[name]
    assert done["code"] == 1
    line = done["stderr"].splitlines()[-1]
    assert line.startswith("error: ")
    assert f"this machine has {machine.host_bytes() / GIB:.3g} GiB" in line
    for text in TOLD[name]:
        assert text in line
    assert not (refusals["tmp"] / "new/recipe.json").exists()


def test_what_fits_is_not_refused(refusals):
    assert refusals["fits"]["code"] == 0, refusals["fits"]["stderr"]


def measured(*case) -> tuple[float, float]:
    """Returns the bound and the peak of two steps in a process of their own, in MiB."""
    done = helpers.python("-m", "tests.support.step_memory", json.dumps(case))
    assert done.returncode == 0, done.stderr
    bound, peak = json.loads(done.stdout.splitlines()[-1])
    return bound / MIB, peak / MIB


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        ("resnet20", 512, 32, "float32", {}),
        ("resnet20", 1024, 32, "bfloat16", {}),
        ("resnet110", 256, 32, "float32", {}),
        ("resnet50", 16, 224, "float32", {}),
        ("resnet50", 16, 224, "bfloat16", {}),
        pytest.param(
            ("resnet50", 32, 224, "float32", {"micro_batches": 2}), marks=pytest.mark.slow
        ),
        ("resnet50_v2", 16, 224, "float32", {}),
        ("resnet50_d", 16, 224, "float32", {}),
        ("plain34", 32, 224, "float32", {}),
        ("resnet152", 8, 224, "float32", {"optimizer": "adamw", "ema": 0.9}),
    ],
    ids=lambda case: "-".join(map(str, case[:4])) + "".join(case[4]),
)
def test_the_bound_is_below_what_is_measured_and_not_far(case):
    bound, peak = measured(*case)
    print(f"\n{case}: at least {bound:,.0f} MiB, measured {peak:,.0f} MiB, {peak / bound:.2f}")
    assert bound < peak < 2.3 * bound
