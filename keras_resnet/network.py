"""Builds a `ResidualNetwork` from a spec; the network keeps its spec and a manifest.

The graph is flat and functional: every layer can be reached by its name, such as
`stage2_block1_conv3_bn`. Images are channels-last, as `keras_resnet.preprocess` returns them.
"""

import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, Literal, NamedTuple, Self

import h5py
import keras
import numpy as np
from keras import KerasTensor as Tensor, layers

from keras_resnet import blocks, family, labels
from keras_resnet.manifest import ENTRY, NONE, SIGMOID, SOFTMAX, Manifest
from keras_resnet.preprocessing import Preprocessing
from keras_resnet.specs import (
    FINAL,
    HEAD,
    LOGITS,
    POOL,
    PREDICTIONS,
    STEM,
    STEM_POOL,
    Spec,
    differences,
    is_rounding,
    pad_of,
    relu_of,
    rounding_of,
    stem_conv,
)

__all__ = [
    "Activation",
    "Pooling",
    "ResidualNetwork",
    "Top",
    "build",
    "check_flat",
    "ending_of",
    "first_layer",
    "spec_of",
]

Activation = str | Callable[[Any], Any] | None
Pooling = Literal["avg", "max"] | None

ENDS = (LOGITS, rounding_of(LOGITS), PREDICTIONS)  # layers that can end a classifier

# Keras walks graphs recursively, one frame per layer, also when it loads or copies a model.
# ResNet-1202 is a path of 4,200 layers. Frames of Python functions do not use the C stack.
sys.setrecursionlimit(max(20_000, sys.getrecursionlimit()))

# No ReLU follows the classifier: the gain is 1 and not 2 (arXiv:1502.01852).
CLASSIFIER_INIT = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1.0, "mode": "fan_in", "distribution": "untruncated_normal"},
}


class Top(NamedTuple):
    """What follows the last feature map of a network."""

    pooling: Pooling = "avg"  # None: the feature map itself is the output
    classes: int | None = None  # outputs of the classifier; None: there is no classifier
    activation: Activation = None  # of the logits; None: the logits are the output


