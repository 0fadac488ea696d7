"""A chip: one programmed instance of a network's tiles, whose devices are read at any time of their life."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from driftproof._calls import Geometry
from driftproof._compensation import Compensation, as_compensation
from driftproof._defaults import COMPENSATION
from driftproof._devices import Array, Device, LayerKey, ReadOuts, SampleNormals
from driftproof._mapping import MappedWeight, Mapping
from driftproof.arrays import AnalogArray
from driftproof.arrays._ranges import Ranges
from driftproof.arrays._reading import ArrayReading
from driftproof.periphery import Periphery


class Chip:
    """One chip of a device, for all layers of a mapping.

    It is programmed once, when the object is made. :meth:`read` returns the same devices at any time, in any order.

    Args:
        mapping: The weights on the tiles.
        preset: The device: a preset, a mix, or measured chips (:mod:`driftproof._device_choice`).
        seed: Seed of the evaluation.
        chip: Number of the chip. Chips are the unit of replication.
        compensation: Drift compensation, as text (``tile``, ``column:reference_s=20``) or as an object
            (default: ``tile``).
        read_outs: The read-out that calibrates the chip, and that in which it is used, as text or as an object
            (default: 1 s each, 1 h apart).
        state: Lasting state of the devices (:meth:`state`), if the chip was programmed before (default: None).
        memory: Arrays of a chip that is not read again, by layer. Their memory is reused where it fits (default: None).

    >>> from torch import nn
    >>> from driftproof._mapping import map_model
    >>> from driftproof._presets import load_preset
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
        read_outs: str | ReadOuts | None = None,
        state: dict[str, dict[str, Tensor]] | None = None,
        memory: dict[str, Array] | None = None,
    ) -> None:
        self.mapping, self.preset, self.seed, self.number = mapping, preset, seed, chip
        self.compensation, self.read_outs = as_compensation(compensation), ReadOuts.of(read_outs)
        self._alphas: dict[str, tuple[float, Tensor]] = {}
        self.weights: dict[str, MappedWeight] = {}
        self.arrays: dict[str, Array] = {}
        preset.check_layers(mapping.weights)
        spent = {} if memory is None else memory
        for name, mapped in mapping.weights.items():
            self.weights[name] = mapped = mapped.layer_scaled() if preset.relative_to(name) == "layer" else mapped
            kept = None if state is None else state.get(name, {})
            target, groups = mapped.target, mapped.layout.groups
            self.arrays[name] = preset.array(
                name,
                chip,
                target,
                seed=seed,
                groups=groups,
                rows=tuple(mapped.rows),
                state=kept,
                memory=spent.pop(name, None),
            )
        self._reference = {
            name: self.compensation.reference(self.weights[name], array.net) for name, array in self.arrays.items()
        }

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Return the lasting state of the devices: layer → name → tensor. Measured layers have none."""
        return {name: kept for name, array in self.arrays.items() if (kept := array.state())}

    def read(self, layer: str, t_s: float, *, to_calibrate: bool = False) -> ArrayReading:
        """Return one layer at ``t_s`` seconds after the first read, with the read noise of that time.

        α is measured in the read-out that calibrates. Read noise that is new in every MVM does not affect it: a
        measurement of α averages it out over many reads.

        Args:
            layer: Canonical name of the layer.
            t_s: Time in seconds after the first read.
            to_calibrate: Whether to read in the read-out that calibrates the chip (default: in that of its use).
        """
        mapped, array = self.weights[layer], self.arrays[layer]
        calibration, use = self.read_outs.calibration, self.read_outs.use
        read_out = calibration if to_calibrate else use
        if to_calibrate or not self._differ(array):
            net = array.net(t_s, read_out=read_out)
            alpha = self._alpha(layer, t_s, lambda: net)
        else:
            both: list[Tensor] = []  # the two read-outs at once, if α is measured now

            def now() -> Tensor:
                both[:] = array.nets(t_s, (calibration, use))
                return both[0]

            alpha = self._alpha(layer, t_s, now)
            net = both[1] if both else array.net(t_s, read_out=use)
        samples = SampleNormals(self.seed, self.number, layer, t_s)
        noise = array.mvm_read_noise(t_s, read_out)
        return ArrayReading(net, mapped.scale, alpha, noise, samples, self.key(layer))

    def _differ(self, array: Array) -> bool:
        """Whether the net weights of the two read-outs differ."""
        return array.new_at_read_out and self.read_outs.fast == "read-out" and self.read_outs.period_s > 0

    def _alpha(self, layer: str, t_s: float, now: Callable[[], Tensor]) -> Tensor:
        """Return the compensation at a time, measured once; ``now`` returns what the read-out for it reads then."""
        known = self._alphas.get(layer)
        if known is not None and known[0] == t_s:
            return known[1]
        array, calibration = self.arrays[layer], self.read_outs.calibration

        def read(at_s: float, read_noise: bool) -> Tensor:
            return now() if read_noise and at_s == t_s else array.net(at_s, read_noise, calibration)

        alpha = self.compensation.alpha(self.weights[layer], read, self._reference[layer], t_s)
        self._alphas[layer] = (t_s, alpha)
        return alpha

    def key(self, layer: str) -> LayerKey:
        """Return the key of random numbers of one layer that stay the same for the chip's life."""
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
        """Return one layer at ``t_s`` seconds after the first read as a linear operator.

        Args:
            layer: Canonical name of the layer.
            t_s: Time in seconds after the first read.
            geometry: Geometry of a convolution (:func:`driftproof._calls.geometry_of`; default: stride 1, no padding).
            periphery: Periphery of the array (default: ideal).
            ranges: Static input ranges (:func:`driftproof.arrays.input_ranges`), for a periphery with static ranges.
        """
        array = AnalogArray(self.weights[layer], geometry=geometry, periphery=periphery, ranges=ranges)
        array.load(self.read(layer, t_s))
        return array

    def weight(self, layer: str, t_s: float) -> Tensor:
        """Return the compensated effective weight of one layer at ``t_s``, in weight units and the layer's shape."""
        reading = self.read(layer, t_s)
        return self.weights[layer].weight(reading.net, reading.scale * reading.alpha)


class Programmer:
    """Program one chip after another into the same memory, which takes half the time of fresh memory.

    A chip can no longer be read once the next one is programmed.

    >>> from torch import nn
    >>> from driftproof._mapping import map_model
    >>> from driftproof._presets import load_preset
    >>> mapping, programmer = map_model(nn.Linear(3, 2)), Programmer()
    >>> chips = [programmer.program(mapping, load_preset("gaussian:0.1"), seed=0, chip=n) for n in range(2)]
    >>> list(chips[0].arrays), list(chips[1].arrays)
    ([], [''])
    """

    def __init__(self) -> None:
        self._spent: dict[str, Array] = {}

    def program(
        self,
        mapping: Mapping,
        preset: Device,
        *,
        seed: int,
        chip: int,
        compensation: str | Compensation = COMPENSATION,
        read_outs: str | ReadOuts | None = None,
    ) -> Chip:
        """Return a chip equal to ``Chip(...)`` with the same arguments; the previous one must not be read again."""
        made = Chip(
            mapping, preset, seed=seed, chip=chip, compensation=compensation, read_outs=read_outs, memory=self._spent
        )
        self._spent.clear()
        self._spent = made.arrays
        return made
