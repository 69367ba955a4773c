"""The benchmark of import, building and first step, in small."""

import pytest

from benchmarks import start
from tests.support import helpers


def test_cpu_time_and_memory_are_those_of_the_process():
    # In a small process: what a process held before it became another program counts, too.
    program = "from benchmarks import start; print(*start.run('-c', 'x = bytearray(300_000_000)'))"
    seconds, memory = map(float, helpers.python("-c", program).stdout.split())
    assert 0.3 < memory < 0.5
    busy, _ = start.run("-c", "import time\nwhile time.process_time() < 1: pass")
    assert seconds < 1 < busy < 1.5


def test_a_program_that_fails_is_an_error():
    with pytest.raises(RuntimeError, match="exit code 3 of:\n-c exit"):
        start.run("-c", "exit(3)")


def test_the_step_of_a_small_network_runs():
    programs = start.scripts("resnet20", 32, "resnet32", 2)
    ours = {name: script for name, script in programs.items() if "first step of" in name}
    assert list(ours) == ["keras_resnet, first step of resnet20"]
    ((seconds, memory),) = (start.run("-c", script) for script in ours.values())
    assert seconds > 1
    assert memory > 0.3