def build(image: Tensor, spec: Spec, name: str, top: Top | None) -> "ResidualNetwork":
    """Builds the network of a spec.

    Args:
        image: a Keras tensor [batch, height, width, channels].
        spec: the architecture.
        name: of the model.
        top: what follows the last feature map; None for a model that returns all endpoints by name.

    Returns:
        A model from the source of `image` to logits, probabilities, features or endpoints.
    """
    with _garbage_kept():
        feature_maps = _backbone(image, spec)
        last = list(feature_maps.values())[-1]
        sources = keras.utils.get_source_inputs(image)
        inputs = sources[0] if len(sources) == 1 else sources
        outputs = feature_maps if top is None else _head(last, top)
        model = ResidualNetwork(inputs, outputs, name=name)
    endpoints = {part: x._keras_history.operation.name for part, x in feature_maps.items()}
    model.record(spec, endpoints)
    return model


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """Looks for no garbage: a growing network has none, and ever more objects to search."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _backbone(x: Tensor, spec: Spec) -> dict[str, Tensor]:
    x = blocks.stem(x, spec)
    endpoints = {STEM: x}
    for place in spec.places():
        x = blocks.block(x, spec, place)
        endpoints[place.part] = x
    if spec.preact:
        endpoints[place.part] = blocks.norm(x, FINAL)
    return endpoints


def _head(x: Tensor, top: Top) -> Tensor:
    if top.pooling is None:
        return x
    # Means of hundreds of pixels and the logits need float32 under every dtype policy.
    dtype = keras.backend.result_type(keras.config.dtype_policy().variable_dtype, "float32")
    maximum = top.pooling == "max"
    pool = layers.GlobalMaxPooling2D if maximum else layers.GlobalAveragePooling2D
    x = pool(data_format=blocks.DATA_FORMAT, dtype=dtype, name=POOL)(x)
    if top.classes is None:
        return x
    dense = layers.Dense(top.classes, kernel_initializer=CLASSIFIER_INIT, dtype=dtype, name=LOGITS)
    x = dense(x)
    if top.activation is None:
        return x
    return layers.Activation(top.activation, dtype=dtype, name=PREDICTIONS)(x)


@keras.saving.register_keras_serializable("keras_resnet")
class ResidualNetwork(keras.Model):
    """A functional Keras model with the spec that it was built from, and a manifest.

    `save` and `save_weights` store the manifest, and refuse one that does not fit the network. The
    manifest is None until weights are loaded or the user sets it.
    """

    manifest: Manifest | None = None
    _spec: Spec | None = None
    _endpoints: Mapping[str, str] | None = None

    def record(self, spec: Spec, endpoints: Mapping[str, str]) -> None:
        """Stores the spec, and the names of the layers that end the stem and the stages."""
        self._spec = spec
        self._endpoints = dict(endpoints)

    @property
    def spec(self) -> Spec:
        """The architecture that the network was built from.

        Raises:
            AttributeError: for a clone by Keras, which may have other layers.
        """
        if self._spec is None:
            raise AttributeError(f"{self.name} was not built by keras_resnet and has no spec")
        return self._spec

    @property
    def endpoints(self) -> dict[str, str]:
        """The names of the layers whose outputs `resnet(..., endpoints=True)` returns, by endpoint.

        In a quantized network: the FakeQuantize layers after them.

        Raises:
            AttributeError: for a clone by Keras, which has no spec.
        """
        spec = self.spec
        if self._endpoints is None:  # from a file of version 0.1, which does not store them
            self._endpoints = _endpoints_of(spec, {layer.name for layer in self.layers})
        return dict(self._endpoints)

    @property
    def parts(self) -> dict[str, str]:
        """The part of the network that each layer belongs to, by the name of the layer.

        A layer of the backbone belongs to the first endpoint that depends on it; all other layers
        belong to the head.

        Raises:
            AttributeError: for a clone by Keras, which has no spec.
        """
        nodes = {
            node.operation.name: node for nodes in self._nodes_by_depth.values() for node in nodes
        }
        first = first_layer(nodes)
        found: dict[str, str] = {}
        for part, end in self.endpoints.items():
            pending = [end]
            while pending:
                name = pending.pop()
                if name in found:
                    continue
                found[name] = part
                if name != first:  # layers of a user before it are not part of the stem
                    tensors = nodes[name].input_tensors
                    pending += [tensor._keras_history.operation.name for tensor in tensors]
        return {layer.name: found.get(layer.name, HEAD) for layer in self.layers}

    @property
    def preprocessing(self) -> Preprocessing:
        """Maps images to the input that the weights were trained with.

        Grey images and RGB images are converted to the channels of the network.

        Raises:
            AttributeError: if it is unknown, as it is of random weights.
        """
        if self.manifest is None or self.manifest.preprocessing is None:
            raise AttributeError(f"the preprocessing of {self.name} is unknown: {_unscaled(self)}")
        _, _, channels, *_ = _kernel(self, stem_conv(1)) or self.manifest.image_shape
        return self.manifest.preprocessing.for_channels(channels)

    def predict_images(
        self, images: Any, top: int = 5, *, batch_size: int = 16
    ) -> list[list[tuple[str, float]]]:
        """Classifies images, with the preprocessing and the labels of the weights.

        Args:
            images: an image, or several: what `Preprocessing` takes, which are paths of JPEG, PNG,
                WebP, BMP and GIF files, PIL images, and arrays or tensors [height, width, channels]
                or [height, width] of 0..255. Several are a list, whose images may differ in kind
                and size, or one array [n, height, width, channels].
            top: how many classes to return for each image; all if there are fewer.
            batch_size: how many images to compute at a time.

        Returns:
            For each image a list of (label, probability), the most probable first. A network that
            ends in its logits has these in place of probabilities.

        Raises:
            ValueError: if the preprocessing is unknown; for a network without a classifier or
                labels; and for an image that cannot be read, naming it.
            TypeError: for what is no image.
        """
        names = _named(self)
        listed = list(images) if isinstance(images, list | tuple) else [images]
        if len(getattr(listed[0] if listed else None, "shape", ())) == 4:
            listed = [image for batch in listed for image in batch]
        answers = []
        for start in range(0, len(listed), batch_size):
            inputs = self.preprocessing(listed[start : start + batch_size])
            scores = np.asarray(keras.ops.convert_to_numpy(self(inputs, training=False)))
            for row, order in zip(scores, labels.ranked(scores, top), strict=True):
                answers.append([(names[i], float(row[i])) for i in order])
        return answers

    def check_manifest(self, manifest: Manifest | None = None) -> None:
        """Checks that a manifest, by default the network's own, fits the network.

        Raises:
            TypeError: if it is not a manifest.
            ValueError: listing everything that does not fit.
        """
        manifest = self.manifest if manifest is None else manifest
        if manifest is None:
            return
        if not isinstance(manifest, Manifest):
            raise TypeError(f"manifest must be a keras_resnet.manifest.Manifest, got {manifest!r}")
        if misfits := list(_misfits(self, manifest)):
            raise ValueError(f"the manifest does not fit {self.name}: {'; '.join(misfits)}")

    @contextmanager
    def described(self, manifest: Manifest | None) -> Iterator[None]:
        """Replaces the manifest within a `with` block, such as to save it; None keeps it."""
        own = self.manifest
        self.manifest = manifest or own
        try:
            yield
        finally:
            self.manifest = own

    def save(self, filepath: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Saves the model as Keras does.

        Raises:
            ValueError: if the manifest does not fit the network; nothing is written.
        """
        self.check_manifest()  # before Keras opens and empties an `.h5` file
        super().save(filepath, *args, **kwargs)

    def save_weights(
        self, filepath: str | os.PathLike[str], overwrite: bool = True, **kwargs: Any
    ) -> None:
        """Saves the weights as Keras does; a `.weights.h5` file also stores the manifest.

        Raises:
            ValueError: if the manifest does not fit the network; nothing is written.
        """
        self.check_manifest()
        super().save_weights(filepath, overwrite=overwrite, **kwargs)
        told = self._told()
        if told and not kwargs:
            with h5py.File(filepath, "a") as file:
                # Bytes, because HDF5 stores strings in heaps and limits attributes to 64 KiB, which
                # is less than a mean image takes.
                file[ENTRY] = np.frombuffer(told.to_json().encode(), np.uint8)

    def _told(self) -> Manifest | None:
        """Returns the manifest to store, or one of the facts of the graph; None for a clone."""
        if self.manifest is None:
            return _facts(self) if self._spec and len(self.inputs) == 1 else None
        if self.manifest.activation is None:
            return replace(self.manifest, activation=ending_of(self))
        return self.manifest

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration; the spec is in "spec" only if there is no manifest."""
        self.check_manifest()
        told = self._told() if self.manifest else None
        if told and self._spec:  # also fields on which weights do not depend
            told = replace(told, fields=family.changes(self._spec, told.network))
        alone = self._spec if told is None else None
        return {
            **super().get_config(),
            "spec": asdict(alone) if alone else None,
            "manifest": told.to_dict() if told else None,
            "endpoints": self.endpoints if self._spec else None,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        config = dict(config)
        spec = config.pop("spec")
        manifest = config.pop("manifest")
        endpoints = config.pop("endpoints", None)
        model = super().from_config(config, custom_objects=custom_objects)
        if manifest:
            model.manifest = Manifest.from_dict(manifest)
        if spec:
            model._spec = Spec.from_dict(spec)
        elif model.manifest and endpoints:
            model._spec = model.manifest.spec
        model._endpoints = endpoints
        return model


def _unscaled(model: ResidualNetwork) -> str:
    """Returns why the preprocessing of a network is unknown, and what to do."""
    if model.manifest is None:
        return (
            "its weights are random or were set by hand; build it with weights=..., or scale images"
            " yourself with keras_resnet.preprocess"
        )
    return (
        "its weights do not state it; build it with from_weights(..., preprocessing=...), a name in"
        " keras_resnet.preprocessing.MODES or a keras_resnet.Preprocessing"
    )


def _named(model: ResidualNetwork) -> tuple[str, ...]:
    """Returns the labels of the outputs of a network that can classify images.

    Raises:
        ValueError: for another network, saying what it lacks.
    """
    if model.manifest is None or model.manifest.preprocessing is None:
        raise ValueError(f"{model.name} cannot read images: {_unscaled(model)}")
    shape = model.output_shape
    names = model.manifest.labels
    if isinstance(shape, dict) or len(shape) != 2 or shape[-1] != len(names):
        raise ValueError(
            f"{model.name} does not classify: its output is {shape}, and its weights have"
            f" {len(names):,} labels; build it with include_top=True"
        )
    return names


def _endpoints_of(spec: Spec, present: set[str]) -> dict[str, str]:
    """Returns the endpoints of a network of which they were not stored, by names of layers."""
    last_stem = stem_conv(len(spec.stem))
    stem = relu_of(last_stem) if spec.stem_norm else last_stem
    found = {STEM: STEM_POOL if spec.stem_pool else stem}
    for place in spec.places():
        found[place.part] = spec.output_of(place)
    if spec.preact:
        found[place.part] = relu_of(FINAL)
    return {
        part: rounding_of(layer) if rounding_of(layer) in present else layer
        for part, layer in found.items()
    }


def first_layer(names: Any) -> str:
    """Returns the name of the first layer of the stem, which may be a padding, among names."""
    padded = pad_of(stem_conv(1))
    return padded if padded in names else stem_conv(1)


def ending_of(model: keras.Model) -> str | None:
    """Returns the activation after the logits of a model: "softmax", "sigmoid" or "none".

    None for a model without a classifier, and for another activation.
    """
    if len(model.outputs) != 1:
        return None
    layers = {id(layer.output): layer for layer in model.layers if layer.name in ENDS}
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
    """Returns the spec of a network.

    Args:
        model: a network of this package.
        wanted: the operation that needs it, for error messages.

    Raises:
        TypeError: if it is not a Keras model.
        ValueError: for a model that this package did not build, a model around a network, and a
            clone, which has no spec.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"{wanted} needs a network that keras_resnet built, got {model!r}")
    spec = model._spec if isinstance(model, ResidualNetwork) else None
    if spec is None:
        check_flat(model, wanted)
        raise ValueError(
            f"{wanted} needs a network that keras_resnet built; {model.name} has no spec: build it"
            " with resnet(...), and copy its weights if it is a clone"
        )
    return spec


