"""A chip: one programmed instance of a network's tiles, the same devices read at any time of their life."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from driftproof.compensation import Compensation, factor, least_squares, mean_magnitude
from driftproof.devices import ProductNoise, ProgrammedArray, program
from driftproof.mapping import MappedWeight, Mapping
from driftproof.presets import DevicePreset
from driftproof.presets.laws import WeightEncoding


@dataclass(frozen=True)
class ArrayReading:
    """One layer of a chip at one time.

    Attributes:
        net: [out, in], what the array multiplies by, relative to the columns' maxima (or the layer's).
        scale: [row splits, out], that maximum: what a column's output is multiplied by, in weight units.
        alpha: [row splits, out], the compensation that multiplies each tile's output.
        noise: read noise that is new in every product, None if there is none.
    """

    net: Tensor
    scale: Tensor
    alpha: Tensor
    noise: ProductNoise | None = None


class Chip:
    """One chip of a preset, for all layers of a mapping.

    Programming happens once, here; :meth:`read` returns the same devices at any time, in any order.

    Args:
        mapping: what is on the tiles.
        preset: the device.
        seed: of the evaluation.
        chip: number of the chip: the unit of replication.
        compensation: how the drift is compensated.
        memory: a chip that is not needed any more, whose memory is written over: it must not be read again.

    >>> from torch import nn
    >>> from driftproof.mapping import map_model
    >>> from driftproof.presets import load_preset
    >>> chip = Chip(map_model(nn.Linear(3, 2)), load_preset("pcm-nandakumar-2019"), seed=0, chip=0)
    >>> chip.weight("", t_s=86400.0).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        mapping: Mapping,
        preset: DevicePreset,
        *,
        seed: int,
        chip: int,
        compensation: Compensation = "tile",
        memory: Chip | None = None,
    ) -> None:
        self.preset, self.seed, self.number, self.compensation = preset, seed, chip, compensation
        whole = isinstance(preset.conductance, WeightEncoding) and preset.conductance.scale == "layer"
        self.weights: dict[str, MappedWeight] = {
            name: mapped.layer_scaled() if whole else mapped for name, mapped in mapping.weights.items()
        }
        spent = memory.arrays if memory else {}
        self.arrays: dict[str, ProgrammedArray] = {
            name: program(preset, mapped.target, seed=seed, chip=chip, layer=name, memory=spent.pop(name, None))
            for name, mapped in self.weights.items()
        }
        self._reference: dict[str, Tensor] = {}
        if compensation in ("tile", "column"):
            for name, array in self.arrays.items():
                net = array.net(0.0, read_noise=False)
                self._reference[name] = mean_magnitude(self.weights[name], net, compensation)

    def read(self, layer: str, t_s: float) -> ArrayReading:
        """Return one layer at ``t_s`` seconds after programming, with the read noise of that time."""
        mapped, array = self.weights[layer], self.arrays[layer]
        net = array.net(t_s)
        return ArrayReading(net, mapped.scale, self._alpha(layer, net), array.product_noise(t_s))

    def _alpha(self, layer: str, net: Tensor) -> Tensor:
        """Return the compensation of each tile's columns, [row splits, out].

        Read noise of single products is not in it: who measures α reads often enough to average it out.
        """
        mapped = self.weights[layer]
        if self.compensation == "none":
            return torch.ones_like(mapped.scale)
        if self.compensation == "exact":
            return least_squares(mapped, self.arrays[layer].target, net)
        return factor(self._reference[layer], mean_magnitude(mapped, net, self.compensation))

    def weight(self, layer: str, t_s: float) -> Tensor:
        """Return the effective weight of one layer at ``t_s``, compensated, in weight units and the layer's shape."""
        reading = self.read(layer, t_s)
        return self.weights[layer].weight(reading.net, reading.scale * reading.alpha)
