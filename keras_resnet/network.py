"""The model that `resnet` returns: a Keras model that knows how its weights see images."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, Self

import h5py
import keras
import numpy as np

from keras_resnet import family
from keras_resnet.manifest import ENTRY, NONE, SIGMOID, SOFTMAX, Manifest
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.rewrite import graph
from keras_resnet.specs import Spec, differences

HEAD = ("logits", "logits_int8", "predictions")  # layers that can end a classifier


@keras.saving.register_keras_serializable("keras_resnet")
class ResidualNetwork(keras.Model):
    """A functional Keras model with the spec that it was built from, and a manifest.

    `save` and `save_weights` keep the manifest, and refuse one that does not fit the network. It is
    None until weights are loaded, or somebody who trained them sets it.
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
        """From images to this network's input, as its weights were trained; or None.

        It converts grey images and RGB into what the network takes.
        """
        if self.manifest is None or self.manifest.preprocessing is None:
            return None
        _, _, channels, *_ = _kernel(self, "stem_conv1") or self.manifest.image_shape
        return self.manifest.preprocessing.for_channels(channels)

    @property
    def endpoints(self) -> dict[str, str]:
        """The layers whose outputs `resnet(..., endpoints=True)` would return, by endpoint.

        In a quantized network: the FakeQuantize layers after them.
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

    def check_manifest(self, manifest: Manifest | None = None) -> None:
        """Refuses a manifest, by default its own, with which the weights could not be read back.

        Raises:
            TypeError: if it is no manifest.
            ValueError: naming all that does not fit.
        """
        manifest = self.manifest if manifest is None else manifest
        if manifest is None:
            return
        if not isinstance(manifest, Manifest):
            raise TypeError(f"a manifest is a keras_resnet.manifest.Manifest, got {manifest!r}")
        if misfits := list(_misfits(self, manifest)):
            raise ValueError(f"the manifest does not fit {self.name}: {'; '.join(misfits)}")

    @contextmanager
    def described(self, manifest: Manifest | None) -> Iterator[None]:
        """Has another manifest meanwhile, such as to save it; None leaves the network's own."""
        own = self.manifest
        self.manifest = manifest or own
        try:
            yield
        finally:
            self.manifest = own

    def save(self, filepath: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Saves as any Keras model does, after a look at the manifest."""
        self.check_manifest()  # Keras opens an `.h5` file, and empties it, before it asks
        super().save(filepath, *args, **kwargs)

    def save_weights(
        self, filepath: str | os.PathLike[str], overwrite: bool = True, **kwargs: Any
    ) -> None:
        """Saves as any Keras model does; a `.weights.h5` also says what network it is of."""
        self.check_manifest()
        super().save_weights(filepath, overwrite=overwrite, **kwargs)
        told = self._told()
        if told and not kwargs:
            with h5py.File(filepath, "a") as file:
                # Bytes, as HDF5 keeps texts in heaps, and attributes below 64 KiB, less than a mean
                # image takes.
                file[ENTRY] = np.frombuffer(told.to_json().encode(), np.uint8)

    def _told(self) -> Manifest | None:
        """Returns what a file says of this network; None for a clone, which knows nothing."""
        if self.manifest is None:
            return _facts(self) if self._spec and len(self.inputs) == 1 else None
        if self.manifest.activation is None:
            return replace(self.manifest, activation=ending_of(self))
        return self.manifest

    def get_config(self) -> dict[str, Any]:
        self.check_manifest()
        return {
            **super().get_config(),
            "spec": asdict(self._spec) if self._spec else None,
            "manifest": told.to_dict() if self.manifest and (told := self._told()) else None,
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


def spec_of(model: Any, wanted: str) -> Spec:
    """Returns what a network was built from.

    Args:
        model: of this package.
        wanted: what it is for, in errors.

    Raises:
        TypeError: if it is no Keras model.
        ValueError: for a model of others, around a network or a clone without its spec.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"{wanted} needs a network that keras_resnet built, got {model!r}")
    spec = model._spec if isinstance(model, ResidualNetwork) else None
    if spec is None:
        graph.check_flat(model, wanted)
        raise ValueError(
            f"{wanted} needs a network that keras_resnet built; {model.name} has no spec: build it"
            " with resnet(...), and copy its weights if it is a clone"
        )
    return spec


# Keras's legacy `.h5` files name the class of a model without its package.
keras.saving.get_custom_objects()[ResidualNetwork.__name__] = ResidualNetwork


def _kernel(model: keras.Model, name: str) -> tuple[int, ...]:
    """Returns the shape of a layer's kernel; () if a clone or a headless network lacks it."""
    kernels = [layer.kernel for layer in model.layers if layer.name == name and layer.weights]
    return tuple(kernels[0].shape) if kernels else ()


def _misfits(model: ResidualNetwork, manifest: Manifest) -> Iterator[str]:
    stem, head = _kernel(model, "stem_conv1"), _kernel(model, "logits")
    rounds, ending = _rounding(model), ending_of(model)
    *sides, channels = manifest.image_shape
    scaling = manifest.preprocessing
    if head and len(manifest.labels) != head[-1]:
        yield f"{len(manifest.labels)} labels for {head[-1]} outputs"
    if stem and channels != stem[2]:
        yield f"image_shape={manifest.image_shape} for a network of {stem[2]} channels"
    if scaling and scaling.channels not in (None, channels):
        yield f"preprocessing of {scaling.channels} channels for images of {channels}"
    if scaling and tuple(sides) != scaling.size:
        yield f"image_shape={manifest.image_shape} with preprocessing to {scaling.size}"
    # Logits alone may be kept for whatever follows them.
    if ending in (SOFTMAX, SIGMOID) and manifest.activation not in (None, ending):
        yield f"activation={manifest.activation!r} for a network that ends in {ending}"
    if manifest.quantized != rounds:
        yield f"quantized={manifest.quantized!r} for a network of quantized={rounds!r}"
    if "classes" in manifest.fields:
        yield "the field classes, which is the number of the labels"
    elif model._spec:
        yield from _other_fields(model.spec, manifest)


def _rounding(model: keras.Model) -> str:
    return "int8" if any(layer.name.endswith("_int8") for layer in model.layers) else ""


def _facts(model: ResidualNetwork) -> Manifest:
    """Returns what a network knows of itself, whoever trained it: all but labels and pixels."""
    spec = model.spec
    network, fields = family.nearest(spec)
    height, width, channels = model.input_shape[1:]
    return Manifest(
        network,
        (height or 0, width or 0, channels),
        tuple(map(str, range(spec.classes))),
        None,
        fields,
        quantized=_rounding(model),
        activation=ending_of(model),
    )


def _other_fields(spec: Spec, manifest: Manifest) -> Iterator[str]:
    try:
        told = family.spec(manifest.network, **manifest.fields)
    except (TypeError, ValueError) as error:
        yield str(error)
        return
    for name in differences(told, spec):
        yield f"{name}={getattr(told, name)!r} for a network of {getattr(spec, name)!r}"
