"""The page that shows what an export sees, in a headless Chromium.

What it should show comes from the SavedModel, called here.
"""

import base64
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_resnet.export import job
from saved_models.serving.page.explanation import Network
from tests.support import exporting
from tests.support.demo_page import (
    CHROMIUM,
    CONTRASTS,
    DESKTOP,
    FIELD,
    PHONE,
    SEND,
    Window,
    browsing,
    served,
    show,
)

LONG = "Cardigan, Cardigan Welsh corgi, ofthekindthatnobreakcanbefoundinside"
LABELS = (LONG, "<b>bold</b> & 'quoted'", "Äffchen", *"defg")
schemes = pytest.mark.parametrize("scheme", ["light", "dark"])


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> Path:
    model, manifest = exporting.network("resnet20")
    about = {"recipe": {"dataset": "cifar10"}, "result": {"top1": 91.73}}
    manifest = replace(manifest, labels=LABELS, training=about)
    directory = tmp_path_factory.mktemp("demo") / "1"
    job.export(model, manifest, directory, job.Job(["saved_model"]))
    return directory


@pytest.fixture(scope="module")
def signatures(export) -> Any:
    loaded = tf.saved_model.load(str(export))
    return lambda name, image: {
        key: value[0].numpy()
        for key, value in loaded.signatures[name](image_bytes=tf.constant([image])).items()
    }


def encoded(kind: str, seed: int = 0, **options) -> bytes:
    """An image of coloured squares; as a JPEG of low quality a second encoding would show."""
    squares = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    image, data = Image.fromarray(squares).resize((80, 60), Image.Resampling.NEAREST), io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


JPEG = encoded("JPEG", quality=60)
OTHER = encoded("PNG", seed=5)
REFUSED = {
    "gif": (encoded("GIF"), "This file is not a JPEG, PNG or WebP."),
    "text": (b"hello", "This file is not a JPEG, PNG or WebP."),
    "empty": (b"", "This file is not a JPEG, PNG or WebP."),
    "cut": (OTHER[:90], "This image cannot be read: the file is damaged or incomplete."),
    "huge": (
        OTHER[:16] + 2 * (30_000).to_bytes(4, "big") + OTHER[24:],
        "This image has 30000x30000 pixels; at most 33554432 are allowed.",
    ),
}


@pytest.mark.parametrize(
    "data", [JPEG, OTHER, encoded("WEBP", seed=2)], ids=["jpeg", "png", "webp"]
)
def test_it_explains_what_a_server_would_answer(export, signatures, data):
    found, expected = Network(export).explain(data), signatures("predict_bytes", data)
    assert found.labels == [label.decode() for label in expected["labels"]]
    np.testing.assert_array_equal(found.scores, expected["probabilities"])
    assert found.maps.shape == (5, 16, 16)
    assert found.crop.shape == (32, 32, 3)


@pytest.fixture(scope="module")
def url(export, tmp_path_factory) -> Iterator[str]:
    temporary = tmp_path_factory.mktemp("uploads")
    with served(export, temporary) as url:
        yield url
        assert [path for path in temporary.rglob("*") if path.is_file()]
    assert list(temporary.iterdir()) == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not Path(CHROMIUM).exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{CHROMIUM} is not there")
    with browsing() as browser:
        yield browser


@pytest.fixture
def window(browser, url) -> Iterator[Window]:
    window = Window(browser, url, [], [])
    yield window
    for context in browser.contexts:
        context.close()
    # The empty one is of data: and blob:.
    assert {urlsplit(asked).netloc for asked in window.asked} - {""} == {urlsplit(url).netloc}
    assert window.errors == []


def shown(page: Any) -> tuple[list[str], list[str], list[float]]:
    """Names, percentages and widths of the bars, 0..1."""
    share = "([...bars]) => bars.map(bar => bar.offsetWidth / bar.parentElement.offsetWidth)"
    bars = page.locator(".bar")
    return (
        bars.locator(".name").all_inner_texts(),
        bars.locator(".value").all_inner_texts(),
        page.locator(".bar .track span").evaluate_all(share),
    )


