"""Does what was measured look like the weights? Arrays in the wrong order are easily made, and hard to see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

LIKENESS = 0.5  # below such a likeness, rows, columns or signs have probably been mixed up


@dataclass(frozen=True)
class LayerError:
    """How far one layer of one chip is from its weights at its first measured time.

    Attributes:
        layer: canonical name.
        chip: number of the chip.
        t_s: the first measured time.
        rms: root mean square of (measured net weight − target), relative to the columns' maxima.
        likeness: Σ w n / √(Σ w² Σ n²), w the targets and n what was measured: 1 is equal up to a factor.
    """

    layer: str
    chip: int
    t_s: float
    rms: float
    likeness: float


def likeness(net: Tensor, target: Tensor) -> float:
    """Return Σ w n / √(Σ w² Σ n²); 0 if nothing was measured where weights should be, 1 if there are no weights.

    >>> import torch
    >>> likeness(torch.tensor([[0.5, -0.5]]), torch.tensor([[1.0, -1.0]]))
    1.0
    """
    n, w = net.double().reshape(-1), target.double().reshape(-1)
    if not bool(w.any()):
        return 1.0
    norm = float(n.norm() * w.norm())
    return round(float(n @ w) / norm, 12) if norm else 0.0


def complaint(path: Path, layer: str, found: float) -> str:
    """Return what to tell the user of a layer that does not look like its weights, or nothing."""
    if found >= LIKENESS:
        return ""
    return (
        f"{path}: what was measured resembles the weights of layer {layer} by only {found:.2f} (1 is equal up to a "
        "factor): are rows and columns swapped, or the devices of a pair?"
    )
