"""The deviations that devices of a wafer, a die or a column have in common: their random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from driftproof._devices.normals import LayerKey
from driftproof.laws._variation import Variation

CPU = torch.device("cpu")


def deviations(variation: Variation, key: LayerKey, mark: str, splits: int, outputs: int) -> Tensor:
    """Return the deviations of the lines of one bank: of g_max, of the mean error in µS, and of ν.

    A die's numbers are drawn by seed and chip, and a wafer's by seed and wafer, so that all layers have them in common.
    They are drawn on the CPU, whatever the device of the tensors is: a chip has the same die everywhere.

    Args:
        variation: The standard deviations.
        key: Key of the layer.
        mark: Mark of the bank.
        splits: Row splits of the layer.
        outputs: Columns of the layer's matrix.

    Returns:
        [3, row splits, outputs], or [3, 1, 1] if no column differs.

    >>> from driftproof.laws._variation import Spread, Variation
    >>> one = Variation(die=Spread(g_max_sd=0.1, assumption="example"))
    >>> first, second = (deviations(one, LayerKey(0, 0, layer), "+", 1, 5) for layer in ("conv", "fc"))
    >>> torch.equal(first, second), list(first.shape)
    (True, [3, 1, 1])
    """
    total = torch.zeros(3, 1, 1)
    if variation.wafer is not None:
        total = total + _drawn(variation.wafer.spreads, key.seed, variation.wafer_of(key.chip), "", "wafer", (1, 1))
    if variation.die is not None:
        total = total + _drawn(variation.die.spreads, key.seed, key.chip, "", "die", (1, 1))
    if variation.column is not None and any(variation.column.spreads):
        purpose = f"column{mark}"
        total = total + _drawn(variation.column.spreads, key.seed, key.chip, key.layer, purpose, (splits, outputs))
    return total


def _drawn(
    spreads: tuple[float, float, float], seed: int, number: int, layer: str, purpose: str, shape: tuple[int, int]
) -> Tensor:
    drawn = LayerKey(seed, number, layer).fixed(f"variation|{purpose}", 3 * shape[0] * shape[1], CPU)
    return drawn.view(3, *shape) * torch.tensor(spreads)[:, None, None]


def along(lines: Tensor, rows: Sequence[slice], like: Tensor) -> Tensor:
    """Return one number per device, [out · in], or a single one, [1], if all lines have the same.

    Args:
        lines: Numbers of the lines, [row splits, out] or [1, 1].
        rows: Rows of each row split.
        like: Target weights, [out, in].
    """
    lines = lines.to(like.device)
    if lines.numel() == 1:
        return lines.view(1)
    parts = [lines[split][:, None].expand(-1, part.stop - part.start) for split, part in enumerate(rows)]
    return torch.cat(parts, dim=1).reshape(-1)


def of_part(values: Tensor, part: slice) -> Tensor:
    """Return the numbers of one block of devices, from :func:`along`."""
    return values if values.numel() == 1 else values[part]
