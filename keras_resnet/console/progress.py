"""How far something is that takes long: a bar in a terminal, a line now and then elsewhere.

In a terminal, rich draws bars below the lines that are printed. In logs, pipes and notebooks, whose
output has no cursor, a line says what goes on after ten seconds without any other.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from keras_resnet import console

__all__ = ["Work", "clock", "each", "refresh", "shown", "terminal"]

SILENCE = 10.0  # seconds without a line, in the first minute of a work
LATER = 60.0  # after that
WIDE = 110  # characters of a terminal with room for a long bar
Item = TypeVar("Item")


class Work:
    """Something that takes long.

    Args:
        what: such as "evaluating".
        total: how many units there are; None if that is unknown.
        units: their name.
        done: units that are done already.
    """

    def __init__(
        self, what: str, total: float | None = None, units: str = "", done: float = 0
    ) -> None:
        self.what = what
        self.total = total
        self.units = units
        self.done = done
        self.note = ""
        self.began = time.monotonic()
        self._first: tuple[float, float] | None = None  # time and count after the first units

    def advance(self, units: float = 1, note: str | None = None) -> None:
        """Notes that so many more units are done.

        Args:
            units: their number, which may be a fraction.
            note: what else is known by now; None keeps what was said before.
        """
        self.done += units
        self.note = self.note if note is None else note
        if self._first is None:  # which may have waited for a compiler
            self._first = (time.monotonic(), self.done)

    def left(self, now: float) -> float | None:
        """Returns the seconds that the rest will take; None if that is unknown."""
        if self.total is None or self._first is None:
            return None
        began, first = self._first
        new = self.done - first
        return (self.total - self.done) * (now - began) / new if new > 0 else None

    def line(self, now: float) -> str:
        """Returns what to say of it at a time of `time.monotonic`."""
        total = "" if self.total is None else f" of {self.total:,.0f}"
        count = f"{self.done:,.0f}{total} {self.units}" if self.units else ""
        left = self.left(now)
        rest = "" if left is None else f"{clock(left)} left"
        told = ", ".join(filter(None, [count, self.note, rest]))
        return f"{self.what} for {clock(now - self.began)}{told and f': {told}'}"

    def short(self, now: float) -> str:
        """Returns the same for the row of a bar."""
        left = self.left(now)
        times = clock(now - self.began) if left is None else f"ETA {clock(left)}"
        total = "" if self.total is None else f"/{self.total:,.0f}"
        count = f"{self.done:,.0f}{total}" if self.units else ""
        return "  ".join(filter(None, [count, times, self.note]))


@contextmanager
def shown(
    what: str, total: float | None = None, units: str = "", done: float = 0, *, say: bool = True
) -> Iterator[Work]:
    """Shows a work for as long as the context lasts; works may be nested.

    Args:
        what: as of `Work`.
        total: as of `Work`.
        units: as of `Work`.
        done: as of `Work`.
        say: False shows nothing, as in workers that leave the talking to another one.
    """
    work = Work(what, total, units, done)
    if not say:
        yield work
        return
    display = _displayed()
    display.add(work)
    try:
        yield work
    finally:
        display.remove(work)


def each(
    items: Iterable[Item], what: str, total: float | None = None, units: str = "batches"
) -> Iterator[Item]:
    """Yields items and shows how many are done."""
    with shown(what, total, units) as work:
        for item in items:
            yield item
            work.advance()


def terminal() -> bool:
    """Whether stdout has a cursor; commands of a notebook have a terminal without one."""
    dumb = os.environ.get("TERM", "dumb") in ("dumb", "unknown")
    return sys.stdout.isatty() and not dumb and "JPY_PARENT_PID" not in os.environ


def refresh() -> float:
    """Returns for how many seconds a note may stay; a log shows it only after a silence."""
    return 1.0 if terminal() else SILENCE


def clock(seconds: float) -> str:
    """Returns a duration, such as "1:02:03"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


class _Lines:
    """Says what goes on where nothing else was printed for a while."""

    def __init__(self) -> None:
        self._works: list[Work] = []
        self._some = threading.Event()
        threading.Thread(target=self._watch, name="progress", daemon=True).start()

    def add(self, work: Work) -> None:
        self._works.append(work)
        self._some.set()

    def remove(self, work: Work) -> None:
        self._works.remove(work)
        if not self._works:
            self._some.clear()

    def _watch(self) -> None:
        while self._some.wait():
            time.sleep(0.5)
            for work in self._works[-1:]:
                if line := due(work, time.monotonic(), console.last_said()):
                    console.say(line)


def due(work: Work, now: float, said: float) -> str:
    """Returns the line that is due of a work, "" if none is.

    Args:
        work: what goes on.
        now: by `time.monotonic`, in seconds.
        said: when a line was printed last.
    """
    patience = SILENCE if now - work.began <= LATER else LATER
    return work.line(now) if now - max(said, work.began) >= patience else ""


class _Bars:
    """Draws a row for each work with rich, below what is printed."""

    def __init__(self) -> None:
        self._bars: Any = None
        self._rows: dict[int, Any] = {}

    def add(self, work: Work) -> None:
        if self._bars is None:
            self._bars = _rich()
            self._bars.start()
        row = self._bars.add_task(work.what, total=None, work=work)
        self._rows[id(work)] = row

    def remove(self, work: Work) -> None:
        self._bars.remove_task(self._rows.pop(id(work)))
        if not self._rows:
            self._bars.stop()
            self._bars = None


def _rich() -> Any:
    """Returns rich's progress bars, which read the works when they are drawn."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task
    from rich.table import Column
    from rich.text import Text

    class Terminal(Console):
        """Leaves the cursor visible, since a process that is killed cannot bring it back."""

        def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002
            return False

    class Row(ProgressColumn):
        """What is said of a work."""

        max_refresh = 0.2

        def __init__(self, say: Callable[[Work], str], column: Column) -> None:
            self._say = say
            super().__init__(column)

        def render(self, task: Task) -> Text:
            return Text(self._say(task.fields["work"]), no_wrap=True, overflow="ellipsis")

    class Bar(BarColumn):
        """The share that is done."""

        def render(self, task: Task) -> Any:
            work: Work = task.fields["work"]
            task.total = work.total
            task.completed = work.done
            return super().render(task)

    place = Terminal()
    return Progress(
        Row(lambda work: work.what, Column(no_wrap=True)),
        Bar(bar_width=20 if place.width >= WIDE else 6),
        Row(lambda work: work.short(time.monotonic()), Column(no_wrap=True, ratio=1)),
        console=place,
        transient=True,
        expand=True,
        refresh_per_second=5,
    )


_display: _Lines | _Bars | None = None


def _displayed() -> _Lines | _Bars:
    """Returns the one display of this process."""
    global _display  # noqa: PLW0603 - a process has one stdout
    if _display is None:
        _display = _Bars() if terminal() else _Lines()
    return _display
