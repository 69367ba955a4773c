"""Copies the tables of `benchmarks/results/` into README and docs: `python -m benchmarks.report`.

A table stands between `<!-- benchmark NAME -->` and `<!-- /benchmark -->`. With `--check` nothing
is written, and the exit code is 1 if a page differs from the results.
"""

import re
import sys
from pathlib import Path

from benchmarks import measure

ROOT = Path(__file__).parents[1]
PLACE = re.compile(r"(<!-- benchmark (\w+) -->\n).*?(<!-- /benchmark -->)", re.DOTALL)


def pages() -> list[Path]:
    return [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted(ROOT.glob("docs/*.md"))]


def filled(text: str) -> str:
    """Returns a page with the tables that the results hold now."""

    def table(found: re.Match[str]) -> str:
        return (
            f"{found[1]}{measure.read(measure.RESULTS / f'{found[2]}.json').markdown()}\n{found[3]}"
        )

    return PLACE.sub(table, text)


def main(*flags: str) -> int:
    old = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        new = filled(text)
        if new != text:
            old.append(page)
            if "--check" not in flags:
                page.write_text(new, encoding="utf-8")
                print(page.relative_to(ROOT))
    return 1 if old and "--check" in flags else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
