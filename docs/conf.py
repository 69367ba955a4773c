"""How Sphinx makes the site: `make docs` writes it into `build/docs`.

The sources are the pages of this repository as a Git host shows them. The root is the repository,
so that links between README, docs, benchmarks and results lead to the same files in both places.
What only the site has is added to the text of a page while it is read: the table of contents to
README.md, and entries of the API to the pages in `docs/reference/`.
"""

import re
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from docs import reference

project = "keras_resnet"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
CONTENTS = {
    "Use": ("predict", "family", "weights", "pixels", "evaluation", "analysis"),
    "Train": ("training", "recipes", "clusters", "experiments", "results", "models"),
    "Deploy": ("export", "runtimes", "serving"),
    "Help": ("migrating", "troubleshooting"),
    "API reference": tuple(f"reference/{page}" for page in reference.PAGES),
    "Project": ("architecture", "keras_cv"),
}
# Beside docs/: pages that others link to.
OTHERS = (
    "benchmarks/README",
    "results/README",
    "saved_models/README",
    "CONTRIBUTING",
    "CHANGELOG",
)
include_patterns = [
    "README.md",
    "docs/*.md",
    "docs/reference/*.md",
    *(f"{page}.md" for page in OTHERS),
]
exclude_patterns = [".*", "build", "runs", "tests", "train", "keras_resnet"]

myst_heading_anchors = 4  # the anchors of headings that Git hosts have
myst_enable_extensions = ["attrs_inline"]
suppress_warnings = ["myst.header"]
autodoc_inherit_docstrings = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_maximum_signature_line_length = 72
add_module_names = False

html_theme = "furo"
html_title = "keras_resnet"
html_static_path = ["site"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#8a2b06", "color-brand-content": "#0b57a8"},
    "dark_css_variables": {"color-brand-primary": "#ff9d6e", "color-brand-content": "#7db7ff"},
}


def contents() -> str:
    """Returns the table of contents, as the sidebar shows it."""
    parts = {part: [f"docs/{page}" for page in pages] for part, pages in CONTENTS.items()}
    parts["Project"] += OTHERS
    return "\n".join(
        "```{toctree}\n:hidden:\n:caption: " + f"{part}\n" + "\n".join(pages) + "\n```\n"
        for part, pages in parts.items()
    )


def complete(app: Sphinx, page: str, text: list[str]) -> None:
    """Adds to a page what only the site has, and removes links to folders, which it has not."""
    place = Path(app.srcdir, page).parent

    def without_folder(link: re.Match[str]) -> str:
        return link[1] if (place / link[2]).is_dir() else link[0]

    text[0] = re.sub(r"\[([^][]+)\]\(([\w./-]+)\)", without_folder, text[0])
    if page == root_doc:
        text[0] += "\n" + contents()
    if page.startswith("docs/reference/"):
        text[0] = reference.complete(page.rpartition("/")[2], text[0])


def from_markdown(_: Sphinx, *found: Any) -> None:
    """Rewrites a docstring, whose inline markup is Markdown, for Sphinx: `code`, and stars."""
    _, _, value, _, lines = found
    if isinstance(value, type):
        reference.with_fields(value, lines)
    text = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``\\ ", "\n".join(lines))
    lines[:] = re.sub(r"(?<![\w*`\\])\*(?=\w+[,\]])", r"\\*", text).split("\n")


def without_aliases(*found: Any) -> bool | None:
    """Leaves out what Python itself writes about the fields of a named tuple."""
    text = found[3].__doc__ or ""
    return True if text.startswith("Alias for field number") else None


def add_index(app: Sphinx, error: Exception | None) -> None:
    """Makes README.md the page that a server and a browser look for in a folder."""
    if error is None:
        shutil.copy(Path(app.outdir, f"{root_doc}.html"), Path(app.outdir, "index.html"))


def setup(app: Sphinx) -> None:
    app.connect("source-read", complete)
    app.connect("autodoc-process-docstring", from_markdown, priority=100)  # before napoleon
    app.connect("autodoc-skip-member", without_aliases)
    app.connect("build-finished", add_index)
