"""The devices of a layer: they are programmed once and can be read at any time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from driftproof._devices.array import ProgrammedArray
from driftproof._devices.mvm_read_noise import MvmReadNoise
from driftproof._devices.net import net_weights
from driftproof._devices.normals import blocks
from driftproof._devices.read_outs import USE, ReadOut
from driftproof._devices.variation import along, of_part
from driftproof._errors import DriftproofError
from driftproof.laws._law import Law


@dataclass(frozen=True)
class Common:
    """What devices of a bank have in common in their programmed conductances: one number per device [n], or one [1].

    Attributes:
        gain: Factor on conductances.
        error_us: Mean programming error in µS.
    """

    gain: Tensor
    error_us: Tensor

    def part(self, part: slice) -> Common:
        """Return the numbers of one block of devices."""
        return Common(of_part(self.gain, part), of_part(self.error_us, part))

    def scaled(self, g_us: Tensor) -> Tensor:
        """Return conductances in µS times the factor; they are overwritten."""
        return g_us.mul_(self.gain)


@dataclass(frozen=True)
class DeviceArray(ProgrammedArray):
    """The devices of one layer of one chip; see :class:`ProgrammedArray`."""

    @torch.no_grad()
    def conductances(self, t_s: float, read_noise: bool = True, read_out: ReadOut = USE) -> tuple[Tensor, ...]:
        """Return the conductances at a time; see :meth:`ProgrammedArray.conductances`."""
        banks = tuple(torch.empty_like(self.target) for _ in self.banks)
        for index, g in enumerate(banks):
            for part, (block,) in self._reads(index, t_s, read_noise, [read_out]):
                g.view(-1)[part] = block
        return banks

    @torch.no_grad()
    def net(self, t_s: float, read_noise: bool = True, read_out: ReadOut = USE) -> Tensor:
        """Return the net weights at a time; see :meth:`ProgrammedArray.net`."""
        return self._nets(t_s, read_noise, [read_out])[0]

    @torch.no_grad()
    def nets(self, t_s: float, read_outs: Sequence[ReadOut]) -> list[Tensor]:
        """Return the net weights at a time in several read-outs; see :meth:`ProgrammedArray.nets`.

        Drift, the standard deviation of the read noise and its slow part are computed once.
        """
        if len({(read_out.period_s, read_out.fast) for read_out in read_outs}) > 1:
            return super().nets(t_s, read_outs)
        return self._nets(t_s, True, read_outs)

    def _nets(self, t_s: float, read_noise: bool, read_outs: Sequence[ReadOut]) -> list[Tensor]:
        reads = [self._reads(index, t_s, read_noise, read_outs) for index in range(len(self.banks))]
        column = self.reference
        references = [column.conductances(t_s, read_noise, each)[0] if column else None for each in read_outs]
        return net_weights(self.preset.conductance, self.target, reads, references)

    @torch.no_grad()
    def mvm_read_noise(self, t_s: float, read_out: ReadOut = USE) -> MvmReadNoise | None:
        """Return the read noise that is new in every MVM at a time; see :meth:`ProgrammedArray.mvm_read_noise`."""
        share = self._mvm_share(t_s, read_out)
        if share == 0:
            return None
        scale = [math.sqrt(share) * factor for factor in self.preset.conductance.scales()]
        total = torch.zeros_like(self.target).view(-1)
        for index in range(len(self.banks)):
            for part, sigma in self.mvm_sigma(index, t_s):
                total[part] += sigma.mul_(scale[index]).square_()
        reference = None
        if isinstance(self.reference, DeviceArray):
            reference = torch.cat([sigma for _, sigma in self.reference.mvm_sigma(0, t_s)]).mul_(scale[0])
            reference = reference.view_as(self.reference.target)
        return MvmReadNoise(total.sqrt_().view_as(self.target), reference)

    @torch.no_grad()
    def fill(self) -> None:
        """Draw the numbers that the devices keep for life, into their memory."""
        for index in range(len(self.banks)):
            self._fill(index)

    def _fill(self, index: int) -> None:
        drift, mark = self.preset.drift, self.banks[index].mark
        early = self.preset.programming.keeps == "conductance"
        placed = drift is not None and drift.needs_target
        programs = None if self.first is None else self._draw(f"program{mark}", into=self.first[index])
        drifts = None if self.life is None else self._draw(f"drift{mark}", into=self.life[index])
        common = self._common(index) if early else None
        moved = self._exponents(index)
        for part in blocks(self.target.view(-1)):
            target = self._target_us(index, part) if early or placed else self.target
            if programs is not None:
                xi = next(programs)[1]
                if early:
                    xi.copy_(self._programmed(target, 0.0, xi, common=common and common.part(part)))
            if drifts is not None:
                xi = next(drifts)[1]
                if drift is not None and placed:
                    life = _checked(drift, "life", drift.life(target.mul_(1 / self._fitted_us[1]), xi), xi, new=False)
                    if life is not xi:
                        xi.copy_(life)
                if moved is not None:
                    xi.add_(of_part(moved, part)).clamp_(min=0)

    def _common(self, index: int) -> Common | None:
        """Return what devices of one bank have in common in their programmed conductances, or None."""
        if not self._varies:
            return None
        gain, error = self.variation(index)[:2]
        return Common(
            along((1 + gain).clamp_(min=0), self._splits, self.target), along(error, self._splits, self.target)
        )

    def _exponents(self, index: int) -> Tensor | None:
        """Return what is added to the drift exponents of one bank, or None."""
        variation = self.preset.variation
        if self.life is None or variation is None or not variation.moves_exponents:
            return None
        return along(self.variation(index)[2], self._splits, self.target)

    @property
    def _splits(self) -> tuple[slice, ...]:
        return self.rows or (slice(0, self.target.shape[1]),)

    @property
    def _fitted_us(self) -> tuple[float, float]:
        """The range in µS for which the laws were fitted."""
        fitted = self.preset.validity.g_us
        assert fitted is not None  # every preset that has devices has it
        return fitted

    def _fast_share(self, t_s: float, read_out: ReadOut) -> float:
        """Return the share of the read noise's variance that two read-outs of one time do not have in common."""
        read = self.preset.read
        assert read is not None
        share = read.fast_share(t_s, read_out.period_s) if read_out.period_s > 0 else 0.0
        if not 0 <= share <= 1:
            raise DriftproofError(
                f"{read.family} {type(read).__name__}: fast_share gave {share!r} at t = {t_s:g} s for a period of "
                f"{read_out.period_s:g} s; wanted a share from 0 to 1"
            )
        return share

    def _mvm_share(self, t_s: float, read_out: ReadOut) -> float:
        """Return the share of the read noise's variance that is new in every MVM."""
        read = self.preset.read
        if read is None:
            return 0.0
        if read.new_every == "mvm":
            return 1.0
        return self._fast_share(t_s, read_out) if read_out.fast == "mvm" else 0.0

    def _read_numbers(self, mark: str, t_s: float, read_outs: Sequence[ReadOut]) -> Iterator[list[Tensor]]:
        """Yield every block of the read noise's normal numbers in each of some read-outs of one period.

        They are the sum of the slow part, which the read-outs have in common, and of each one's fast part. A fast part
        that is new in every MVM is not in them.
        """
        fast = self._fast_share(t_s, read_outs[0])
        slow = self._draw(f"read{mark}", t_s) if fast < 1 else None
        apart = fast > 0 and read_outs[0].fast == "read-out"
        new = [self._draw(f"read{mark}|{read_out.name}", t_s) for read_out in read_outs] if apart else []
        for _ in blocks(self.target.view(-1)):
            common = None if slow is None else next(slow)[1].mul_(math.sqrt(1 - fast))
            numbers = [next(draws)[1].mul_(math.sqrt(fast)) for draws in new]
            if common is not None:
                numbers = [own.add_(common) for own in numbers] or [common] * len(read_outs)
            yield numbers

    def _reads(
        self, index: int, t_s: float, read_noise: bool, read_outs: Sequence[ReadOut]
    ) -> Iterator[tuple[slice, list[Tensor]]]:
        """Yield every block of one bank's conductances at a time, in µS, in each of some read-outs of one period."""
        mark, stuck, read = self.banks[index].mark, self.preset.stuck, self.preset.read
        noisy = read_noise and self.new_at_read_out and self._mvm_share(t_s, read_outs[0]) < 1
        numbers = self._read_numbers(mark, t_s, read_outs) if noisy else None
        lots = self._draw(f"stuck{mark}") if stuck else None
        for part, g, programmed in self._devices(index, t_s):
            each = [g] * len(read_outs)
            if read is not None and numbers is not None:
                sigma = _checked(read, "sigma_us", read.sigma_us(g, programmed / self._fitted_us[1], t_s), g)
                *others, last = next(numbers)
                each = [torch.addcmul(g, sigma, xi) for xi in others] + [torch.addcmul(g, sigma, last, out=sigma)]
                each = [noisy_g.clamp_(min=0) for noisy_g in each]
            if stuck and lots is not None:
                lot = next(lots)[1]
                each = [stuck.held(self.preset.conductance, one, lot) for one in each]
            yield part, each

    def mvm_sigma(self, index: int, t_s: float) -> Iterator[tuple[slice, Tensor]]:
        """Yield every block of σ of one bank's read noise, in µS. Stuck devices have no read noise."""
        stuck, read = self.preset.stuck, self.preset.read
        assert read is not None
        lots = self._draw(f"stuck{self.banks[index].mark}") if stuck else None
        for part, g, programmed in self._devices(index, t_s):
            sigma = _checked(read, "sigma_us", read.sigma_us(g, programmed / self._fitted_us[1], t_s), g)
            if stuck and lots is not None:
                sigma.masked_fill_(stuck.which(next(lots)[1]), 0.0)
            yield part, sigma

    def _devices(self, index: int, t_s: float) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield place, G(t) and programmed G in µS of every block of one bank. The tensors must not be changed."""
        law, drift, mark = self.preset.programming, self.preset.drift, self.banks[index].mark
        times = law.steps_until(t_s)
        steps = [self._draw(f"step{number}{mark}") for number in range(1, len(times) + 1)]
        common = self._common(index) if self._varies_at_reads else None
        for part in blocks(self.target.view(-1)):
            first = None if self.first is None else self.first[index, part]
            if first is not None and law.keeps == "conductance":
                programmed = first
            else:
                programmed = self._target_us(index, part)
                shared = None if common is None else common.part(part)
                if first is not None:
                    xis = [next(step)[1] for step in steps]
                    programmed = self._programmed(programmed, t_s, first, xis, times, shared)
                elif shared is not None:
                    programmed = shared.scaled(programmed.add_(shared.error_us).clamp_(min=0))
            g = programmed
            if drift is not None:
                assert self.life is not None
                g = _checked(drift, "after", drift.after(programmed, self.life[index, part], t_s), programmed)
            yield part, g, programmed

    def _programmed(
        self,
        target: Tensor,
        t_s: float,
        xi: Tensor,
        steps: Sequence[Tensor] = (),
        times: Sequence[float] = (),
        common: Common | None = None,
    ) -> Tensor:
        """Return programmed conductances in µS of one block, from the ξ that its devices keep and their later steps.

        ``common`` is what devices of the block have in common.
        """
        law, fitted = self.preset.programming, self._fitted_us
        if not steps:
            mean, sigma = law.moments(target, fitted, t_s)
            _checked(law, "moments", mean, target, new=False)
            _checked(law, "moments", sigma, target)
            if common is not None:
                return common.scaled(torch.addcmul(mean + common.error_us, sigma, xi, out=sigma).clamp_(min=0))
            return torch.addcmul(mean, sigma, xi, out=sigma).clamp_(min=0)
        _, before = law.moments(target, fitted, law.times_s[0])
        moved = before * xi
        for step, time in zip(steps, times, strict=True):
            mean, sigma = law.moments(target, fitted, time)
            moved.addcmul_(step_sigma(before, sigma), step)
            before = sigma
        if common is not None:
            return common.scaled(moved.add_(mean).add_(common.error_us).clamp_(min=0))
        return moved.add_(mean).clamp_(min=0)

    def _target_us(self, index: int, part: slice) -> Tensor:
        """Return the target conductances in µS of one block."""
        encoding, levels = self.preset.conductance, self.preset.levels
        share = encoding.share(self.banks[index], self.target.view(-1)[part])
        return encoding.target(share if levels is None else levels.rounded(share, 0.0))


def _checked(law: Law, method: str, values: Tensor, given: Tensor, new: bool = True) -> Tensor:
    """Return the values of a formula.

    Raises:
        DriftproofError: If they have another shape than the argument, or, where they must be ``new``, its memory.
    """
    if values.shape != given.shape:
        raise DriftproofError(
            f"{law.family} {type(law).__name__}: {method} gave {list(values.shape)} for {list(given.shape)} devices; "
            "wanted one number for each"
        )
    if new and values.data_ptr() == given.data_ptr() and values.numel():
        raise DriftproofError(
            f"{law.family} {type(law).__name__}: {method} gave its argument back, or wrote into it; wanted a new "
            "tensor (g.mul(…), not g.mul_(…); g.clone() where nothing changes)"
        )
    return values


def step_sigma(before: Tensor, after: Tensor) -> Tensor:
    """Return σ in µS of an independent step that widens the standard deviation from ``before`` to ``after``."""
    return after.square().sub_(before.square()).clamp_(min=0).sqrt_()
