"""One layer of one chip: program its devices once, then read the same devices at any time.

**Blocks.** On a CPU the laws run over fixed blocks of 32,768 devices. torch splits longer tensors over threads, and
the last elements of each part go through other instructions, whose powers and exponentials differ in the last bit: in
blocks, conductances are bit-identical for any number of threads. Blocks also stay in the cache, and keep temporaries
small. A GPU takes the layer as one block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from driftproof.devices import laws
from driftproof.devices.banks import Bank, banks, level, share, stuck_at, target_us
from driftproof.devices.keys import generator
from driftproof.devices.weight_laws import programmed_weight
from driftproof.presets import DevicePreset
from driftproof.presets.laws import (
    Conductances,
    ExactProgramming,
    OffsetEncoding,
    PolynomialInTime,
    PolynomialProgramming,
    PowerDrift,
    SaturatingInTime,
    WeightEncoding,
)

BLOCK = 32_768  # torch works through so many elements in one thread; a multiple of 16, as its normal numbers want


@dataclass(frozen=True)
class ProgrammedArray:
    """The devices of one layer of one chip, as :func:`program` left them.

    Attributes:
        target: [out, in], what was wanted: weights relative to their column's maximum, in [−1, 1].
        banks: which devices a weight has; n devices in each.
        first: per-device state [banks, n]: programmed conductance in µS; or, where the spread itself changes in time
            or belongs to the net weight, the standard normal ξ that the device keeps for life.
        life: what else a device keeps for life [banks, n]: its drift exponent ν, or the ξ of its relaxation.
        reference: the devices of a reference column, [1, in], if there is one.
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

    @torch.no_grad()
    def conductances(self, t_s: float, read_noise: bool = True) -> tuple[Tensor, ...]:
        """Return the conductances at ``t_s`` seconds after programming, one [out, in] in µS per bank: (G⁺, G⁻, …).

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

        Read noise is new at every read-out time and the same at every call for one time.
        """
        out = torch.empty_like(self.target)
        flat, target = out.view(-1), self.target.view(-1)
        conductance, law = self.preset.conductance, self.preset.programming
        if isinstance(conductance, WeightEncoding):
            for part in _parts(target):
                w = level(self.preset.levels, target[part], -1.0)
                xi = w if self.first is None else self.first[0, part]
                flat[part] = programmed_weight(law, w, xi)  # type: ignore[arg-type]  # checked by the preset
            return out
        first, *others = (self._read(index, t_s, read_noise) for index in range(len(self.banks)))
        scale = [bank.weight / (conductance.g_max_us - conductance.g_min_us) for bank in self.banks]
        for part, g in first:
            total = g.mul_(scale[0])
            for index, other in enumerate(others, start=1):
                total.add_(next(other)[1].mul_(scale[index]))
            flat[part] = total
        if isinstance(conductance, OffsetEncoding):
            middle = (conductance.g_min_us + conductance.g_max_us) / 2
            reference = self.reference.conductances(t_s, read_noise)[0] if self.reference else middle
            out -= reference * scale[0]
        return out

    def _read(self, index: int, t_s: float, read_noise: bool) -> Iterator[tuple[slice, Tensor]]:
        """Yield every block of one bank's conductances at a time, in µS."""
        bank, stuck = self.banks[index], self.preset.stuck
        numbers: Iterator[tuple[slice, Tensor | None]]
        if self.preset.read is None or not read_noise:
            numbers = ((part, None) for part in _parts(self.target.view(-1)))
        else:
            numbers = self._draw(f"read{bank.mark}", t_s)
        lots = self._draw(f"stuck{bank.mark}") if stuck else None
        for part, xi in numbers:
            g = self._device(index, part, t_s, xi)
            if stuck and lots is not None:
                assert isinstance(self.preset.conductance, Conductances)
                g = stuck_at(stuck, self.preset.conductance, g, next(lots)[1])
            yield part, g

    def _device(self, index: int, part: slice, t_s: float, xi: Tensor | None) -> Tensor:
        """One block of one bank at a time, in µS, before what is stuck."""
        law = self.preset.programming
        first = None if self.first is None else self.first[index, part]
        if isinstance(law, PolynomialProgramming):
            assert first is not None
            programmed = first
        else:
            programmed = self._programmed(index, part, t_s, first)
        g = programmed
        if self.preset.drift is not None:
            assert self.life is not None
            life = self.life[index, part]
            if isinstance(self.preset.drift, PowerDrift):
                g = laws.drift(self.preset.drift, g, life, t_s)
            else:
                g = laws.relaxation(self.preset.drift, g, life, t_s)
        if self.preset.read is not None and xi is not None:
            sigma = laws.read_sigma(self.preset.read, g, programmed / _fitted(self.preset)[1], t_s)
            g = sigma.mul_(xi).add_(g).clamp_(min=0)
        return g.clone() if g is first else g

    def _programmed(self, index: int, part: slice, t_s: float, xi: Tensor | None) -> Tensor:
        """Programmed conductances in µS of one block, from the ξ that its devices keep for life."""
        conductance, law = self.preset.conductance, self.preset.programming
        assert isinstance(conductance, Conductances)
        carried = share(conductance, self.banks[index], self.target.view(-1)[part], self.preset.levels)
        target = target_us(conductance, carried)
        if xi is None:
            return target
        if isinstance(law, SaturatingInTime):
            mean, sigma = laws.saturating(law, target, t_s)
        else:
            assert isinstance(law, PolynomialProgramming | PolynomialInTime)
            low, high = _fitted(self.preset)
            r = target.sub(low).div_(high - low).clamp_(0, 1)
            mean, sigma = target, laws.programming_sigma(law, r, target, t_s)
        return sigma.mul_(xi).add_(mean).clamp_(min=0)

    def _draw(self, purpose: str, t_s: float | None = None) -> Iterator[tuple[slice, Tensor]]:
        return _draw(self.target, self.seed, self.chip, self.layer, purpose, t_s)


