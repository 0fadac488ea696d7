"""Which weights go on tiles, and how: the one answer that conversion, evaluation and training share.

A layer's weight is seen as a matrix [out, in], one *column* of the crossbar per output channel. It is cut into tiles
of at most ``TileSize.rows`` inputs and ``TileSize.columns`` outputs, nearly even. Each column of each tile is scaled
to its own largest weight, so that it uses the whole conductance range; biases stay digital.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from driftproof.devices.keys import canonical_name
from driftproof.errors import DriftproofError

ANALOG_KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)  # instance norms are among the first
# in eval mode these read their children's weights directly, past a module that replaces a child
_BYPASSING = (nn.MultiheadAttention, nn.TransformerEncoderLayer)


@dataclass(frozen=True)
class TileSize:
    """Largest crossbar: ``rows`` inputs by ``columns`` outputs."""

    rows: int = 512
    columns: int = 512

    def __post_init__(self) -> None:
        """Refuse an empty tile."""
        if self.rows < 1 or self.columns < 1:
            raise DriftproofError(f"tile size {self.rows}x{self.columns}: wanted at least 1x1")


@dataclass(frozen=True)
class MappedWeight:
    """One layer's weight on its tiles.

    Attributes:
        name: canonical name of the layer.
        path: its name in the network, which differs inside ``DataParallel`` and compiled parts.
        shape: shape of the layer's weight.
        target: [out, in] float32, each tile's column relative to its own maximum, in [−1, 1].
        scale: [row splits, out] float32: that maximum, in weight units; 0 for a column without weights.
        rows: input slice of each row split.
        columns: output slice of each column split.
    """

    name: str
    path: str
    shape: tuple[int, ...]
    target: Tensor
    scale: Tensor
    rows: tuple[slice, ...]
    columns: tuple[slice, ...]

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return len(self.rows) * len(self.columns)

    def layer_scaled(self) -> MappedWeight:
        """Return the same weight relative to the largest of the whole layer, instead of each tile's column."""
        largest = self.scale.max()
        target = torch.empty_like(self.target)
        for split, rows in enumerate(self.rows):
            target[:, rows] = self.target[:, rows] * (self.scale[split, :, None] / largest)
        target = torch.where(torch.isfinite(target), target, 0.0).clamp_(-1, 1)
        return replace(self, target=target, scale=torch.full_like(self.scale, float(largest)))

    def weight(self, net: Tensor, scale: Tensor | None = None) -> Tensor:
        """Return a net array back in weight units and in the layer's shape.

        Args:
            net: [out, in], what the array multiplies by, relative to the columns' maxima.
            scale: [row splits, out] that multiplies each tile's outputs, such as the columns' maxima times a drift
                compensation; default: the columns' maxima.
        """
        scale = self.scale if scale is None else scale
        out = torch.empty_like(net)
        for split, rows in enumerate(self.rows):
            torch.mul(net[:, rows], scale[split, :, None], out=out[:, rows])
        return out.view(self.shape)


@dataclass(frozen=True)
class LayerEntry:
    """What happened to one weight-bearing layer: on tiles, or digital and why."""

    name: str
    kind: str
    shape: tuple[int, ...]
    weights: int
    tiles: int
    analog: bool
    reason: str
    mvms_per_input: int | None = None


