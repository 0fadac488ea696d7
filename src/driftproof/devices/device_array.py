"""The devices of a layer: program them once, then read the same devices at any time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from driftproof.devices.array import ProgrammedArray
from driftproof.devices.net import net_weights
from driftproof.devices.normals import blocks
from driftproof.devices.product_noise import ProductNoise
from driftproof.errors import DriftproofError
from driftproof.laws.law import Law

READ_OUT, PRODUCT = "read-out", "product"


@dataclass(frozen=True)
class DeviceArray(ProgrammedArray):
    """The devices of one layer of one chip; see :class:`ProgrammedArray`."""

    @torch.no_grad()
    def conductances(self, t_s: float, read_noise: bool = True) -> tuple[Tensor, ...]:
        """Return the conductances at a time; see :meth:`ProgrammedArray.conductances`."""
        found = [torch.empty_like(self.target) for _ in self.banks]
        for index, g in enumerate(found):
            for part, block in self._read(index, t_s, read_noise):
                g.view(-1)[part] = block
        return tuple(found)

    @torch.no_grad()
    def net(self, t_s: float, read_noise: bool = True) -> Tensor:
        """Return what the array multiplies by at a time; see :meth:`ProgrammedArray.net`."""
        reads = [self._read(index, t_s, read_noise) for index in range(len(self.banks))]
        reference = self.reference.conductances(t_s, read_noise)[0] if self.reference else None
        return net_weights(self.preset.conductance, self.target, reads, reference)

    @torch.no_grad()
    def product_noise(self, t_s: float) -> ProductNoise | None:
        """Return the read noise that is new in every product at a time, or None if the preset has none."""
        read = self.preset.read
        if read is None or read.new_every != PRODUCT:
            return None
        scale = self.preset.conductance.scales()
        total = torch.zeros_like(self.target).view(-1)
        for index in range(len(self.banks)):
            for part, sigma in self.product_sigma(index, t_s):
                total[part] += sigma.mul_(scale[index]).square_()
        reference = None
        if self.reference:
            reference = torch.cat([sigma for _, sigma in self.reference.product_sigma(0, t_s)]).mul_(scale[0])
            reference = reference.view_as(self.reference.target)
        sigma = total.sqrt_().view_as(self.target)
        return ProductNoise(sigma, reference, self.seed, self.chip, self.layer, t_s)

    @torch.no_grad()
    def fill(self) -> None:
        """Draw what the devices keep for life, in the memory where they keep it."""
        for index in range(len(self.banks)):
            self._fill(index)

    def _fill(self, index: int) -> None:
        drift, mark = self.preset.drift, self.banks[index].mark
        early = self.preset.programming.keeps == "conductance"
        placed = drift is not None and drift.needs_target
        programs = None if self.first is None else self._draw(f"program{mark}", into=self.first[index])
        drifts = None if self.life is None else self._draw(f"drift{mark}", into=self.life[index])
        for part in blocks(self.target.view(-1)):
            target = self._target_us(index, part) if early or placed else self.target
            if programs is not None:
                xi = next(programs)[1]
                if early:
                    xi.copy_(self._programmed(target, 0.0, xi))
            if drifts is not None:
                xi = next(drifts)[1]
                if drift is not None and placed:
                    life = drift.life(target.mul_(1 / self._fitted_us[1]), xi)
                    _check_shape(drift, "life", life, xi)
                    if life is not xi:
                        xi.copy_(life)

    @property
    def _fitted_us(self) -> tuple[float, float]:
        """The range in µS for which the laws were fitted."""
        fitted = self.preset.validity.g_us
        assert fitted is not None  # of all presets that have devices
        return fitted

    def _read(self, index: int, t_s: float, read_noise: bool) -> Iterator[tuple[slice, Tensor]]:
        """Yield every block of one bank's conductances at a time, in µS, with the noise of that read-out."""
        mark, stuck, read = self.banks[index].mark, self.preset.stuck, self.preset.read
        noisy = read_noise and read is not None and read.new_every == READ_OUT
        numbers = self._draw(f"read{mark}", t_s) if noisy else None
        lots = self._draw(f"stuck{mark}") if stuck else None
        for part, g, programmed in self._devices(index, t_s):
            if read is not None and numbers is not None:
                sigma = _check_new(read, "sigma_us", read.sigma_us(g, programmed / self._fitted_us[1], t_s), g)
                g = torch.addcmul(g, sigma, next(numbers)[1], out=sigma).clamp_(min=0)
            if stuck and lots is not None:
                g = stuck.held(self.preset.conductance, g, next(lots)[1])
            yield part, g

    def product_sigma(self, index: int, t_s: float) -> Iterator[tuple[slice, Tensor]]:
        """Yield every block of the spread of one bank's read noise in µS; what is stuck has none."""
        stuck, read = self.preset.stuck, self.preset.read
        assert read is not None
        lots = self._draw(f"stuck{self.banks[index].mark}") if stuck else None
        for part, g, programmed in self._devices(index, t_s):
            sigma = _check_new(read, "sigma_us", read.sigma_us(g, programmed / self._fitted_us[1], t_s), g)
            if stuck and lots is not None:
                sigma.masked_fill_(stuck.which(next(lots)[1]), 0.0)
            yield part, sigma

    def _devices(self, index: int, t_s: float) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield every block of one bank at a time: place, G(t) and G as programmed, in µS; not to be written to."""
        law, drift, mark = self.preset.programming, self.preset.drift, self.banks[index].mark
        times = law.steps_until(t_s)
        steps = [self._draw(f"step{number}{mark}") for number in range(1, len(times) + 1)]
        for part in blocks(self.target.view(-1)):
            first = None if self.first is None else self.first[index, part]
            if first is not None and law.keeps == "conductance":
                programmed = first
            else:
                programmed = self._target_us(index, part)
                if first is not None:
                    programmed = self._programmed(programmed, t_s, first, [next(step)[1] for step in steps], times)
            g = programmed
            if drift is not None:
                assert self.life is not None
                g = _check_new(drift, "after", drift.after(programmed, self.life[index, part], t_s), programmed)
            yield part, g, programmed

    def _programmed(
        self, target: Tensor, t_s: float, xi: Tensor, steps: Sequence[Tensor] = (), times: Sequence[float] = ()
    ) -> Tensor:
        """Programmed conductances in µS of one block, from the ξ that its devices keep for life and the steps since."""
        law, fitted = self.preset.programming, self._fitted_us
        if not steps:
            mean, sigma = law.moments(target, fitted, t_s)
            _check_shape(law, "moments", mean, target)
            _check_new(law, "moments", sigma, target)
            return torch.addcmul(mean, sigma, xi, out=sigma).clamp_(min=0)
        _, before = law.moments(target, fitted, law.times_s[0])
        moved = before * xi
        for step, time in zip(steps, times, strict=True):
            mean, sigma = law.moments(target, fitted, time)
            moved.addcmul_(step_sigma(before, sigma), step)
            before = sigma
        return moved.add_(mean).clamp_(min=0)

    def _target_us(self, index: int, part: slice) -> Tensor:
        """Target conductances in µS of one block."""
        encoding, levels = self.preset.conductance, self.preset.levels
        share = encoding.share(self.banks[index], self.target.view(-1)[part])
        return encoding.target(share if levels is None else levels.rounded(share, 0.0))


def _check_shape(law: Law, method: str, found: Tensor, like: Tensor) -> None:
    """Raise DriftproofError if a formula gives another shape than it was given."""
    if found.shape != like.shape:
        raise DriftproofError(
            f"{law.family} {type(law).__name__}: {method} gave {list(found.shape)} for {list(like.shape)} devices; "
            "wanted one number for each"
        )


def _check_new(law: Law, method: str, found: Tensor, given: Tensor) -> Tensor:
    """Return what a formula gives; raise DriftproofError if it lies where its argument does, which must stay."""
    _check_shape(law, method, found, given)
    if found.data_ptr() == given.data_ptr() and found.numel():
        raise DriftproofError(
            f"{law.family} {type(law).__name__}: {method} gave its argument back, or wrote into it; wanted a new "
            "tensor (g.mul(…), not g.mul_(…); g.clone() where nothing changes)"
        )
    return found


def step_sigma(before: Tensor, after: Tensor) -> Tensor:
    """Standard deviation in µS of a step that widens the spread from ``before`` to ``after``."""
    return after.square().sub_(before.square()).clamp_(min=0).sqrt_()
