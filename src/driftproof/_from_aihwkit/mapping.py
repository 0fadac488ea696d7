"""Tiles, scales, drift compensation and the noise of training of an aihwkit configuration. aihwkit is not imported."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, NamedTuple

from driftproof._defaults import SCALE, TILE
from driftproof._mapping import Scale, TileSize
from driftproof.periphery._beyond import COMPENSATIONS, attributes, shown
from driftproof.training import ClipWeights


class Taken[T](NamedTuple):
    """What was made of some settings.

    Attributes:
        value: The counterpart; None if there is none.
        names: The settings of aihwkit that it stands for, as ``periphery_from_rpu_config`` names what it leaves.
        left: Texts about what differs.
    """

    value: T
    names: Collection[str] = ()
    left: tuple[str, ...] = ()


_SIZES = "mapping.max_input_size, mapping.max_output_size"


def tile_of(config: Any, largest: tuple[int, int] | None) -> Taken[TileSize]:
    """Return the size of the largest crossbar. aihwkit's 0, no limit, is the size of the network's largest layer.

    Args:
        config: aihwkit's configuration.
        largest: Rows and columns of the largest layer on tiles; None if there is no network.
    """
    mapping = getattr(config, "mapping", None)
    sizes = getattr(mapping, "max_input_size", TILE[0]), getattr(mapping, "max_output_size", TILE[1])
    rows, columns = (size or (largest or TILE)[axis] for axis, size in enumerate(sizes))
    left: tuple[str, ...] = ()
    if largest is None and not all(sizes):
        left = (
            f"{_SIZES} = {sizes[0]}, {sizes[1]}: 0 is no limit, and a tile has a size here: {TILE[0]} until you give "
            "tile=TileSize(ROWS, COLUMNS) as large as the largest layer (with the network it is known)",
        )
    return Taken(TileSize(rows, columns), (_SIZES,), left)


def scale_of(config: Any) -> Taken[Scale]:
    """Return whether weights are relative to the maximum of their column or of their layer.

    aihwkit maps to the maximum of a column (``weight_scaling_columnwise``) or of a tile, and remapping does the same
    after every step of a training; where there is remapping, it decides.
    """
    mapping, remap = getattr(config, "mapping", None), getattr(config, "remap", None)
    if mapping is None:
        return Taken(SCALE)
    omega, columnwise = float(mapping.weight_scaling_omega), bool(mapping.weight_scaling_columnwise)
    kind = shown(getattr(remap, "type", None))
    names = ["mapping.weight_scaling_columnwise", "mapping.weight_scaling_omega"]
    if kind in _REMAPPED:  # aihwkit's tiles then begin without a scale of the mapping
        return Taken(_REMAPPED[kind], (*names, "remap.type"))
    scale: Scale = "column" if columnwise and omega > 0 else "layer"
    left = []
    if omega != 1.0:
        left.append(
            f"mapping.weight_scaling_omega = {omega:g}: the largest weight here has the whole conductance range, 1; "
            f"aihwkit maps it to {f'{omega:g}' if omega else 'itself'}. Its devices have the same errors (they are "
            "programmed relative to the largest weight), but noise, ADC and full scale of the periphery count relative "
            "to 1 in both"
        )
    if scale == "layer":
        left.append(
            f"mapping.weight_scaling_columnwise = {columnwise}: scale='layer' is relative to the layer's largest "
            "weight; in aihwkit every tile of a layer has its own, so that a layer of several tiles differs"
        )
    return Taken(scale, names, tuple(left))


_REMAPPED: dict[str, Scale] = {"ChannelwiseSymmetric": "column", "LayerwiseSymmetric": "layer"}
"""aihwkit's remapping → what it makes the weights relative to."""


def compensation_of(config: Any) -> Taken[str | None]:
    """Return the text of the drift compensation; None if the configuration has none that is known here."""
    if not hasattr(config, "drift_compensation"):
        return Taken(None)
    kind = type(config.drift_compensation).__name__
    known = COMPENSATIONS.get(kind)
    if known is None:
        return Taken(None)
    left = []
    if known != "none" and (noise := _noise_of_reads(config)):
        left.append(
            f"drift_compensation = {kind}(): aihwkit measures its factor by single reads through {noise}, whose mean "
            "magnitude drifts less than the weights: its factor is too small (docs/aihwkit.md, row 11). Here it is "
            "measured without them"
        )
    if known == "exact":
        left.append(
            f"drift_compensation = {kind}(): aihwkit's factor is a quotient of mean magnitudes, that of 'exact' here "
            "is the one with the least squared error of the weights"
        )
    return Taken(known, ("drift_compensation",), tuple(left))


def _noise_of_reads(config: Any) -> str:
    """Return the noise of an MVM that changes the mean magnitude of what is read."""
    forward = getattr(config, "forward", None)
    if forward is None or forward.is_perfect:
        return ""
    parts = (("output noise", forward.out_noise), ("weight noise", forward.w_noise))
    return " and ".join(f"{what} of {sigma:g}" for what, sigma in parts if sigma > 0)


def training_noise_of(modifier: Any, scale: Scale) -> Taken[str | None]:
    """Return the noise of a training for aihwkit's weight modifier, as text.

    ``AddNormal`` is Gaussian noise relative to the largest weight of a tile, which is that of every column if columns
    are scaled; ``MultNormal`` is relative to the weight itself.
    """
    kind = shown(getattr(modifier, "type", None))
    if kind not in ("AddNormal", "MultNormal") or modifier.std_dev <= 0 or modifier.enable_during_test:
        return Taken(None)
    sigma = float(modifier.std_dev)
    if not modifier.rel_to_actual_wmax and not (kind == "AddNormal" and scale == "column"):
        return Taken(None)
    names = ["modifier.type", "modifier.std_dev", "modifier.rel_to_actual_wmax"]
    if not modifier.rel_to_actual_wmax:  # σ is absolute, in units of the tile's full weight
        sigma *= float(modifier.assumed_wmax)
        names.append("modifier.assumed_wmax")
    law = "gaussian-multiplicative" if kind == "MultNormal" else "gaussian" if scale == "column" else "gaussian-layer"
    return Taken(f"{law}:{sigma:g}", names)


def clipping_of(clip: Any) -> Taken[ClipWeights | None]:
    """Return the weight clipping of a training for aihwkit's ``LayerGaussian``; None for its other kinds."""
    sigma = float(dict(attributes(clip)).get("sigma", 0.0))
    if shown(getattr(clip, "type", None)) != "LayerGaussian" or not 0 < sigma < math.inf:
        return Taken(None)
    left = [
        f"clip.{name} = {shown(value)}: aihwkit does not read it with clip.type = LayerGaussian"
        for name, value in attributes(clip)
        if name not in ("sigma", "type") and shown(value) != "-1.0"
    ]
    return Taken(ClipWeights(sigmas=sigma, per="layer"), ("clip.type", "clip.sigma"), tuple(left))
