"""The option group of the deployment, apart from its devices and its mapping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from driftproof._cli.panels import DEVICE, STATISTICS
from driftproof._cli.panels import PERIPHERY as PERIPHERY_PANEL
from driftproof._defaults import CALIBRATION_SAMPLES, COMPENSATION, PERIPHERY, SEED
from driftproof._errors import DriftproofError

if TYPE_CHECKING:
    from driftproof._cli.network_groups import TileOptions
    from driftproof._devices import Device
    from driftproof.data import Data
    from driftproof.evaluation import Deployment, Recalibration
    from driftproof.periphery import Periphery

NEVER = "never"
"""The word of --recalibrate for BatchNorm statistics as they are."""
Changes = Annotated[list[str] | None, typer.Option("--set", rich_help_panel=DEVICE)]
"""``KEY=VALUE`` texts that change numbers of presets."""


@dataclass(kw_only=True)
class DeploymentOptions:
    """The deployment, apart from the devices and the mapping.

    Attributes:
        changes (KEY=VALUE): Change one number of the presets, such as drift.t0_s=30. The keys are those that
            `driftproof presets show NAME` prints. Repeat the option to change several numbers.
        compensation (KIND): Drift compensation, a digital factor on the outputs: none, tile (one factor per tile),
            column (one per column), or exact (least-squares fit to the target weights). Parameters follow a colon:
            reference_s (of tile and column) is the time at which the reference is read (default: 0, the first read),
            and every_s is the interval at which the factor is measured (default: at every read-out). The times are in
            seconds, or have a unit: tile:reference_s=60, column:every_s=1d.
        read_outs (TIMES): How long a read-out of a chip takes (duration_s), how long lies between the read-out that
            measures compensation and BatchNorm statistics and the one in which the chip is used (pause_s), and how
            often the part of the read noise that is faster than these times together is new (fast): in each read-out,
            or in every matrix-vector multiplication (mvm). The slower part is the same in both read-outs. The times are
            in seconds, or have a unit: duration_s=10s,pause_s=1d,fast=mvm. With both times 0, the two are one read-out.
            Default: duration_s=1s,pause_s=1h,fast=read-out.
        periphery (PERIPHERY): DAC, ADC and noise of the arrays: ideal, standard (8-bit DAC, 8-bit ADC and output noise
            of Rasch et al. 2023, without their PCM read noise in every MVM and their IR drop), or FILE.toml, which
            `driftproof periphery write` makes.
        ranges (RANGES): Input ranges of the --periphery in place of measured ones: a number for all layers, or
            LAYER=NUMBER pairs with commas, after an optional number for the other layers: 3,fc=1.5. Default: static
            ranges are measured, on --calibration-data.
        recalibrate (WHEN): When the statistics of BatchNorm layers are re-estimated on each chip: programming (once,
            after programming) or time (at every read-out time), both of which need --calibration-data, or never.
            Default: never.
        calibration_data (DATA): Inputs for --recalibrate and for the static input ranges of a --periphery, in the forms
            of --data, such as cifar10-train:ROOT. Targets are ignored: a function may return inputs alone. Default: no
            data; input ranges are measured on the first 500 inputs of --data, with a warning.
        calibration_limit (N): Number of inputs of --calibration-data to use, from its start. Default: 1000, or all if
            there are fewer.
        seed: Seed of the devices' random numbers, from 0 to 2^63 - 1. The same seed gives the same chips.
    """

    panel: ClassVar[str] = PERIPHERY_PANEL
    axes: ClassVar[tuple[str, ...]] = ("periphery", "ranges", "compensation", "recalibrate", "read_outs")
    changes: Changes = None
    compensation: str = COMPENSATION
    read_outs: str | None = None
    periphery: str = PERIPHERY
    ranges: str | None = None
    recalibrate: str | None = None
    calibration_data: str | None = None
    calibration_limit: int | None = None
    seed: Annotated[int, typer.Option(rich_help_panel=STATISTICS)] = SEED

    def __post_init__(self) -> None:
        """Refuse a seed that no record can hold, before anything is loaded."""
        from driftproof.evaluation._checks import check_seed

        check_seed(self.seed)

    def devices(self, presets: list[str]) -> list[Device]:
        """Return the devices with the changes of --set."""
        from driftproof._device_choice import load_device
        from driftproof._presets import parse_changes

        numbers = parse_changes(self.changes or [])
        return [load_device(name, numbers) for name in presets]

    def around(self) -> Periphery:
        """Return the periphery, with the --ranges if it has input ranges."""
        from driftproof.periphery import load_periphery

        periphery = load_periphery(self.periphery)
        return periphery if self.ranges is None or periphery.is_ideal else periphery.with_ranges(self.ranges)

    def inputs(self) -> Data | None:
        """Return the calibration data; None without."""
        from driftproof.data._specs import load_inputs

        if self.calibration_data is None:
            if self.calibration_limit is not None:
                raise DriftproofError(
                    "--calibration-limit counts inputs of --calibration-data DATA: give that option too"
                )
            return None
        data, limit = load_inputs(self.calibration_data), self.calibration_limit
        return data.head(min(CALIBRATION_SAMPLES, len(data)) if limit is None else limit)

    def recalibration(self, inputs: Data | None) -> Recalibration | None:
        """Return when BatchNorm is recalibrated, and on what."""
        from driftproof.evaluation import Recalibration

        if self.recalibrate in (None, NEVER) or inputs is None:
            return None
        return Recalibration(inputs, self.recalibrate)  # type: ignore[arg-type]  # checked there


def _told_apart(options: Sequence[DeploymentOptions]) -> list[Periphery]:
    """Return the peripheries of the options; files with the name of another periphery also have that of their file."""
    from driftproof.periphery import load_periphery, periphery_names

    around = [each.around() for each in options]
    known = [*around, *(load_periphery(name) for name in periphery_names())]
    for place, each in enumerate(options):
        found, file = around[place], Path(each.periphery)
        same = {other.sha256 for other in known if other.name == found.name}
        if file.suffix == ".toml" and len(same) > 1:
            around[place] = type(found)(**dict(found) | {"name": f"{found.name} [{file.stem}]"})
    return around


def deployments(
    options: Sequence[DeploymentOptions], devices: Sequence[Device], tiles: Sequence[TileOptions]
) -> list[Deployment]:
    """Return a deployment for each combination of a mapping, an instance of the options, and a device.

    All instances have the same calibration data, which those take that need it.

    Raises:
        DriftproofError: Nothing takes the calibration data or the input ranges, or something lacks them.
    """
    from driftproof.evaluation import Deployment
    from driftproof.periphery import StaticRange

    inputs, around = options[0].inputs(), _told_apart(options)
    static = [isinstance(periphery.input_range, StaticRange) for periphery in around]
    recalibrated = [each.recalibrate not in (None, NEVER) for each in options]
    if (any(recalibrated) and inputs is None) or (inputs is not None and not any([*recalibrated, *static])):
        raise DriftproofError(
            "--recalibrate WHEN and --calibration-data DATA go together: give both, or neither (a --periphery with "
            "static input ranges takes --calibration-data alone); --calibration-limit N is optional"
        )
    if options[0].ranges is not None and all(periphery.is_ideal for periphery in around):
        around[0].with_ranges(options[0].ranges)  # it says what is wrong
    return [
        Deployment(
            device=device,
            mapping=mapping.options(),
            compensation=each.compensation,
            read_outs=each.read_outs,
            periphery=periphery,
            calibration=inputs if measured else None,
            recalibration=each.recalibration(inputs),
            seed=each.seed,
        )
        for mapping in tiles
        for each, periphery, measured in zip(options, around, static, strict=True)
        for device in devices
    ]
