"""Fits others' layers to ours, exactly: no biases before a BN, one epsilon, a BN after projections.

A BN computes gamma * (x - mean) / sqrt(variance + epsilon) + beta. A bias that is added to x can
be taken from the mean, and a difference of epsilons added to the variance.
"""

from collections.abc import Iterator

import numpy as np

from keras_resnet.specs import FINAL, Spec, is_norm, norm_of, stem_conv

Weights = dict[str, "np.ndarray"]  # by our names, "stem_conv1_bn/mean"
EPSILON = 1e-5  # of every BN here


def fold(weights: Weights, spec: Spec, epsilon: float) -> None:
    """Changes weights in place into those of our layers that compute the same.

    Args:
        weights: by our names; a BN that its network lacks is absent or has no statistics.
        spec: of the network they belong to.
        epsilon: of its batch normalizations.
    """
    norms = {layer for name in weights if is_norm(layer := name.rpartition("/")[0])}
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
    layers: list[str] = []
    if spec.stem_norm:
        layers += [stem_conv(i) for i in range(1, len(spec.stem) + 1)]
    normed = len(spec.branch) - spec.preact
    for place in spec.places():
        layers += [place.conv(i) for i in range(1, normed + 1)]
        if not spec.preact:
            layers.append(place.projection)
    for layer in layers:
        yield layer, norm_of(layer)


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
        norm = f"{norm_of(place.preact)}/mean"
        if norm in weights:
            weights[norm] = weights[norm] - carried
        if f"{place.projection}/kernel" in weights:
            carried = weights.pop(f"{place.projection}/bias", 0.0)
        carried = carried + weights.pop(f"{place.conv(len(spec.branch))}/bias", 0.0)
    final = f"{norm_of(FINAL)}/mean"
    weights[final] = weights[final] - carried