def check_flat(model: keras.Model, wanted: str) -> None:
    """Raises ValueError if a layer is itself a model; `wanted` names the operation."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            raise ValueError(
                f"{wanted} needs a model of plain layers; {model.name} has the model {layer.name}"
                f" as a layer: pass {model.name}.get_layer({layer.name!r})"
            )


# Legacy `.h5` files of Keras store the class of a model without its package.
keras.saving.get_custom_objects()[ResidualNetwork.__name__] = ResidualNetwork


def _kernel(model: keras.Model, name: str) -> tuple[int, ...]:
    """Returns the shape of a layer's kernel; () if there is no such layer."""
    kernels = [layer.kernel for layer in model.layers if layer.name == name and layer.weights]
    return tuple(kernels[0].shape) if kernels else ()


def _misfits(model: ResidualNetwork, manifest: Manifest) -> Iterator[str]:
    stem = _kernel(model, stem_conv(1))
    head = _kernel(model, LOGITS)
    rounds = _rounding(model)
    ending = ending_of(model)
    *sides, channels = manifest.image_shape
    preprocessing = manifest.preprocessing
    if head and len(manifest.labels) != head[-1]:
        yield f"{len(manifest.labels)} labels for {head[-1]} outputs"
    if stem and channels != stem[2]:
        yield f"image_shape={manifest.image_shape} for a network of {stem[2]} channels"
    if preprocessing and preprocessing.channels not in (None, channels):
        yield f"preprocessing of {preprocessing.channels} channels for images of {channels}"
    if preprocessing and tuple(sides) != preprocessing.size:
        yield f"image_shape={manifest.image_shape} with preprocessing to {preprocessing.size}"
    # A network that ends in logits fits every activation.
    if ending in (SOFTMAX, SIGMOID) and manifest.activation not in (None, ending):
        yield f"activation={manifest.activation!r} for a network that ends in {ending}"
    if manifest.quantized != rounds:
        yield f"quantized={manifest.quantized!r} for a network of quantized={rounds!r}"
    if model._spec:
        yield from _other_fields(model._spec, manifest)


def _rounding(model: keras.Model) -> str:
    return "int8" if any(is_rounding(layer.name) for layer in model.layers) else ""


def _facts(model: ResidualNetwork) -> Manifest:
    """Returns a manifest of what the graph shows: all but labels and preprocessing."""
    network, fields = family.nearest(model.spec)
    height, width, channels = model.input_shape[1:]
    head = _kernel(model, LOGITS)
    classes = head[-1] if head else family.PUBLISHED[network].classes
    return Manifest(
        network,
        (height or 0, width or 0, channels),
        labels.numbers(classes),
        None,
        fields,
        quantized=_rounding(model),
        activation=ending_of(model),
    )


def _other_fields(spec: Spec, manifest: Manifest) -> Iterator[str]:
    try:
        told = manifest.spec
    except (TypeError, ValueError) as error:
        yield str(error)
        return
    for name in differences(told, spec):
        yield f"{name}={getattr(told, name)!r} for a network of {getattr(spec, name)!r}"
