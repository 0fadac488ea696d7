"""A measured device: chips whose conductances come from files instead of from laws."""

from __future__ import annotations

import hashlib
import json
import math
import re
import tomllib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, ValidationError
from torch import Tensor

from driftproof.errors import DriftproofError, DriftproofWarning
from driftproof.measured.files import ROOT, LayerFile, read_layer
from driftproof.presets.laws import NotNegative, OffsetEncoding, PairEncoding, Table
from driftproof.presets.preset import Source, Text

SETTINGS = "device.toml"
LIKENESS = 0.5  # below such a correlation with the targets, rows, columns or signs have probably been mixed up


class Settings(Table):
    """The file ``device.toml`` of a folder with measured conductances."""

    name: Text
    summary: str = ""
    source: Source | None = None
    conductance: Annotated[PairEncoding | OffsetEncoding, Field(discriminator="encoding")]
    t_s: NotNegative | None = None


@dataclass(frozen=True)
class TimeRange:
    """First and last measured time in s."""

    t_s: tuple[float, float]


@dataclass(frozen=True)
class MeasuredArray:
    """One layer of one measured chip.

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

    def conductances(self, t_s: float, read_noise: bool = True) -> tuple[Tensor, ...]:
        """Return the conductances at a time, one [out, in] in µS per device of a weight.

        At a measured time they are what was measured; in between, linear in ln t; outside, held. What was measured has
        its read noise in it: ``read_noise`` changes nothing.
        """
        return tuple(self._at(bank, t_s) for bank in self.file.banks)

    def net(self, t_s: float, read_noise: bool = True) -> Tensor:
        """Return what the array multiplies by at ``t_s``: [out, in], relative to the columns' maxima."""
        conductance = self.preset.conductance
        width = conductance.g_max_us - conductance.g_min_us
        first, *others = self.conductances(t_s)
        if isinstance(conductance, PairEncoding):
            return (first - others[0]) / width
        middle: Tensor | float = (conductance.g_min_us + conductance.g_max_us) / 2
        if self.file.reference is not None:
            middle = self._at(self.file.reference, t_s)
        return (first - middle) * (2 / width)

    def product_noise(self, t_s: float) -> None:
        """Return None: what was measured does not tell single products apart."""

    def _at(self, values: Any, t_s: float) -> Tensor:
        times = self.file.t_s
        after = int(np.searchsorted(times, t_s, side="left"))
        if after >= len(times):
            after = max(0, len(times) - 1)
        found = torch.from_numpy(values[after])
        if after > 0 and times[after] > t_s:
            # ln 0 is taken as that of the smallest time above it, so that a first time of 0 has a place
            low, high, now = (math.log(max(t, 1e-3)) for t in (times[after - 1], times[after], t_s))
            found = torch.lerp(torch.from_numpy(values[after - 1]), found, (now - low) / (high - low))
        return found.to(self.target.device)


@dataclass(frozen=True)
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
    def conductance(self) -> PairEncoding | OffsetEncoding:
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

    def definition(self) -> dict[str, Any]:
        """Return what it is as plain JSON values, without the conductances."""
        shapes = {name: list(file.banks[0].shape[1:]) for name, file in self.layers[0].items()}
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
                    f"device {self.name}, chip {number}: {files[unknown[0]].path} belongs to no layer on tiles; those "
                    f"are {', '.join(name or ROOT for name in sorted(wanted))}"
                )

    def array(self, layer: str, chip: int, target: Tensor) -> MeasuredArray:
        """Return one layer of one chip.

        Args:
            layer: canonical name of the layer.
            chip: number of the chip.
            target: [out, in], weights relative to their column's maximum.

        Raises:
            DriftproofError: a chip that was not measured, or an array of another shape.
        """
        if chip >= self.chips:
            raise DriftproofError(f"device {self.name} has {self.chips} measured chips, no chip {chip}")
        file = self.layers[chip][layer]
        shape = file.banks[0].shape[1:]
        if shape != tuple(target.shape):
            raise DriftproofError(
                f"{file.path} holds {shape[0]} x {shape[1]} weights, layer {layer or ROOT} has "
                f"{target.shape[0]} x {target.shape[1]} (outputs x inputs, a kernel's places among the inputs)"
            )
        array = MeasuredArray(self, layer, file, target)
        _check_likeness(array)
        return array


