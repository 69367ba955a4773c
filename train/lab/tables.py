"""The results of an experiment as people read them; standard library only."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Summary = dict[str, Any]  # as `results.summary` returns it


def row(cells: Iterable[str]) -> str:
    """Returns a row of a table of Markdown."""
    return f"| {' | '.join(cells)} |"


def rows(titles: Sequence[str], found: Iterable[Iterable[str]]) -> list[str]:
    """Returns the lines of a table of Markdown."""
    return [row(titles), "|---" * len(titles) + "|", *map(row, found)]


def table(values: Summary) -> list[str]:
    """Returns the lines of a summary's table.

    Rows without any number are left out, but for the first of each run.
    """
    found = []
    shown = ""
    for one in values["rows"]:
        first = one["command"] != shown  # the numbers of a run share its command
        if not (first or one["paper"] or one["n"] or one["trained"]):
            continue
        shown = one["command"]
        command = f"`{shown}`" if first and shown else ""
        found.append((one["run"], one["measure"], one["paper"] or "", ours(one), command))
    return rows(("run", "measure", "paper", "ours: mean ± deviation", "command"), found)


def ours(one: Mapping[str, Any]) -> str:
    """Returns mean ± deviation, and of how many seeds, for people."""
    if not one["n"]:
        return "not measured" if one["trained"] else "unfinished"
    digits = ".3f" if "response" in one["measure"] else ".2f"
    spread = "" if one["std"] is None else f" ± {one['std']:{digits}}"
    of = "" if one["n"] == one["wanted"] else f" of {one['wanted']} so far"
    return f"{one['mean']:{digits}}{spread} (n={one['n']}{of})"


def claims(values: Summary) -> list[str]:
    """Returns a line for each claim of the paper: whether it holds for these means."""
    words = {True: "holds", False: "does not hold", None: "not measured yet"}
    return [
        f"{one['says']}: {words[one['holds']]}" + (f" ({one['ours']})" if one["ours"] else "")
        for one in values["comparisons"]
    ]


def origins(values: Summary) -> list[str]:
    """Returns a line for each run that has begun: its state, commit, machine and dates."""
    lines = []
    for one in values["runs"]:
        if one["state"] == "not begun":
            continue
        lines.append(
            f"{one['run']}, seed {one['seed']}: {one['state']}; {'; '.join(_told(one['starts']))}"
        )
    return lines


def _told(starts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns commits, precisions, devices and dates of all starts of a run, each once."""
    commits = [f"{one['commit'][:12] or 'unknown'}{'+' * one['changed']}" for one in starts]
    told = {"commit": commits or ["unknown: the run does not record it"]}
    told |= {name: [one[name] for one in starts] for name in ("precision", "hardware", "date")}
    return [
        f"{'commit ' * (name == 'commit')}{', '.join(dict.fromkeys(values))}"
        for name, values in told.items()
        if values
    ]
