"""The devices of a layer: they are programmed once and can be read at any time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from driftproof._devices.array import ProgrammedArray
from driftproof._devices.formulas import mvm_share
from driftproof._devices.line import Line, Memory
from driftproof._devices.mvm_read_noise import MvmReadNoise
from driftproof._devices.read_outs import USE, ReadOut


@dataclass(frozen=True)
class DeviceArray(ProgrammedArray):
    """The devices of one layer of one chip; see :class:`ProgrammedArray`.

    Attributes:
        memory: Its part of a line, which ``first`` and ``life`` are views of; empty until it is programmed.
    """

    reference: DeviceArray | None = None
    memory: Memory = field(default_factory=Memory)

    @property
    def line(self) -> Line:
        """The devices as a line of their own."""
        return Line((self,), (slice(0, self.target.numel()),), self.memory)

    @torch.no_grad()
    def conductances(self, t_s: float, read_noise: bool = True, read_out: ReadOut = USE) -> tuple[Tensor, ...]:
        """Return the conductances at a time; see :meth:`ProgrammedArray.conductances`."""
        banks = tuple(torch.empty_like(self.memory.target) for _ in self.banks)
        for index, g in enumerate(banks):
            for part, (block,) in self.line.reads(index, t_s, read_noise, [read_out]):
                g[part] = block
        return tuple(self._unpadded(g) for g in banks)

    def net(self, t_s: float, read_noise: bool = True, read_out: ReadOut = USE) -> Tensor:
        """Return the net weights at a time; see :meth:`ProgrammedArray.net`."""
        return self.line.nets(t_s, read_noise, [read_out])[0][0]

    def nets(self, t_s: float, read_outs: Sequence[ReadOut]) -> list[Tensor]:
        """Return the net weights at a time in several read-outs; see :meth:`ProgrammedArray.nets`."""
        return [net for (net,) in self.line.nets(t_s, True, read_outs)]

    @torch.no_grad()
    def mvm_read_noise(self, t_s: float, read_out: ReadOut = USE) -> MvmReadNoise | None:
        """Return the read noise that is new in every MVM at a time; see :meth:`ProgrammedArray.mvm_read_noise`."""
        share = mvm_share(self.preset, t_s, read_out)
        if share == 0:
            return None
        scale = [math.sqrt(share) * factor for factor in self.preset.conductance.scales()]
        total = torch.zeros_like(self.memory.target)
        for index in range(len(self.banks)):
            for part, sigma in self.line.mvm_sigma(index, t_s):
                total[part] += sigma.mul_(scale[index]).square_()
        reference = None
        if (column := self.reference) is not None:
            reference = torch.cat([sigma for _, sigma in column.line.mvm_sigma(0, t_s)]).mul_(scale[0])
            reference = column._unpadded(reference)
        return MvmReadNoise(self._unpadded(total.sqrt_()), reference)

    def fill(self) -> None:
        """Draw the numbers that the devices keep for life, into their memory."""
        self.line.fill()

    def _unpadded(self, flat: Tensor) -> Tensor:
        """Return the numbers of the devices [n] in the shape of the layer."""
        return flat[: self.target.numel()].view_as(self.target)