def picture(page: Any, selector: str) -> np.ndarray:
    source = page.locator(selector).get_attribute("src").removeprefix("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source))))


def check(page: Any, signatures: Any, data: bytes) -> None:
    """The page shows what the SavedModel says of an image."""
    expected, explained = signatures("predict_bytes", data), signatures("explain", data)
    names, values, widths = shown(page)
    assert names == [label.decode() for label in expected["labels"]]
    rounded = [f"{100 * p:.1f} %" if p > 0.001 else "< 0.1 %" for p in expected["probabilities"]]
    assert values == rounded
    np.testing.assert_allclose(widths, expected["probabilities"], atol=0.003)
    assert page.locator("#told").inner_text() == f"{names[0]}, {values[0]}"
    np.testing.assert_array_equal(picture(page, ".crop"), explained["images"])
    for rank, map_ in enumerate(explained["maps"]):
        cells = picture(page, f".map[data-rank='{rank}']")[7::16, 7::16, 3] / 255
        np.testing.assert_allclose(cells, map_**0.7, atol=0.05)
        assert map_.flat[cells.argmax()] > 0.97


def test_it_shows_what_the_saved_model_says(window, signatures):
    page = window.open()
    assert page.title() == "What resnet20 sees"
    facts = ["7 classes", "32 × 32 pixels", "91.73 % of the test images of cifar10 correct"]  # noqa: RUF001
    assert page.locator("#facts li").all_inner_texts() == facts
    for name, data in (("a.jpg", JPEG), ("b.png", OTHER)):
        show(page, name, data)
        check(page, signatures, data)
    crop = page.locator(".small .crop")
    assert crop.evaluate("x => getComputedStyle(x).imageRendering") == "pixelated"
    assert crop.bounding_box()["width"] > 300
    assert crop.bounding_box() == page.locator(".map[data-rank='0']").bounding_box()


@pytest.mark.parametrize(
    ("kind", "place"), [("drop", "#image button"), ("drop", "#facts"), ("paste", "body")]
)
def test_images_are_dropped_and_pasted(window, signatures, kind, place):
    page = window.open()
    page.evaluate(SEND, [place, base64.b64encode(JPEG).decode(), kind])
    page.wait_for_selector(".bar")
    check(page, signatures, JPEG)


def test_the_keyboard_does_everything(window, signatures):
    page = window.open()
    focus = "[document.activeElement.tagName, document.activeElement.type, visible()]"
    page.add_script_tag(
        content="const visible = () => getComputedStyle(document.activeElement).outlineStyle"
    )
    page.keyboard.press("Tab")
    assert page.evaluate(focus) == ["BUTTON", "submit", "solid"]
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    assert page.locator(FIELD).get_attribute("accept") == ".jpg,.jpeg,.jpe,.jfif,.png,.webp"
    chooser.value.set_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": JPEG})
    page.wait_for_selector(".bar")
    check(page, signatures, JPEG)
    page.wait_for_selector("#image button:focus")
    page.keyboard.press("Tab")
    assert page.evaluate(focus) == ["INPUT", "range", "solid"]
    page.keyboard.press("Home")
    assert (
        page.locator(".map[data-rank='0']").evaluate("map => getComputedStyle(map).opacity") == "0"
    )
    page.keyboard.press("Tab")
    assert page.evaluate(focus) == ["INPUT", "radio", "solid"]
    page.keyboard.press("ArrowDown")
    seen = page.locator(".map:visible, .note:visible").evaluate_all(
        "all => all.map(x => x.dataset.rank)"
    )
    assert seen == ["1", "1"]
    show(page, "b.png", OTHER)
    assert page.locator("input[type=range]").input_value() == "0"  # as it was left
    assert page.locator(".map:visible").get_attribute("data-rank") == "0"


def test_what_is_refused_is_told_and_the_page_goes_on(window, signatures, tmp_path):
    page = window.open()
    for name, (data, sentence) in REFUSED.items():
        show(page, name, data)
        assert page.locator("#told").inner_text() == sentence
        assert page.locator(".bar").count() == 0
    (tmp_path / "a.png").touch()
    os.truncate(tmp_path / "a.png", 2**25 + 1)
    page.set_input_files(FIELD, tmp_path / "a.png")
    page.wait_for_selector("text=maximum allowed size of 32.0 Mb")
    show(page, "a.jpg", JPEG)
    check(page, signatures, JPEG)


@schemes
def test_a_phone_has_one_column_that_fits_and_reads_well(window, scheme):
    page = window.open(PHONE, scheme)
    for data in (b"no image", OTHER):
        show(page, "a.png", data)
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        ratios = page.evaluate(CONTRASTS)
        assert len(ratios) >= 6
        assert min(ratios) >= 4.5  # AA of WCAG 2
    boxes = [page.locator(s).bounding_box() for s in ("#facts", "#image", "figure", "fieldset")]
    for above, below in pairwise(boxes):
        assert above["y"] + above["height"] <= below["y"]
    for box in boxes:
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]


@schemes
def test_a_desktop_shows_everything_at_once(window, scheme):
    page = window.open(DESKTOP, scheme)
    show(page, "a.jpg", JPEG)
    page.wait_for_function("document.querySelector('.crop').complete")
    assert page.evaluate("document.documentElement.scrollHeight") <= DESKTOP["height"]
    figure, bars = (page.locator(s).bounding_box() for s in ("figure", "fieldset"))
    assert figure["x"] + figure["width"] < bars["x"]
    assert min(page.evaluate(CONTRASTS)) >= 4.5
