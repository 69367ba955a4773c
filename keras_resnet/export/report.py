"""How near each exported file is to the network, how large and how fast, as JSON and as a table."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_resnet.export.files import write_text
from keras_resnet.manifest import SIGMOID, Manifest

__all__ = [
    "Array",
    "Bound",
    "Figures",
    "Images",
    "Runner",
    "artificial",
    "in_batches",
    "measure",
    "network_runner",
    "top1",
    "write",
]

Array = np.ndarray[Any, Any]
Runner = Callable[[Array], Array]  # float32 images of 0..255 to logits
BATCH = 64
SECONDS = 0.5  # of timing for each batch size


@dataclass(frozen=True)
class Images:
    """What formats are compared on.

    Args:
        pixels: float32 of 0..255 [n, height, width, channels].
        name: what the report calls them.
        real: whether they are of the kind that the network was trained for. The classes that a
            network finds in artificial images depend on rounding, and are not compared.
        classes: the index of each image's label [n], if known.
    """

    pixels: Array
    name: str
    real: bool
    classes: Array | None = None


@dataclass(frozen=True)
class Bound:
    """What a format has to reach; `agreement` counts for real images only.

    Args:
        relative: the largest difference of a logit, as a share of the largest logit, at most.
        sqnr: signal to quantization noise of all logits, dB, at least.
        agreement: percent of images with the same best class, at least.
    """

    relative: float
    sqnr: float = 0.0
    agreement: float = 0.0


@dataclass(frozen=True)
class Figures:
    """The figures of one format, compared with the network as Keras computes it in float32.

    Args:
        bytes: size of the file or files.
        max_difference: the largest difference of a logit.
        mean_difference: the mean absolute difference of the logits.
        relative: `max_difference` as a share of the largest logit.
        sqnr: signal to quantization noise of all logits, dB.
        agreement: percent of images with the same best class.
        latency_1: milliseconds for a batch of one image.
        latency_8: milliseconds for a batch of eight images.
        top1: percent of images classified correctly, if their classes are known.
    """

    bytes: int
    max_difference: float
    mean_difference: float
    relative: float
    sqnr: float
    agreement: float
    latency_1: float
    latency_8: float
    top1: float | None = None

    def check(self, name: str, bound: Bound, *, real: bool) -> None:
        """Raises ValueError if a figure is worse than its bound, or NaN."""
        wrong = []
        if not self.relative <= bound.relative:
            wrong.append(
                f"differs by {self.relative:.1e} of the largest logit;"
                f" {bound.relative:.0e} is allowed"
            )
        if not self.sqnr >= bound.sqnr:
            wrong.append(f"has {self.sqnr:.1f} dB of signal to noise; {bound.sqnr} are needed")
        if real and not self.agreement >= bound.agreement:
            wrong.append(
                f"agrees on {self.agreement:.2f} % of the images; {bound.agreement} % are needed"
            )
        if wrong:
            raise ValueError(f"{name} is not the network: it {', and '.join(wrong)}")


def artificial(manifest: Manifest, count: int = 8) -> Array:
    """Returns artificial images of edges and noise, float32 of 0..255 [count, h, w, channels]."""
    random = np.random.default_rng(0)
    shape = (count, *manifest.image_shape)
    noise = random.uniform(0, 255, shape)
    blocks = random.uniform(0, 255, (count, 4, 4, shape[-1]))
    rows, columns = (np.arange(size) * 4 // size for size in shape[1:3])
    share = np.linspace(0, 1, count).reshape(-1, 1, 1, 1)
    return np.round(share * noise + (1 - share) * blocks[:, rows][:, :, columns]).astype(np.float32)


def network_runner(model: keras.Model, manifest: Manifest) -> Runner:
    """Returns the network itself as a runner."""

    def run(images: Array) -> Array:
        outputs = model(manifest.known_preprocessing().normalize(images), training=False)
        return np.asarray(keras.ops.convert_to_numpy(outputs))

    return run


def in_batches(run: Runner, images: Array) -> Array:
    """Returns the logits of images [n, ...], computed in batches, float32 [n, classes]."""
    return np.concatenate([run(images[i : i + BATCH]) for i in range(0, len(images), BATCH)])


def choices(logits: Array, manifest: Manifest) -> Array:
    """Returns the best class of each image; for a single sigmoid output, whether it says yes."""
    if logits.shape[1] == 1 and manifest.activation == SIGMOID:
        return logits[:, 0] > 0
    return logits.argmax(1)


def top1(logits: Array, classes: Array | None) -> float | None:
    """Returns the percentage of images classified correctly; None if classes are unknown."""
    return None if classes is None else float(100 * np.mean(logits.argmax(1) == classes))


def measure(
    run: Runner, path: Path, compared: Images, expected: Array, manifest: Manifest
) -> Figures:
    """Compares the logits that a file computes with those of the network.

    Args:
        run: computes logits with the file.
        path: of the file, for its size.
        compared: the images.
        expected: the logits of the network for these images [n, classes].
        manifest: says what follows the logits.
    """
    images = compared.pixels
    actual = in_batches(run, images).astype(np.float64)
    same = choices(actual, manifest) == choices(expected, manifest)
    difference = np.abs(actual - expected)
    power = np.mean(np.square(expected, dtype=np.float64))
    noise = np.mean(difference**2)
    return Figures(
        bytes=_size(path),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        relative=float(difference.max() / np.abs(expected).max()),
        sqnr=float(10 * np.log10(power / max(noise, power * 1e-20))),
        agreement=float(100 * np.mean(same)),
        latency_1=_latency(run, images, 1),
        latency_8=_latency(run, images, 8),
        top1=top1(actual, compared.classes),
    )


def _size(path: Path) -> int:
    """Returns the bytes of a file and its weights, or of a SavedModel's graph, which holds them."""
    if path.is_dir():
        files = [path / "saved_model.pb"]
    else:
        files = [path, *path.parent.glob(f"{path.stem}.bin")]
    return sum(file.stat().st_size for file in files)


