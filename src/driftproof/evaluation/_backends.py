"""The interface of the two backends, and the reference one: ``tiles`` computes on aihwkit's tiles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from driftproof._batch_norm import recalibrate
from driftproof._chip import Chip
from driftproof._conversion import check_installation, convert_mapped
from driftproof._errors import DriftproofError, warn
from driftproof._inputs import Inputs, call, count, on_tensors, split
from driftproof._keywords import parse_choice
from driftproof._mapping import Mapping as NetworkMapping
from driftproof._presets import load_preset
from driftproof._random_state import random_state_kept
from driftproof._side_by_side import side_by_side
from driftproof.arrays import AnalogArray
from driftproof.arrays._ranges import Ranges
from driftproof.periphery import Periphery

BackendName = Literal["folded", "tiles"]
SMALLEST = 8
"""A thread of its own pays for parts down to this fraction, 1/8, of :attr:`Backend.at_once`."""


class Backend(ABC):
    """A network that becomes one chip after another.

    Attributes:
        model: The network that computes. :meth:`recalibrate` changes its BatchNorms.
        arrays: The array of each layer, by the layer's name.
        alphas: Drift compensation α of each array on the chip that was loaded last, [row splits, out]. Digital layers
            have none.
        at_once: Largest number of samples in one forward pass.
        side_by_side: Whether several threads may run a pass each, on different samples.
    """

    model: nn.Module
    arrays: dict[str, AnalogArray]
    alphas: dict[str, Tensor]
    at_once: int = 2**31
    side_by_side: bool = False

    @abstractmethod
    def load(self, chip: Chip, t_s: float, digital: Collection[str] = (), *, to_calibrate: bool = False) -> None:
        """Become ``chip`` at ``t_s`` seconds after the first read. The layers named ``digital`` keep exact weights.

        With ``to_calibrate`` it is read in the read-out that calibrates it, else in that of its use.
        """

    @abstractmethod
    def load_exact(self) -> None:
        """Become the network with exact weights in all layers."""

    @property
    def written(self) -> dict[str, nn.Parameter]:
        """The parameters of :attr:`model` by name, if a chip without :attr:`noisy` layers is nothing but their numbers.

        Otherwise it is empty: chips have converters, or the network computes the weights that it uses.
        """
        return {}

    @property
    def noisy(self) -> bool:
        """Whether the chip that was loaded last has read noise that is new in every MVM."""
        return any(array.noise.noise is not None for array in self.arrays.values())

    @abstractmethod
    def _pass(self, inputs: Inputs, samples: Sequence[int]) -> Any:
        """Return the outputs of one forward pass. The inputs are not changed."""

    @random_state_kept()
    def __call__(self, inputs: Inputs, samples: Sequence[int] | None = None) -> Any:
        """Return the outputs of the chip that was loaded last.

        Args:
            inputs: Inputs [N, …] of the network. They are not changed.
            samples: Numbers of these inputs in the data (default: 0 to N − 1).
        """
        return self.outputs(inputs, samples)

    @torch.no_grad()
    def outputs(self, inputs: Inputs, samples: Sequence[int] | None = None) -> Any:
        """Return the same, but do not keep the random states, which takes as long as a pass of a small network."""
        number = count(inputs)
        samples = range(number) if samples is None else samples
        wanted = -(-number // self.at_once)
        if self.side_by_side:
            wanted = max(wanted, min(torch.get_num_threads(), SMALLEST * number // self.at_once))
        if wanted <= 1:
            return self._pass(inputs, samples)
        size = -(-number // wanted)  # parts of one size, for threads to end at the same time
        starts = range(0, number, size)
        parts = [(part, samples[at : at + size]) for at, part in zip(starts, split(inputs, size), strict=True)]
        if self.side_by_side:
            return torch.cat(side_by_side(lambda part: self._pass(*part), parts))
        return torch.cat([self._pass(*part) for part in parts])

    def recalibrate(self, inputs: Iterable[Any]) -> None:
        """Re-estimate the BatchNorm statistics of the chip that was loaded last. They stay until the next call.

        Each batch is one forward pass, so that the statistics do not depend on :attr:`at_once`.
        """

        def run(part: Inputs, first: int) -> Any:
            return self._pass(part, range(first, first + count(part)))

        recalibrate(self.model, run, inputs)

    def diagnostics(self) -> dict[str, dict[str, float]]:
        """Return the share of clipped conversions since the last chip was loaded: layer → name → share."""
        return {name: array.counts.shares() for name, array in self.arrays.items()}

    def clear_counts(self) -> None:
        """Set the counts of :meth:`diagnostics` to zero."""
        for array in self.arrays.values():
            array.counts.clear()


class TilesNetwork(Backend):
    """The reference backend: the network on aihwkit's torch-based tiles.

    Args:
        model: The trained network. It is not changed.
        mapping: The mapping of this network.
        periphery: The periphery of the arrays (default: ideal).
        ranges: Static input ranges (:func:`driftproof.arrays.input_ranges`).

    Raises:
        DriftproofError: aihwkit is not installed or does not import.

    >>> from driftproof._mapping import map_model
    >>> layer = nn.Linear(3, 2)
    >>> mapping = map_model(layer)
    >>> network = TilesNetwork(layer, mapping)
    >>> network.load(Chip(mapping, load_preset("pcm-nandakumar-2019"), seed=0, chip=0), t_s=86400.0)
    >>> network(torch.ones(4, 3)).shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        model: nn.Module,
        mapping: NetworkMapping,
        periphery: Periphery | None = None,
        ranges: Ranges | None = None,
    ) -> None:
        # `program` would use the preset of a conversion; here the chips are programmed already
        analog = convert_mapped(model, load_preset("ideal"), mapping, periphery=periphery, ranges=ranges)
        self.model, self.tiled, self.passes = analog.model, analog.tiled, analog.passes
        self.arrays = {name: layer.array for name, layer in self.tiled.items()}
        self._chip: Chip | None = None
        self.alphas = {}

    def load(self, chip: Chip, t_s: float, digital: Collection[str] = (), *, to_calibrate: bool = False) -> None:
        """Become ``chip`` at ``t_s`` seconds after the first read.

        Raises:
            DriftproofError: Layers are to be digital. On this backend only the mapping keeps a layer digital.
        """
        if digital:
            raise DriftproofError(
                f"the tiles backend cannot take {', '.join(name or '(root)' for name in sorted(digital))} off its "
                "tiles for one trial; use the folded backend, or leave them digital with where="
            )
        for layer in self.tiled.values():
            if chip is not self._chip:
                layer.place(chip)
            layer.drift(t_s, to_calibrate)
        self._chip = chip
        self.alphas = {name: layer.read(t_s, to_calibrate).alpha for name, layer in self.tiled.items()}

    def load_exact(self) -> None:
        """Raise DriftproofError: this backend always has its layers on tiles."""
        raise DriftproofError("the tiles backend cannot take all layers off its tiles; use the folded backend")

    def _pass(self, inputs: Inputs, samples: Sequence[int]) -> Any:
        self.passes.restart()
        self.passes.expect(samples)
        return call(self.model, on_tensors(inputs, Tensor.clone))  # its code may write into them


def check_backend(name: str) -> BackendName:
    """Return the name of a backend. Raise DriftproofError if there is no such backend.

    >>> check_backend("folded")
    'folded'
    """
    parse_choice("backend", name, dict.fromkeys(get_args(BackendName), ()))
    return name  # type: ignore[return-value]


def warn_of_compiled_tile() -> None:
    """Warn if aihwkit's compiled tiles fail with this version of torch.

    The tiles backend needs the torch-based tile only, which has worked with every pair of versions that was tried.
    """
    health = check_installation()
    if health.aihwkit and health.compiled_tile and not health.torch_tile:
        warn(
            f"aihwkit's compiled tile does not work ({health.compiled_tile}); the run continues with its torch-based "
            f"tile. {health.advice}"
        )
