"""ResNet-50 v1.5 on one GPU, the library on JAX beside PyTorch and plain JAX, in one run.

    KERAS_BACKEND=jax python -m benchmarks.gpu [--minutes=8] [--out=FOLDER] [--trace=FOLDER]

Neither TensorFlow nor `train/` is needed, so that it runs on a GPU machine with JAX and PyTorch:
carry `keras_resnet/` and `benchmarks/`, and the packages keras, absl-py, h5py, ml-dtypes, namex,
optree, protobuf and rich where they are missing. The contestants of PyTorch need torchvision.

Every measurement is a line of JSON, on stdout and in `gpu.jsonl`, as soon as it is there. At the
end the tables of training and inference are written. `benchmarks/README.md` explains the rows.
"""

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"
# JAX takes this share of the GPU's memory at once, and PyTorch uses the rest.
os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.5")

import jax

import keras_resnet
from benchmarks import measure
from benchmarks.gpu import on_jax
from benchmarks.gpu.setting import Layers, Program, Setting
from benchmarks.gpu.turns import Journal, measure as take_turns
from benchmarks.stock import with_keras_normalization

Contestants = dict[str, Callable[[], Program]]

LOOP = 10  # steps per call of the contestant that loops, at most
STEM = 4  # channels of the padded stem
PROFILED = 3  # calls
KERNELS = 25  # rows of the profile
PACKAGES = ("jax", "jaxlib", "keras", "torch", "torchvision")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", allow_abbrev=False)
    add = parser.add_argument
    add("--minutes", type=float, default=8, help="Budget of the whole run.")
    add("--out", type=Path, default=measure.RESULTS, help="Folder of the results.")
    add("--trace", type=Path, help="Folder for a trace of the library's training.")
    add("--skip", default="", help="Words, separated by commas; skips contestants with one.")
    add("--rounds", type=int, default=3)
    add("--steps", type=int, default=30, help="Steps per round.")
    add("--batch", type=int, default=256)
    add("--size", type=int, default=224, help="Height and width of the images.")
    add("--classes", type=int, default=1000)
    add("--repeats", default="3,4,6,3", help="Blocks per stage.")
    add("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    add("--matrix", default="4096,8192,16384", help="Sizes of the matrix products.")
    add("--copy", type=int, default=2048, help="Megabytes to copy.")
    return parser.parse_args()


def contestants(setting: Setting) -> Contestants:
    """Returns all contestants, "training: NAME" and "inference: NAME", the important ones first."""
    model = cache(partial(on_jax.library, setting))
    layers = cache(lambda: on_jax.layers_of(model()))

    def library(change: Callable[[Any], Any] = lambda model: model) -> on_jax.Network:
        return on_jax.of_keras(change(model()))

    def plain() -> on_jax.Network:
        return on_jax.of_plain(layers())

    loop = min(LOOP, setting.steps)
    stock = with_keras_normalization
    stem = partial(on_jax.padded, setting=setting, channels=STEM)
    return {
        "training: library": lambda: on_jax.train(library(), setting),
        "training: torch.compile": lambda: _torch("train", layers(), setting, compiled=True),
        "inference: library, folded": lambda: on_jax.infer(library(keras_resnet.fold), setting),
        "inference: torch.compile": lambda: _torch("infer", layers(), setting),
        "training: library, Keras's normalization": lambda: on_jax.train(library(stock), setting),
        "training: library, loop of steps": lambda: on_jax.train(library(), setting, loop),
        "training: plain JAX": lambda: on_jax.train(plain(), setting),
        "training: library, padded stem": lambda: on_jax.train(library(stem), setting),
        "inference: library": lambda: on_jax.infer(library(), setting),
        "inference: plain JAX": lambda: on_jax.infer(plain(), setting),
        "training: torch eager": lambda: _torch("train", layers(), setting, compiled=False),
    }


def chips(flags: argparse.Namespace, journal: Journal) -> tuple[float, float]:
    """Measures the highest rates of products and of memory: operations and bytes per second."""
    products = on_jax.matrix_rate([int(size) for size in flags.matrix.split(",")], flags.dtype)
    journal.row("chip: matrix product", tera_operations_per_s=products / 1e12)
    copies = on_jax.memory_rate(flags.copy)
    journal.row("chip: memory", giga_bytes_per_s=copies / 1e9)
    return products, copies


def bounds(
    programs: Mapping[str, Program],
    rates: Mapping[str, list[float]],
    setting: Setting,
    chip: tuple[float, float],
    journal: Journal,
) -> None:
    """Writes which share of the chip each contestant uses, and what memory traffic would allow.

    The share counts the multiply-adds of convolutions and the classifier: once for inference, three
    times for training. Torch does not tell how many bytes its kernels access.
    """
    products, copies = chip
    model = on_jax.library(setting)
    operations = 2 * keras_resnet.cost(model).multiply_adds
    for name, own in rates.items():
        passes = 3 if name.startswith("training") else 1
        used = statistics.median(own) * passes * operations / products
        found = {"share_of_matrix_rate": round(used, 4)}
        if accessed := programs[name].facts.get("bytes"):
            found["images_per_s_by_memory"] = round(setting.batch * copies / accessed, 2)
        found["images_per_s_by_products"] = round(products / (passes * operations), 2)
        journal.row(name, **found)


def machine() -> dict[str, str]:
    """Returns the device that JAX computes on, and the versions of what is installed."""
    found = {"device": jax.devices()[0].device_kind, "platform": jax.default_backend()}
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found | {"date": datetime.now(UTC).date().isoformat()}


def write(
    flags: argparse.Namespace, rates: Mapping[str, list[float]], programs: Mapping[str, Program]
) -> None:
    """Writes a table of training and one of inference, relative to torch.compile if it is there."""
    for kind in ("training", "inference"):
        own = {n.split(": ")[1]: r for n, r in rates.items() if n.startswith(f"{kind}:")}
        if not own:
            continue
        facts = {name: programs[f"{kind}: {name}"].facts for name in own}
        memory = [f"{n} {f['memory_gb']} GB" for n, f in facts.items() if "memory_gb" in f]
        table = measure.Table(
            name=f"gpu_{kind}",
            command=" ".join(["python -m benchmarks.gpu", *sys.argv[1:]]),
            unit=f"images per second, {kind}, batch {flags.batch}, {flags.dtype}",
            reference=next((n for n in own if n == "torch.compile"), next(iter(own))),
            rates=own,
            notes=(f"Memory: {', '.join(memory)}.",),
            machine=machine(),
        )
        table.write(flags.out)


def main() -> None:
    flags = arguments()
    repeats = tuple(int(n) for n in flags.repeats.split(","))
    setting = Setting(repeats, flags.batch, flags.size, flags.classes, flags.dtype, flags.steps)
    journal = Journal(flags.out / "gpu.jsonl", 60 * flags.minutes)
    journal.row("machine", **machine())
    chip = chips(flags, journal)
    skipped = [word for word in flags.skip.split(",") if word]
    every = contestants(setting)
    chosen = {n: c for n, c in every.items() if not any(word in n for word in skipped)}
    rates, programs = take_turns(chosen, setting, journal, flags.rounds)
    bounds(programs, rates, setting, chip, journal)
    if stats := jax.devices()[0].memory_stats():
        journal.row("JAX: memory", peak_gb=round(stats["peak_bytes_in_use"] / 1e9, 2))
    traced = programs.get("training: library")
    if flags.trace and traced and journal.allows():
        kernels = on_jax.profile(traced, flags.trace, PROFILED, KERNELS)
        journal.row("profile: milliseconds per step", **kernels)
    write(flags, rates, programs)


def _torch(function: str, layers: Layers, setting: Setting, **chosen: bool) -> Program:
    from benchmarks.gpu import on_torch  # deferred: it takes seconds, and may be missing

    return getattr(on_torch, function)(layers, setting, **chosen)


if __name__ == "__main__":
    main()
