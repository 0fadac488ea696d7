"""Hopfield networks by their sizes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

from driftproof._errors import DriftproofError, whole_number
from driftproof._hopfield.edges import POOLING, ConvolutionEdge, DenseEdge, Edge, Pooling, check_image
from driftproof._hopfield.network import HopfieldNetwork
from driftproof._keywords import check_keywords

GAIN = 0.5


def hopfield_dense(
    sizes: Sequence[int] = (784, 1024, 10), *, gain: float | Sequence[float] = GAIN, **settings: Any
) -> HopfieldNetwork:
    """Return a dense Hopfield network.

    Args:
        sizes: Sizes of the layers, from the input to the output (default: 784, 1024, 10).
        gain: Gain of the drawn weights, one for all edges or one for each (default: 0.5).
        settings: Settings of :class:`HopfieldNetwork`, such as ``iterations``.

    >>> [tuple(edge.weight.shape) for edge in hopfield_dense([784, 512, 10]).edges]
    [(512, 784), (10, 512)]
    """
    sizes = [whole_number("sizes", size) for size in sizes]
    if len(sizes) < 2 or min(sizes) < 1:
        raise DriftproofError(f"sizes {sizes}: wanted those of input and output, at least 1, and of hidden layers")
    _check_settings("hopfield_dense", settings)
    gains = _gains(gain, len(sizes) - 1)
    edges = [DenseEdge(a, b, gain=g) for a, b, g in zip(sizes, sizes[1:], gains, strict=False)]
    return HopfieldNetwork(edges, **settings)


def dchn(
    widths: Sequence[int] = (128, 256, 512, 512),
    *,
    image: tuple[int, int] = (3, 32),
    classes: int = 10,
    pool: Pooling = POOLING,
    gain: float | Sequence[float] = GAIN,
    **settings: Any,
) -> HopfieldNetwork:
    """Return a deep convolutional Hopfield network: 3 × 3 convolutions with 2 × 2 pooling, and a dense edge.

    Args:
        widths: Channels of the hidden layers (default: those of the study).
        image: Channels and size of the input images (default: 3, 32).
        classes: Number of outputs (default: 10).
        pool: ``max`` or ``average`` (default: ``max``).
        gain: Gain of the drawn weights, one for all edges or one for each (default: 0.5).
        settings: Settings of :class:`HopfieldNetwork`, such as ``iterations``.

    >>> network = dchn([16, 32], image=(1, 8))
    >>> network.shapes
    [(16, 4, 4), (32, 2, 2), (10,)]
    """
    _check_settings("dchn", settings)
    widths, classes = [whole_number("widths", width) for width in widths], whole_number("classes", classes)
    if not widths or min(widths) < 1 or classes < 1:
        raise DriftproofError(f"widths {widths} and {classes} classes: wanted at least one layer, and numbers above 0")
    try:
        channels, size = image
    except (TypeError, ValueError):
        raise DriftproofError(f"image {image!r}: wanted channels and size, such as (3, 32)") from None
    check_image(channels, size, len(widths))
    gains = _gains(gain, len(widths) + 1)
    layers = [channels, *widths]
    edges: list[Edge] = [
        ConvolutionEdge(a, b, gain=g, pool=pool) for a, b, g in zip(layers, widths, gains, strict=False)
    ]
    side = size // 2 ** len(widths)
    edges.append(DenseEdge(widths[-1] * side * side, classes, gain=gains[-1]))
    return HopfieldNetwork(edges, image=image, **settings)


def _check_settings(function: str, settings: dict[str, Any]) -> None:
    known = inspect.signature(HopfieldNetwork).parameters
    check_keywords(function, settings, [name for name in known if name not in ("edges", "image")])


def _gains(gain: float | Sequence[float], edges: int) -> list[float]:
    gains = list(gain) if isinstance(gain, Sequence) else [gain] * edges
    if len(gains) != edges or not all(g > 0 and math.isfinite(g) for g in gains):
        raise DriftproofError(
            f"gains {gains}: wanted one for all, or one for each of {edges} edges, above 0 and finite"
        )
    return gains
