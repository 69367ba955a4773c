"""What passes the filter of stderr: everything but notes, also what a crash writes last."""

import signal

import pytest

from keras_resnet.console import noise
from tests.support import helpers

NOTES = [
    b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    b"I0000 00:00:1796128807.931835   15749 port.cc:153] oneDNN custom operations are on. You may",
    b"I0000 00:00:1796128807.932192   15749 cudart_stub.cc:31] Could not find cuda drivers on your",
    b"W0000 00:00:1796128843.651501   15887 tf_tfl_flatbuffer_helpers.cc:364] Ignored",
    b"To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow with",
    b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
]
DRIVER = (
    b"E0000 00:00:1796128814.814982   15749 cuda_platform.cc:52] failed call to cuInit: INTERNAL"
)
NEWS = [
    b"F0000 00:00:1796128814.814982   15749 tensor.cc:852] Check failed: dtype() == expected",
    b"E0000 00:00:1796128814.814982   15749 cuda_executor.cc:1] out of memory",
    b"2026-12-01 12:00:00.000000: F external/xla/service.cc:1] Check failed",
    b"W1201 12:46:50.537469 140038325271424 fill.py:81] the classifier is not loaded",
    b"error: --workdir is missing",
    b"terminate called after throwing an instance of 'std::bad_alloc'",
    b"Fatal Python error: Segmentation fault",
]
CRASH = """
import os, sys
from keras_resnet.console import noise
noise.hide()
print("from Python", file=sys.stderr)
os.write(2, b"I0000 00:00:1.5   1 port.cc:1] a note\\nF0000 00:00:1.5   1 x.cc:1] Check failed\\n")
os.write(2, b"the last words, without an end")
{end}
"""


@pytest.mark.parametrize("line", NOTES)
def test_notes_are_hidden(line):
    assert not noise.kept(line + b"\n", gpu=True)


@pytest.mark.parametrize("line", NEWS)
def test_everything_else_is_shown(line):
    assert noise.kept(line + b"\n", gpu=False)


def test_a_driver_that_fails_is_news_only_where_there_is_a_gpu():
    assert noise.kept(DRIVER, gpu=True)
    assert not noise.kept(DRIVER, gpu=False)


def run(end: str, *words: str, level: str = "2", begin: str = ""):
    code = "\n".join([begin, IMPORT, CRASH.format(end=end)])
    return helpers.python("-c", code, *words, TF_CPP_MIN_LOG_LEVEL=level)


# The file by itself, as TensorFlow's import would take five seconds.
IMPORT = """
import importlib.util, sys, types
package = sys.modules["keras_resnet"] = types.ModuleType("keras_resnet")
package.__path__ = ["keras_resnet"]
console = sys.modules["keras_resnet.console"] = types.ModuleType("keras_resnet.console")
console.__path__ = ["keras_resnet/console"]
"""


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("os.abort()", -signal.SIGABRT),
        ("os.kill(os.getpid(), 11)", -signal.SIGSEGV),
        ("os._exit(3)", 3),
        ("sys.exit('error: a line')", 1),
        ("raise KeyError('a defect')", 1),
    ],
    ids=["abort", "segmentation fault", "at once", "error", "traceback"],
)
def test_last_words_reach_stderr(end, code):
    done = run(end)
    assert done.returncode == code
    lines = done.stderr.splitlines()
    assert "from Python" in lines
    assert "F0000 00:00:1.5   1 x.cc:1] Check failed" in lines
    assert "the last words, without an end" in done.stderr
    assert "a note" not in done.stderr
    if "line" in end:
        assert "error: a line" in done.stderr
    if "defect" in end:
        assert "Traceback" in done.stderr
        assert "KeyError: 'a defect'" in done.stderr


@pytest.mark.parametrize(("words", "level"), [(["--verbose"], "2"), ([], "0"), ([], "1")])
def test_notes_are_shown_on_request(words, level):
    assert "a note" in run("pass", *words, level=level).stderr


def test_a_closed_stderr_harms_nothing():
    code = f"import os; os.close(2)\n{IMPORT}\nfrom keras_resnet.console import noise\nnoise.hide()"
    done = helpers.python("-c", f"{code}\nprint('done')", TF_CPP_MIN_LOG_LEVEL="2")
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_serving_has_the_same_filter():
    """It runs without the package."""
    own = helpers.ROOT / "keras_resnet/console/noise.py"
    assert (helpers.ROOT / "saved_models/serving/noise.py").read_bytes() == own.read_bytes()


def test_ctrl_c_does_not_end_the_filter():
    """Which a terminal sends to all processes of a group."""
    done = run("os.kill(0, signal.SIGINT)", begin="import os, signal; os.setsid()")
    assert "the last words, without an end" in done.stderr
    assert "KeyboardInterrupt" in done.stderr
