"""Devices in a line: those of one layer, or of several small layers whose laws are computed in one pass.

A layer of a thousand weights takes nearly as long as one of ten thousand: what costs is the number of operations. Small
layers of a chip therefore lie in one line and are programmed and read together. Each layer draws its own random numbers
by its own key, so that it does not matter which layers lie beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from driftproof._devices.formulas import Common, checked, fast_share, mvm_share, programmed_us, target_us
from driftproof._devices.net import bank_sums, subtract_zero
from driftproof._devices.normals import BLOCK, blocks, line_normals, padded, padded_size
from driftproof._devices.read_outs import ReadOut
from driftproof._devices.variation import along, of_part
from driftproof.laws._encoding import Bank

if TYPE_CHECKING:
    from driftproof._devices.array import ProgrammedArray
    from driftproof._devices.device import DeviceLaws
    from driftproof._devices.device_array import DeviceArray

ON_GPU = 1 << 22


def longest(torch_device: torch.device) -> int:
    """Return the largest number of weights in a line of several layers: one block of a CPU, 16 MiB on a GPU."""
    return BLOCK if torch_device.type == "cpu" else ON_GPU


@dataclass(frozen=True)
class Memory:
    """The numbers of a line.

    Attributes:
        target: Target weights, [n].
        first: Result of programming that a device keeps for life, [banks, n]; see :class:`ProgrammedArray`.
        life: Number of the drift law that a device keeps for life, [banks, n].
    """

    target: Tensor = field(default_factory=lambda: torch.empty(0))
    first: Tensor | None = None
    life: Tensor | None = None

    @classmethod
    def of(cls, array: ProgrammedArray) -> Memory:
        """Return the padded numbers of a layer that has its state."""
        banks = [
            None if rows is None else torch.stack([padded(row) for row in rows]) for rows in (array.first, array.life)
        ]
        return cls(padded(array.target.view(-1)), *banks)

    def part(self, part: slice) -> Memory:
        """Return the numbers of a part of the line."""
        first, life = (None if rows is None else rows[:, part] for rows in (self.first, self.life))
        return Memory(self.target[part], first, life)


@dataclass(frozen=True)
class Line:
    """The devices of some layers of one chip, one after another, each layer at a multiple of 64 with zeros between.

    Attributes:
        arrays: The layers.
        places: Their devices in the line.
        memory: The numbers of the devices.
    """

    arrays: tuple[DeviceArray, ...]
    places: tuple[slice, ...]
    memory: Memory

    @classmethod
    def made(cls, arrays: Sequence[DeviceArray], spent: Line | None) -> Line:
        """Return layers that have no state yet as a line, with memory for it: that of a spent line if it fits.

        Reference columns are programmed.
        """
        ends = list(accumulate(padded_size(array.target.numel()) for array in arrays))
        whole = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        places = tuple(slice(p.start, p.start + a.target.numel()) for p, a in zip(whole, arrays, strict=True))
        torch_device, banks, needed = arrays[0].target.device, len(arrays[0].banks), arrays[0].state_shapes()

        def memory(name: str, *shape: int) -> Tensor:
            old: Tensor | None = None if spent is None or spent.places != places else getattr(spent.memory, name)
            fits = old is not None and old.shape == shape and old.device == torch_device
            return old if fits and old is not None else torch.zeros(shape, device=torch_device)

        first, life = (memory(name, banks, ends[-1]) if name in needed else None for name in ("first", "life"))
        line = Memory(memory("target", ends[-1]), first, life)
        placed = []
        for index, (place, part, array) in enumerate(zip(places, whole, arrays, strict=True)):
            line.target[place] = array.target.view(-1)
            reference, own = array.reference, line.part(place)
            if reference is not None:
                old = None if spent is None else spent.arrays[index].reference
                column = cls.made([reference], None if old is None else old.line)
                column.fill()
                (reference,) = column.arrays
            placed.append(replace(array, reference=reference, first=own.first, life=own.life, memory=line.part(part)))
        return cls(tuple(placed), places, line)

    @property
    def layers(self) -> list[str]:
        """Names of the layers."""
        return [array.key.layer for array in self.arrays]

    @property
    def preset(self) -> DeviceLaws:
        """Laws of the devices."""
        return self.arrays[0].preset

    @torch.no_grad()
    def fill(self) -> None:
        """Draw the numbers that the devices keep for life, into their memory."""
        for index in range(len(self.arrays[0].banks)):
            self._fill(index)

    @torch.no_grad()
    def nets(self, t_s: float, read_noise: bool, read_outs: Sequence[ReadOut]) -> list[list[Tensor]]:
        """Return the net weights at a time, for each read-out those of each layer, [out, in].

        Drift, the standard deviation of the read noise and its slow part are computed once for all read-outs.
        """
        if len({(read_out.period_s, read_out.fast) for read_out in read_outs}) > 1:
            return [self.nets(t_s, read_noise, [read_out])[0] for read_out in read_outs]
        encoding = self.preset.conductance
        reads = [self.reads(index, t_s, read_noise, read_outs) for index in range(len(self.arrays[0].banks))]
        nets = []
        sums = bank_sums(encoding, self.memory.target, reads, len(read_outs))
        for total, read_out in zip(sums, read_outs, strict=True):
            each = []
            for place, array in zip(self.places, self.arrays, strict=True):
                column = array.reference
                reference = None if column is None else column.conductances(t_s, read_noise, read_out)[0]
                each.append(subtract_zero(encoding, total[place].view_as(array.target), reference))
            nets.append(each)
        return nets

    def reads(
        self, index: int, t_s: float, read_noise: bool, read_outs: Sequence[ReadOut]
    ) -> Iterator[tuple[slice, list[Tensor]]]:
        """Yield every block of one bank's conductances at a time, in µS, in each of some read-outs of one period."""
        mark, stuck, read = self._mark(index), self.preset.stuck, self.preset.read
        noisy = read_noise and self.arrays[0].new_at_read_out and mvm_share(self.preset, t_s, read_outs[0]) < 1
        numbers = self._read_numbers(mark, t_s, read_outs) if noisy else None
        lots = self._draw(f"stuck{mark}") if stuck else None
        for part, g, programmed in self._devices(index, t_s):
            each = [g] * len(read_outs)
            if read is not None and numbers is not None:
                sigma = checked(read, "sigma_us", read.sigma_us(g, programmed / self._fitted_us, t_s), g)
                *others, last = next(numbers)
                each = [torch.addcmul(g, sigma, xi) for xi in others] + [torch.addcmul(g, sigma, last, out=sigma)]
                each = [noisy_g.clamp_(min=0) for noisy_g in each]
            if stuck and lots is not None:
                lot = next(lots)
                each = [stuck.held(self.preset.conductance, one, lot) for one in each]
            yield part, each

    def mvm_sigma(self, index: int, t_s: float) -> Iterator[tuple[slice, Tensor]]:
        """Yield every block of σ of one bank's read noise, in µS. Stuck devices have no read noise."""
        stuck, read = self.preset.stuck, self.preset.read
        assert read is not None
        lots = self._draw(f"stuck{self._mark(index)}") if stuck else None
        for part, g, programmed in self._devices(index, t_s):
            sigma = checked(read, "sigma_us", read.sigma_us(g, programmed / self._fitted_us, t_s), g)
            if stuck and lots is not None:
                sigma.masked_fill_(stuck.which(next(lots)), 0.0)
            yield part, sigma

    def _fill(self, index: int) -> None:
        drift, mark = self.preset.drift, self._mark(index)
        early = self.preset.programming.keeps == "conductance"
        placed = drift is not None and drift.needs_target
        programs = None if self.memory.first is None else self._draw(f"program{mark}", into=self.memory.first[index])
        drifts = None if self.memory.life is None else self._draw(f"drift{mark}", into=self.memory.life[index])
        common = self._common(index) if early and self.arrays[0].varies else None
        variation = self.preset.variation
        moves = drifts is not None and variation is not None and variation.moves_exponents
        moved = self._in_common(index, 2) if moves else None
        for part in blocks(self.memory.target):
            target = (
                target_us(self.preset, self._bank(index), self.memory.target[part])
                if early or placed
                else self.memory.target
            )
            if programs is not None:
                xi = next(programs)
                if early:
                    xi.copy_(programmed_us(self.preset, target, 0.0, xi, common=common and common.part(part)))
            if drifts is not None:
                xi = next(drifts)
                if drift is not None and placed:
                    life = checked(drift, "life", drift.life(target.mul_(1 / self._fitted_us), xi), xi, new=False)
                    if life is not xi:
                        xi.copy_(life)
                if moved is not None:
                    xi.add_(of_part(moved, part)).clamp_(min=0)

    def _devices(self, index: int, t_s: float) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield place, G(t) and programmed G in µS of every block of one bank. The tensors must not be changed."""
        law, drift = self.preset.programming, self.preset.drift
        times = law.steps_until(t_s)
        steps = [self._draw(f"step{number}{self._mark(index)}") for number in range(1, len(times) + 1)]
        common = self._common(index) if self.arrays[0].varies_at_reads else None
        for part in blocks(self.memory.target):
            first = None if self.memory.first is None else self.memory.first[index, part]
            if first is not None and law.keeps == "conductance":
                programmed = first
            else:
                programmed = target_us(self.preset, self._bank(index), self.memory.target[part])
                shared = None if common is None else common.part(part)
                if first is not None:
                    xis = [next(step) for step in steps]
                    programmed = programmed_us(self.preset, programmed, t_s, first, xis, times, shared)
                elif shared is not None:
                    programmed = shared.scaled(programmed.add_(shared.error_us).clamp_(min=0))
            g = programmed
            if drift is not None:
                assert self.memory.life is not None
                g = checked(drift, "after", drift.after(programmed, self.memory.life[index, part], t_s), programmed)
            yield part, g, programmed

    def _read_numbers(self, mark: str, t_s: float, read_outs: Sequence[ReadOut]) -> Iterator[list[Tensor]]:
        """Yield every block of the read noise's normal numbers in each of some read-outs of one period.

        They are the sum of the slow part, which the read-outs have in common, and of each one's fast part. A fast part
        that is new in every MVM is not in them.
        """
        fast = fast_share(self.preset, t_s, read_outs[0])
        slow = self._draw(f"read{mark}", t_s) if fast < 1 else None
        apart = fast > 0 and read_outs[0].fast == "read-out"
        new = [self._draw(f"read{mark}|{read_out.name}", t_s) for read_out in read_outs] if apart else []
        for _ in blocks(self.memory.target):
            common = None if slow is None else next(slow).mul_(math.sqrt(1 - fast))
            numbers = [next(draws).mul_(math.sqrt(fast)) for draws in new]
            if common is not None:
                numbers = [own.add_(common) for own in numbers] or [common] * len(read_outs)
            yield numbers

    def _draw(self, purpose: str, t_s: float | None = None, into: Tensor | None = None) -> Iterator[Tensor]:
        """Yield the normal numbers of every block: each layer's own at its place, zeros between."""
        keys, kept = [a.key for a in self.arrays], [a.kept.get(purpose) for a in self.arrays]
        return line_normals(self.memory.target, keys, self.places, purpose, t_s, into, kept)

    def _common(self, index: int) -> Common:
        """Return what devices of one bank have in common in their programmed conductances."""
        return Common((1 + self._in_common(index, 0)).clamp_(min=0), self._in_common(index, 1))

    def _in_common(self, index: int, number: int) -> Tensor:
        """Return one of the deviations that devices of one bank have in common: per device, [n], or of all, [1]."""
        lines = [array.variation(index)[number] for array in self.arrays]
        if not self.arrays[0].columns_vary:  # those of the die and its wafer, which all layers have in common
            return lines[0].to(self.memory.target.device).view(1)
        values = torch.zeros_like(self.memory.target)
        for array, place, line in zip(self.arrays, self.places, lines, strict=True):
            values[place] = along(line, array.splits, array.target)
        return values

    def _bank(self, index: int) -> Bank:
        return self.arrays[0].banks[index]

    def _mark(self, index: int) -> str:
        return self.arrays[0].banks[index].mark

    @property
    def _fitted_us(self) -> float:
        """End of the range in µS for which the laws were fitted."""
        fitted = self.preset.validity.g_us
        assert fitted is not None  # every preset that has devices has it
        return fitted[1]
