"""What is needed of an image: a decoder that knows it does not decode the rest."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Finish", "Look", "View", "whole"]

Finish = Callable[[Any], Any]  # pixels of a window, uint8 [height, width, channels] -> result


@dataclass(frozen=True)
class View:
    """A window of an image, and what becomes of its pixels.

    Attributes:
        window: integers [4]: top, left, height and width, in pixels of the whole image; None for
            all of it.
        finish: maps the pixels of the window, uint8 [height, width, channels], to the result.
        least: pixels per side that the result needs. While the window keeps so many, a JPEG is
            decoded at a half, a quarter or an eighth of its resolution. 0: always at its own.
    """

    window: Any
    finish: Finish
    least: int = 0


Look = Callable[[Any], View]  # (height and width of an image, integers [2]) -> View


def whole(_size: Any) -> View:
    """The view of all pixels, as they are."""
    return View(None, lambda image: image)
