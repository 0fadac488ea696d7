"""A measured device: chips whose conductances come from files instead of from laws."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from driftproof.defaults import SEED
from driftproof.devices import Array
from driftproof.devices.net import net_weights
from driftproof.devices.normals import blocks
from driftproof.errors import DriftproofError, did_you_mean, warn
from driftproof.laws.effects import Effect
from driftproof.laws.encoding import Conductances, DeviceEncoding
from driftproof.laws.table import NotNegative, Table
from driftproof.mapping import Mapping
from driftproof.measured.files import ROOT, LayerFile, Numbers
from driftproof.measured.likeness import LayerError, complaint, likeness
from driftproof.presets.preset import Source, Text

if TYPE_CHECKING:
    from driftproof.measured.saved import SavedMeasured

FIRST_S = 1e-3  # where a first time of 0 stands on the axis of ln t, or at a thousandth of the next time if sooner


class Settings(Table):
    """The file ``device.toml`` of a folder with measured conductances."""

    name: Text
    summary: str = ""
    source: Source | None = None
    conductance: DeviceEncoding
    t_s: NotNegative | None = None


@dataclass(frozen=True)
class TimeRange:
    """First and last measured time in s."""

    t_s: tuple[float, float]


@dataclass(frozen=True, eq=False)
class MeasuredArray:
    """One layer of one measured chip; a chip uses it as it does :class:`driftproof.devices.ProgrammedArray`.

    Attributes:
        preset: the device that it belongs to.
        layer: canonical name of the layer.
        file: what was measured.
        target: [out, in], what was wanted: weights relative to their column's maximum.
    """

    preset: MeasuredDevice
    layer: str
    file: LayerFile
    target: Tensor

    @property
    def reference(self) -> MeasuredArray | None:
        """The devices of a reference column, [1, in], if there is one."""
        if self.file.reference is None:
            return None
        row = LayerFile(self.file.path, self.file.t_s, (self.file.reference[:, None],), None)
        return MeasuredArray(self.preset, self.layer, row, self.target[:1])

    @torch.no_grad()
    def conductances(self, t_s: float, read_noise: bool = True) -> tuple[Tensor, ...]:
        """Return the conductances at a time, one [out, in] in µS per device of a weight.

        At a measured time they are what was measured; in between, linear in ln t; outside, held. What was measured has
        its read noise in it: ``read_noise`` changes nothing.
        """
        return tuple(self._at(bank, t_s).clone() for bank in self.file.banks)

    @torch.no_grad()
    def net(self, t_s: float, read_noise: bool = True) -> Tensor:
        """Return what the array multiplies by at ``t_s``: [out, in], relative to the columns' maxima."""
        # the same operations in the same blocks as a simulated array's, so that its files give the same bits
        reads = [_in_blocks(self._at(bank, t_s).reshape(-1)) for bank in self.file.banks]
        reference = self.reference.conductances(t_s)[0] if self.reference else None
        return net_weights(self.preset.conductance, self.target, reads, reference)

    def state(self) -> dict[str, Tensor]:
        """Return nothing: the device has all that was measured."""
        return {}

    def check_perturbed(self) -> None:
        """Return: measured conductances declare no noise."""

    def product_noise(self, t_s: float) -> None:
        """Return None: what was measured does not tell single products apart."""

    def _at(self, values: Numbers, t_s: float) -> Tensor:
        """Return [times, …] at one time; not to be written to, it may be what the device keeps."""
        times, device = self.file.t_s, self.target.device
        after = min(bisect_left(times, t_s), len(times) - 1)
        found = torch.from_numpy(values[after]).to(device)
        if after == 0 or times[after] <= t_s:
            return found
        low, high = times[after - 1], times[after]
        low = low or min(FIRST_S, high / 1000)
        share = math.log(max(t_s, low) / low) / math.log(high / low)
        return torch.lerp(torch.from_numpy(values[after - 1]).to(device), found, share)


def _in_blocks(flat: Tensor) -> Iterator[tuple[slice, Tensor]]:
    return ((part, flat[part]) for part in blocks(flat))


