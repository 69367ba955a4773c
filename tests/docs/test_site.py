"""The site builds without a warning, its links lead somewhere, and it explains every name."""

import html
import inspect
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import keras_resnet
from docs import reference
from tests.support import helpers

TAGS = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src"}


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.anchors: set[str] = set()
        self.text = file.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := found.get(name))}
        if target := found.get(TAGS.get(tag, "")):
            self.links.append((tag, target))


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, as `make docs` builds it, in which a warning is an error."""
    out = tmp_path_factory.mktemp("site")
    words = ["-qW", "--keep-going", "-E", "-c", "docs", "-d", f"{out}/trees", ".", f"{out}/html"]
    done = helpers.module("sphinx", *words)
    assert done.returncode == 0, done.stderr
    return out / "html"


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    return {file: Page(file) for file in site.rglob("*.html")}


def test_every_page_is_in_the_site(pages, site):
    found = {file.relative_to(site).with_suffix(".md").as_posix() for file in pages}
    there = {
        path.relative_to(helpers.ROOT).as_posix() for path in helpers.ROOT.glob("docs/**/*.md")
    }
    assert len(there) > 20
    assert there | {"index.md", "README.md", "benchmarks/README.md", "CHANGELOG.md"} <= found


def inner(pages: dict[Path, Page]) -> Iterator[tuple[Path, Path, str]]:
    """Yields page, file and anchor of each link that stays in the site."""
    for file, page in pages.items():
        for _, link in page.links:
            parts = urlsplit(link)
            if not parts.scheme and not parts.netloc:
                target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
                yield file, target, unquote(parts.fragment)


def test_links_and_anchors_exist(pages):
    links = list(inner(pages))
    assert len(links) > 1000
    missing = {(file.name, str(target)) for file, target, _ in links if not target.exists()}
    assert missing == set()
    lost = {
        (file.name, target.name, anchor)
        for file, target, anchor in links
        if anchor and target in pages and anchor not in pages[target].anchors
    }
    assert lost == set()


def test_nothing_is_asked_of_other_hosts(pages, site):
    """A reader may follow a link elsewhere; the site itself works without a network."""
    loaded = {link for page in pages.values() for tag, link in page.links if tag != "a"}
    assert len(loaded) > 10
    assert {link for link in loaded if urlsplit(link).netloc} == set()
    styles = [file.read_text(encoding="utf-8") for file in site.rglob("*.css")]
    assert not [url for text in styles for url in re.findall(r"url\(['\"]?(?:https?:)?//", text)]


def entry(pages: dict[Path, Page], page: str, name: str) -> str:
    """Returns the signature of a public name, as the reference shows it."""
    [text] = [one.text for file, one in pages.items() if file.parts[-2:] == ("reference", page)]
    found = re.search(rf'<dt class="sig[^>]*id="{re.escape(name)}">(.*?)</dt>', text, re.DOTALL)
    assert found, f"{page} has no entry {name}"
    return html.unescape(re.sub("<.*?>", "", found[1]))


def values() -> list[tuple[str, str, object]]:
    return [
        (f"{page}.html", name, getattr(import_module(name.rpartition(".")[0]), name.split(".")[-1]))
        for page in reference.PAGES
        for name in reference.names(page)
    ]


def test_the_reference_has_every_public_name():
    names = {name for _, name, _ in values()}
    assert names >= {f"keras_resnet.{name}" for name in keras_resnet.__all__}
    assert len(names) > 150
    for package in keras_resnet.MODULES:
        module = import_module(f"keras_resnet.{package}")
        for own in module.__all__:
            inside = f"{module.__name__}.{own}"
            assert inside in names or any(name.startswith(f"{inside}.") for name in names)


def test_entries_have_all_arguments(pages):
    builders = set(keras_resnet.builders.__all__) - {reference.FULL}
    for page, name, value in values():
        shown = entry(pages, page, name)
        if name in reference.CONSTANTS or not callable(value):
            continue
        if name.rpartition(".")[2] in builders:
            assert "**arguments" in shown, name
            continue
        missing = [each for each in arguments(value) if each not in shown]
        assert missing == [], name


def arguments(value: object) -> list[str]:
    if inspect.isclass(value) and issubclass(value, Exception):
        return []
    return list(inspect.signature(value).parameters)
