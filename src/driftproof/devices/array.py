"""One layer of one chip: program its devices once, then read the same devices at any time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from driftproof.devices import laws
from driftproof.devices.banks import Bank, banks, is_stuck, level, share, stuck_at, target_us
from driftproof.devices.normals import blocks, layer_normals
from driftproof.devices.product_noise import ProductNoise
from driftproof.devices.weight_laws import programmed_weight
from driftproof.presets import DevicePreset
from driftproof.presets.laws import (
    Conductances,
    ExactProgramming,
    OffsetEncoding,
    PolynomialProgramming,
    PowerDrift,
    WeightEncoding,
)


@dataclass(frozen=True)
class ProgrammedArray:
    """The devices of one layer of one chip, as :func:`program` left them.

    Attributes:
        target: [out, in], what was wanted: weights relative to their column's maximum, in [−1, 1].
        banks: which devices a weight has; n devices in each.
        first: per-device state [banks, n]: programmed conductance in µS; or, where the spread itself changes in time
            or belongs to the net weight, the standard normal ξ that the device keeps for life.
        life: what else a device keeps for life [banks, n]: its drift exponent ν, or the ξ of its relaxation.
        reference: the devices of a reference column, [groups, in], if there is one: each group's rows have their own.
        kept: purpose → numbers [n] of an array that was stored, which are not to be drawn again.
    """

    preset: DevicePreset
    seed: int
    chip: int
    layer: str
    target: Tensor
    banks: tuple[Bank, ...]
    first: Tensor | None
    life: Tensor | None
    reference: ProgrammedArray | None = None
    kept: dict[str, Tensor] | None = None

    @torch.no_grad()
    def conductances(self, t_s: float, read_noise: bool = True) -> tuple[Tensor, ...]:
        """Return the conductances at ``t_s`` seconds after programming, one [out, in] in µS per bank: (G⁺, G⁻, …).

        Read noise that is new in every product is never in here: it is no property of a time.

        Raises:
            ValueError: if the preset acts on net weights and has no devices.
        """
        if isinstance(self.preset.conductance, WeightEncoding):
            raise ValueError(f"preset {self.preset.name} acts on net weights: it has no conductances")
        found = [torch.empty_like(self.target) for _ in self.banks]
        for index, g in enumerate(found):
            for part, block in self._read(index, t_s, read_noise):
                g.view(-1)[part] = block
        return tuple(found)

    @torch.no_grad()
    def net(self, t_s: float, read_noise: bool = True) -> Tensor:
        """Return what the array multiplies by at ``t_s``: [out, in], relative to the columns' maxima.

        Read noise is new at every read-out time and the same at every call for one time. (What is new in every
        product is :meth:`product_noise`.)
        """
        out = torch.empty_like(self.target)
        flat, target = out.view(-1), self.target.view(-1)
        conductance, law = self.preset.conductance, self.preset.programming
        if isinstance(conductance, WeightEncoding):
            for part in blocks(target):
                w = level(self.preset.levels, target[part], -1.0)
                xi = w if self.first is None else self.first[0, part]
                flat[part] = programmed_weight(law, w, xi)  # type: ignore[arg-type]  # checked by the preset
            return out
        scale = self._scale(conductance)
        first, *others = (self._read(index, t_s, read_noise) for index in range(len(self.banks)))
        for part, g in first:
            total = torch.mul(g, scale[0], out=flat[part])
            for index, other in enumerate(others, start=1):
                total.add_(next(other)[1], alpha=scale[index])
        if isinstance(conductance, OffsetEncoding):
            middle = (conductance.g_min_us + conductance.g_max_us) / 2
            reference = self.reference.conductances(t_s, read_noise)[0] * scale[0] if self.reference else None
            if reference is None:
                out -= middle * scale[0]
            else:  # [groups, 1, in] from each group's outputs
                out.view(len(reference), len(out) // len(reference), out.shape[1]).sub_(reference[:, None])
        return out

    @torch.no_grad()
    def product_noise(self, t_s: float) -> ProductNoise | None:
        """Return the read noise that is new in every product at ``t_s``, or None if the preset has none."""
        conductance, read = self.preset.conductance, self.preset.read
        if read is None or read.new_every != "product" or not isinstance(conductance, Conductances):
            return None
        scale = self._scale(conductance)
        total = torch.zeros_like(self.target).view(-1)
        for index in range(len(self.banks)):
            for part, sigma in self._product_sigma(index, t_s):
                total[part] += sigma.mul_(scale[index]).square_()
        reference = None
        if self.reference:
            reference = torch.cat([sigma for _, sigma in self.reference._product_sigma(0, t_s)]).mul_(scale[0])
            reference = reference.view_as(self.reference.target)
        sigma = total.sqrt_().view_as(self.target)
        return ProductNoise(sigma, reference, self.seed, self.chip, self.layer, t_s)

    def _scale(self, conductance: Conductances) -> list[float]:
        """Return what each bank's µS count for in the net weight."""
        return [bank.weight / (conductance.g_max_us - conductance.g_min_us) for bank in self.banks]

    def _read(self, index: int, t_s: float, read_noise: bool) -> Iterator[tuple[slice, Tensor]]:
        """Yield every block of one bank's conductances at a time, in µS, with the noise of that read-out."""
        bank, stuck, read = self.banks[index], self.preset.stuck, self.preset.read
        noisy = read_noise and read is not None and read.new_every == "read-out"
        numbers = self._draw(f"read{bank.mark}", t_s) if noisy else None
        lots = self._draw(f"stuck{bank.mark}") if stuck else None
        for part, g, programmed in self._devices(index, t_s):
            if read is not None and numbers is not None:
                sigma = laws.read_sigma(read, g, programmed / fitted_us(self.preset)[1], t_s)
                g = torch.addcmul(g, sigma, next(numbers)[1], out=sigma).clamp_(min=0)
            if stuck and lots is not None:
                assert isinstance(self.preset.conductance, Conductances)
                g = stuck_at(stuck, self.preset.conductance, g, next(lots)[1])
            yield part, g

    def _product_sigma(self, index: int, t_s: float) -> Iterator[tuple[slice, Tensor]]:
        """Yield every block of the spread of one bank's read noise in µS; what is stuck has none."""
        stuck, read = self.preset.stuck, self.preset.read
        assert read is not None
        lots = self._draw(f"stuck{self.banks[index].mark}") if stuck else None
        for part, g, programmed in self._devices(index, t_s):
            sigma = laws.read_sigma(read, g, programmed / fitted_us(self.preset)[1], t_s)
            if stuck and lots is not None:
                sigma.masked_fill_(is_stuck(stuck, next(lots)[1]), 0.0)
            yield part, sigma

    def _devices(self, index: int, t_s: float) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield every block of one bank at a time: place, G(t) and G as programmed, in µS; not to be written to."""
        law, change, mark = self.preset.programming, self.preset.drift, self.banks[index].mark
        times = () if isinstance(law, ExactProgramming | PolynomialProgramming) else laws.steps_until(law, t_s)  # type: ignore[arg-type]
        steps = [self._draw(f"step{number}{mark}") for number in range(1, len(times) + 1)]
        for part in blocks(self.target.view(-1)):
            first = None if self.first is None else self.first[index, part]
            if isinstance(law, PolynomialProgramming):
                assert first is not None
                programmed = first
            else:
                programmed = self._target_us(index, part)
                if first is not None:
                    programmed = self._programmed(programmed, t_s, first, [next(step)[1] for step in steps], times)
            g = programmed
            if change is not None:
                assert self.life is not None
                after = laws.drift if isinstance(change, PowerDrift) else laws.relaxation
                g = after(change, programmed, self.life[index, part], t_s)  # type: ignore[arg-type]
            yield part, g, programmed

    def _programmed(
        self, target: Tensor, t_s: float, xi: Tensor, steps: Sequence[Tensor] = (), times: Sequence[float] = ()
    ) -> Tensor:
        """Programmed conductances in µS of one block, from the ξ that its devices keep for life and the steps since."""
        law, fitted = self.preset.programming, fitted_us(self.preset)
        assert isinstance(law, laws.DeviceLaw)
        if not steps:
            mean, sigma = laws.moments(law, target, fitted, t_s)
            return torch.addcmul(mean, sigma, xi, out=sigma).clamp_(min=0)
        assert not isinstance(law, PolynomialProgramming)
        _, before = laws.moments(law, target, fitted, law.t_s[0])
        moved = before * xi
        for step, time in zip(steps, times, strict=True):
            mean, sigma = laws.moments(law, target, fitted, time)
            moved.addcmul_(laws.step_sigma(before, sigma), step)
            before = sigma
        return moved.add_(mean).clamp_(min=0)

    def _target_us(self, index: int, part: slice) -> Tensor:
        """Target conductances in µS of one block."""
        conductance = self.preset.conductance
        assert isinstance(conductance, Conductances)
        return target_us(
            conductance, share(conductance, self.banks[index], self.target.view(-1)[part], self.preset.levels)
        )

    def _draw(
        self, purpose: str, t_s: float | None = None, into: Tensor | None = None
    ) -> Iterator[tuple[slice, Tensor]]:
        numbers = (self.kept or {}).get(purpose)
        if numbers is not None:
            return ((part, numbers[part]) for part in blocks(numbers))
        return layer_normals(self.target, self.seed, self.chip, self.layer, purpose, t_s, into)


REFERENCE = (Bank("ref", 0.0, 1.0),)


def reference_target(target: Tensor, groups: int) -> Tensor:
    """Return the target of a reference column, [groups, in]: offset devices half-way, that hold a weight of zero."""
    return torch.zeros(groups, target.shape[1], device=target.device)


@torch.no_grad()
def program(
    preset: DevicePreset,
    target: Tensor,
    *,
    seed: int,
    chip: int,
    layer: str,
    groups: int = 1,
    memory: ProgrammedArray | None = None,
) -> ProgrammedArray:
    """Program one layer of one chip: draw what its devices keep for life.

    Args:
        preset: the device.
        target: [out, in], weights relative to their (tile's) column's maximum, in [−1, 1]; float32, contiguous.
        seed: of the evaluation.
        chip: number of the chip.
        layer: canonical name of the layer.
        groups: of a grouped convolution, whose outputs stand group by group: each has rows of its own.
        memory: an array that is not needed any more: its memory is written over if it fits. (New memory costs more
            time than the numbers in it.)

    Raises:
        ValueError: if the target is not float32, not contiguous, or not in [−1, 1].

    >>> from driftproof.presets import load_preset
    >>> array = program(load_preset("pcm-nandakumar-2019"), torch.tensor([[1.0, -0.5]]), seed=0, chip=0, layer="fc")
    >>> array.net(t_s=3600.0).shape
    torch.Size([1, 2])
    """
    if target.dtype != torch.float32 or not target.is_contiguous() or target.dim() != 2:
        raise ValueError(f"target: wanted a contiguous float32 matrix, got {target.dtype} {tuple(target.shape)}")
    low, high = (float(end) for end in target.aminmax()) if target.numel() else (0.0, 0.0)
    if not -1.0 <= low <= high <= 1.0:
        raise ValueError(
            f"target: wanted weights relative to their column's maximum, got |w| up to {max(-low, high):.6g}"
        )
    reference = None
    if isinstance(preset.conductance, OffsetEncoding) and preset.conductance.reference == "column":
        reference = _program(preset, reference_target(target, groups), seed, chip, layer, REFERENCE, None, None)
    return _program(preset, target, seed, chip, layer, banks(preset.conductance), reference, memory)


def _program(
    preset: DevicePreset,
    target: Tensor,
    seed: int,
    chip: int,
    layer: str,
    where: tuple[Bank, ...],
    reference: ProgrammedArray | None,
    memory: ProgrammedArray | None,
) -> ProgrammedArray:
    law, change = preset.programming, preset.drift
    shape = (len(where), target.numel())
    first = None if isinstance(law, ExactProgramming) else _room(shape, target, memory.first if memory else None)
    life = None if change is None else _room(shape, target, memory.life if memory else None)
    array = ProgrammedArray(preset, seed, chip, layer, target, where, first, life, reference)
    for index in range(len(where)):
        _fill(array, index)
    return array


def _fill(array: ProgrammedArray, index: int) -> None:
    """Draw what the devices of one bank keep for life, in the memory where they keep it."""
    law, change, mark = array.preset.programming, array.preset.drift, array.banks[index].mark
    early = isinstance(law, PolynomialProgramming)
    programs = None if array.first is None else array._draw(f"program{mark}", into=array.first[index])
    drifts = None if array.life is None else array._draw(f"drift{mark}", into=array.life[index])
    for part in blocks(array.target.view(-1)):
        target = array._target_us(index, part) if early or isinstance(change, PowerDrift) else array.target
        if programs is not None:
            xi = next(programs)[1]
            if early:
                xi.copy_(array._programmed(target, 0.0, xi))
        if drifts is not None:
            xi = next(drifts)[1]
            if isinstance(change, PowerDrift):
                laws.drift_exponent_(change, target.mul_(1 / fitted_us(array.preset)[1]), xi)


def _room(shape: tuple[int, int], target: Tensor, spent: Tensor | None) -> Tensor:
    """Return memory for the state of the devices: that of a spent array if it has the shape."""
    if spent is not None and spent.shape == shape and spent.device == target.device:
        return spent
    return torch.empty(shape, device=target.device)


def fitted_us(preset: DevicePreset) -> tuple[float, float]:
    """Return the range in µS for which a preset's laws were fitted."""
    assert preset.validity.g_us is not None
    return preset.validity.g_us
