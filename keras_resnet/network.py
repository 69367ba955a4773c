"""The model that `resnet` returns: a Keras model that knows how its weights see images."""

import os
from dataclasses import asdict
from typing import Any, Self

import h5py
import keras
import numpy as np

from keras_resnet.manifest import ENTRY, NONE, SIGMOID, SOFTMAX, Manifest
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.specs import Spec

HEAD = ("logits", "logits_int8", "predictions")  # layers that can end a classifier


@keras.saving.register_keras_serializable("keras_resnet")
class ResidualNetwork(keras.Model):
    """A functional Keras model with the spec that it was built from, and a manifest.

    `save` and `save_weights` keep the manifest. It is None until weights are loaded, or somebody
    who trained them sets it.
    """

    manifest: Manifest | None = None
    _spec: Spec | None = None

    @property
    def spec(self) -> Spec:
        """What the network was built from.

        Raises:
            AttributeError: for a clone by Keras, whose layers may be others.
        """
        if self._spec is None:
            raise AttributeError(f"{self.name} was not built by keras_resnet, and has no spec")
        return self._spec

    @spec.setter
    def spec(self, spec: Spec) -> None:
        self._spec = spec

    @property
    def preprocessing(self) -> Preprocessing | None:
        """From uint8 images to this network's input, as its weights were trained; or None."""
        return self.manifest.preprocessing if self.manifest else None

    @property
    def endpoints(self) -> dict[str, str]:
        """The layers whose outputs `resnet(..., endpoints=True)` would return, by endpoint.

        Of a network that rounds, those that round.
        """
        spec = self.spec
        last = {place.stage: place.name for place in spec.places()}
        stem = f"stem_conv{len(spec.stem)}"
        found = {"stem": self._first("stem_pool", f"{stem}_relu", stem)}
        for stage, block in last.items():
            ends = f"{block}_relu", f"{block}_add", f"{block}_conv{len(spec.branch)}"
            found[f"stage{stage}"] = self._first(*ends)
        if spec.preact:
            found[f"stage{max(last)}"] = self._first("final_relu")
        return found

    def _first(self, *names: str) -> str:
        present = {layer.name for layer in self.layers}
        found = next(name for name in names if name in present)
        return f"{found}_int8" if f"{found}_int8" in present else found

    def save_weights(
        self, filepath: str | os.PathLike[str], overwrite: bool = True, **kwargs: Any
    ) -> None:
        super().save_weights(filepath, overwrite=overwrite, **kwargs)
        if self.manifest and not kwargs:
            with h5py.File(filepath, "a") as file:
                # Bytes, as HDF5 keeps texts in heaps, and attributes below 64 KiB, less than a mean
                # image takes.
                file[ENTRY] = np.frombuffer(self.manifest.to_json().encode(), np.uint8)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "spec": asdict(self._spec) if self._spec else None,
            "manifest": self.manifest.to_dict() if self.manifest else None,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        config = dict(config)
        spec, manifest = config.pop("spec"), config.pop("manifest")
        model = super().from_config(config, custom_objects=custom_objects)
        model._spec = Spec(**spec) if spec else None
        model.manifest = Manifest.from_dict(manifest) if manifest else None
        return model


def ending_of(model: keras.Model) -> str | None:
    """Returns what follows the logits of a model: "softmax", "sigmoid" or "none".

    None for a model without a classifier, and for another activation.
    """
    if len(model.outputs) != 1:
        return None
    layers = {id(layer.output): layer for layer in model.layers if layer.name in HEAD}
    last = layers.get(id(model.outputs[0]))
    if last is None:
        return None
    known = {
        keras.activations.softmax: SOFTMAX,
        keras.activations.sigmoid: SIGMOID,
        keras.activations.linear: NONE,
    }
    return known.get(getattr(last, "activation", keras.activations.linear))