@dataclass(frozen=True)
class Mapping:
    """A network's layers: every weight-bearing one as an entry, and those on tiles with their weights."""

    tile: TileSize
    layers: tuple[LayerEntry, ...]
    weights: dict[str, MappedWeight] = field(repr=False)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the network inside ``DataParallel``, ``DistributedDataParallel`` and ``torch.compile`` wrappers.

    By type: a network of the user's that holds another one as ``module`` has a forward of its own.
    """
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return unwrap(model.module)
    inner = model._modules.get("_orig_mod")
    return unwrap(inner) if type(model).__name__ == "OptimizedModule" and inner is not None else model


def split_sizes(size: int, limit: int) -> list[int]:
    """Return nearly even parts of ``size``, none above ``limit``, the larger ones first.

    >>> split_sizes(27, 16)
    [14, 13]
    """
    parts = -(-size // limit)
    base, extra = divmod(size, parts)
    return [base + (part < extra) for part in range(parts)]


def _slices(size: int, limit: int) -> tuple[slice, ...]:
    ends = torch.tensor(split_sizes(size, limit)).cumsum(0).tolist()
    return tuple(slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True))


@torch.no_grad()
def map_weight(name: str, weight: Tensor, tile: TileSize | None = None, path: str | None = None) -> MappedWeight:
    """Map one weight onto tiles.

    Args:
        name: canonical name of the layer.
        weight: [out, in] of a linear layer, or [out, in, *kernel] of a convolution; any floating type and layout.
        tile: largest crossbar.
        path: name of the layer in the network, if it differs from the canonical one.

    Raises:
        DriftproofError: if a weight is NaN or infinite.

    >>> mapped = map_weight("fc", torch.tensor([[2.0, -1.0], [0.0, 0.0]]))
    >>> mapped.target.tolist(), mapped.scale.tolist()
    ([[1.0, -0.5], [0.0, 0.0]], [[2.0, 0.0]])
    """
    tile = tile or TileSize()
    matrix = weight.detach().reshape(weight.shape[0], -1).to(torch.float32)
    if not bool(torch.isfinite(matrix).all()):
        bad = int((~torch.isfinite(matrix)).sum())
        raise DriftproofError(
            f"layer {name}: {bad} of {matrix.numel()} weights are NaN or infinite; mend the checkpoint"
        )
    rows, columns = _slices(matrix.shape[1], tile.rows), _slices(matrix.shape[0], tile.columns)
    scale = torch.stack([matrix[:, part].abs().amax(dim=1) for part in rows])
    target = torch.empty(matrix.shape, dtype=torch.float32, device=matrix.device)
    for split, part in enumerate(rows):
        maximum = scale[split, :, None]
        target[:, part] = torch.where(maximum > 0, matrix[:, part] / maximum, 0.0)
    return MappedWeight(name, name if path is None else path, tuple(weight.shape), target, scale, rows, columns)


def map_model(model: nn.Module, tile: TileSize | None = None, example: Tensor | None = None) -> Mapping:
    """Decide for every weight-bearing layer of a network whether it goes on tiles, and map those that do.

    Args:
        model: any network; it is not changed.
        tile: largest crossbar.
        example: inputs [N, …] to count MVMs per input with; without them the counts are None.

    Raises:
        DriftproofError: if no layer can go on tiles; the message lists what was seen.

    >>> [(e.name, e.tiles, e.mvms_per_input) for e in map_model(nn.Linear(3, 2), example=torch.ones(1, 3)).layers]
    [('', 1, 1)]
    """
    tile = tile or TileSize()
    owners: dict[int, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append(canonical_name(name))
    counts = _count_mvms(model, example) if example is not None else {}
    entries, weights = [], {}
    for path, module, bypassed in _walk(model):
        name = canonical_name(path)
        own = [p for p in module.parameters(recurse=False) if p.dim() >= 1]
        if not own:
            continue
        weight = getattr(module, "weight", None)
        weight = weight if isinstance(weight, Tensor) else max(own, key=lambda p: p.numel())
        reason = _why_digital(module, weight, bypassed, owners.get(id(weight), []))
        if not reason and example is not None and name not in counts:
            reason = "the network does not call it with these inputs: unused, or its weight is read directly"
        if not reason and name in weights:
            raise DriftproofError(f"two layers are called {name!r} once wrappers are taken off; rename one of them")
        if not reason:
            weights[name] = map_weight(name, weight, tile, path)
        entries.append(
            LayerEntry(
                name=name,
                kind=type(module).__name__,
                shape=tuple(weight.shape),
                weights=weight.numel(),
                tiles=0 if reason else weights[name].tiles,
                analog=not reason,
                reason=reason,
                mvms_per_input=None if reason else counts.get(name),
            )
        )
    if not weights:
        seen = "; ".join(f"{e.name or '(root)'} {e.kind}: {e.reason}" for e in entries) or "no layer with weights"
        raise DriftproofError(f"nothing can go on tiles. Seen: {seen}")
    return Mapping(tile, tuple(entries), weights)


def _walk(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Yield every module once: path, module, kind of the ancestor that reads past replaced children."""
    seen: set[int] = set()

    def walk(module: nn.Module, name: str, bypassed: str) -> Iterator[tuple[str, nn.Module, str]]:
        if id(module) in seen:
            return
        seen.add(id(module))
        yield name, module, bypassed
        inside = type(module).__name__ if isinstance(module, _BYPASSING) else bypassed
        for child_name, child in module.named_children():
            yield from walk(child, f"{name}.{child_name}" if name else child_name, inside)

    yield from walk(model, "", "")


def _why_digital(module: nn.Module, weight: Tensor, bypassed: str, owners: list[str]) -> str:
    """Return why a layer stays digital, or an empty text if it goes on tiles."""
    kind = type(module)
    if kind not in ANALOG_KINDS:
        bases = [base.__name__ for base in ANALOG_KINDS if isinstance(module, base)]
        if bases:
            return f"a subclass of {bases[0]}: its forward may differ; subclasses are not converted yet"
        if isinstance(module, _NORMS):
            return "normalisation stays digital"
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            return "a look-up table, not a product"
        return f"not converted yet: {kind.__name__} (Linear, Conv1d, Conv2d, Conv3d are)"
    if "weight" not in module._parameters:
        return "its weight is made anew at every call (pruning, weight norm, spectral norm): remove that first"
    if bypassed:
        return f"inside {bypassed}, which reads its weights past a converted layer; not converted yet"
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        if module.groups != 1:
            return f"grouped convolution (groups = {module.groups}): not converted yet"
        if module.padding_mode != "zeros":
            return f"padding mode {module.padding_mode!r}: not converted yet"
    if len(owners) > 1:
        return f"its weight is shared by {', '.join(owners)}: tied weights are not converted yet"
    if not weight.is_floating_point():
        return f"weights of type {weight.dtype} are not floating-point"
    return "it has no weights" if weight.numel() == 0 else ""


@torch.no_grad()
def _count_mvms(model: nn.Module, example: Tensor) -> dict[str, int]:
    """Return how many vectors each layer multiplies per input, over all its calls, by running the example."""
    counts: dict[str, int] = {}
    handles = []
    for path, module, _ in _walk(model):
        if type(module) not in ANALOG_KINDS:
            continue
        name = canonical_name(path)

        def count(layer: Any, _: object, output: Tensor, name: str = name) -> None:
            vectors = output.numel() // int(layer.weight.shape[0])
            counts[name] = counts.get(name, 0) + vectors // len(example)

        handles.append(module.register_forward_hook(count))
    training = {module: module.training for module in model.modules()}
    try:
        model.eval()(example)
    except Exception as error:  # whatever a network's own code raises
        raise DriftproofError(
            f"the network does not take inputs of shape {tuple(example.shape)} and type {example.dtype}: "
            f"{type(error).__name__}: {error}. Give data of the shape that the network was made for"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
        for module, flag in training.items():
            module.training = flag
    return counts
