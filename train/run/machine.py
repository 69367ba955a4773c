"""The memory of this machine, of this container and of a GPU, and how it is kept."""

import ctypes
import platform
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
LIBRARY = "libcuda.so.1"  # of NVIDIA's driver
# Numbers of malloc.h: nothing is mapped apart, nothing is trimmed, and the heap grows by 128 MB.
MALLOC = {-4: 0, -1: 2**31 - 1, -2: 2**27}


def keep_freed_memory() -> None:
    """Makes the malloc of glibc keep what is freed, for the next step.

    By default every large tensor goes back to the kernel, which clears each of its pages when the
    next one needs them: a tenth of the time of a ResNet-20 step on a CPU. The peak stays the same.
    Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    for number, value in MALLOC.items():
        library.mallopt(number, value)


def host_bytes(root: Path = ROOT) -> int | None:
    """Returns the bytes that processes may use here, with swap; None if nothing says it.

    That is the machine's memory, or the smallest limit of the control groups of this process.
    """
    try:
        text = (root / "proc/meminfo").read_text()
    except OSError:
        return None
    found = {name: 1024 * int(size) for name, size in re.findall(r"(\w+):\s*(\d+) kB", text)}
    if "MemTotal" not in found:
        return None
    return min([found["MemTotal"], *_limits(root)]) + found.get("SwapTotal", 0)


def _limits(root: Path) -> Iterator[int]:
    """Yields the limits of this process's control groups and of all groups that hold them."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, place = line.split(":", 2)
        if "memory" in controllers.split(","):
            base = root / "sys/fs/cgroup/memory"
            name = "memory.limit_in_bytes"
        elif (number, controllers) == ("0", ""):  # version 2
            base = root / "sys/fs/cgroup"
            name = "memory.max"
        else:
            continue
        group = Path(place.lstrip("/"))
        for folder in (group, *group.parents):  # a container may see only its own, as the root
            try:
                text = (base / folder / name).read_text().strip()
            except OSError:
                continue
            if text.isdecimal():  # or "max"
                yield int(text)


def gpu_bytes(index: int) -> int | None:
    """Returns the memory of an NVIDIA GPU; None if the driver does not say.

    GPUs are numbered as in TensorFlow, which follows CUDA_VISIBLE_DEVICES. Nothing is allocated.
    """
    try:
        cuda = ctypes.CDLL(LIBRARY)
        device = ctypes.c_int()
        size = ctypes.c_size_t()
        codes = (
            cuda.cuInit(0),
            cuda.cuDeviceGet(ctypes.byref(device), index),
            cuda.cuDeviceTotalMem_v2(ctypes.byref(size), device),
        )
    except (OSError, AttributeError):  # no driver, or one without these functions
        return None
    return None if any(codes) else size.value
