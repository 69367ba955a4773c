"""The client as a process: what it imports, and how it ends when it is told to."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import helpers
from tests.support.scripted import Script, both, images, serving

MODULE = "saved_models.serving.client"


@pytest.fixture
def served() -> Iterator[Any]:
    with serving() as serve:
        yield serve


def start(*arguments: str, **pipes: Any) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **pipes}
    return subprocess.Popen([sys.executable, "-m", MODULE, *arguments], cwd=helpers.ROOT, **pipes)


class Endless(Script):
    """Never answers but to the first two images."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: set[int] = set()

    def run(self, asked: Any, name: str, inputs: Any, wanted: Any) -> Any:
        if int(inputs["image_bytes"][0]) > 1:
            self.waiting.add(threading.get_ident())
            self.stuck.wait(60)
        return super().run(asked, name, inputs, wanted)


@both
def test_control_c_ends_it_at_once_with_whole_lines(served, tmp_path, way):
    script = Endless()
    images(tmp_path, 20)
    flags = ("--model=model", "--batch_size=1", "--concurrency=2", "--timeout=60")
    process = start(f"--server={served(script, way)}", *flags, str(tmp_path))
    lines = [process.stdout.readline() for _ in range(2)]
    while len(script.waiting) < 2:
        time.sleep(0.01)
    before = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - before < 15  # and not 60
    assert (process.returncode, out, err) == (130, "", "")
    assert [json.loads(line)["classes"][0] for line in lines] == [0, 1]


def test_a_reader_that_leaves_is_no_error_to_speak_of(served, tmp_path):
    images(tmp_path, 50)
    address = served(Script(delay=0.02), "rest")
    process = start(f"--server={address}", "--model=model", "--batch_size=1", str(tmp_path))
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(20) == 141


LIGHT = """
import sys, time
start = time.process_time()
from saved_models.serving.client import command as client
code = client.main(sys.argv[1:])
seconds = time.process_time() - start
banned = {"tensorflow", "keras", "keras_resnet", "torch", "jax", "numpy"}
assert not banned & {name.partition(".")[0] for name in sys.modules}
print(code, round(seconds, 3), *sorted(sys.modules), file=sys.stderr)
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2
assert int(tf.constant(1) + 1) == 2
request = predict_pb2.PredictRequest()
request.inputs["a"].CopyFrom(tf.make_tensor_proto([1.0]))
assert isinstance(request.inputs["a"], tensor_pb2.TensorProto)
assert tf.keras.layers.Dense
from saved_models.serving.client import protos
assert protos.load("tensorflow.core.framework.tensor_pb2") is tensor_pb2
assert sys.modules["tensorflow"] is tf
"""
WAYS = [
    pytest.param("grpc"),
    pytest.param("rest", marks=pytest.mark.slow),  # it needs no messages: the same but for them
]


@pytest.mark.parametrize("way", WAYS)
def test_neither_keras_nor_tensorflow_is_imported_and_both_can_be(served, tmp_path, way):
    [file] = images(tmp_path, 1)
    done = helpers.python(
        "-c", LIGHT, f"--server={served(Script(), way)}", "--model=model", str(file)
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["classes"] == [0, 1]
    told = next(line for line in done.stderr.splitlines() if "encodings" in line)
    code, seconds, *modules = told.split()
    assert code == "0"
    assert float(seconds) < 2  # 0.2 on a machine that does nothing else; TensorFlow alone takes 4
    other = {"grpc": "requests", "rest": "grpc"}[way]
    assert other not in modules


AFTER = """
import sys
import termios
import tensorflow as tf
before = set(sys.modules)
from saved_models.serving.client import rpc
assert sys.modules["tensorflow"] is tf
assert before <= set(sys.modules)
request = rpc.messages.PredictRequest()
request.inputs["a"].CopyFrom(tf.make_tensor_proto([b"a"]))
"""


@pytest.mark.slow
def test_the_real_tensorflow_is_used_where_it_already_is():
    done = helpers.python("-c", AFTER)
    assert done.returncode == 0, done.stderr


def test_progress_goes_to_a_terminal_alone(served, tmp_path):
    images(tmp_path, 3)
    reader, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    address = served(Script(), "rest")
    process = start(f"--server={address}", "--model=model", str(tmp_path), stderr=terminal)
    out, _ = process.communicate(timeout=20)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(reader, 1000):
            shown += part
    os.close(reader)
    assert [json.loads(line)["classes"][0] for line in out.splitlines()] == [0, 1, 2]
    assert b"3/3" in shown
