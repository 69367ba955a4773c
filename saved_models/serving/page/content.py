"""The content of the page as HTML: facts about a network, and its answer for an image."""

import base64
from html import escape
from typing import Any

import numpy as np

from saved_models.serving.page.explanation import Explanation

# Nine evenly spaced colours of Viridis (bids.github.io/colormap, CC0): equal steps look equally
# large, also to people who cannot tell red from green.
VIRIDIS = np.array(
    [
        [68, 1, 84],
        [71, 44, 122],
        [59, 81, 139],
        [44, 113, 142],
        [33, 144, 141],
        [39, 173, 129],
        [92, 200, 99],
        [170, 220, 50],
        [253, 231, 37],
    ],
    np.float32,
)
OPACITY = 0.7  # a map's opacity is this power of its values; less shows weak evidence better
SIDE = 256  # pixels of a map on the page
SMALL = 128  # crops with fewer pixels a side are enlarged without smoothing
PLACES = (
    ("at the upper left", "at the top", "at the upper right"),
    ("at the left", "in the middle", "at the right"),
    ("at the lower left", "at the bottom", "at the lower right"),
)


def facts(about: dict[str, Any]) -> str:
    """Returns the head of the page: the network, and what `model.json` says about it."""
    height, width, _ = about["image_shape"]
    known = [f"{len(about['labels']):,} classes", f"{width} &times; {height} pixels"]
    training = about.get("training", {})
    source = about.get("source", {})
    if "result" in training:
        name = training["recipe"]["dataset"]
        known.append(
            f"{training['result']['top1']:.2f} % of the test images of {escape(name)} correct"
        )
    if source:
        known.append(f"weights of {escape(source['name'])}")
    lines = "".join(f"<li>{fact}</li>" for fact in known)
    return f"<h1>What <code>{escape(about['network'])}</code> sees</h1><ul>{lines}</ul>"


def headline(found: Explanation) -> str:
    """Returns the best class and its score."""
    return f"<p>{escape(found.labels[0])}, {score(found.scores[0], found.probable)}</p>"


def refusal(why: str) -> str:
    """Returns why an image was refused."""
    return f'<p class="refusal">{escape(why)}</p>'


def answer(found: Explanation) -> str:
    """Returns the crop with its maps, and a bar for each class, which selects the map."""
    height, width = found.crop.shape[:2]
    small = "small" if max(height, width) < SMALL else ""
    maps = "".join(
        f'<img class="map" data-rank="{i}" src="{_png(colours(enlarged(map_)))}" alt="">'
        for i, map_ in enumerate(found.maps)
    )
    notes = "".join(
        f'<p class="note" data-rank="{i}">{_note(label, map_)}</p>'
        for i, (label, map_) in enumerate(zip(found.labels, found.maps, strict=True))
    )
    rows = zip(found.labels, found.scores, strict=True)
    bars = "".join(_bar(i, label, value, found.probable) for i, (label, value) in enumerate(rows))
    return f"""<div class="answer"><figure>
<div class="picture {small}"><img class="crop" src="{_png(found.crop)}"
 alt="The {width} &times; {height} pixels that the network saw">{maps}</div>
<figcaption>{notes}
<p class="legend"><span>none</span><span class="ramp" style="{_ramp()}"></span><span>most</span></p>
<label class="opacity">Map over image
<input type="range" min="0" max="100" value="70"></label>
</figcaption></figure>
<fieldset><legend>Top {len(found.labels)}</legend>
<p class="hint">Choose a class to see where the evidence for it is (Grad-CAM).</p>{bars}
</fieldset></div>"""


def score(value: float, probable: bool) -> str:
    """Returns a probability in percent, or a logit with two decimals."""
    return percent(value) if probable else f"{value:.2f}"


def percent(probability: float) -> str:
    """Returns a probability of 0..1 in percent, never rounded to 0 or 100 %."""
    value = 100 * float(probability)
    if 0 < value < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if 99.9 < value < 100 else f"{value:.1f} %"


def place(map_: np.ndarray) -> str:
    """Returns words for the part of an image in which a map [h, w] is largest."""
    row, column = np.unravel_index(map_.argmax(), map_.shape)
    thirds = [int(3 * (i + 0.5) / size) for i, size in zip((row, column), map_.shape, strict=True)]
    return PLACES[thirds[0]][thirds[1]]


def enlarged(map_: np.ndarray) -> np.ndarray:
    """Interpolates a map [h, w] smoothly to float32 [SIDE, SIDE]."""
    for axis, size in enumerate(map_.shape):
        at = (np.arange(SIDE) + 0.5) * size / SIDE - 0.5
        low = np.clip(np.floor(at), 0, size - 1).astype(int)
        share = (
            np.clip(at - low, 0, 1).astype(np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
        )
        share = share**2 * (3 - 2 * share)
        high = np.minimum(low + 1, size - 1)
        map_ = map_.take(low, axis) * (1 - share) + map_.take(high, axis) * share
    return map_


def colours(map_: np.ndarray) -> np.ndarray:
    """Returns values [...] of 0..1 as colours, uint8 [..., RGBA]; 0 is transparent."""
    steps = np.linspace(0, 1, len(VIRIDIS))
    channels = [np.interp(map_, steps, VIRIDIS[:, i]) for i in range(3)]
    return np.stack([*channels, 255 * map_**OPACITY], -1).round().astype(np.uint8)


def _bar(rank: int, label: str, value: float, probable: bool) -> str:
    checked = "checked" if rank == 0 else ""
    # The length of a bar is a share of the whole, which a logit is not.
    share = f'<span style="width:{100 * float(value):.2f}%"></span>' if probable else ""
    track = share and f'\n<span class="track">{share}</span>'
    return f"""<label class="bar"><input type="radio" name="shown" value="{rank}" {checked}>
<span class="name">{escape(label)}</span> <span class="value">{score(value, probable)}</span>{track}
</label>"""


def _note(label: str, map_: np.ndarray) -> str:
    if not map_.any():
        return f"Nothing here speaks for <b>{escape(label)}</b>."
    return f"Evidence for <b>{escape(label)}</b> is strongest {place(map_)}."


def _ramp() -> str:
    stops = (f"rgb({r} {g} {b} / {a / 255:.2f})" for r, g, b, a in colours(np.linspace(0, 1, 17)))
    return f"background-image:linear-gradient(90deg,{','.join(stops)})"


def _png(pixels: np.ndarray) -> str:
    import tensorflow as tf

    data = tf.io.encode_png(pixels).numpy()
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"
