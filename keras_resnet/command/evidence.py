"""Pictures of the regions that are evidence for the best class of an image (Grad-CAM)."""

from pathlib import Path
from typing import Any

import numpy as np

from keras_resnet.analysis.grad_cam import grad_cam
from keras_resnet.manifest import Manifest
from keras_resnet.network import ResidualNetwork

__all__ = ["Evidence"]


class Evidence:
    """Writes a picture for each image.

    Args:
        model: the network.
        manifest: of its weights.
        folder: where to write; it is created.

    Raises:
        ValueError: without matplotlib, and for images that are neither grey nor RGB.
        OSError: if the folder cannot be created.
    """

    def __init__(self, model: ResidualNetwork, manifest: Manifest, folder: Path) -> None:
        try:
            import matplotlib  # noqa: F401
        except ImportError as error:
            raise ValueError("--evidence needs matplotlib: pip install matplotlib") from error
        channels = manifest.image_shape[2]
        if channels not in (1, 3):
            raise ValueError(f"--evidence draws grey and RGB images, not {channels} channels")
        folder.mkdir(parents=True, exist_ok=True)
        self._model = model
        self._preprocessing = manifest.known_preprocessing()
        self.folder = folder
        self.count = 0
        self._taken: set[str] = set()

    def write(self, names: list[str], images: Any, classes: Any) -> None:
        """Writes pictures of images [n, height, width, channels] of 0..255, float32.

        Args:
            names: of the images.
            images: as the network sees them, before they are normalized.
            classes: whose evidence is drawn, integers [n].

        Raises:
            OSError: if a picture cannot be written.
        """
        from keras_resnet.analysis.plots import plot_grad_cam

        maps = grad_cam(self._model, self._preprocessing.normalize(images), classes)
        pixels = np.rint(images)
        for i, name in enumerate(names):
            plot_grad_cam(pixels[i : i + 1], maps[i : i + 1], self._place(name))
            self.count += 1

    def _place(self, name: str) -> Path:
        """Returns a path for the picture of an image; those of equal names get a number."""
        plain = "".join(c if c.isalnum() or c in "._-" else "_" for c in Path(name).stem)
        free = plain = plain.strip(".") or "image"
        number = 1
        while free.lower() in self._taken:
            number += 1
            free = f"{plain}-{number}"
        self._taken.add(free.lower())
        return self.folder / f"{free}.png"