@dataclass(frozen=True, eq=False)
class MeasuredDevice:
    """Chips that were measured, each with one file per layer; made by :func:`load_measured`.

    Attributes:
        name: ``measured:`` and the name in ``device.toml``.
        settings: what ``device.toml`` says.
        layers: chip after chip, layer → what was measured.
        validity: the times for which every layer of every chip was measured.
        sha256: hash of all conductances, times and the encoding.
    """

    name: str
    settings: Settings
    layers: tuple[dict[str, LayerFile], ...] = field(repr=False)
    validity: TimeRange
    sha256: str

    @property
    def conductance(self) -> Conductances:
        """How weights stand in conductances."""
        return self.settings.conductance

    @property
    def chips(self) -> int:
        """How many chips were measured."""
        return len(self.layers)

    def in_validity(self, t_s: float) -> bool:
        """Whether a time lies between the first and the last measured one."""
        low, high = self.validity.t_s
        return low <= t_s <= high

    @property
    def laws(self) -> None:
        """None: what was measured has no laws."""
        return

    @property
    def parts(self) -> tuple[MeasuredDevice, ...]:
        """The one device that it is."""
        return (self,)

    @property
    def changes_in_time(self) -> bool:
        """Whether some layer was measured at more than one time."""
        return any(len(file.t_s) > 1 for files in self.layers for file in files.values())

    def for_layer(self, layer: str) -> MeasuredDevice:
        """Return the device of one layer: itself."""
        return self

    def relative_to(self, layer: str) -> Literal["column", "layer"]:
        """Return which maximum the targets of a layer are relative to."""
        return "column"

    def without(self, *effects: Effect) -> MeasuredDevice:
        """Raise DriftproofError: what was measured has all effects in it."""
        raise DriftproofError(f"device {self.name}: measured chips have no laws that could be switched off")

    def definition(self) -> dict[str, Any]:
        """Return what it is as plain JSON values, without the conductances."""
        shapes = {name or ROOT: list(file.banks[0].shape[1:]) for name, file in self.layers[0].items()}
        return {
            "name": self.name,
            "family": "measured",
            "version": 1,
            "summary": self.settings.summary or "Conductances of real chips.",
            "source": self.settings.source.model_dump(mode="json", exclude_none=True) if self.settings.source else {},
            "conductance": self.conductance.model_dump(mode="json"),
            "chips": self.chips,
            "layers": shapes,
            "validity": {"t_s": list(self.validity.t_s)},
        }

    def saved(self) -> tuple[SavedMeasured, dict[str, Tensor]]:
        """Return what a file keeps of it: the conductances, too."""
        from driftproof.measured.saved import SavedMeasured

        return SavedMeasured.of(self)

    def check_layers(self, layers: Iterable[str]) -> None:
        """Raise DriftproofError unless every chip has a file for each of the layers, and for no other."""
        wanted = set(layers)
        for number, files in enumerate(self.layers):
            if missing := sorted(wanted - files.keys()):
                raise DriftproofError(
                    f"device {self.name}, chip {number}: no file for {', '.join(name or ROOT for name in missing)}; "
                    f"there are {', '.join(name or ROOT for name in files)}"
                )
            if unknown := sorted(files.keys() - wanted):
                raise DriftproofError(
                    f"device {self.name}, chip {number}: {files[unknown[0]].path} belongs to no layer on "
                    f"tiles{did_you_mean(unknown[0], wanted)}; those are "
                    f"{', '.join(name or ROOT for name in sorted(wanted))}"
                )

    def array(
        self,
        layer: str,
        chip: int,
        target: Tensor,
        *,
        seed: int = SEED,
        groups: int = 1,
        state: dict[str, Tensor] | None = None,
        memory: Array | None = None,
    ) -> MeasuredArray:
        """Return one layer of one chip; warn (DriftproofWarning) if it does not look like its weights.

        Args:
            layer: canonical name of the layer.
            chip: number of the chip, from 0.
            target: [out, in], weights relative to their column's maximum; float32.
            seed: not used; nothing is drawn.
            groups: not used.
            state: not used; the files have all of it.
            memory: not used.

        Raises:
            DriftproofError: a chip or a layer that was not measured, or an array of another shape.
        """
        if not 0 <= chip < self.chips:
            raise DriftproofError(f"device {self.name} has {self.chips} measured chips, no chip {chip}")
        if layer not in self.layers[chip]:
            raise DriftproofError(
                f"device {self.name}, chip {chip}: no file for {layer or ROOT}; there are "
                f"{', '.join(name or ROOT for name in self.layers[chip])}"
            )
        file = self.layers[chip][layer]
        shape = file.banks[0].shape[1:]
        if shape != tuple(target.shape):
            hint = ": transpose it" if shape == tuple(target.shape)[::-1] else ""
            raise DriftproofError(
                f"{file.path} holds {shape[0]} x {shape[1]} weights, layer {layer or ROOT} has "
                f"{target.shape[0]} x {target.shape[1]} (outputs x inputs, a kernel's places among the inputs){hint}"
            )
        array = MeasuredArray(self, layer, file, target)
        if text := complaint(file.path, layer or ROOT, likeness(array.net(file.t_s[0]), target)):
            warn(text)
        return array

    def layer_errors(self, mapping: Mapping) -> tuple[LayerError, ...]:
        """Return how far every layer of every chip is from a network's weights at its first measured time.

        Warns as :meth:`array` does.

        Raises:
            DriftproofError: layers that are missing, that no layer on tiles has, or of another shape.
        """
        self.check_layers(mapping.weights)
        found = []
        for chip in range(self.chips):
            for name, mapped in mapping.weights.items():
                array = self.array(name, chip, mapped.target)
                t_s = array.file.t_s[0]
                net = array.net(t_s)
                rms = float((net.double() - mapped.target.double()).square().mean().sqrt())
                found.append(LayerError(name, chip, t_s, rms, likeness(net, mapped.target)))
        return tuple(found)