def load_measured(folder: str | Path) -> MeasuredDevice:
    r"""Return the measured chips of a folder; docs/measured_arrays.md shows the layout.

    Raises:
        DriftproofError: files that are missing or wrong; the message names the file and the place.

    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "device.toml").write_text(
    ...         'name = "mine"\n[conductance]\nencoding = "pair"\ng_min_us = 0.0\ng_max_us = 20.0\n'
    ...     )
    ...     _ = Path(folder, "fc.csv").write_text("out,in,g_plus_us,g_minus_us\n0,0,19.5,0.1\n0,1,0.2,9.8\n")
    ...     device = load_measured(folder)
    >>> device.name, device.chips
    ('measured:mine', 1)
    >>> [round(w, 3) for w in device.array("fc", 0, torch.tensor([[1.0, -0.5]])).net(0.0)[0].tolist()]
    [0.97, -0.48]
    """
    folder = Path(folder)
    path = folder / SETTINGS
    if not path.is_file():
        raise DriftproofError(f"measured:{folder}: no {path}; wanted a folder with {SETTINGS} and a file per layer")
    try:
        settings = Settings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DriftproofError(f"{path}: not a TOML file: {error}") from None
    except ValidationError as error:
        faults = [f"{path}: {'.'.join(map(str, f['loc'])) or '(whole file)'}: {f['msg']}" for f in error.errors()]
        raise DriftproofError("\n".join(faults)) from None
    if isinstance(settings.conductance, PairEncoding) and settings.conductance.significance != (1.0,):
        raise DriftproofError(f"{path}: several pairs a weight are not read from files: give the net pair")
    folders = sorted((f for f in folder.iterdir() if f.is_dir()), key=_natural)
    chips = tuple(_read_chip(place, settings) for place in (folders or [folder]))
    files = [file for chip in chips for file in chip.values()]
    low, high = max(file.t_s[0] for file in files), min(file.t_s[-1] for file in files)
    if low > high:
        raise DriftproofError(f"measured:{folder}: no time at which every layer was measured; one starts at {low:g} s")
    return MeasuredDevice(f"measured:{settings.name}", settings, chips, TimeRange((low, high)), _hash(settings, chips))


def _read_chip(folder: Path, settings: Settings) -> dict[str, LayerFile]:
    found: dict[str, LayerFile] = {}
    for path in sorted(folder.iterdir(), key=_natural):
        if path.name == SETTINGS or path.is_dir() or path.name.startswith("."):
            continue
        if path.suffix not in (".npz", ".csv"):
            raise DriftproofError(f"{path}: wanted .npz or .csv files, one per layer, and {SETTINGS}")
        name = "" if path.stem == ROOT else path.stem
        if name in found:
            raise DriftproofError(f"{path}: there is {found[name].path.name} for the same layer; remove one of them")
        file = read_layer(path, settings.conductance)
        if not file.t_s:
            file = LayerFile(file.path, (settings.t_s or 0.0,), file.banks, file.reference)
        found[name] = file
    if not found:
        raise DriftproofError(f"{folder}: no layer's .npz or .csv file")
    return found


def _natural(path: Path) -> list[tuple[int, int | str]]:
    """Order ``chip10`` after ``chip9``."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", path.name)]


def _hash(settings: Settings, chips: tuple[dict[str, LayerFile], ...]) -> str:
    digest = hashlib.sha256(json.dumps(settings.conductance.model_dump(mode="json"), sort_keys=True).encode())
    for number, files in enumerate(chips):
        for name in sorted(files):
            file = files[name]
            digest.update(f"{number}|{name}|{file.t_s}|{[bank.shape for bank in file.banks]}".encode())
            for values in (*file.banks, *(() if file.reference is None else (file.reference,))):
                digest.update(values.tobytes())
    return digest.hexdigest()


def _check_likeness(array: MeasuredArray) -> None:
    """Warn if what was measured does not look like the weights."""
    net, target = array.net(array.file.t_s[0]).double().view(-1), array.target.double().view(-1)
    norm = float(net.norm() * target.norm())
    likeness = float(net @ target) / norm if norm else 1.0
    if likeness < LIKENESS:
        warnings.warn(
            f"{array.file.path}: what was measured resembles the weights of layer {array.layer or ROOT} by only "
            f"{likeness:.2f} (1 is equal up to a factor): are rows and columns swapped, or the devices of a pair?",
            DriftproofWarning,
            stacklevel=4,
        )
