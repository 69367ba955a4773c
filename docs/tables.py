"""Writes the pages that are tables of the code: `python -m docs.tables`.

With `--check` nothing is written, and the exit code is 1 if a page differs from the code.
"""

import sys
from pathlib import Path

from docs import family, recipes

FOLDER = Path(__file__).parent
PAGES = {FOLDER / "family.md": family.page, FOLDER / "recipes.md": recipes.page}


def main(*flags: str) -> int:
    pages = {path: page() for path, page in PAGES.items()}
    old = [path for path in pages if path.read_text(encoding="utf-8") != pages[path]]
    for path in old:
        print(path.name)
        if "--check" not in flags:
            path.write_text(pages[path], encoding="utf-8")
    return 1 if old and "--check" in flags else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
