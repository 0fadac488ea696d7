"""A measured device: chips whose conductances come from files instead of from laws."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from driftproof._defaults import NEGATIVE, SEED
from driftproof._devices import USE, ReadOut
from driftproof._devices.net import bank_sums, subtract_zero
from driftproof._devices.normals import blocks, padded
from driftproof._errors import DriftproofError, did_you_mean, warn
from driftproof._lab_tables import TableOptions, parse_pairs
from driftproof._mapping import Mapping
from driftproof._presets.preset import Source, Text
from driftproof.laws._effects import Effect
from driftproof.laws._encoding import Conductances, DeviceEncoding
from driftproof.laws._table import NotNegative, Table
from driftproof.laws._validity import contains
from driftproof.measured._csv_file import csv_columns
from driftproof.measured._files import ROOT, LayerFile, Numbers

if TYPE_CHECKING:
    from driftproof.measured._saved import SavedMeasured

LIKENESS = 0.5  # below such a likeness, rows, columns or signs have probably been mixed up
# place of a first time of 0 on the axis of ln t, or a thousandth of the next time if that is sooner
FIRST_S = 1e-3


class CsvForm(Table):
    """What the ``.csv`` files of a folder do not say themselves; see :class:`driftproof._lab_tables.TableOptions`."""

    columns: str | dict[str, str] = ""
    unit: str | dict[str, str] = ""
    sep: str | None = None
    decimal: str | None = None
    comment: str | None = None
    voltage_v: float | None = None
    negative: str = NEGATIVE


class Settings(Table):
    """The file ``device.toml`` of a folder with measured conductances."""

    name: Text
    summary: str = ""
    source: Source | None = None
    conductance: DeviceEncoding
    t_s: NotNegative | None = None
    csv: CsvForm | None = None
    targets_sha256: dict[str, str] = Field(default_factory=dict)

    def table_options(self) -> TableOptions:
        """Return the options with which ``.csv`` files are read."""
        form, flags = self.csv or CsvForm(), "[csv] {}"
        names = [column.name for column in csv_columns(self.conductance.file_columns)]

        def pairs(key: str, given: str | dict[str, str]) -> dict[str, str]:
            if isinstance(given, dict):
                return given
            return parse_pairs(flags.format(key), given, names, every=key == "unit") if given else {}

        return TableOptions(
            columns=pairs("columns", form.columns),
            unit=pairs("unit", form.unit),
            **form.model_dump(exclude={"columns", "unit"}),
            flags=flags,
        )


@dataclass(frozen=True)
class TimeRange:
    """First and last measured time in s."""

    t_s: tuple[float, float]


@dataclass(frozen=True)
class LayerError:
    """The error of one layer of one chip against its weights at its first measured time.

    Attributes:
        layer: Canonical name of the layer.
        chip: Number of the chip.
        t_s: First measured time in s.
        rms: Root mean square of (measured net weight − target), relative to the columns' maxima.
        likeness: Σ w n / √(Σ w² Σ n²) of the targets w and the measured net weights n: 1 is equal up to a factor.
    """

    layer: str
    chip: int
    t_s: float
    rms: float
    likeness: float


@dataclass(frozen=True, eq=False)
class MeasuredArray:
    """One layer of one measured chip, for use in place of a :class:`driftproof._devices.ProgrammedArray`.

    Attributes:
        preset: Device that the layer belongs to.
        layer: Canonical name of the layer.
        file: Measured conductances of the layer.
        target: Weights that were to be programmed, relative to their column's maximum, [out, in].
    """

    preset: MeasuredDevice
    layer: str
    file: LayerFile
    target: Tensor

    @property
    def reference(self) -> MeasuredArray | None:
        """Array of the reference column, [1, in]; None without one."""
        if self.file.reference is None:
            return None
        row = replace(self.file, banks=(self.file.reference[:, None],), reference=None)
        return replace(self, file=row, target=self.target[:1])

    @property
    def new_at_read_out(self) -> bool:
        """False: measured conductances are one read-out."""
        return False

    @torch.no_grad()
    def conductances(self, t_s: float, read_noise: bool = True, read_out: ReadOut = USE) -> tuple[Tensor, ...]:
        """Return the conductances at a time, one [out, in] in µS per device of a weight.

        Between measured times they are linear in ln t, outside they are held. Measured conductances contain their read
        noise, so ``read_noise`` changes nothing.
        """
        return tuple(self._at(bank, t_s).clone() for bank in self.file.banks)

    @torch.no_grad()
    def net(self, t_s: float, read_noise: bool = True, read_out: ReadOut = USE) -> Tensor:
        """Return the net weights at ``t_s``, relative to the columns' maxima: [out, in]."""
        # the same operations in the same blocks as a simulated array's, so that its files give the same bits
        flat = [padded(self._at(bank, t_s).reshape(-1)) for bank in self.file.banks]
        reads = [iter([(part, [values[part]]) for part in blocks(values)]) for values in flat]
        reference = self.reference.conductances(t_s)[0] if self.reference else None
        (sums,) = bank_sums(self.preset.conductance, flat[0], reads, 1)
        net = sums[: self.target.numel()].view_as(self.target)
        return subtract_zero(self.preset.conductance, net, reference)

    def nets(self, t_s: float, read_outs: Sequence[ReadOut]) -> list[Tensor]:
        """Return the net weights at a time for each read-out: they are one."""
        return [self.net(t_s) for _ in read_outs]

    def state(self) -> dict[str, Tensor]:
        """Return an empty state: the device holds all conductances."""
        return {}

    def check_perturbed(self) -> None:
        """Do nothing: measured conductances declare no noise."""

    def mvm_read_noise(self, t_s: float, read_out: ReadOut = USE) -> None:
        """Return None: measured conductances have no separate MVM read noise."""

    def _at(self, values: Numbers, t_s: float) -> Tensor:
        """Return the values at one time. They may share memory with the file's array, so do not change them."""
        times, torch_device = self.file.t_s, self.target.device
        place = min(bisect_left(times, t_s), len(times) - 1)
        after = torch.from_numpy(values[place]).to(torch_device)
        if place == 0 or times[place] <= t_s:
            return after
        low, high = times[place - 1], times[place]
        low = low or min(FIRST_S, high / 1000)
        share = math.log(max(t_s, low) / low) / math.log(high / low)
        return torch.lerp(torch.from_numpy(values[place - 1]).to(torch_device), after, share)