def _latency(run: Runner, images: Array, size: int) -> float:
    """Returns the median time of a call, in milliseconds, with the runtime's default threads."""
    batch = np.resize(images, (size, *images.shape[1:]))
    run(batch)
    times: list[float] = []
    while (sum(times) < SECONDS and len(times) < 100) or len(times) < 3:
        start = time.perf_counter()
        run(batch)
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def write(directory: Path, about: Mapping[str, Any], rows: Mapping[str, Figures]) -> str:
    """Writes `report.json` and `report.md`; returns the text of the latter.

    Args:
        directory: of the export.
        about: the `network` and `images` by name, and the network's `top1` on these images in
            percent, or None.
        rows: the figures of each format, by its name.
    """
    formats = {name: asdict(figures) for name, figures in rows.items()}
    content = json.dumps({**about, "formats": formats}, indent=1)
    write_text(directory / "report.json", content + "\n")
    accuracy = about["top1"]
    note = ""
    if accuracy is not None:
        note = f", of which the network itself classifies {accuracy:.2f} % right"
    text = f"{about['network']}, {about['images']}{note}:\n\n{table(rows)}\n"
    write_text(directory / "report.md", text)
    return text


def table(rows: Mapping[str, Figures]) -> str:
    """Returns the figures of formats as a table in Markdown."""
    columns = {
        "format": list(rows),
        "MB": [f"{row.bytes / 1e6:.2f}" for row in rows.values()],
        "max diff.": [f"{row.max_difference:.1e}" for row in rows.values()],
        "mean diff.": [f"{row.mean_difference:.1e}" for row in rows.values()],
        "SQNR dB": [f"{row.sqnr:.1f}" for row in rows.values()],
        "same top-1 %": [f"{row.agreement:.2f}" for row in rows.values()],
        "ms, batch 1": [f"{row.latency_1:.2f}" for row in rows.values()],
        "ms, batch 8": [f"{row.latency_8:.2f}" for row in rows.values()],
    }
    accuracies = [row.top1 for row in rows.values() if row.top1 is not None]
    if accuracies:
        columns["top-1 %"] = [f"{top1:.2f}" for top1 in accuracies]
    lines = [list(columns), ["---"] * len(columns), *zip(*columns.values(), strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
