"""How near each exported file is to the network, how large, how fast: as JSON and as a table."""

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

Array = np.ndarray[Any, Any]
Runner = Callable[[Array], Array]  # float32 images of 0..255 to logits
BATCH = 64
SECONDS = 0.5  # of timing, for each size of a batch


@dataclass(frozen=True)
class Images:
    """What formats are compared on, float32 of 0..255 [n, height, width, channels]."""

    pixels: Array
    name: str
    real: bool  # of the kind that the network was trained for, so that its choices mean something
    classes: Array | None = None  # of each image, as indices of the labels, where they are known


@dataclass(frozen=True)
class Bound:
    """What a format has to reach; of images that are made up, only the first two count."""

    relative: float  # largest difference of a logit, over the largest logit
    sqnr: float = 0.0  # signal to quantization noise of all logits, dB
    agreement: float = 0.0  # percent of images with the same best class


@dataclass(frozen=True)
class Figures:
    """Of one format, against the network that Keras computes in float32."""

    bytes: int
    max_difference: float
    mean_difference: float
    relative: float
    sqnr: float
    agreement: float
    latency_1: float  # milliseconds of a batch of one image
    latency_8: float
    top1: float | None = None  # percent of images classified right, where their classes are known

    def check(self, name: str, bound: Bound, *, real: bool) -> None:
        """Raises ValueError if they are worse than a bound, or no numbers."""
        wrong = []
        if not self.relative <= bound.relative:
            wrong.append(f"differs by {self.relative:.1e} of the largest logit;"
                         f" {bound.relative:.0e} is allowed")  # fmt: skip
        if not self.sqnr >= bound.sqnr:
            wrong.append(f"has {self.sqnr:.1f} dB of signal to noise; {bound.sqnr} are needed")
        if real and not self.agreement >= bound.agreement:
            wrong.append(f"agrees on {self.agreement:.2f} % of the images;"
                         f" {bound.agreement} % are needed")  # fmt: skip
        if wrong:
            raise ValueError(f"{name} is not the network: it {', and '.join(wrong)}")


def made_up(manifest: Manifest, count: int = 8) -> Array:
    """Returns float32 images of 0..255, [count, height, width, channels]: edges and noise."""
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
    return np.concatenate([run(images[i : i + BATCH]) for i in range(0, len(images), BATCH)])


def choices(logits: Array, manifest: Manifest) -> Array:
    """Returns the best class of each image; of one output with a sigmoid, whether it says yes."""
    if logits.shape[1] == 1 and manifest.activation == SIGMOID:
        return logits[:, 0] > 0
    return logits.argmax(1)


def top1(logits: Array, classes: Array | None) -> float | None:
    """Returns the percentage of images whose best class is theirs; None if that is not known."""
    return None if classes is None else float(100 * np.mean(logits.argmax(1) == classes))


def measure(
    run: Runner, path: Path, compared: Images, expected: Array, manifest: Manifest
) -> Figures:
    """Compares what a file computes of images with the logits that the network does."""
    images = compared.pixels
    actual = in_batches(run, images).astype(np.float64)
    same = choices(actual, manifest) == choices(expected, manifest)
    difference = np.abs(actual - expected)
    power, noise = np.mean(np.square(expected, dtype=np.float64)), np.mean(difference**2)
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
    """Of a file with its weights, or of a SavedModel without what else lies in its directory."""
    if path.is_dir():
        files = [path / "saved_model.pb", *path.glob("variables/*")]
    else:
        files = [path, *path.parent.glob(f"{path.stem}.bin")]
    return sum(file.stat().st_size for file in files)


def _latency(run: Runner, images: Array, size: int) -> float:
    """Returns the median time of a call, milliseconds, with the threads that the runtime takes."""
    batch = np.resize(images, (size, *images.shape[1:]))
    run(batch)
    times: list[float] = []
    while (sum(times) < SECONDS and len(times) < 100) or len(times) < 3:
        start = time.perf_counter()
        run(batch)
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def write(directory: Path, about: Mapping[str, Any], rows: Mapping[str, Figures]) -> str:
    """Writes `report.json` and `report.md`; returns the latter.

    Args:
        directory: of the export.
        about: `network`, `images`, and the `top1` of the network on them, or None.
        rows: the figures of each format.
    """
    formats = {name: asdict(figures) for name, figures in rows.items()}
    content = json.dumps({**about, "formats": formats}, indent=1)
    write_text(directory / "report.json", content + "\n")
    right = about["top1"]
    told = "" if right is None else f", of which the network itself classifies {right:.2f} % right"
    text = f"{about['network']}, {about['images']}{told}:\n\n{table(rows)}\n"
    write_text(directory / "report.md", text)
    return text


def table(rows: Mapping[str, Figures]) -> str:
    known = any(figures.top1 is not None for figures in rows.values())
    head = ["format", "MB", "max diff.", "mean diff.", "SQNR dB", "same top-1 %", "ms, batch 1",
            "ms, batch 8"] + ["top-1 %"] * known  # fmt: skip
    lines = [head, ["---" for _ in head]]
    for name, f in rows.items():
        lines.append([
            name, f"{f.bytes / 1e6:.2f}", f"{f.max_difference:.1e}", f"{f.mean_difference:.1e}",
            f"{f.sqnr:.1f}", f"{f.agreement:.2f}", f"{f.latency_1:.2f}", f"{f.latency_8:.2f}",
            *([] if f.top1 is None else [f"{f.top1:.2f}"]),
        ])  # fmt: skip
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