@torch.no_grad()
def program(preset: DevicePreset, target: Tensor, *, seed: int, chip: int, layer: str) -> ProgrammedArray:
    """Program one layer of one chip: draw what its devices keep for life.

    Args:
        preset: the device.
        target: [out, in], weights relative to their (tile's) column's maximum, in [−1, 1]; float32, contiguous.
        seed: of the evaluation.
        chip: number of the chip.
        layer: canonical name of the layer.

    Raises:
        ValueError: if the target is not float32, not contiguous, or not in [−1, 1].

    >>> from driftproof.presets import load_preset
    >>> array = program(load_preset("pcm-nandakumar-2019"), torch.tensor([[1.0, -0.5]]), seed=0, chip=0, layer="fc")
    >>> array.net(t_s=3600.0).shape
    torch.Size([1, 2])
    """
    if target.dtype != torch.float32 or not target.is_contiguous() or target.dim() != 2:
        raise ValueError(f"target: wanted a contiguous float32 matrix, got {target.dtype} {tuple(target.shape)}")
    largest = float(target.abs().max()) if target.numel() else 0.0
    if not largest <= 1.0:
        raise ValueError(f"target: wanted weights relative to their column's maximum, got |w| up to {largest:.6g}")
    reference = None
    if isinstance(preset.conductance, OffsetEncoding) and preset.conductance.reference == "column":
        # one device per input, half-way: an offset device that holds a weight of zero
        row = torch.zeros(1, target.shape[1], device=target.device)
        reference = _program(preset, row, seed, chip, layer, (Bank("ref", 0.0, 1.0),), None)
    return _program(preset, target, seed, chip, layer, banks(preset.conductance), reference)


def _program(
    preset: DevicePreset,
    target: Tensor,
    seed: int,
    chip: int,
    layer: str,
    where: tuple[Bank, ...],
    reference: ProgrammedArray | None,
) -> ProgrammedArray:
    conductance, law, drift = preset.conductance, preset.programming, preset.drift
    shape = (len(where), target.numel())
    first = None if isinstance(law, ExactProgramming) else torch.empty(shape, device=target.device)
    life = None if drift is None else torch.empty(shape, device=target.device)
    array = ProgrammedArray(preset, seed, chip, layer, target, where, first, life, reference)
    for index, bank in enumerate(where):
        if first is not None:
            for part, xi in array._draw(f"program{bank.mark}"):
                early = isinstance(law, PolynomialProgramming)
                first[index, part] = array._programmed(index, part, 0.0, xi) if early else xi
        if life is not None:
            assert isinstance(conductance, Conductances)
            for part, xi in array._draw(f"drift{bank.mark}"):
                if isinstance(drift, PowerDrift):
                    r = target_us(conductance, share(conductance, bank, target.view(-1)[part], preset.levels))
                    xi = laws.drift_exponent(drift, r.div_(_fitted(preset)[1]), xi)
                life[index, part] = xi
    return array


def _fitted(preset: DevicePreset) -> tuple[float, float]:
    """Return the range in µS for which a preset's laws were fitted."""
    assert preset.validity.g_us is not None
    return preset.validity.g_us


def _parts(flat: Tensor) -> Iterator[slice]:
    size = BLOCK if flat.device.type == "cpu" else max(flat.numel(), 1)
    for start in range(0, flat.numel(), size):
        yield slice(start, min(start + size, flat.numel()))


def _draw(
    target: Tensor, seed: int, chip: int, layer: str, purpose: str, t_s: float | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Yield every block with its standard normal numbers, drawn for the whole layer in a fixed order."""
    source = generator(seed, chip, layer, purpose, target.device, t_s)
    for part in _parts(target.view(-1)):
        yield part, torch.empty(part.stop - part.start, device=target.device).normal_(generator=source)
