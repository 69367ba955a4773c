"""How commands end: what a user can mend is one line on stderr and exit code 1."""

import json
import re

import pytest

from keras_resnet import console, weights
from tests.support import helpers
from train.recipes.recipe import Recipe

ERRORS = {
    "lines": (ValueError("one\n  two\n\nthree"), "error: one two three"),
    "type": (TypeError("repeats must be integers"), "error: repeats must be integers"),
    "file": (FileNotFoundError(2, "No such file", "a"), "error: [Errno 2] No such file: 'a'"),
    "memory": (MemoryError("Unable to allocate 9 TiB"), "error: out of memory: Unable to allocate"),
    "extra": (
        ModuleNotFoundError("No module named 'sklearn'", name="sklearn.datasets"),
        "error: No module named 'sklearn': pip install -e '.[train]'",
    ),
    "hub": (
        ModuleNotFoundError("no hub", name="huggingface_hub"),
        "error: no hub: pip install 'he-keras-resnet[hub]'",
    ),
    "other module": (ImportError("libx.so: cannot open"), "error: libx.so: cannot open"),
}


def raising(error: BaseException):
    def main() -> None:
        raise error

    return main


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_one_line(name):
    error, line = ERRORS[name]
    with pytest.raises(SystemExit) as end:
        console._command(raising(error), [])
    assert str(end.value.code).startswith(line)
    assert "\n" not in end.value.code


def test_an_interruption_has_its_exit_code_and_no_traceback():
    with pytest.raises(SystemExit) as end:
        console._command(raising(KeyboardInterrupt()), [])
    assert end.value.code == 130


def test_a_defect_keeps_its_traceback():
    with pytest.raises(KeyError):
        console._command(raising(KeyError("a")), [])


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> dict:
    """What commands print in processes of their own; those of `plain` follow one another."""
    tmp = tmp_path_factory.mktemp("console")
    run = ["train", "--recipe=digits_resnet20", "--network=resnet8", f"--workdir={tmp}/plain"]
    model = f"--weights={tmp}/plain/final.weights.h5"
    cases = {
        "stray train": ["train", f"--workdir={tmp}/new", "--steps=2", "extra", "words"],
        "stray value": ["train", f"--workdir={tmp}/new", "--jit_compile", "false"],
        "stray evaluate": ["train.evaluate", "--weights=a.keras", "--dataset=digits", "extra"],
        "stray export": ["keras_resnet.export", "--weights=a", f"--out={tmp}/new/1", "extra"],
        "flag train": ["train", f"--workdir={tmp}/new", "--stepz=2"],
        "flag evaluate": ["train.evaluate", "--weights=a.keras", "--dataset=digits", "--splits=a"],
        "flag export": ["keras_resnet.export", "--weights=a", "--out=b/1", "--format=tflite"],
        "plain train": [*run, "--steps=2", "--field=shortcut=None"],
        "plain resume": [*run, "--steps=3", "--field=shortcut=null"],
        "plain other": [*run, "--steps=3"],
        "plain none": [*run, "--steps=3", "--field=shortcut=none"],
        "plain evaluate": [
            "train.evaluate",
            model,
            "--network=resnet8",
            "--field=shortcut=None",
            "--dataset=digits",
        ],
        "plain export": [
            "keras_resnet.export",
            model,
            "--network=resnet8",
            "--field=shortcut=None",
            f"--out={tmp}/plain/export/1",
            "--formats=tflite",
        ],
    }
    results = helpers.modules(list(cases.values()))
    return {"tmp": tmp, **dict(zip(cases, results, strict=True))}


NOTE = re.compile(r"[IWE]0000 ")  # of TensorFlow, on a machine without a driver of NVIDIA
LINES = {
    "stray train": "error: flags begin with --, got 'extra words'; see --help",
    "stray value": "error: flags begin with --, got 'false'; see --help",
    "stray evaluate": "error: flags begin with --, got 'extra'; see --help",
    "stray export": "error: flags begin with --, got 'extra'; see --help",
    "flag train": "error: unknown flag --stepz: did you mean --steps? See --help",
    "flag evaluate": "error: unknown flag --splits: did you mean --split? See --help",
    "flag export": "error: unknown flag --format: did you mean --formats? See --help",
    "plain none": "error: shortcut must be one of ['A', 'B', 'C', 'D', None], got 'none'",
}


@pytest.mark.parametrize("name", LINES)
def test_a_command_is_refused_in_one_line(name, done):
    assert done[name]["code"] == 1
    told = [line for line in done[name]["stderr"].splitlines() if not NOTE.match(line)]
    assert told == [LINES[name]]
    assert done[name]["stdout"] == ""
    assert not (done["tmp"] / "new").exists()


def test_a_field_that_is_none_goes_from_training_to_export(done):
    """`--field=shortcut=None` is a plain network, in every file that says what was trained."""
    folder = done["tmp"] / "plain"
    for name in ("train", "resume", "evaluate", "export"):
        assert done[f"plain {name}"]["code"] == 0, done[f"plain {name}"]["stderr"]
    assert Recipe.from_json((folder / "recipe.json").read_text()).fields == {"shortcut": None}
    resumed, measured = (done[f"plain {name}"]["stdout"] for name in ("resume", "evaluate"))
    last = [json.loads(text.splitlines()[-1]) for text in (resumed, measured)]
    assert last[0] == pytest.approx({name: last[1][name] for name in last[0]})
    about = json.loads((folder / "export/1/model.json").read_text())
    assert about["fields"] == {"shortcut": None}
    with weights.opened(folder / "final.weights.h5") as held:
        manifest = held.settle(weights.Told())
    assert (manifest.network, manifest.fields) == ("resnet8", {"shortcut": None})
    assert done["plain other"]["code"] == 1
    assert "fields={'shortcut': None} there, {} now" in done["plain other"]["stderr"]
