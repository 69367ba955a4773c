"""Whatever ends a run, its process ends too: no thread of a pipeline keeps it."""

import json
from pathlib import Path
from typing import Any

import pytest

from keras_resnet import resnet, weights
from keras_resnet.manifest import Manifest
from tests.support import helpers

# Runs modules in forks that end as a process usually does: with the interpreter, and with all that
# TensorFlow has to stop. One that goes on for 30 seconds after its last word is killed: without
# other work on the machine it takes one or two.
ENDS = """
import json, os, runpy, signal, sys, time, traceback
import train.loop, train.run.devices, train.run.workdirs, sklearn.datasets
folder, cases = sys.argv[1], json.loads(sys.argv[2])
sys.modules.pop("train.evaluate", None)
children = {}
for i, (patch, module, *arguments) in enumerate(cases):
    child = os.fork()
    if not child:
        for stream in (1, 2):
            os.dup2(os.open(f"{folder}/{i}.{stream}", os.O_CREAT | os.O_WRONLY), stream)
        sys.argv = [module, *arguments]
        exec(patch)
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        finally:
            with open(f"{folder}/{i}.end", "w") as file:
                file.write(str(time.time()))
    children[child] = i
    while len(children) > (os.cpu_count() or 1) - 1 or children and i == len(cases) - 1:
        time.sleep(0.1)
        for child, number in list(children.items()):
            end, done = f"{folder}/{number}.end", os.waitpid(child, os.WNOHANG)
            if not done[0] and os.path.exists(end) and time.time() - os.path.getmtime(end) > 30:
                os.kill(child, signal.SIGKILL)
                done = os.waitpid(child, 0)
            if done[0]:
                del children[child]
                with open(f"{folder}/{number}.0", "w") as file:
                    file.write(str(os.waitstatus_to_exitcode(done[1])))
"""
FAULT = """
import train.log.journal
def fail(self, step, metrics, rate):
    if step == 3:
        raise {}("a fault")
train.log.journal.Journal.train = fail
"""
TRAIN = ["train", helpers.TINY, "--dataset=folder", "--steps=40", "--batch_size=8"]
TRAIN += ["--image_size=8", "--recipe=cifar10_resnet20", "--boundaries=", "--augmentation=none"]
LIMIT = "images cannot be decoded, max_broken is 10; the last one is "
# The code that runs first, the command, and what the last line says.
ENDINGS: dict[str, tuple[str, list[str], str]] = {
    "mean": ("", [*TRAIN, "--preprocessing=per_pixel"], LIMIT),
    "training": ("", [*TRAIN, "--preprocessing=torch"], LIMIT),
    "fault": (
        FAULT.format("ValueError"),
        [*TRAIN, "--preprocessing=torch", "--max_broken=99"],
        "error: a fault",
    ),
    "evaluation": ("", ["train.evaluate", "--dataset=folder", "--split=train"], LIMIT),
    "replicas": (
        "",
        [*TRAIN, "--preprocessing=torch", "--strategy=mirrored", "--replicas=2"],
        LIMIT,
    ),
    "traceback": (
        FAULT.format("KeyError"),
        [*TRAIN, "--preprocessing=torch", "--max_broken=99"],
        "KeyError: 'a fault'",
    ),
}


def ended(root: Path, names: list[str]) -> list[dict[str, Any]]:
    """Runs these on a folder of which two images in three are broken."""
    helpers.image_folder(root / "data" / "train", 24)
    helpers.image_folder(root / "data" / "test", 9, seed=1)
    for file in sorted((root / "data" / "train").rglob("*.png")):
        for i in range(2):
            file.with_name(f"{file.stem}{i}.jpg").write_bytes(b"\0\5\26\7")
    shape = (8, 8, 3)
    fields = {"repeats": [1, 1, 1]}
    model = resnet("resnet20", input_shape=shape, classes=3, classifier_activation=None, **fields)
    manifest = Manifest("resnet20", shape, ("a", "b", "c"), helpers.PLAIN, fields)
    weights.save(model, root / "a.keras", manifest)
    (root / "out").mkdir()
    cases = []
    for i, name in enumerate(names):
        patch, command, _ = ENDINGS[name]
        own = f"--weights={root}/a.keras" if "evaluate" in command[0] else f"--workdir={root}/{i}"
        cases.append([patch, *command, f"--data_dir={root}/data", own])
    done = helpers.python("-c", ENDS, str(root / "out"), json.dumps(cases))
    assert done.returncode == 0, done.stderr
    texts = [[(root / "out" / f"{i}.{s}").read_text() for s in range(3)] for i in range(len(names))]
    return [{"code": int(code), "stdout": out, "stderr": err} for code, out, err in texts]


def check(root: Path, names: list[str]) -> None:
    for name, done in zip(names, ended(root, names), strict=True):
        assert done["code"] == 1, (name, done)
        assert ENDINGS[name][2] in done["stderr"].splitlines()[-1], (name, done)


def test_a_process_ends_with_its_run(tmp_path):
    check(tmp_path, ["mean", "training", "fault"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDINGS)
def test_a_process_always_ends_with_its_run(tmp_path, name):
    """Ten times each: threads rarely meet in the same order."""
    check(tmp_path, [name] * 10)
