"""Quantised weights, bit for bit: what the division by a column's maximum loses, in units of the last place.

A network with thresholds (spikes, signs, rounded activations) decides exactly on them where its weights are quantised:
its sums then have no rounding, and one unit in the last place of a weight changes its answers. Sums of other weights
round anyway, so for them nothing is kept.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_BITS = 10
"""Weights that are multiples of their maximum's power of two divided by 2^10 (11 bits with the sign) are quantised."""
_LOOKED_AT = 4096
"""Number of weights that are looked at for repeated values."""
ROUNDED_OTHERWISE = (
    "Perfect devices hold the same weights, but their products are rounded in another order, and this network turns "
    "the last bit of a sum into another answer, as thresholds (spikes, signs, rounded activations) do"
)
"""Why perfect devices may differ from the digital network."""
_LOST_AT_MOST = 127  # an int8; values that lose more are subnormal
_WITHIN = 2.0**-21
"""Values this close to the weights, relative to their column's maximum, are the weights: conductances that are computed
in float32 are off by as much without any noise."""


def is_quantised(matrix: Tensor) -> bool:
    """Return whether weights [out, in] are multiples of one power of two, or repeat a few values.

    Only the first ones are looked at. Weights that are taken for quantised ones by mistake lose nothing but time.

    >>> is_quantised(torch.tensor([[0.5, -1.25]])), is_quantised(torch.tensor([[0.3, 0.1]]))
    (True, False)
    """
    weights = matrix.flatten()[:_LOOKED_AT]
    weights = weights[weights != 0]
    return bool(matrix.numel()) and (_on_grid(weights) or _repeats(weights))


def lost_in(product: Tensor, matrix: Tensor) -> Tensor:
    """Return what targets times scales lost of the weights.

    Args:
        product: Targets times scales, [out, in] float32.
        matrix: The weights, [out, in] float32.

    Returns:
        The difference in units of the last place, int8: [out, in], or [] if nothing was lost.

    >>> weights = torch.tensor([[41.0, 1.0]])
    >>> lost_in(weights / 41 * 41, weights)
    tensor([[0, 1]], dtype=torch.int8)
    """
    lost = matrix.contiguous().view(torch.int32) - product.contiguous().view(torch.int32)
    least, most = (int(end) for end in lost.aminmax())
    if least == most == 0:
        return lost.new_zeros((), dtype=torch.int8)
    if least < -_LOST_AT_MOST or most > _LOST_AT_MOST:
        lost[(lost < -_LOST_AT_MOST) | (lost > _LOST_AT_MOST)] = 0
    return lost.to(torch.int8)


def restored(product: Tensor, lost: Tensor) -> Tensor:
    """Return the weights from targets times scales and :func:`lost_in`.

    >>> weights = torch.tensor([[41.0, 1.0]])
    >>> product = weights / 41 * 41
    >>> torch.equal(restored(product, lost_in(product, weights)), weights)
    True
    """
    return product.view(torch.int32).add(lost).view(torch.float32)


def are_same(values: Tensor, weights: Tensor) -> bool:
    """Return whether an array's values are the weights, up to the rounding of conductances in float32.

    Args:
        values: Values of an array in weight units, [out, in].
        weights: Weights, [out, in].
    """
    if values.shape != weights.shape or not weights.numel():
        return False
    # the first column decides nearly always: values with any noise differ there
    return all(
        bool(((values[part] - weights[part]).abs() <= _WITHIN * weights[part].abs().amax(dim=1, keepdim=True)).all())
        for part in (slice(0, 1), slice(1, None))
        if len(weights[part])
    )


def _on_grid(weights: Tensor) -> bool:
    """Return whether weights are multiples of one power of two, at most 2^10 of them."""
    if not len(weights):
        return True
    steps = torch.ldexp(weights, weights.new_tensor(_BITS - math.frexp(float(weights.abs().max()))[1]))
    return bool((steps == steps.round()).all())


def _repeats(weights: Tensor) -> bool:
    """Return whether weights have at most half as many sizes as there are weights."""
    return 2 * len(torch.unique(weights.abs())) <= len(weights)
