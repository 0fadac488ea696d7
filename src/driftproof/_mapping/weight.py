"""One weight on its tiles: cut into crossbars, with each column of each tile scaled to the whole conductance range."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise, product
from typing import Literal

import torch
from torch import Tensor

from driftproof._calls import Layout
from driftproof._defaults import SCALE
from driftproof._errors import DriftproofError, aihwkit_hint
from driftproof._mapping.quantised import are_same, is_quantised, lost_in, restored

Scale = Literal["column", "layer"]


@dataclass(frozen=True)
class TileSize:
    """Size of the largest crossbar: ``rows`` inputs by ``columns`` outputs."""

    rows: int = 512
    columns: int = 512

    def __post_init__(self) -> None:
        """Raise for an empty tile."""
        if self.rows < 1 or self.columns < 1:
            raise DriftproofError(f"tile size {self.rows}x{self.columns}: rows and columns must be at least 1")

    @staticmethod
    def of(choice: TileSize | str | int | None) -> TileSize:
        """Return a size for a size, a text, or a number for a square; 512 × 512 for None.

        Raises:
            DriftproofError: The text or the number is no size.

        >>> TileSize.of(256), TileSize.of("512x256")
        (TileSize(rows=256, columns=256), TileSize(rows=512, columns=256))
        """
        if choice is None:
            return TileSize()
        if isinstance(choice, TileSize):
            return choice
        if isinstance(choice, str):
            return TileSize.parse(choice)
        if not isinstance(choice, int) or isinstance(choice, bool):
            raise DriftproofError(
                f"tile {choice!r}: wanted TileSize(ROWS, COLUMNS), a text such as 512x256, or a number"
                f"{aihwkit_hint(choice, 'mapping.tile')}"
            )
        return TileSize(choice, choice)

    @staticmethod
    def parse(text: str) -> TileSize:
        """Return the size for a text such as ``512x256``: rows (inputs) by columns (outputs).

        >>> TileSize.parse("512x256")
        TileSize(rows=512, columns=256)
        """
        rows, times, columns = text.lower().partition("x")
        if not (times and rows.isdecimal() and columns.isdecimal()):
            raise DriftproofError(f"tile size {text!r}: wanted ROWSxCOLUMNS, such as 512x512")
        return TileSize(int(rows), int(columns))


@dataclass(frozen=True)
class MappedWeight:
    """One weight on its tiles.

    Attributes:
        name: Canonical name: of the layer if the parameter is called ``weight``, otherwise of the parameter.
        path: Name of its module in the network, which differs inside ``DataParallel`` and compiled parts.
        shape: Shape of the weight as products take it.
        target: Weights relative to the maximum of their tile's column, in [−1, 1]: [out, in of a group] float32.
        scale: Maximum of each tile's column, in weight units, 0 for a column without weights: [row splits, out]
            float32.
        rows: Input slice of each row split.
        columns: Output slice of each column split.
        layout: How the stored weight is a matrix.
        parameter: Name of the weight in its module.
        aliases: Further (module, parameter) names that the network has for the same weight.
        modules: Paths of the modules whose code multiplies by it.
        readers: Paths of the modules whose code reads its type or shape.
        uses: Number of products with it in a forward pass; 0 if the network was not watched.
        made: Whether the network's code computes this weight from its parameter at every call (standardised,
            quantised, …). The array then holds the computed weight.
        clipped: Number of weights beyond the clipping percentile.
        both_ways: Whether the network multiplies by the transpose as well. The array is then also driven from its
            columns.
        lost: What target times scale lost of quantised weights (:mod:`driftproof._mapping.quantised`), or None if they
            are not quantised, are clipped, or come from a file that does not know it.
    """

    name: str
    path: str
    shape: tuple[int, ...]
    target: Tensor
    scale: Tensor
    rows: tuple[slice, ...]
    columns: tuple[slice, ...]
    layout: Layout = field(default_factory=Layout)
    parameter: str = "weight"
    aliases: tuple[tuple[str, str], ...] = ()
    modules: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    uses: int = 0
    made: bool = False
    clipped: int = 0
    both_ways: bool = False
    lost: Tensor | None = None

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return len(self.rows) * len(self.columns)

    @property
    def places(self) -> list[tuple[int, slice]]:
        """Row split and output slice of each tile, one row split after the other."""
        return list(product(range(len(self.rows)), self.columns))

    def groups_of(self, columns: slice) -> range:
        """Return the groups whose outputs lie in a column split."""
        width = self.target.shape[0] // self.layout.groups  # outputs of one group
        return range(columns.start // width, -(-columns.stop // width))

    def is_transpose(self, layout: Layout) -> bool:
        """Return whether a product with this layout multiplies by the transpose of the array's matrix."""
        return layout.inputs_first != self.layout.inputs_first

    @torch.no_grad()
    def renewed(self, weight: Tensor, scale: Scale, clip: float | None) -> MappedWeight:
        """Return the mapping of new numbers for this weight, on the same tiles, relative to the new maxima.

        Raises:
            DriftproofError: If a weight is NaN or infinite.
        """
        matrix = self.layout.matrix(weight.detach()).to(torch.float32)
        target, maxima, clipped = _relative(self.name, matrix, self.rows, scale, clip)
        return replace(self, target=target, scale=maxima, clipped=clipped, lost=None)

    def layer_scaled(self) -> MappedWeight:
        """Return the same weight relative to the maximum of the whole layer instead of each tile's column."""
        largest = self.scale.max()
        target = torch.empty_like(self.target)
        for split, rows in enumerate(self.rows):
            target[:, rows] = self.target[:, rows] * (self.scale[split, :, None] / largest)
        target = torch.where(torch.isfinite(target), target, 0.0).clamp_(-1, 1)
        scaled = replace(self, target=target, scale=torch.full_like(self.scale, float(largest)), lost=None)
        exact = self.exact
        return scaled if exact is None else replace(scaled, lost=lost_in(scaled.matrix(target), exact))

    @property
    def exact(self) -> Tensor | None:
        """The weights bit for bit, [out, in of a group], if they are quantised and not clipped; otherwise None."""
        if self.lost is None:
            return None
        return restored(_scaled(self.target, self.scale, self.rows), self.lost)

    def matrix(self, net: Tensor, scale: Tensor | None = None) -> Tensor:
        """Return the values of an array in weight units, [out, in of a group].

        Quantised weights that are held without any error are returned bit for bit.

        Args:
            net: Net values of the array relative to the columns' maxima, [out, in].
            scale: Factors of each tile's outputs, such as the columns' maxima times a drift compensation,
                [row splits, out] (default: the columns' maxima).
        """
        scale = self.scale if scale is None else scale
        exact = self.held(net, scale)
        return _scaled(net, scale, self.rows) if exact is None else exact

    def held(self, net: Tensor, scale: Tensor) -> Tensor | None:
        """Return :attr:`exact` if an array holds it without any error; arguments as for :meth:`matrix`."""
        exact = self.exact
        if exact is None or (net is self.target and scale is self.scale):
            return exact
        return exact if are_same(_scaled(net, scale, self.rows), exact) else None

    def weight(self, net: Tensor, scale: Tensor | None = None) -> Tensor:
        """Return the values of an array in weight units and in the stored shape; arguments as for :meth:`matrix`."""
        return self.layout.weight(self.matrix(net, scale), self.shape)


