"""A chip: one programmed instance of a network's tiles, whose devices are read at any time of their life."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from torch import Tensor

from driftproof._calls import Geometry
from driftproof._compensation import Compensation, as_compensation
from driftproof._defaults import COMPENSATION
from driftproof._devices import (
    USE,
    Array,
    Device,
    DeviceLaws,
    LayerKey,
    Programmed,
    ReadOut,
    ReadOuts,
    SampleNormals,
    Target,
    program_layers,
)
from driftproof._mapping import Mapping
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
        spent: Programmed layers of a chip that is not read again. Their memory is reused where it fits (default: None).

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
        spent: Programmed | None = None,
    ) -> None:
        self.mapping, self.preset, self.seed, self.number = mapping, preset, seed, chip
        self.compensation, self.read_outs = as_compensation(compensation), ReadOuts.of(read_outs)
        self._alphas: dict[str, tuple[float, Tensor]] = {}
        preset.check_layers(mapping.weights)
        self.weights = {
            name: mapped.layer_scaled() if preset.relative_to(name) == "layer" else mapped
            for name, mapped in mapping.weights.items()
        }
        self.programmed = self._program(spent) if state is None else self._restore(state)
        self.arrays = self.programmed.arrays
        nets = _Nets(self.programmed)
        self._reference = {
            name: self.compensation.reference(mapped, partial(nets.net, name)) for name, mapped in self.weights.items()
        }

    def _program(self, spent: Programmed | None) -> Programmed:
        """Return the layers, programmed. Those of one set of laws are programmed together."""
        made = Programmed()
        by_laws: dict[int, tuple[DeviceLaws, list[Target]]] = {}
        for name, mapped in self.weights.items():
            device = self.preset.for_layer(name)
            target = Target(name, mapped.target, mapped.layout.groups, tuple(mapped.rows))
            if (laws := device.laws) is None:  # measured
                made.arrays[name] = device.array(name, self.number, mapped.target, seed=self.seed)
            else:
                by_laws.setdefault(id(laws), (laws, []))[1].append(target)
        for laws, targets in by_laws.values():
            part = program_layers(laws, targets, seed=self.seed, chip=self.number, spent=spent)
            made.arrays.update(part.arrays)
            made.lines.extend(part.lines)
        return Programmed({name: made.arrays[name] for name in self.weights}, made.lines)

    def _restore(self, state: dict[str, dict[str, Tensor]]) -> Programmed:
        """Return the layers with a stored state."""
        arrays: dict[str, Array] = {}
        for name, mapped in self.weights.items():
            arrays[name] = self.preset.array(
                name,
                self.number,
                mapped.target,
                seed=self.seed,
                groups=mapped.layout.groups,
                rows=tuple(mapped.rows),
                state=state.get(name, {}),
            )
        return Programmed(arrays)

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
        return self._reading(layer, t_s, to_calibrate, _Nets(Programmed(self.arrays)))

    def readings(self, layers: Iterable[str], t_s: float, *, to_calibrate: bool = False) -> dict[str, ArrayReading]:
        """Return several layers at a time, each as :meth:`read` returns it; small layers are computed together."""
        names = list(layers)
        whole = [line for line in self.programmed.lines if set(line.layers) <= set(names)]
        nets = _Nets(Programmed(self.arrays, whole))
        return {name: self._reading(name, t_s, to_calibrate, nets) for name in names}

    def _reading(self, layer: str, t_s: float, to_calibrate: bool, nets: _Nets) -> ArrayReading:
        mapped, array = self.weights[layer], self.arrays[layer]
        calibration, use = self.read_outs.calibration, self.read_outs.use
        read_out = calibration if to_calibrate else use
        if to_calibrate or not self._differ(array):
            net = nets.nets(layer, t_s, (read_out,))[0]
            alpha = self._alpha(layer, t_s, lambda: net, nets)
        else:
            both: list[Tensor] = []  # the two read-outs at once, if α is measured now

            def now() -> Tensor:
                both[:] = nets.nets(layer, t_s, (calibration, use))
                return both[0]

            alpha = self._alpha(layer, t_s, now, nets)
            net = both[1] if both else nets.nets(layer, t_s, (use,))[0]
        samples = SampleNormals(self.seed, self.number, layer, t_s)
        noise = array.mvm_read_noise(t_s, read_out)
        return ArrayReading(net, mapped.scale, alpha, noise, samples, self.key(layer))

    def _differ(self, array: Array) -> bool:
        """Whether the net weights of the two read-outs differ."""
        return array.new_at_read_out and self.read_outs.fast == "read-out" and self.read_outs.period_s > 0

    def _alpha(self, layer: str, t_s: float, now: Callable[[], Tensor], nets: _Nets) -> Tensor:
        """Return the compensation at a time, measured once; ``now`` returns what the read-out for it reads then."""
        known = self._alphas.get(layer)
        if known is not None and known[0] == t_s:
            return known[1]

        def read(at_s: float, read_noise: bool) -> Tensor:
            if read_noise and at_s == t_s:
                return now()
            return nets.net(layer, at_s, read_noise, self.read_outs.calibration)

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
        self._spent = Programmed()

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
        spent = Programmed(dict(self._spent.arrays), list(self._spent.lines))
        self._spent.arrays.clear()
        self._spent.lines.clear()
        made = Chip(mapping, preset, seed=seed, chip=chip, compensation=compensation, read_outs=read_outs, spent=spent)
        self._spent = made.programmed
        return made


class _Nets:
    """Net weights of a chip's layers. Those that lie in a line are computed when the first of them is asked for."""

    def __init__(self, programmed: Programmed) -> None:
        self._arrays = programmed.arrays
        self._lines = {name: line for line in programmed.lines for name in line.layers}
        self._known: dict[tuple[float, bool, tuple[ReadOut, ...]], dict[str, Sequence[Tensor]]] = {}

    def nets(self, layer: str, t_s: float, read_outs: tuple[ReadOut, ...], read_noise: bool = True) -> Sequence[Tensor]:
        """Return the net weights [out, in] of one layer at a time in several read-outs."""
        if (line := self._lines.get(layer)) is None:
            if len(read_outs) > 1:
                return self._arrays[layer].nets(t_s, read_outs)
            return [self._arrays[layer].net(t_s, read_noise, read_outs[0])]
        known = self._known.setdefault((t_s, read_noise, read_outs), {})
        if layer not in known:
            known.update(zip(line.layers, zip(*line.nets(t_s, read_noise, read_outs), strict=True), strict=True))
        return known.pop(layer)

    def net(self, layer: str, t_s: float, read_noise: bool, read_out: ReadOut = USE) -> Tensor:
        """Return the net weights [out, in] of one layer at a time."""
        return self.nets(layer, t_s, (read_out,), read_noise)[0]