@dataclass(frozen=True, eq=False)
class MeasuredDevice:
    """Measured chips, each with one file per layer; :func:`load_measured` returns it.

    Attributes:
        name: ``measured:`` and the name in ``device.toml``.
        settings: Content of ``device.toml``.
        layers: Measurements of each layer, for each chip.
        validity: Times for which every layer of every chip was measured.
        sha256: Hash of all conductances, times and the encoding.
    """

    name: str
    settings: Settings
    layers: tuple[dict[str, LayerFile], ...] = field(repr=False)
    validity: TimeRange
    sha256: str

    @property
    def conductance(self) -> Conductances:
        """Encoding of weights in conductances."""
        return self.settings.conductance

    @property
    def chips(self) -> int:
        """Number of measured chips."""
        return len(self.layers)

    def in_validity(self, t_s: float) -> bool:
        """Whether a time lies between the first and the last measured one."""
        return contains(self.validity.t_s, t_s)

    @property
    def laws(self) -> None:
        """None: measured chips have no laws."""
        return

    @property
    def parts(self) -> tuple[MeasuredDevice, ...]:
        """The device itself: it has no parts."""
        return (self,)

    @property
    def changes_in_time(self) -> bool:
        """Whether some layer was measured at more than one time."""
        return any(len(file.t_s) > 1 for files in self.layers for file in files.values())

    def for_layer(self, layer: str) -> MeasuredDevice:
        """Return the device of one layer: the device itself."""
        return self

    def relative_to(self, layer: str) -> Literal["column", "layer"]:
        """Return the maximum to which the targets of a layer are relative: their column's."""
        return "column"

    def without(self, *effects: Effect) -> MeasuredDevice:
        """Raise DriftproofError: measured conductances contain all effects."""
        raise DriftproofError(f"device {self.name}: measured chips have no laws that could be switched off")

    def one_die_per_wafer(self) -> MeasuredDevice:
        """Return the device itself: its chips are those that were measured."""
        return self

    def definition(self) -> dict[str, Any]:
        """Return the definition of the device as plain JSON values, without the conductances."""
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
        } | self._read_as()

    def _read_as(self) -> dict[str, Any]:
        """Return what was understood of files that are not in the plain form."""
        ways = dict.fromkeys(" ".join(file.understood) for files in self.layers for file in files.values())
        ways.pop("", None)
        return {"files": {"read_as": list(ways)}} if ways else {}

    def saved(self) -> tuple[SavedMeasured, dict[str, Tensor]]:
        """Return the form of the device in a file, and its conductances."""
        from driftproof.measured._saved import SavedMeasured

        return SavedMeasured.of(self)

    def check_layers(self, layers: Iterable[str]) -> None:
        """Raise DriftproofError unless the files of every chip are those of the layers."""
        wanted = set(layers)
        for number, files in enumerate(self.layers):
            if missing := sorted(wanted - files.keys()):
                raise self._no_file(number, missing)
            if unknown := sorted(files.keys() - wanted):
                raise DriftproofError(
                    f"device {self.name}, chip {number}: {files[unknown[0]].path} belongs to no layer on "
                    f"tiles{did_you_mean(unknown[0], wanted)}; those are {_names(sorted(wanted))}"
                )

    def _no_file(self, chip: int, layers: Iterable[str]) -> DriftproofError:
        there = _names(self.layers[chip])
        return DriftproofError(f"device {self.name}, chip {chip}: no file for {_names(layers)}; there are {there}")

    def array(
        self,
        layer: str,
        chip: int,
        target: Tensor,
        *,
        seed: int = SEED,
        groups: int = 1,
        rows: tuple[slice, ...] = (),
        state: dict[str, Tensor] | None = None,
    ) -> MeasuredArray:
        """Return one layer of one chip; warn (DriftproofWarning) if it does not look like its weights.

        Args:
            layer: Canonical name of the layer.
            chip: Number of the chip, from 0.
            target: Weights relative to their column's maximum, [out, in], float32.
            seed: Not used, because nothing is drawn.
            groups: Not used.
            rows: Not used.
            state: Not used, because the files hold the whole state.
            memory: Not used.

        Raises:
            DriftproofError: If the chip or the layer was not measured, or the array has another shape.
        """
        if not 0 <= chip < self.chips:
            raise DriftproofError(f"device {self.name} has {self.chips} measured chips, no chip {chip}")
        if layer not in self.layers[chip]:
            raise self._no_file(chip, [layer])
        file = self.layers[chip][layer]
        shape = file.banks[0].shape[1:]
        if shape != tuple(target.shape):
            hint = ": transpose it" if shape == tuple(target.shape)[::-1] else ""
            raise DriftproofError(
                f"{file.path} holds {shape[0]} x {shape[1]} weights, layer {layer or ROOT} has "
                f"{target.shape[0]} x {target.shape[1]} (outputs x inputs, a kernel's places among the inputs){hint}"
            )
        wanted = self.settings.targets_sha256.get(layer or ROOT)
        if wanted is not None and wanted != targets_hash(target):
            raise DriftproofError(
                f"device {self.name}: the weights of layer {layer or ROOT} are not those for which the folder was "
                "written: the network, its weights or its mapping (--tile, --scale, --clip) is another one. Evaluate "
                "the network that was programmed, or remove [targets_sha256] from device.toml"
            )
        array = MeasuredArray(self, layer, file, target)
        if (alike := likeness(array.net(file.t_s[0]), target)) < LIKENESS:
            warn(
                f"{file.path}: the measured conductances resemble the weights of layer {layer or ROOT} by only "
                f"{alike:.2f} (1 is equal up to a factor): are rows and columns swapped, or the devices of a pair?"
            )
        return array

    def layer_errors(self, mapping: Mapping) -> tuple[LayerError, ...]:
        """Return the error of every layer of every chip against a network's weights at its first measured time.

        Warns as :meth:`array` does.

        Raises:
            DriftproofError: If a layer is missing, is not on tiles, or has another shape.
        """
        self.check_layers(mapping.weights)
        errors = []
        for chip in range(self.chips):
            for name, mapped in mapping.weights.items():
                array = self.array(name, chip, mapped.target)
                t_s = array.file.t_s[0]
                net = array.net(t_s)
                rms = float((net.double() - mapped.target.double()).square().mean().sqrt())
                errors.append(LayerError(name, chip, t_s, rms, likeness(net, mapped.target)))
        return tuple(errors)


def targets_hash(target: Tensor) -> str:
    """Return a hash of the targets of one layer, [out, in]."""
    numbers = target.detach().to("cpu", torch.float32).contiguous().numpy()
    return hashlib.sha256(str(numbers.shape).encode() + numbers.tobytes()).hexdigest()[:16]


def likeness(net: Tensor, target: Tensor) -> float:
    """Return Σ w n / √(Σ w² Σ n²); 0 if all measured weights are zero, 1 if all targets are zero.

    >>> import torch
    >>> likeness(torch.tensor([[0.5, -0.5]]), torch.tensor([[1.0, -1.0]]))
    1.0
    """
    n, w = net.double().reshape(-1), target.double().reshape(-1)
    if not bool(w.any()):
        return 1.0
    norm = float(n.norm() * w.norm())
    return round(float(n @ w) / norm, 12) if norm else 0.0


def _names(layers: Iterable[str]) -> str:
    return ", ".join(layer or ROOT for layer in layers)
