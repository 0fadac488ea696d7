"""One layer of one chip: what the arrays of devices and of net weights have in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from driftproof.devices.device import DeviceLaws
from driftproof.devices.normals import blocks, layer_normals
from driftproof.devices.product_noise import ProductNoise
from driftproof.errors import DriftproofError
from driftproof.laws import Bank

REFERENCE = (Bank("ref", 0.0, 1.0),)
OF_REFERENCE = "reference."


@dataclass(frozen=True)
class ProgrammedArray(ABC):
    """The devices of one layer of one chip, as :func:`program` left them.

    Attributes:
        target: [out, in], what was wanted: weights relative to their column's maximum, in [−1, 1].
        banks: which devices a weight has; n devices in each.
        first: per-device state [banks, n]: programmed conductance in µS; or, where the spread itself changes in time
            or belongs to the net weight, the standard normal ξ that the device keeps for life.
        life: what else a device keeps for life [banks, n]: its drift exponent ν, the ξ of its relaxation, or whatever
            its drift law says.
        reference: the devices of a reference column, [groups, in], if there is one: each group's rows have their own.
        kept: purpose → numbers [n] of an array that was stored, which are not to be drawn again.
    """

    preset: DeviceLaws
    seed: int
    chip: int
    layer: str
    target: Tensor
    banks: tuple[Bank, ...]
    first: Tensor | None
    life: Tensor | None
    reference: ProgrammedArray | None = None
    kept: dict[str, Tensor] | None = None

    @abstractmethod
    def conductances(self, t_s: float, read_noise: bool = True) -> tuple[Tensor, ...]:
        """Return the conductances at ``t_s`` seconds after programming, one [out, in] in µS per bank: (G⁺, G⁻, …).

        Read noise that is new in every product is never in here: it is no property of a time.

        Raises:
            ValueError: if the preset acts on net weights and has no devices.
        """

    @abstractmethod
    def net(self, t_s: float, read_noise: bool = True) -> Tensor:
        """Return what the array multiplies by at ``t_s``: [out, in], relative to the columns' maxima.

        Read noise is new at every read-out time and the same at every call for one time. (What is new in every
        product is :meth:`product_noise`.)
        """

    @abstractmethod
    def product_noise(self, t_s: float) -> ProductNoise | None:
        """Return the read noise that is new in every product at ``t_s``, or None if the preset has none."""

    @abstractmethod
    def product_sigma(self, index: int, t_s: float) -> Iterator[tuple[slice, Tensor]]:
        """Yield every block of the spread of one bank's read noise that is new in every product, in µS."""

    @abstractmethod
    def fill(self) -> None:
        """Draw what the array keeps for life, in the memory where it keeps it."""

    @torch.no_grad()
    def state(self) -> dict[str, Tensor]:
        """Return what the devices keep for life: name → [banks, n], or [n] of one bank; :func:`restore` takes it.

        >>> from driftproof.devices import program
        >>> from driftproof.presets import load_preset
        >>> array = program(load_preset("pcm-nandakumar-2019"), torch.tensor([[1.0, -0.5]]), seed=0, chip=0, layer="fc")
        >>> {name: list(values.shape) for name, values in array.state().items()}
        {'first': [2, 2], 'life': [2, 2]}
        """
        found: dict[str, Tensor] = {}
        if self.first is not None:
            found["first"] = self.first
        if self.life is not None:
            found["life"] = self.life
        for purpose in kept_purposes(self.preset, self.banks):
            found[purpose] = torch.cat([numbers for _, numbers in self._draw(purpose)])
        if self.reference is not None:
            found |= {f"{OF_REFERENCE}{name}": values for name, values in self.reference.state().items()}
        return found

    def check_perturbed(self) -> None:
        """Raise DriftproofError if the device declares programming noise and yet every weight is exact."""
        if not self.preset.programming.declares_noise or not bool(self.target.any()):
            return
        if torch.equal(self.net(self.preset.validity.t_s[1], read_noise=False), self.target):
            raise DriftproofError(
                f"preset {self.preset.name} declares programming noise, but it changes no weight of layer "
                f"{self.layer!r}: look at the numbers of its programming law"
            )

    def _draw(
        self, purpose: str, t_s: float | None = None, into: Tensor | None = None
    ) -> Iterator[tuple[slice, Tensor]]:
        numbers = (self.kept or {}).get(purpose)
        if numbers is not None:
            return ((part, numbers[part]) for part in blocks(numbers))
        return layer_normals(self.target, self.seed, self.chip, self.layer, purpose, t_s, into)


def kept_purposes(preset: DeviceLaws, where: tuple[Bank, ...]) -> list[str]:
    """Return the purposes of the numbers that devices keep for life but draw anew at every reading."""
    steps, found = len(preset.programming.steps_until(math.inf)), []
    for bank in where:
        if preset.stuck is not None and preset.conductance.has_devices:
            found.append(f"stuck{bank.mark}")
        found += [f"step{number}{bank.mark}" for number in range(1, steps + 1)]
    return found
