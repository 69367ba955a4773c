"""Fits others' layers to ours, exactly: no biases before a BN, one epsilon, a BN after projections.

A BN computes gamma * (x - mean) / sqrt(variance + epsilon) + beta. A bias that is added to x can
be taken from the mean, and a difference of epsilons added to the variance.
"""

from collections.abc import Iterator

import numpy as np

from keras_resnet.specs import Spec

Weights = dict[str, "np.ndarray"]  # by our names, "stem_conv1_bn/mean"
EPSILON = 1e-5  # of every BN here


def fold(weights: Weights, spec: Spec, epsilon: float) -> None:
    """Changes weights in place into those of our layers that compute the same.

    Args:
        weights: by our names; a BN that its network lacks is absent or has no statistics.
        spec: of the network they belong to.
        epsilon: of its batch normalizations.
    """
    norms = {name.rpartition("/")[0] for name in weights if "_bn/" in name}
    for norm in norms:
        if f"{norm}/variance" in weights:
            weights[f"{norm}/variance"] = weights[f"{norm}/variance"] + np.float32(
                epsilon - EPSILON
            )
    for layer, norm in _followers(spec):
        _complete(weights, layer, norm)
    if spec.preact:
        _fold_stream(weights, spec)
    for layer, norm in _followers(spec):
        bias = weights.pop(f"{layer}/bias", None)
        if bias is not None:
            weights[f"{norm}/mean"] = weights[f"{norm}/mean"] - bias


def _followers(spec: Spec) -> Iterator[tuple[str, str]]:
    """Yields the convolutions that a BN of their own follows, and that BN."""
    if spec.stem_norm:
        for i in range(1, len(spec.stem) + 1):
            yield f"stem_conv{i}", f"stem_conv{i}_bn"
    last = len(spec.branch)
    for place in spec.places():
        for i in range(1, last + 1):
            if i < last or not spec.preact:
                yield f"{place.name}_conv{i}", f"{place.name}_conv{i}_bn"
        if not spec.preact:
            yield f"{place.name}_shortcut_conv", f"{place.name}_shortcut_conv_bn"


def _complete(weights: Weights, layer: str, norm: str) -> None:
    """Gives a convolution the BN, or the part of one, that its network does without."""
    if f"{layer}/kernel" not in weights:
        return
    filters = weights[f"{layer}/kernel"].shape[-1]
    for part, value in (("gamma", 1.0), ("beta", 0.0), ("mean", 0.0), ("variance", 1 - EPSILON)):
        weights.setdefault(f"{norm}/{part}", np.full(filters, value, np.float32))


def _fold_stream(weights: Weights, spec: Spec) -> None:
    """Takes the biases that pre-activation nets add to their shortcuts from later means.

    No BN follows the last convolution of a branch or a projection, so that their biases stay in
    the sum, and in all later sums up to the next projection; each BN that reads one gets it off.
    """
    carried: np.ndarray | float = 0.0
    for place in spec.places():
        norm = f"{place.name}_preact_bn/mean"
        if norm in weights:
            weights[norm] = weights[norm] - carried
        projection = f"{place.name}_shortcut_conv"
        if f"{projection}/kernel" in weights:
            carried = weights.pop(f"{projection}/bias", 0.0)
        carried = carried + weights.pop(f"{place.name}_conv{len(spec.branch)}/bias", 0.0)
    weights["final_bn/mean"] = weights["final_bn/mean"] - carried