def split_sizes(size: int, limit: int) -> list[int]:
    """Return the sizes of nearly even parts of ``size``, none above ``limit``, the larger ones first.

    >>> split_sizes(27, 16)
    [14, 13]
    """
    parts = -(-size // limit)
    base, extra = divmod(size, parts)
    return [base + (part < extra) for part in range(parts)]


def _slices(size: int, limit: int, unit: int = 1) -> list[slice]:
    """Return nearly even slices of ``size`` units, each up to ``limit`` units long."""
    edges = accumulate(split_sizes(size, limit), initial=0)
    return [slice(start * unit, stop * unit) for start, stop in pairwise(edges)]


def _column_slices(outputs: int, inputs: int, groups: int, tile: TileSize) -> tuple[slice, ...]:
    """Cut the outputs into tiles.

    Groups share a tile as diagonal blocks, as many whole ones as fit. The rows of one group are driven at a time, and
    the devices outside the blocks stay unused. A group that is larger than a tile is cut like a separate layer.
    """
    width = outputs // groups
    if inputs > tile.rows or width > tile.columns:
        parts = _slices(width, tile.columns)
        starts = range(0, outputs, width)
        return tuple(slice(start + part.start, start + part.stop) for start in starts for part in parts)
    if groups == 1:
        return (slice(0, outputs),)
    return tuple(_slices(groups, min(tile.rows // inputs, tile.columns // width), width))


@torch.no_grad()
def map_weight(
    name: str,
    weight: Tensor,
    tile: TileSize | None = None,
    path: str | None = None,
    *,
    layout: Layout | None = None,
    scale: Scale = SCALE,
    clip: float | None = None,
) -> MappedWeight:
    """Map one weight onto tiles.

    Args:
        name: Canonical name.
        weight: The weight: [out, in] of a linear layer, [out, in, *kernel] of a convolution, or in the order of
            ``layout``; any floating-point type and memory order.
        tile: Size of the largest crossbar (default: 512 × 512).
        path: Name of the module in the network (default: the canonical name).
        layout: How the stored weight is a matrix (default: outputs first, one group).
        scale: Whether weights are relative to the maximum of their tile's ``column``, or of the whole ``layer``.
        clip: Percentile of |w| (of a tile's column, or of the layer) that replaces the maximum (default: no clipping).
            Larger weights are clipped to it, and counted.

    Raises:
        DriftproofError: If a weight is NaN or infinite, ``clip`` is not a percentile, or ``scale`` is unknown.

    >>> mapped = map_weight("fc", torch.tensor([[2.0, -1.0], [0.0, 0.0]]))
    >>> mapped.target.tolist(), mapped.scale.tolist()
    ([[1.0, -0.5], [0.0, 0.0]], [[2.0, 0.0]])
    """
    tile, layout = tile or TileSize(), layout or Layout()
    if clip is not None and not 0 < clip <= 100:
        raise DriftproofError(f"clipping percentile {clip}: wanted a number above 0 and up to 100, such as 99.9")
    if scale not in ("column", "layer"):
        raise DriftproofError(f"scale {scale!r}: wanted column (of each tile) or layer")
    shape = tuple(weight.shape)
    matrix = layout.matrix(weight.detach()).to(torch.float32)
    rows = tuple(_slices(matrix.shape[1], tile.rows))
    columns = _column_slices(matrix.shape[0], matrix.shape[1], layout.groups, tile)
    target, maxima, clipped = _relative(name, matrix, rows, scale, clip)
    lost = lost_in(_scaled(target, maxima, rows), matrix) if not clipped and is_quantised(matrix) else None
    path = name if path is None else path
    return MappedWeight(name, path, shape, target, maxima, rows, columns, layout=layout, clipped=clipped, lost=lost)


def _scaled(net: Tensor, scale: Tensor, rows: tuple[slice, ...]) -> Tensor:
    """Return net values [out, in] times the factor of each tile's column, [row splits, out]."""
    out = torch.empty_like(net)
    for split, part in enumerate(rows):
        torch.mul(net[:, part], scale[split, :, None], out=out[:, part])
    return out


def _relative(
    name: str, matrix: Tensor, rows: tuple[slice, ...], scale: Scale, clip: float | None
) -> tuple[Tensor, Tensor, int]:
    """Return weights relative to the maxima of their tiles' columns, the maxima, and how many weights were clipped."""
    if scale == "layer":
        maxima = _largest(matrix.view(1, -1), clip).expand(len(rows), matrix.shape[0]).contiguous()
    else:
        maxima = torch.stack([_largest(matrix[:, part], clip) for part in rows])
    # maxima reveal NaN and infinite weights without another pass; percentiles do not
    if not bool(torch.isfinite(maxima if clip is None else matrix).all()):
        bad = int((~torch.isfinite(matrix)).sum())
        raise DriftproofError(
            f"layer {name}: {bad} of {matrix.numel()} weights are NaN or infinite; mend the checkpoint"
        )
    target = torch.empty(matrix.shape, dtype=torch.float32, device=matrix.device)
    for split, part in enumerate(rows):
        torch.div(matrix[:, part], maxima[split, :, None], out=target[:, part])
    if not bool(maxima.all()):
        target.nan_to_num_(0.0, 0.0, 0.0)  # columns without weights
    clipped = 0
    if clip is not None:
        clipped = int((target.abs() > 1).sum())
        target.clamp_(-1, 1)
    return target, maxima, clipped


def _largest(matrix: Tensor, clip: float | None) -> Tensor:
    """Return the maximum of |w| in each row, or the percentile that replaces it."""
    if clip is None or clip == 100:
        # two reductions take a third of the time of one aminmax along a dimension
        return torch.maximum(matrix.amin(dim=1).neg_(), matrix.amax(dim=1)).abs_()
    sizes = matrix.abs().sort(dim=1).values
    place = max(0, min(sizes.shape[1] - 1, round(clip / 100 * (sizes.shape[1] - 1))))
    kept = sizes[:, place]
    # a column of a few outliers and zeros keeps its maximum: otherwise all of it would be lost
    return torch.where(kept > 0, kept, sizes[:, -1])
