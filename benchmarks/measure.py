"""Contestants that take turns on one core, and the table of what they needed.

Machines are shared and noisy: contestants run A B C A B C in one process on one core, CPU time is
counted, and a table quotes medians, with the lowest and the highest round. Each benchmark writes
its table to `benchmarks/results/`; `python -m benchmarks.report` copies all of them into the docs.
"""

import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("tensorflow", "keras", "torch", "torchvision", "jax", "onnxruntime", "openvino")
CAPABILITIES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # that decide the speed

Work = Callable[[], object]


@dataclass(frozen=True)
class Table:
    """What one benchmark measured, on one machine, in one run.

    Attributes:
        name: of the file in `results/`, and of the table in the docs.
        command: repeats the measurement.
        unit: of the rates, such as "images per CPU second".
        reference: the contestant whose rate counts as 1.
        rates: for each contestant the rate of each round.
        notes: sentences that belong under the table.
        machine: where it was measured.
    """

    name: str
    command: str
    unit: str
    reference: str
    rates: Mapping[str, list[float]]
    notes: tuple[str, ...] = ()
    machine: Mapping[str, str] = field(default_factory=lambda: machine())  # noqa: PLW0108 (it is defined below)

    def ratio(self, name: str) -> float:
        """How many times the rate of the reference a contestant reaches, by medians."""
        return statistics.median(self.rates[name]) / statistics.median(self.rates[self.reference])

    def write(self, folder: Path = RESULTS) -> None:
        """Prints the table, and writes it as JSON."""
        _write(self, folder)

    def markdown(self) -> str:
        """Returns the command, the machine, the table and its notes."""
        rounds = len(self.rates[self.reference])
        where = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        lines = [
            f"`{self.command}`: medians of {rounds} rounds (lowest to highest); {where}.",
            "",
            f"| | {self.unit} | times {self.reference} |",
            "|---|---|---|",
        ]
        for name, rates in self.rates.items():
            middle, low, high = map(digits, (statistics.median(rates), min(rates), max(rates)))
            lines.append(f"| {name} | {middle} ({low} to {high}) | {self.ratio(name):.2f} |")
        lines += ["", " ".join(self.notes)] if self.notes else []
        return "\n".join(lines)


@dataclass(frozen=True)
class Columns:
    """A table with columns of its own, in which rates of rounds do not fit.

    Attributes:
        name: of the file in `results/`, and of the table in the docs.
        command: repeats the measurement.
        columns: their titles.
        rows: as the docs show them.
        notes: sentences that belong under the table.
        machine: where it was measured.
    """

    name: str
    command: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    machine: Mapping[str, str] = field(default_factory=lambda: machine())  # noqa: PLW0108 (it is defined below)

    def write(self, folder: Path = RESULTS) -> None:
        """Prints the table, and writes it as JSON."""
        _write(self, folder)

    def markdown(self) -> str:
        """Returns the command, the machine, the table and its notes."""
        where = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        lines = [f"`{self.command}`; {where}.", "", _row(self.columns)]
        lines += ["|---" * len(self.columns) + "|", *map(_row, self.rows)]
        lines += ["", " ".join(self.notes)] if self.notes else []
        return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _write(table: Table | Columns, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{table.name}.json"
    path.write_text(json.dumps(asdict(table), indent=1) + "\n", encoding="utf-8")
    print(table.markdown(), flush=True)


def read(path: Path) -> Table | Columns:
    """Reads a table of either kind from its JSON."""
    values = json.loads(path.read_text(encoding="utf-8"))
    values["notes"] = tuple(values["notes"])
    return Columns(**values) if "columns" in values else Table(**values)


def digits(value: float) -> str:
    """Returns a number with three significant digits, and without an exponent."""
    places = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:,.{max(0, places)}f}"


def pin(count: int = 1) -> None:
    """Keeps this process, and all that it starts, on the first cores that it may use."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def alternate(works: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Returns the CPU seconds of each round of each contestant, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(rounds):
        for name, work in works.items():
            start = time.process_time()
            work()
            seconds[name].append(time.process_time() - start)
    return seconds


def rates(seconds: Mapping[str, Iterable[float]], items: int) -> dict[str, list[float]]:
    """Returns items per second, where every round did `items` of them."""
    return {name: [items / one for one in own] for name, own in seconds.items()}


def bfloat16() -> bool:
    """Whether the processor computes in bfloat16; others take minutes for a few images."""
    return "_bf16" in _processor()


def machine() -> dict[str, str]:
    """Returns what the speed depends on: processor, cores in use, versions, and the day."""
    found = {"processor": _processor(), "cores": str(cores())}
    found |= {"Python": platform.python_version()}
    for name in PACKAGES:
        if name in sys.modules:
            found[name] = metadata.version(name)
    return found | {"date": datetime.now(UTC).date().isoformat()}


def _processor() -> str:
    """Returns the name of the processor and those of its capabilities that decide the speed."""
    rows: dict[str, Any] = {}
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        rows.setdefault(name.strip(), value.strip())
    flags = [flag for flag in CAPABILITIES if flag in rows.get("flags", "").split()]
    return " ".join([rows.get("model name", platform.processor()), *flags])
