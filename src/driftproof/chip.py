"""A chip: one programmed instance of a network's tiles, the same devices read at any time of their life."""

from __future__ import annotations

from torch import Tensor

from driftproof.arrays import AnalogArray, ArrayReading, Ranges
from driftproof.calls import Geometry
from driftproof.compensation import Compensation, as_compensation
from driftproof.defaults import COMPENSATION
from driftproof.devices import Array, Device, LayerKey, SampleNormals
from driftproof.mapping import MappedWeight, Mapping
from driftproof.periphery import Periphery


class Chip:
    """One chip of a preset, for all layers of a mapping.

    Programming happens once, here; :meth:`read` returns the same devices at any time, in any order.

    Args:
        mapping: what is on the tiles.
        preset: the device; or a mix, or measured chips (:mod:`driftproof.device_choice`).
        seed: of the evaluation.
        chip: number of the chip: the unit of replication.
        compensation: how the drift is compensated, as text (``tile``, ``column:reference_s=20``) or as a choice.
        state: what the devices of this chip keep for life (:meth:`state`), if it was programmed before.

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
        preset: Device,
        *,
        seed: int,
        chip: int,
        compensation: str | Compensation = COMPENSATION,
        state: dict[str, dict[str, Tensor]] | None = None,
    ) -> None:
        self._program(mapping, preset, seed, chip, compensation, state, {})

    def _program(
        self,
        mapping: Mapping,
        preset: Device,
        seed: int,
        chip: int,
        compensation: str | Compensation,
        state: dict[str, dict[str, Tensor]] | None,
        spent: dict[str, Array],
    ) -> None:
        """Program every array, into the memory of ``spent`` ones where that fits."""
        self.mapping, self.preset, self.seed, self.number = mapping, preset, seed, chip
        self.compensation = as_compensation(compensation)
        self.weights: dict[str, MappedWeight] = {}
        self.arrays: dict[str, Array] = {}
        preset.check_layers(mapping.weights)
        for name, mapped in mapping.weights.items():
            self.weights[name] = mapped = mapped.layer_scaled() if preset.relative_to(name) == "layer" else mapped
            self.arrays[name] = preset.array(
                name,
                chip,
                mapped.target,
                seed=seed,
                groups=mapped.layout.groups,
                state=None if state is None else state.get(name, {}),
                memory=spent.pop(name, None),
            )
        self._reference = {
            name: self.compensation.reference(self.weights[name], array.net) for name, array in self.arrays.items()
        }

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Return what the devices keep for life: layer → name → tensor; nothing of layers that were measured."""
        return {name: kept for name, array in self.arrays.items() if (kept := array.state())}

    def read(self, layer: str, t_s: float) -> ArrayReading:
        """Return one layer at ``t_s`` seconds after programming, with the read noise of that time.

        Read noise of single products is not in α: who measures it reads often enough to average that out.
        """
        mapped, array = self.weights[layer], self.arrays[layer]
        net = array.net(t_s)
        alpha = self.compensation.alpha(mapped, array.net, net, self._reference[layer], t_s)
        samples = SampleNormals(self.seed, self.number, layer, t_s)
        return ArrayReading(net, mapped.scale, alpha, array.product_noise(t_s), samples, self.key(layer))

    def key(self, layer: str) -> LayerKey:
        """Return what numbers of one layer are drawn by that stay for the chip's life."""
        return LayerKey(self.seed, self.number, layer)

    def array(
        self,
        layer: str,
        t_s: float,
        *,
        geometry: Geometry | None = None,
        periphery: Periphery | None = None,
        ranges: Ranges | None = None,
    ) -> AnalogArray:
        """Return one layer at ``t_s`` seconds after programming as a linear operator.

        Args:
            layer: canonical name.
            t_s: seconds after programming.
            geometry: of the layer, for convolutions (:func:`driftproof.calls.geometry_of`).
            periphery: what is around the array; ideal unless given.
            ranges: static input ranges (:func:`driftproof.arrays.input_ranges`), if the periphery has such.
        """
        array = AnalogArray(
            self.weights[layer],
            geometry=geometry,
            periphery=periphery,
            ranges=ranges,
        )
        array.load(self.read(layer, t_s))
        return array

    def weight(self, layer: str, t_s: float) -> Tensor:
        """Return the effective weight of one layer at ``t_s``, compensated, in weight units and the layer's shape."""
        reading = self.read(layer, t_s)
        return self.weights[layer].weight(reading.net, reading.scale * reading.alpha)


class Programmer:
    """Programs one chip after another into the same memory, which takes half the time of fresh memory.

    A chip that it made cannot be read any more once the next one is programmed.

    >>> from torch import nn
    >>> from driftproof.mapping import map_model
    >>> from driftproof.presets import load_preset
    >>> mapping, programmer = map_model(nn.Linear(3, 2)), Programmer()
    >>> chips = [programmer.program(mapping, load_preset("gaussian:0.1"), seed=0, chip=n) for n in range(2)]
    >>> list(chips[0].arrays), list(chips[1].arrays)
    ([], [''])
    """

    def __init__(self) -> None:
        self._last: Chip | None = None

    def program(
        self,
        mapping: Mapping,
        preset: Device,
        *,
        seed: int,
        chip: int,
        compensation: str | Compensation = COMPENSATION,
    ) -> Chip:
        """Return a chip, equal to ``Chip(...)`` of the same arguments; the one before must not be read again."""
        spent = {} if self._last is None else self._last.arrays
        made = Chip.__new__(Chip)
        made._program(mapping, preset, seed, chip, compensation, None, spent)
        spent.clear()
        self._last = made
        return made
