"""The page of `saved_models.serving.page`, served in a process of its own, in a real browser.

As a command it takes the screenshots of the docs:

    python tests/support/demo_page.py saved_models/resnet56/1 docs/images
"""

import io
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FIELD = "#image input[type=file]"
DESKTOP, PHONE = {"width": 1280, "height": 720}, {"width": 390, "height": 844}

# Drops or pastes a file, given as base64, where a selector says.
SEND = """([selector, data, kind]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], "a.jpg", { type: "image/jpeg" }));
  const target = document.querySelector(selector), options = { bubbles: true, cancelable: true };
  if (kind === "paste") {
    target.dispatchEvent(new ClipboardEvent("paste", { clipboardData: files, ...options }));
  } else for (const name of ["dragenter", "dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(name, { dataTransfer: files, ...options }));
  }
}"""
# The contrasts of all texts to what is behind them, as WCAG 2 defines them.
CONTRASTS = """() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => channels(color).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    const color = getComputedStyle(element).backgroundColor, alpha = channels(color)[3];
    return alpha === 0 ? behind(element.parentElement) : color;
  };
  const texts = [...document.querySelectorAll("#facts *, #image *, #told *, #answer *")].filter(
    (e) => e.offsetParent && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()));
  return texts.map((e) => {
    const pair = [light(getComputedStyle(e).color), light(behind(e))].sort((a, b) => a - b);
    return (pair[1] + 0.05) / (pair[0] + 0.05);
  });
}"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def served(directory: Path, temporary: Path) -> Iterator[str]:
    """Runs the command; yields its URL, and ends it with Ctrl-C, as a person would."""
    command = [sys.executable, "-m", "saved_models.serving.page", str(directory)]
    process = subprocess.Popen(
        [*command, f"--port={free_port()}"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        assert "Ctrl-C ends it" in line, process.communicate()[1]
        yield line.split()[0]
        process.send_signal(2)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


@contextmanager
def browsing() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def opened(page: Page, url: str) -> Page:
    page.goto(url)
    page.wait_for_selector(FIELD, state="attached")
    page.wait_for_selector("#told[aria-live=polite]", state="attached")
    return page


@dataclass
class Window:
    """Opens pages, and hears whom they ask and what goes wrong in them."""

    browser: Browser
    url: str
    asked: list[str]
    errors: list[str]

    def open(self, size: dict[str, int] = DESKTOP, scheme: str = "light") -> Page:
        page = self.browser.new_page(viewport=size, color_scheme=scheme)
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", lambda socket: self.asked.append(socket.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        # Choosers are caught from now on; a listener that comes with the key may come late.
        page.on("filechooser", lambda _: None)
        return opened(page, self.url)


def show(page: Page, name: str, data: bytes) -> None:
    """Gives an image to the field, and waits until something new is told of it."""
    page.evaluate("document.querySelectorAll('#told p').forEach((p) => (p.dataset.old = ''))")
    page.set_input_files(FIELD, {"name": name, "mimeType": "", "buffer": data})
    page.wait_for_selector("#told p:not([data-old])")


def drawing() -> bytes:
    """A flying boat, half of each, as a PNG of 640x480 pixels."""
    image = Image.new("RGB", (640, 480), (150, 195, 235))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 300, 640, 480), fill=(38, 84, 130))
    draw.polygon([(80, 255), (560, 245), (520, 320), (170, 330)], fill=(235, 235, 238))
    draw.polygon([(95, 255), (60, 140), (115, 140), (170, 252)], fill=(190, 60, 50))
    draw.polygon([(200, 185), (450, 180), (440, 200), (210, 205)], fill=(190, 60, 50))
    for x in (250, 400):
        draw.line((x, 200, x, 255), fill=(60, 60, 70), width=9)
    draw.polygon([(440, 250), (490, 250), (520, 270), (440, 272)], fill=(60, 80, 100))
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def main(export: str, out: str) -> None:
    views: dict[str, dict[str, Any]] = {"demo": DESKTOP, "demo_phone": PHONE}
    with (
        tempfile.TemporaryDirectory() as temporary,
        served(Path(export), Path(temporary)) as url,
        browsing() as browser,
    ):
        for name, size in views.items():
            page = opened(browser.new_page(viewport=size, color_scheme="light"), url)
            show(page, "boat.png", drawing())
            page.wait_for_timeout(500)  # until all is painted
            page.screenshot(path=f"{out}/{name}.png", full_page=name == "demo_phone")


if __name__ == "__main__":
    main(*sys.argv[1:])
