"""What serves ends in one line where a package, a file or a flag is wrong."""

from pathlib import Path

import pytest

from tests.support import helpers

BLOCKED = ("gradio", "grpc", "kserve", "pytriton", "requests", "tensorflow", "tqdm")
CLIENT = ["-m", "saved_models.serving.client", "--model=a"]
EXPORT = "{tmp}/name/1"
SERVING = "pip install 'he-keras-resnet[serving]'"
CASES = {
    "gRPC": ([*CLIENT, "--server=localhost:1", "{tmp}"], 2, SERVING),
    "REST": ([*CLIENT, "--server=http://localhost:1", "{tmp}"], 2, SERVING),
    "flag": ([*CLIENT, "--server=localhost:1", "--versions=1"], 2, "--versions=1; see --help"),
    "page": (["-m", "saved_models.serving.page", EXPORT], 1, "'he-keras-resnet[demo]'"),
    "Triton": (["-m", "saved_models.serving.servers.triton", EXPORT], 1, "nvidia-pytriton"),
    "KServe": (["-m", "saved_models.serving.servers.kserve"], 1, "pip install kserve tensorflow"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """An export, as far as it is looked at before it is loaded, where packages are missing."""
    tmp = tmp_path_factory.mktemp("bare")
    code = f"import sys\nsys.modules.update(dict.fromkeys({BLOCKED}))\n"
    (tmp / "sitecustomize.py").write_text(code)
    (tmp / "name/1").mkdir(parents=True)
    (tmp / "name/1/saved_model.pb").touch()
    (tmp / "name/1/model.json").write_text('{"labels": ["a"], "activation": "softmax"}')
    return tmp


@pytest.mark.parametrize("name", CASES)
def test_it_is_one_line(name, place):
    words, code, told = CASES[name]
    done = helpers.python(*(word.format(tmp=place) for word in words), PYTHONPATH=str(place))
    assert done.returncode == code
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert told.format(tmp=place) in line
