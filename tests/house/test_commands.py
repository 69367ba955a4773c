"""Commands check what they need before Keras is imported: one line, within a tenth of a second."""

import ast
import importlib.metadata
import json
import re
import sys
from pathlib import Path

import pytest

from keras_resnet import console
from tests.support import helpers

KERAS = ("train", "train.evaluate", "train.lab", "keras_resnet.export")
FLAGS = {
    "train": ["--workdir={tmp}/new"],
    "train.evaluate": ["--weights={tmp}/a.keras", "--dataset=digits"],
    "train.lab": ["--list"],
    "train.curves": ["--workdir={tmp}"],
    "train.lab.ship": ["--workdir={tmp}"],
    "keras_resnet.export": ["--weights={tmp}/a.keras", "--out={tmp}/new/1"],
}
HOME_OF_KERAS = """
import contextlib, sys
with contextlib.suppress(ValueError):
    import keras
print(sys.modules["keras.src.backend.config"].keras_home(), end="")
"""
ROW = {"step": 1, "split": "test", "top1": 10.0, "loss": 2.0}


def run(module: str, tmp: Path, *words: str, **environment: str):
    flags = [flag.format(tmp=tmp) for flag in FLAGS[module]]
    return helpers.python("-m", module, *flags, *words, **environment)


def without(tmp: Path, *modules: str) -> str:
    """Returns a folder for PYTHONPATH, with which modules are as if they were not installed."""
    folder = tmp / "path"
    folder.mkdir()
    code = f"import sys\nsys.modules.update(dict.fromkeys({modules}))\n"
    (folder / "sitecustomize.py").write_text(code)
    return str(folder)


def refused(done, line: str) -> None:
    assert done.returncode == 1
    assert done.stderr == f"error: {line}\n"
    assert done.stdout == ""


@pytest.mark.parametrize("module", KERAS)
@pytest.mark.parametrize("backend", ["jax", "torch", "numpy", "openvino", "nonsense"])
def test_another_backend_is_one_line(module, backend, tmp_path):
    done = run(module, tmp_path, KERAS_BACKEND=backend)
    refused(
        done,
        f"python -m {module} needs TensorFlow, and KERAS_BACKEND chooses the backend {backend!r}:"
        " set KERAS_BACKEND=tensorflow",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", KERAS)
def test_another_backend_of_the_configuration_is_one_line(module, tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    done = run(module, tmp_path, KERAS_HOME=str(tmp_path))
    refused(
        done,
        f"python -m {module} needs TensorFlow, and {tmp_path}/keras.json chooses the backend 'jax':"
        " set KERAS_BACKEND=tensorflow",
    )


def test_a_keras_that_cannot_be_imported_is_one_line(tmp_path):
    (tmp_path / "keras.json").write_text('{"floatx": "float8"}')
    done = run("train", tmp_path, KERAS_HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "error: python -m train cannot import Keras: ValueError: Invalid `floatx`"
    )
    assert "Traceback" not in done.stderr


def test_the_library_fails_as_keras_does():
    done = helpers.python("-c", "import keras_resnet", KERAS_BACKEND="nonsense")
    assert done.stderr.splitlines()[-1] == "ValueError: Unable to import backend : nonsense"


def test_curves_need_no_backend(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(json.dumps(ROW) + "\n")
    place = without(tmp_path, "tensorflow", "keras", "sklearn")
    done = run("train.curves", tmp_path, KERAS_BACKEND="nonsense", PYTHONPATH=place)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "curves.svg").stat().st_size > 1000
    refused(
        run("train.curves", tmp_path, "A", "--out=x.svg"),
        "flags begin with --, got 'A'; see --help",
    )


@pytest.mark.parametrize("module", ["train", "train.evaluate", "train.lab", "train.lab.ship"])
def test_a_checkout_without_the_extra_is_one_line(module, tmp_path):
    place = without(tmp_path, *console.EXTRAS["train"])
    done = run(module, tmp_path, PYTHONPATH=place)
    modules = "importlib_resources, matplotlib, sklearn, tensorboard, tensorflow_datasets"
    refused(done, f"python -m {module} needs {modules}: pip install -e '.[train]'")


@pytest.mark.parametrize("content", [None, "raise ModuleNotFoundError('gone', name='matplotlib')"])
def test_curves_without_matplotlib_are_one_line(content, tmp_path):
    if content is None:
        place, told = without(tmp_path, "matplotlib"), "python -m train.curves needs matplotlib"
    else:  # it is found, and cannot be imported
        (tmp_path / "matplotlib").mkdir()
        (tmp_path / "matplotlib/__init__.py").write_text(content)
        place, told = str(tmp_path), "gone"
    done = run("train.curves", tmp_path, PYTHONPATH=place)
    refused(done, f"{told}: pip install -e '.[train]'")


@pytest.mark.parametrize("module", KERAS)
def test_tensorflow_that_is_missing_or_old_is_one_line(module, tmp_path):
    done = run(module, tmp_path, PYTHONPATH=without(tmp_path, "tensorflow"))
    install = "pip install 'tensorflow>=2.21'"
    refused(done, f"python -m {module} needs TensorFlow, which is not installed: {install}")
    old = tmp_path / "old/tensorflow-2.15.1.dist-info"
    old.mkdir(parents=True)
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: tensorflow\nVersion: 2.15.1\n")
    done = run(module, tmp_path, PYTHONPATH=str(old.parent))
    refused(done, f"python -m {module} needs TensorFlow 2.21 or later, got 2.15: {install}")


def test_what_setup_says_of_versions_and_extras():
    tree = ast.parse((helpers.ROOT / "setup.py").read_text(encoding="utf-8"))
    lists = {
        node.targets[0].id.lower(): {
            re.split("[>=<]", name)[0].replace("_", "-") for name in literal(node.value)
        }
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)
    }
    installed = importlib.metadata.packages_distributions()
    for extra, modules in console.EXTRAS.items():
        names = {name.replace("_", "-") for module in modules for name in installed[module]}
        assert names <= lists[extra], extra
    assert len(console.EXTRAS["train"]) == len(lists["train"])
    text = (helpers.ROOT / "setup.py").read_text(encoding="utf-8")
    assert f'"tensorflow>={".".join(map(str, console.OLDEST))},<3"' in text


def literal(node: ast.List) -> list[str]:
    return [item.value for item in node.elts if isinstance(item, ast.Constant)]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["python", "-m", "train", "--a=b", "c"], "train"),
        (["python", "-W", "error", "-m", "train.evaluate"], "train.evaluate"),
        (["python", "-Bmtrain", "x"], "train"),
    ],
    ids=["word", "options", "one word"],
)
def test_the_command_that_is_about_to_run(words, found, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", words)
    flags = words[[found in word for word in words].index(True) + 1 :]
    monkeypatch.setattr(sys, "argv", ["-m", *flags])
    assert console.command() == found
    monkeypatch.setattr(sys, "argv", ["train/__main__.py", *flags])
    assert console.command() == ""


def test_the_home_of_keras(monkeypatch, tmp_path):
    """Asks Keras, which reads its configuration before it fails for want of a backend."""
    monkeypatch.delenv("KERAS_HOME", raising=False)
    for home in (str(tmp_path), "/proc"):
        monkeypatch.setenv("HOME", home)
        done = helpers.python("-c", HOME_OF_KERAS, KERAS_BACKEND="nonsense")
        assert done.stdout == str(console.keras_home())
    monkeypatch.setenv("KERAS_HOME", "~/here")
    assert console.keras_home() == Path("/proc/here")
