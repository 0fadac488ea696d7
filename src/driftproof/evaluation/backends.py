"""The two ways to compute what a chip computes: ``folded`` (fast) and ``tiles`` (aihwkit, the reference)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Protocol, get_args

import torch
from torch import nn

from driftproof.chip import Chip
from driftproof.conversion import check_installation, convert_mapped
from driftproof.errors import DriftproofError, did_you_mean
from driftproof.evaluation.folded import FoldedNetwork
from driftproof.evaluation.recalibration import measure_norms
from driftproof.inputs import Inputs, call
from driftproof.mapping import Mapping
from driftproof.periphery import Periphery
from driftproof.presets import load_preset
from driftproof.products import Ranges

BackendName = Literal["folded", "tiles"]


class Backend(Protocol):
    """A network that becomes one chip after another."""

    def load(self, chip: Chip, t_s: float) -> None:
        """Become ``chip`` at ``t_s`` seconds after programming."""

    def recalibrate(self, inputs: Iterable[Any]) -> None:
        """Measure the BatchNorm statistics of the chip that was loaded last; they stay until the next call."""

    def __call__(self, inputs: Inputs, first: int = 0) -> Any:
        """Return the outputs of the chip that was loaded last; ``first`` is the number of the first sample."""


class TilesNetwork:
    """The reference backend: the network on aihwkit's torch-based tiles.

    Args:
        model: the trained network; it is not changed.
        mapping: of this network.
        periphery: what is around the arrays; ideal unless said.
        ranges: static input ranges (:func:`driftproof.products.input_ranges`).
    """

    def __init__(
        self, model: nn.Module, mapping: Mapping, periphery: Periphery | None = None, ranges: Ranges | None = None
    ) -> None:
        # the preset of a conversion is the one that `program` would use; here chips come ready-made
        analog = convert_mapped(model, load_preset("ideal"), mapping, periphery=periphery, ranges=ranges)
        self.model, self.tiled, self.passes = analog.model, analog.tiled, analog.passes
        self._chip: Chip | None = None

    def load(self, chip: Chip, t_s: float) -> None:
        """Become ``chip`` at ``t_s`` seconds after programming."""
        for layer in self.tiled.values():
            if chip is not self._chip:
                layer.place(chip)
            layer.drift(t_s)
        self._chip = chip

    def recalibrate(self, inputs: Iterable[Any]) -> None:
        """Measure the BatchNorm statistics of the chip that was loaded last; they stay until the next call."""
        measure_norms(self.model, self, inputs)

    @torch.inference_mode()
    def __call__(self, inputs: Inputs, first: int = 0) -> Any:
        """Return the outputs of the chip that was loaded last; ``first`` is the number of the first sample."""
        self.passes.restart(first)
        return call(self.model, inputs)


def check_backend(name: str) -> BackendName:
    """Return the name if it is a backend.

    >>> check_backend("folded")
    'folded'
    """
    known = get_args(BackendName)
    if name not in known:
        raise DriftproofError(f"unknown backend {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}")
    return name  # type: ignore[return-value]


def make_backend(
    name: BackendName,
    model: nn.Module,
    mapping: Mapping,
    example: Inputs,
    fold: bool = True,
    periphery: Periphery | None = None,
    ranges: Ranges | None = None,
) -> Backend:
    """Return a backend for a network.

    Args:
        name: which one.
        model: the plain network that was mapped.
        mapping: of this network.
        example: a batch of its inputs.
        fold: whether BatchNorms may fold.
        periphery: what is around the arrays; ideal unless said.
        ranges: static input ranges, if the periphery has such.
    """
    if name == "tiles":
        return TilesNetwork(model, mapping, periphery, ranges)
    return FoldedNetwork(model, mapping, example, fold=fold, periphery=periphery, ranges=ranges)


def compiled_tile_warning() -> str:
    """Return what to tell the user if aihwkit's compiled tiles fail beside this torch, else an empty text.

    The tiles backend needs the torch-based tile only, which works in every pair that was tried.
    """
    health = check_installation()
    if health.aihwkit and health.compiled_tile and not health.torch_tile:
        return (
            f"aihwkit's compiled tile does not work ({health.compiled_tile}); going on with its torch-based tile. "
            f"{health.advice}"
        )
    return ""
