"""`keras-resnet` finds its commands, and says what they are before TensorFlow is imported."""

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from keras_resnet.command import cost, entry, info, listing, predict
from keras_resnet.models import weights_flags
from tests.support import helpers
from tests.support.helpers import ROOT

QUICK = {
    "help": (["--help"], 0, "\n  predict  what is on photos"),
    "help of predict": (["predict", "--help"], 0, "\n  --evidence=DIR "),
    "list": (["list", "resnet50"], 0, "\nresnet50            25.56 M         3.86 G    22.85*"),
    "cost": (["cost", "resnet20"], 0, "\nsum          9               269,722     40,551,040\n"),
    "no command": ([], 1, "\n  list     the networks"),
    "typo": (["predcit"], 1, "error: unknown command 'predcit': did you mean predict? See"),
    "no such network": (["cost", "resnet5"], 1, "unknown network 'resnet5'; did you mean"),
    "no such name": (["list", "vgg"], 1, "error: no network is called 'vgg'; did you mean"),
    "flag": (["cost", "resnet20", "--size=3"], 1, "unknown flag --size: did you mean --image_size"),
    "no file": (["info"], 1, "error: which file? Such as keras-resnet info"),
}


@pytest.mark.parametrize("name", QUICK)
def test_it_does_not_wait_for_tensorflow(name):
    words, code, text = QUICK[name]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = helpers.python("-X", "importtime", "-m", "keras_resnet", *words)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == code
    assert text in (done.stdout if code == 0 else done.stderr)
    assert "Traceback" not in done.stderr
    assert after.ru_utime - before.ru_utime < 1.5
    imported = set(re.findall(r"^import time: .*\| +(\w+)", done.stderr, re.MULTILINE))
    assert "keras_resnet" in imported
    assert not imported & {"tensorflow", "keras", "jax", "numpy", "rich"}


def test_the_script_does_not_wait_either(tmp_path):
    """Pip writes such a script, with the name that setup.py gives it."""
    (call,) = re.findall(r'"keras-resnet = ([\w.]+):(\w+)"', (ROOT / "setup.py").read_text())
    module, function = call
    script = tmp_path / "keras-resnet"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom {module} import {function}\n"
        f"try:\n    {function}()\nfinally:\n    assert 'numpy' not in sys.modules\n"
    )
    done = helpers.python(str(script), "list", "plain18")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].split()[0] == "plain18"


def test_it_stops_when_nobody_reads_on():
    code = "set -o pipefail; $0 -m keras_resnet list | head -n 1"
    command = ["bash", "-c", code, sys.executable]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("network ")
    assert done.stderr == ""
    assert done.returncode in (0, 141)  # 0 if all was written before `head` had gone


def test_help_of_predict_names_every_flag():
    texts = [Path(module.__file__).read_text("utf-8") for module in (predict, weights_flags)]
    defined = {
        name for text in texts for name in re.findall(r'flags\.DEFINE_\w+\(\s*"(\w+)"', text)
    }
    told = set(re.findall(r"--(\w+)", predict.HELP.partition("\n  --weights=WEIGHTS ")[2]))
    assert told | {"weights"} == {*defined, "verbose"}
    assert set(predict.ALIKE.values()) <= defined


@pytest.mark.parametrize("command", [predict, listing, info, cost])
def test_help_fits_a_terminal(command):
    assert max(map(len, command.HELP.splitlines())) <= 100
    assert max(map(len, entry.USAGE.splitlines())) <= 80
    for line in re.findall(r"^  keras-resnet (.*)", command.HELP, re.MULTILINE):
        assert line.split()[0] in entry.COMMANDS


@pytest.mark.parametrize("words", [["predict", "--weights=x"], ["info", "x"]])
def test_another_backend_is_one_line(words):
    done = helpers.python("-m", "keras_resnet", *words, KERAS_BACKEND="jax")
    assert (done.returncode, done.stdout) == (1, "")
    needs = (
        f"error: keras-resnet {words[0]} needs TensorFlow, and KERAS_BACKEND chooses the backend"
    )
    assert done.stderr == f"{needs} 'jax': set KERAS_BACKEND=tensorflow\n"
