"""How much memory there is, read from files and a driver that the tests write themselves."""

import ctypes
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support import helpers
from train.run import machine

GIB = 2**30
MEMINFO = "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nSwapTotal:       {} kB\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/memory"
LIMITS = {  # groups of the process, files, and the expected GiB
    "no groups": (None, {}, 16),
    "version 2": ("0::/a/b\n", {f"{V2}/a/b/memory.max": f"{4 * GIB}\n"}, 4),
    "version 2, above": ("0::/a/b\n", {f"{V2}/a/memory.max": f"{3 * GIB}"}, 3),
    "version 2, smallest": (
        "0::/a/b\n",
        {f"{V2}/a/b/memory.max": f"{6 * GIB}", f"{V2}/memory.max": f"{5 * GIB}"},
        5,
    ),
    "version 2, none": ("0::/\n", {f"{V2}/memory.max": "max\n"}, 16),
    "version 2, of a container": ("0::/\n", {f"{V2}/memory.max": f"{2 * GIB}"}, 2),
    "version 1": (
        "9:cpu,cpuacct:/c\n4:memory:/a\n0::/\n",
        {f"{V1}/a/memory.limit_in_bytes": f"{7 * GIB}", f"{V2}/c/memory.max": f"{GIB}"},
        7,
    ),
    "version 1, none": ("4:memory:/\n", {f"{V1}/memory.limit_in_bytes": "9223372036854771712"}, 16),
}


@pytest.mark.parametrize("name", LIMITS)
def test_the_smallest_limit_counts(name, tmp_path):
    groups, files, expected = LIMITS[name]
    files = {"proc/meminfo": MEMINFO.format(0), **files}
    if groups:
        files["proc/self/cgroup"] = groups
    assert machine.host_bytes(write(tmp_path, files)) == expected * GIB


def test_swap_is_memory_too(tmp_path):
    assert machine.host_bytes(write(tmp_path, {"proc/meminfo": MEMINFO.format(2**20)})) == 17 * GIB


def test_a_machine_that_says_nothing(tmp_path):
    assert machine.host_bytes(tmp_path) is None
    assert machine.host_bytes(write(tmp_path, {"proc/meminfo": "something else\n"})) is None


def test_this_machine():
    """Against the C library."""
    import os

    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    swap = [line for line in Path("/proc/meminfo").read_text().splitlines() if "SwapTotal" in line]
    assert 0 < machine.host_bytes() <= pages + 1024 * int(swap[0].split()[1])


def driver(sizes: list[int], init: int = 0) -> SimpleNamespace:
    """The three functions of libcuda, by the manual of the driver's API."""

    def get(device, index):
        device._obj.value = 100 + index
        return 0 if index < len(sizes) else 101  # CUDA_ERROR_INVALID_DEVICE

    def total(size, device):
        size._obj.value = sizes[device.value - 100] if device.value - 100 < len(sizes) else 0
        return 0

    return SimpleNamespace(cuInit=lambda _: init, cuDeviceGet=get, cuDeviceTotalMem_v2=total)


def test_the_memory_of_a_gpu(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver([80 * GIB, 24 * GIB]))
    assert [machine.gpu_bytes(i) for i in range(3)] == [80 * GIB, 24 * GIB, None]
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver([GIB], init=100))
    assert machine.gpu_bytes(0) is None


def test_no_driver(monkeypatch):
    monkeypatch.setattr(machine, "LIBRARY", "libnothing.so.1")
    assert machine.gpu_bytes(0) is None


FAULTS = """
import resource, sys
import numpy as np
from tests.support import helpers
from train.run import machine
if sys.argv[1] == "keep":
    machine.keep_freed_memory()
for i in range(20):
    if i == 5:
        begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(6_000_000)  # 48 MB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin)
"""


def test_freed_memory_is_kept_for_the_next_step():
    """The kernel clears no page twice: 15 arrays have 11,719 pages each."""
    faults = {
        way: int(helpers.python("-c", FAULTS, way).stdout.splitlines()[-1])
        for way in ("keep", "default")
    }
    assert faults["keep"] < 1000 < faults["default"]
