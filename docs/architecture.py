"""Draws the rooms of this repository and who imports whom: `python docs/architecture.py`.

A room is a file or a folder on the first floor of `keras_resnet/`, `train/` or
`saved_models/serving/`. An arrow says that a room imports another one; an arrow that follows from
others, as A -> C does from A -> B -> C, is left out. Writes `docs/images/architecture.svg` with
Graphviz, whose program `dot` has to be installed.
"""

import ast
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
HOUSES = {
    "keras_resnet": "keras_resnet: the library",
    "train": "train: the driver",
    "saved_models/serving": "saved_models/serving",
}
COLOURS = {"keras_resnet": "#dbe9f6", "train": "#fde6cf", "saved_models/serving": "#e2f0d9"}


def rooms(house: str) -> dict[str, list[Path]]:
    """Returns the rooms of a house by name, each with its files; not the face, `__init__.py`."""
    found: dict[str, list[Path]] = {}
    for file in sorted((ROOT / house).rglob("*.py")):
        name = file.relative_to(ROOT / house).parts[0].removesuffix(".py")
        if name != "__init__":
            found.setdefault(name, []).append(file)
    return found


def imported(file: Path) -> Iterator[str]:
    """Yields what a file imports, anywhere in it, as dotted names."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows() -> dict[str, set[str]]:
    """Returns for each room, as "train/loop", the rooms that it imports."""
    names = {f"{house}/{room}" for house in HOUSES for room in rooms(house)}
    found: dict[str, set[str]] = {name: set() for name in sorted(names)}
    for house in HOUSES:
        for room, files in rooms(house).items():
            own = f"{house}/{room}"
            paths = [name.replace(".", "/") for file in files for name in imported(file)]
            found[own] = {to for path in paths for to in names if _within(path, to)} - {own}
    return found


def _within(path: str, room: str) -> bool:
    return path == room or path.startswith(f"{room}/")


def reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """Returns the rooms that can be reached from one by one arrow or more."""
    found: set[str] = set()
    pending = list(graph[start])
    while pending:
        room = pending.pop()
        if room not in found:
            found.add(room)
            pending.extend(graph[room])
    return found


def circles(graph: Mapping[str, set[str]]) -> list[str]:
    """Returns the rooms that import themselves by way of others: none, in a sound structure."""
    return [room for room in graph if room in reachable(graph, room)]


def reduced(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Leaves out the arrows that follow from others; the graph must have no circle."""
    result = {}
    for room, targets in graph.items():
        further = {to for target in targets for to in reachable(graph, target)}
        result[room] = targets - further
    return result


def source() -> str:
    """Returns the picture in Graphviz's language."""
    lines = [
        "digraph {",
        '  graph [rankdir=TB, nodesep=0.2, ranksep=0.45, fontname="Helvetica", fontsize=15];',
        '  node [shape=box, style="filled,rounded", fontname="Helvetica", fontsize=13];',
        '  node [height=0.35, margin="0.12,0.05", color="#707070"];',
        '  edge [color="#808080", arrowsize=0.6];',
    ]
    for house, title in HOUSES.items():
        lines.append(f'  subgraph "cluster_{house}" {{')
        lines.append(f'    label="{title}"; labeljust=l; style=rounded; color="#b0b0b0";')
        for room in rooms(house):
            label = f"{room}/" if (ROOT / house / room).is_dir() else room
            lines.append(f'    "{house}/{room}" [label="{label}", fillcolor="{COLOURS[house]}"];')
        lines.append("  }")
    for room, targets in reduced(arrows()).items():
        lines.extend(f'  "{room}" -> "{target}";' for target in sorted(targets))
    return "\n".join([*lines, "}"])


def main() -> None:
    command = ["dot", "-Tsvg", "-o", str(PICTURE)]
    subprocess.run(command, input=source(), text=True, check=True)
    print(PICTURE.relative_to(ROOT))


if __name__ == "__main__":
    main()
