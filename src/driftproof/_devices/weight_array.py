"""A layer without devices: its laws act on the net weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from driftproof._devices.array import ProgrammedArray
from driftproof._devices.normals import blocks
from driftproof._devices.read_outs import USE, ReadOut


@dataclass(frozen=True)
class WeightArray(ProgrammedArray):
    """The net weights of one layer of one chip; see :class:`ProgrammedArray`."""

    def conductances(self, t_s: float, read_noise: bool = True, read_out: ReadOut = USE) -> tuple[Tensor, ...]:
        """Raise ValueError: net weights have no conductances."""
        raise ValueError(f"preset {self.preset.name} acts on net weights: it has no conductances")

    @torch.no_grad()
    def net(self, t_s: float, read_noise: bool = True, read_out: ReadOut = USE) -> Tensor:
        """Return the programmed weights, [out, in], the same at all times."""
        law, levels = self.preset.programming, self.preset.levels
        out = torch.empty_like(self.target)
        flat, target = out.view(-1), self.target.view(-1)
        for part in blocks(target):
            w = target[part] if levels is None else levels.rounded(target[part], -1.0)
            flat[part] = law.programmed(w, w if self.first is None else self.first[0, part])
        return out

    def mvm_read_noise(self, t_s: float, read_out: ReadOut = USE) -> None:
        """Return None: only devices have read noise."""

    def fill(self) -> None:
        """Draw the ξ of every weight."""
        if self.first is not None:
            for _ in self._draw(f"program{self.banks[0].mark}", into=self.first[0]):
                pass
