"""Converts foreign weights to our layers, exactly: no bias before a BN, and one epsilon.

A BN computes gamma * (x - mean) / sqrt(variance + epsilon) + beta. A bias of x can therefore be
subtracted from the mean, and a difference in epsilon added to the variance.
"""

from collections.abc import Iterator

import numpy as np

from keras_resnet.specs import FINAL, Spec, is_norm, norm_of, stem_conv

__all__ = ["EPSILON", "Weights", "fold"]

Weights = dict[str, "np.ndarray"]  # by our names, "stem_conv1_bn/mean"
EPSILON = 1e-5  # of every BN of this package


def fold(weights: Weights, spec: Spec, epsilon: float) -> None:
    """Changes weights in place, so that our layers compute the same as the foreign ones.

    Args:
        weights: float32 arrays by our names. A BN that the foreign network does not have is
            missing, or has no statistics.
        spec: of the network.
        epsilon: of the foreign batch normalizations.
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
    """Yields the convolutions that are followed by a BN, with the name of that BN."""
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
    """Adds the variables of a BN after a convolution that are missing in the foreign network."""
    if f"{layer}/kernel" not in weights:
        return
    filters = weights[f"{layer}/kernel"].shape[-1]
    for part, value in (("gamma", 1.0), ("beta", 0.0), ("mean", 0.0), ("variance", 1 - EPSILON)):
        weights.setdefault(f"{norm}/{part}", np.full(filters, value, np.float32))


def _fold_stream(weights: Weights, spec: Spec) -> None:
    """Removes the biases of sums in pre-activation networks, and corrects later means.

    No BN follows the last convolution of a branch, or a projection. Their biases are added to the
    sum of branch and shortcut, and to all later sums up to the next projection. They are subtracted
    from the mean of every BN that reads such a sum.
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
