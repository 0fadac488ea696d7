"""The two ways to compute what a chip computes: ``folded`` (fast) and ``tiles`` (aihwkit, the reference)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from driftproof.arrays import Ranges
from driftproof.batch_norm import recalibrate
from driftproof.chip import Chip
from driftproof.conversion import check_installation, convert_mapped
from driftproof.errors import DriftproofError, did_you_mean
from driftproof.evaluation.folded import FoldedNetwork
from driftproof.inputs import Inputs, call, count
from driftproof.mapping import Mapping as NetworkMapping
from driftproof.periphery import Periphery
from driftproof.presets import load_preset

BackendName = Literal["folded", "tiles"]


class Backend(Protocol):
    """A network that becomes one chip after another.

    Attributes:
        model: the network that computes; its BatchNorms are those that are recalibrated.
        alphas: drift compensation α of each array on the chip that was loaded last, [row splits, out]; a layer that is
            digital has none.
    """

    model: nn.Module
    alphas: dict[str, Tensor]

    def load(self, chip: Chip, t_s: float, digital: Collection[str] = ()) -> None:
        """Become ``chip`` at ``t_s`` seconds after programming; the layers named ``digital`` keep exact weights."""

    def load_exact(self) -> None:
        """Become the network with exact weights in all layers."""

    def recalibrate(self, inputs: Iterable[Any]) -> None:
        """Re-estimate the BatchNorm statistics of the chip that was loaded last; they stay until the next call."""

    def __call__(self, inputs: Inputs, samples: Sequence[int] | None = None) -> Any:
        """Return the outputs of the chip that was loaded last; ``samples`` are the inputs' numbers in the data."""

    def diagnostics(self) -> dict[str, dict[str, float]]:
        """Return what was counted since the last chip was loaded: layer → name → share of conversions."""

    def clear_counts(self) -> None:
        """Count from now on."""


class TilesNetwork:
    """The reference backend: the network on aihwkit's torch-based tiles.

    Args:
        model: the trained network; it is not changed.
        mapping: of this network.
        periphery: what is around the arrays; ideal unless said.
        ranges: static input ranges (:func:`driftproof.arrays.input_ranges`).
    """

    def __init__(
        self,
        model: nn.Module,
        mapping: NetworkMapping,
        periphery: Periphery | None = None,
        ranges: Ranges | None = None,
    ) -> None:
        # the preset of a conversion is the one that `program` would use; here chips come ready-made
        analog = convert_mapped(model, load_preset("ideal"), mapping, periphery=periphery, ranges=ranges)
        self.model, self.tiled, self.passes = analog.model, analog.tiled, analog.passes
        self._chip: Chip | None = None
        self.alphas: dict[str, Tensor] = {}

    def load(self, chip: Chip, t_s: float, digital: Collection[str] = ()) -> None:
        """Become ``chip`` at ``t_s`` seconds after programming.

        Raises:
            DriftproofError: layers that are to be digital: on this backend only the mapping decides that.
        """
        if digital:
            raise DriftproofError(
                f"the tiles backend cannot take {', '.join(name or '(root)' for name in sorted(digital))} off its "
                "tiles for one trial; use the folded backend, or leave them digital with where="
            )
        for layer in self.tiled.values():
            if chip is not self._chip:
                layer.place(chip)
            layer.drift(t_s)
        self._chip = chip
        self.alphas = {name: layer.noise.read(t_s).alpha for name, layer in self.tiled.items()}

    def load_exact(self) -> None:
        """Raise DriftproofError: this backend has its layers on tiles always."""
        raise DriftproofError("the tiles backend cannot take all layers off its tiles; use the folded backend")

    def clear_counts(self) -> None:
        """Count from now on."""
        for layer in self.tiled.values():
            layer.array.counts.clear()

    def diagnostics(self) -> dict[str, dict[str, float]]:
        """Return what was counted since the last chip was loaded: layer → name → share of conversions."""
        return {name: layer.array.counts.shares() for name, layer in self.tiled.items()}

    def recalibrate(self, inputs: Iterable[Any]) -> None:
        """Measure the BatchNorm statistics of the chip that was loaded last; they stay until the next call."""
        recalibrate(self.model, self._numbered, inputs)

    def _numbered(self, inputs: Inputs, first: int) -> Any:
        return self(inputs, range(first, first + count(inputs)))

    @torch.inference_mode()
    def __call__(self, inputs: Inputs, samples: Sequence[int] | None = None) -> Any:
        """Return the outputs of the chip that was loaded last; ``samples`` are the inputs' numbers in the data."""
        self.passes.restart()
        if samples is not None:
            self.passes.expect(samples)
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
    mapping: NetworkMapping,
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
