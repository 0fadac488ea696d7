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
from driftproof.devices.keys import Purpose, generator
from driftproof.presets import DevicePreset
from driftproof.presets.laws import (
    ExactProgramming,
    GaussianProgramming,
    PairEncoding,
    PolynomialInTime,
    PolynomialProgramming,
)

BLOCK = 32_768  # torch works through so many elements in one thread; a multiple of 16, as its normal numbers want

# the two devices of a pair: index 0 carries positive weights, index 1 negative ones
_SIGNS = (1.0, -1.0)
_PROGRAM: tuple[Purpose, Purpose] = ("program+", "program-")
_DRIFT: tuple[Purpose, Purpose] = ("drift+", "drift-")
_READ: tuple[Purpose, Purpose] = ("read+", "read-")


@dataclass(frozen=True)
class ProgrammedArray:
    """The devices of one layer of one chip, as :func:`program` left them.

    Attributes:
        target: [out, in], what was wanted: weights relative to their column's maximum, in [−1, 1].
        first: per-device state [2, n] or [1, n]: programmed conductance in µS; or, where the spread itself changes
            in time or belongs to the net weight, the standard normal ξ that the device keeps for life.
        nu: drift exponents [2, n], if the preset drifts.
    """

    preset: DevicePreset
    seed: int
    chip: int
    layer: str
    target: Tensor
    first: Tensor | None
    nu: Tensor | None

    @torch.no_grad()
    def conductances(self, t_s: float, read_noise: bool = True) -> tuple[Tensor, Tensor]:
        """Return (G⁺, G⁻) at ``t_s`` seconds after programming, each [out, in] in µS.

        Raises:
            ValueError: if the preset acts on net weights and has no devices.
        """
        if not isinstance(self.preset.conductance, PairEncoding):
            raise ValueError(f"preset {self.preset.name} acts on net weights: it has no conductances")
        pair = [torch.empty_like(self.target) for _ in _SIGNS]
        for side, g in enumerate(pair):
            flat = g.view(-1)
            for part, xi in self._read_parts(side, t_s, read_noise):
                flat[part] = self._device(side, part, t_s, xi)
        return pair[0], pair[1]

    @torch.no_grad()
    def net(self, t_s: float, read_noise: bool = True) -> Tensor:
        """Return what the array multiplies by at ``t_s``: [out, in], (G⁺ − G⁻)/(g_max − g_min).

        Read noise is new at every read-out time and the same at every call for one time.
        """
        out = torch.empty_like(self.target)
        flat, target = out.view(-1), self.target.view(-1)
        conductance, law = self.preset.conductance, self.preset.programming
        if not isinstance(conductance, PairEncoding):
            for part in _parts(target):
                flat[part] = target[part]
                if isinstance(law, GaussianProgramming):
                    assert self.first is not None
                    flat[part] += self.first[0, part] * law.sigma
            return out
        span = conductance.g_max_us - conductance.g_min_us
        both = (self._read_parts(side, t_s, read_noise) for side in range(2))
        for (part, xi_plus), (_, xi_minus) in zip(*both, strict=True):
            plus = self._device(0, part, t_s, xi_plus)
            flat[part] = plus.sub_(self._device(1, part, t_s, xi_minus)).div_(span)
        return out

    def _read_parts(self, side: int, t_s: float, read_noise: bool) -> Iterator[tuple[slice, Tensor | None]]:
        """Yield every block with its standard normal numbers for read noise, or None if there is none."""
        if self.preset.read is None or not read_noise:
            yield from ((part, None) for part in _parts(self.target.view(-1)))
        else:
            yield from _draw(self.target, self.seed, self.chip, self.layer, _READ[side], t_s)

    def _device(self, side: int, part: slice, t_s: float, xi: Tensor | None) -> Tensor:
        """One block of one side's conductances at a time, in µS."""
        conductance, law = self.preset.conductance, self.preset.programming
        assert isinstance(conductance, PairEncoding)
        if isinstance(law, PolynomialInTime):
            assert self.first is not None
            r = self.target.view(-1)[part].mul(_SIGNS[side]).clamp_(min=0)
            g = _programmed(conductance, r, laws.programming_sigma(law, r, t_s), self.first[side, part])
            programmed = g
        elif self.first is None:
            g = _target_us(conductance, self.target.view(-1)[part].mul(_SIGNS[side]).clamp_(min=0))
            programmed = g
        else:
            programmed = g = self.first[side, part]
        if self.preset.drift is not None:
            assert self.nu is not None
            g = laws.drift(self.preset.drift, g, self.nu[side, part], t_s)
        if self.preset.read is not None and xi is not None:
            sigma = laws.read_sigma(self.preset.read, g, programmed / conductance.g_max_us, t_s)
            g = sigma.mul_(xi).add_(g).clamp_(min=0)
        return g.clone() if g is programmed else g


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
    conductance, law = preset.conductance, preset.programming
    first = nu = None
    if not isinstance(conductance, PairEncoding):
        if isinstance(law, GaussianProgramming):
            first = torch.empty(1, target.numel(), device=target.device)
            for part, xi in _draw(target, seed, chip, layer, "program+"):
                first[0, part] = xi
        return ProgrammedArray(preset, seed, chip, layer, target, first, nu)
    if not isinstance(law, ExactProgramming):
        first = torch.empty(2, target.numel(), device=target.device)
    if preset.drift is not None:
        nu = torch.empty(2, target.numel(), device=target.device)
    for side, sign in enumerate(_SIGNS):
        if first is not None:
            for part, xi in _draw(target, seed, chip, layer, _PROGRAM[side]):
                if isinstance(law, PolynomialProgramming):
                    r = target.view(-1)[part].mul(sign).clamp_(min=0)
                    first[side, part] = _programmed(conductance, r, laws.programming_sigma(law, r, 0.0), xi)
                else:
                    first[side, part] = xi
        if nu is not None:
            assert preset.drift is not None
            for part, xi in _draw(target, seed, chip, layer, _DRIFT[side]):
                r = _target_us(conductance, target.view(-1)[part].mul(sign).clamp_(min=0)).div_(conductance.g_max_us)
                nu[side, part] = laws.drift_exponent(preset.drift, r, xi)
    return ProgrammedArray(preset, seed, chip, layer, target, first, nu)


def _target_us(conductance: PairEncoding, share: Tensor) -> Tensor:
    """Target conductance in µS of a device that carries ``share`` (0 to 1) of the range."""
    return share.mul(conductance.g_max_us - conductance.g_min_us).add_(conductance.g_min_us)


def _programmed(conductance: PairEncoding, share: Tensor, sigma_us: Tensor, xi: Tensor) -> Tensor:
    """G = max(0, target + σ ξ), in µS."""
    return _target_us(conductance, share).add_(sigma_us.mul_(xi)).clamp_(min=0)


def _parts(flat: Tensor) -> Iterator[slice]:
    size = BLOCK if flat.device.type == "cpu" else max(flat.numel(), 1)
    for start in range(0, flat.numel(), size):
        yield slice(start, min(start + size, flat.numel()))


def _draw(
    target: Tensor, seed: int, chip: int, layer: str, purpose: Purpose, t_s: float | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Yield every block with its standard normal numbers, drawn for the whole layer in a fixed order."""
    source = generator(seed, chip, layer, purpose, target.device, t_s)
    for part in _parts(target.view(-1)):
        yield part, torch.empty(part.stop - part.start, device=target.device).normal_(generator=source)
