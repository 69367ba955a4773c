"""Contestants in turns within a budget of time; every measurement is written at once."""

import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gpu.setting import Program, Setting

__all__ = ["Journal", "measure"]

LAST_START = 0.75  # of the budget; later a contestant is skipped, so that rounds can be repeated


@dataclass
class Journal:
    """Rows of JSON, printed and appended to a file as they come.

    Attributes:
        path: of the file; an old one is overwritten.
        seconds: the budget.
    """

    path: Path
    seconds: float
    start: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("", encoding="utf-8")

    def row(self, what: str, **values: Any) -> None:
        line = json.dumps({"what": what, **values, "at_s": round(self.spent, 1)})
        print(line, flush=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    @property
    def spent(self) -> float:
        return time.monotonic() - self.start

    def allows(self, share: float = 1.0, needed: float = 0.0) -> bool:
        """Whether a task of some seconds ends within a share of the budget."""
        return self.spent + needed < share * self.seconds


def measure(
    contestants: Mapping[str, Callable[[], Program]],
    setting: Setting,
    journal: Journal,
    rounds: int,
) -> tuple[dict[str, list[float]], dict[str, Program]]:
    """Returns the images per second of each round, and the programs, by contestant.

    A contestant is compiled, and runs its first round at once; the other rounds follow in turns. So
    a run that is stopped has a figure of each contestant that it reached, the important ones first.
    A contestant that fails is a row, and the others go on.
    """
    rates: dict[str, list[float]] = {}
    programs: dict[str, Program] = {}
    needed: dict[str, float] = {}
    for name, prepare in contestants.items():
        if not journal.allows(LAST_START):
            journal.row(name, skipped="the budget of time is spent")
            continue
        try:
            programs[name] = prepare()
        except Exception as error:
            journal.row(name, failed=f"{type(error).__name__}: {error}"[:500])
            continue
        journal.row(name, **programs[name].facts)
        rates[name], needed[name] = [], 0.0
        needed[name] = _round(name, programs[name], setting, journal, rates[name])
    for _ in range(rounds - 1):
        for name, program in programs.items():
            if journal.allows(needed=needed[name]):
                _round(name, program, setting, journal, rates[name])
    for name, own in rates.items():
        middle, low, high = statistics.median(own), min(own), max(own)
        journal.row(name, rounds=len(own), median=middle, lowest=low, highest=high)
    return rates, programs


def _round(
    name: str, program: Program, setting: Setting, journal: Journal, rates: list[float]
) -> float:
    """Measures one round; returns how long it took, in seconds."""
    program.call()
    program.wait()
    calls = -(-setting.steps // program.steps)
    start = time.perf_counter()
    for _ in range(calls):
        program.call()
    last = program.wait()
    seconds = time.perf_counter() - start
    rate = calls * program.steps * setting.batch / seconds
    rates.append(rate)
    journal.row(name, round=len(rates), images_per_s=round(rate, 2), last=last)
    return seconds
