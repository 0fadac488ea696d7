"""Base class of the programmed arrays: one layer of one chip."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from driftproof._devices.device import DeviceLaws
from driftproof._devices.mvm_read_noise import MvmReadNoise
from driftproof._devices.normals import LayerKey, blocks, layer_normals
from driftproof._devices.read_outs import USE, ReadOut
from driftproof._devices.variation import deviations
from driftproof._errors import DriftproofError
from driftproof.laws._encoding import Bank

OF_REFERENCE = "reference."


@dataclass(frozen=True)
class ProgrammedArray(ABC):
    """The devices of one layer of one chip after programming.

    Attributes:
        preset: Laws of the devices.
        key: Seed, chip and layer, by which random numbers are drawn.
        target: Target weights [out, in] in [−1, 1], relative to their column's maximum.
        banks: The devices of a weight; each bank has n devices.
        first: Result of programming that a device keeps for life, [banks, n]: its conductance in µS, or the standard
            normal ξ where the standard deviation changes with time or belongs to the net weight.
        life: Number of the drift law that a device keeps for life, [banks, n], such as its drift exponent ν.
        reference: Devices of a reference column, [groups, in], if there is one. Each group has its own.
        kept: Numbers of a restored array by purpose, which are not drawn again.
        rows: Rows of each row split of the layer's tiles; empty for a layer on one row of tiles.
    """

    preset: DeviceLaws
    key: LayerKey
    target: Tensor
    banks: tuple[Bank, ...]
    first: Tensor | None = None
    life: Tensor | None = None
    reference: ProgrammedArray | None = None
    kept: dict[str, Tensor] = field(default_factory=dict)
    rows: tuple[slice, ...] = ()

    @property
    def new_at_read_out(self) -> bool:
        """Whether two read-outs at one time can differ in the net weights."""
        return self.preset.read is not None and self.preset.read.new_every == "read-out"

    @abstractmethod
    def conductances(self, t_s: float, read_noise: bool = True, read_out: ReadOut = USE) -> tuple[Tensor, ...]:
        """Return the conductances at ``t_s`` seconds after the first read, one [out, in] in µS per bank: (G⁺, G⁻, …).

        They never include read noise that is new in every MVM.

        Raises:
            ValueError: If the preset acts on net weights and has no devices.
        """

    @abstractmethod
    def net(self, t_s: float, read_noise: bool = True, read_out: ReadOut = USE) -> Tensor:
        """Return the net weights at ``t_s``, [out, in], relative to the columns' maxima.

        Read noise is the same at every call for one time and one read-out. Read-outs of one time share its slow part.
        Read noise that is new in every MVM is in :meth:`mvm_read_noise` instead.
        """

    def nets(self, t_s: float, read_outs: Sequence[ReadOut]) -> list[Tensor]:
        """Return the net weights at ``t_s`` in several read-outs, each as :meth:`net` returns it, with read noise."""
        return [self.net(t_s, read_out=read_out) for read_out in read_outs]

    @abstractmethod
    def mvm_read_noise(self, t_s: float, read_out: ReadOut = USE) -> MvmReadNoise | None:
        """Return the read noise that is new in every MVM at ``t_s``, or None if there is none.

        It is that of a law whose noise is new in every MVM, or the fast part of another law's if the read-out asks for
        it.
        """

    @abstractmethod
    def fill(self) -> None:
        """Draw the numbers that the array keeps for life, into its memory."""

    @torch.no_grad()
    def state(self) -> dict[str, Tensor]:
        """Return the numbers that the devices keep for life, by name: [banks, n], or [n] of one bank.

        >>> from driftproof._devices import program
        >>> from driftproof._presets import load_preset
        >>> array = program(load_preset("pcm-nandakumar-2019"), torch.tensor([[1.0, -0.5]]), seed=0, chip=0, layer="fc")
        >>> {name: list(values.shape) for name, values in array.state().items()}
        {'first': [2, 2], 'life': [2, 2]}
        """
        state = {name: value.contiguous() for name in ("first", "life") if (value := getattr(self, name)) is not None}
        for purpose in self.kept_purposes():
            state[purpose] = torch.cat([numbers for _, numbers in self._draw(purpose)])
        for index, bank in enumerate(self.banks):
            if self.varies_at_reads:
                state[f"variation{bank.mark}"] = self.variation(index)[:2]
        if self.reference is not None:
            state |= {f"{OF_REFERENCE}{name}": values for name, values in self.reference.state().items()}
        return state

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of ``first`` and ``life``, as far as the laws need them."""
        needed = {"first": self.preset.programming.keeps != "nothing", "life": self.preset.drift is not None}
        return {name: (len(self.banks), self.target.numel()) for name, is_needed in needed.items() if is_needed}

    def kept_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the numbers that devices keep for life but that are drawn again at every reading."""
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(self.kept_purposes(), (self.target.numel(),))
        if self.varies_at_reads:
            lines = (1, 1) if not self.columns_vary else (max(len(self.rows), 1), len(self.target))
            shapes |= {f"variation{bank.mark}": (2, *lines) for bank in self.banks}
        return shapes

    def kept_purposes(self) -> list[str]:
        """Return the purposes of the numbers that devices keep for life but that are drawn again at every reading."""
        stuck = ["stuck"] if self.preset.stuck is not None and self.preset.conductance.has_devices else []
        times = self.preset.programming.steps_until(math.inf)
        steps = [f"step{number}" for number in range(1, len(times) + 1)]
        return [f"{purpose}{bank.mark}" for bank in self.banks for purpose in stuck + steps]

    def variation(self, index: int) -> Tensor:
        """Return what the lines of one bank have in common; see :func:`driftproof._devices.variation.deviations`.

        A restored array has the deviations of g_max and of the mean error only.
        """
        mark, variation = self.banks[index].mark, self.preset.variation
        if (kept := self.kept.get(f"variation{mark}")) is not None:
            return kept
        assert variation is not None
        return deviations(variation, self.key, mark, max(len(self.rows), 1), len(self.target))

    @property
    def varies(self) -> bool:
        """Whether devices have deviations in common."""
        return self.preset.variation is not None and not self.preset.variation.is_none

    @property
    def columns_vary(self) -> bool:
        """Whether the columns of a layer have deviations of their own."""
        variation = self.preset.variation
        return variation is not None and variation.column is not None and any(variation.column.spreads)

    @property
    def varies_at_reads(self) -> bool:
        """Whether the deviations are not in the conductance that a device keeps."""
        return self.varies and self.preset.programming.keeps != "conductance"

    @property
    def splits(self) -> tuple[slice, ...]:
        """Rows of each row split of the layer's tiles, of one at least."""
        return self.rows or (slice(0, self.target.shape[1]),)

    def check_perturbed(self) -> None:
        """Raise DriftproofError if the device declares programming noise, but every weight is exact."""
        if not self.preset.programming.declares_noise or not bool(self.target.any()):
            return
        if torch.equal(self.net(self.preset.validity.t_s[1], read_noise=False), self.target):
            raise DriftproofError(
                f"preset {self.preset.name} declares programming noise, but it changes no weight of layer "
                f"{self.key.layer!r}: look at the numbers of its programming law"
            )

    def _draw(
        self, purpose: str, t_s: float | None = None, into: Tensor | None = None
    ) -> Iterator[tuple[slice, Tensor]]:
        if (numbers := self.kept.get(purpose)) is not None:
            return ((part, numbers[part]) for part in blocks(numbers))
        return layer_normals(self.target, self.key.seed, self.key.chip, self.key.layer, purpose, t_s, into)
