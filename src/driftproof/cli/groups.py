"""The option groups: the network, how it is put on tiles, the deployment, and what is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftproof.defaults import (
    BATCH_SIZE,
    CALIBRATION_SAMPLES,
    COMPENSATION,
    METRIC,
    PERIPHERY,
    SCALE,
    SEED,
    TILE,
    TORCH_DEVICE,
)

if TYPE_CHECKING:
    from driftproof.data import Data
    from driftproof.devices import Device
    from driftproof.evaluation import Deployment, Evaluator, Recalibration
    from driftproof.mapping import MappingOptions
    from driftproof.zoo import LoadedModel

MetricOption = Annotated[
    str,
    typer.Option(help="Metric: accuracy, top5, token-accuracy, f1, perplexity, mse, or your own: file.py:callable."),
]
"""What is measured: of an evaluation, and of a training's validation."""


@dataclass(kw_only=True)
class NetworkOptions:
    """The network and its weights."""

    model: Annotated[
        str, typer.Argument(help="digits-cnn, resnet20/32/44/56, torchvision:, timm:NAME, hf:DIR or file.py:callable")
    ]
    weights: Annotated[Path | None, typer.Option(help="Trained weights (.pt, .pth, .th, .safetensors).")] = None

    def load(self) -> LoadedModel:
        """Return the network, trained or not."""
        from driftproof.zoo import load_model

        return load_model(self.model, self.weights)

    def load_trained(self) -> LoadedModel:
        """Return the network; raise DriftproofError if its weights are random."""
        from driftproof.errors import DriftproofError

        loaded = self.load()
        if not loaded.trained:
            raise DriftproofError(f"{self.model} has random weights: give its trained ones with --weights FILE")
        return loaded


@dataclass(kw_only=True)
class TileOptions:
    """Which layers go on tiles, and how."""

    where: Annotated[
        str | None,
        typer.Option(help="Layers that go on tiles: names, globs, !NAME, or inner. All that can, unless given."),
    ] = None
    tile: Annotated[str, typer.Option(metavar="ROWSxCOLUMNS", help="Size of the largest crossbar.")] = "{}x{}".format(
        *TILE
    )
    scale: Annotated[
        str,
        typer.Option(
            help="What a weight is relative to: the largest weight of its column in its tile, or of its layer."
        ),
    ] = SCALE
    clip: Annotated[
        float | None, typer.Option(help="Percentile of |w| that takes the largest weight's place; none unless given.")
    ] = None
    all_analog: Annotated[
        bool, typer.Option("--all-analog", help="Refuse a network of which a weight would stay digital unasked.")
    ] = False
    within_validity: Annotated[
        bool, typer.Option("--within-validity", help="Refuse times outside the device's range of validity.")
    ] = False
    strict: Annotated[bool, typer.Option("--strict", help="The same as --all-analog and --within-validity.")] = False

    def __post_init__(self) -> None:
        """Let --strict mean both."""
        self.all_analog, self.within_validity = self.all_analog or self.strict, self.within_validity or self.strict

    def options(self) -> MappingOptions:
        """Return them as one object."""
        from driftproof.mapping import MappingOptions, TileSize

        return MappingOptions(
            tile=TileSize.parse(self.tile),
            where=self.where,
            scale=self.scale,  # type: ignore[arg-type]  # checked where weights are mapped
            clip=self.clip,
            all_analog=self.all_analog,
        )


@dataclass(kw_only=True)
class DeploymentOptions:
    """What decides numbers beside the device and the tiles."""

    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one number of the device presets.")
    ] = None
    compensation: Annotated[
        str,
        typer.Option(help="Compensation of the drift: none, tile, column or exact; with parameters tile:every_s=1d."),
    ] = COMPENSATION
    periphery: Annotated[
        str,
        typer.Option(help="DAC, ADC and noise around the arrays: ideal, standard (8-bit DAC and ADC) or FILE.toml."),
    ] = PERIPHERY
    recalibrate: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="When BatchNorm is re-estimated on each chip: programming or time. Never unless given."
        ),
    ] = None
    calibration_data: Annotated[
        str | None,
        typer.Option(help="Data that BatchNorm statistics and static input ranges are measured on."),
    ] = None
    calibration_limit: Annotated[
        int | None,
        typer.Option(help=f"How many samples of the calibration data are used; {CALIBRATION_SAMPLES} unless given."),
    ] = None
    seed: Annotated[int, typer.Option(help="Seed of all device randomness.")] = SEED

    def __post_init__(self) -> None:
        """Refuse a seed that no record can hold, before anything is loaded."""
        from driftproof.evaluation.checks import check_seed

        check_seed(self.seed)

    def devices(self, presets: list[str]) -> list[Device]:
        """Return devices with the changes that were asked for."""
        from driftproof.device_choice import load_device
        from driftproof.presets import parse_changes

        numbers = parse_changes(self.changes or [])
        return [load_device(name, numbers) for name in presets]

    def deployments(self, devices: list[Device], tiles: TileOptions) -> list[Deployment]:
        """Return one deployment for every device."""
        from driftproof.evaluation import Deployment
        from driftproof.periphery import StaticRange, load_periphery

        around = load_periphery(self.periphery)
        ranged = isinstance(around.input_range, StaticRange)
        inputs = self._calibration()
        recalibration = self._recalibration(inputs, ranged)
        return [
            Deployment(
                device=device,
                mapping=tiles.options(),
                compensation=self.compensation,
                periphery=around,
                calibration=inputs if ranged else None,
                recalibration=recalibration,
                seed=self.seed,
            )
            for device in devices
        ]

    def _calibration(self) -> Data | None:
        from driftproof.data import load_data
        from driftproof.errors import DriftproofError

        if self.calibration_data is None:
            if self.calibration_limit is not None:
                raise DriftproofError("--calibration-limit N says how many of --calibration-data DATA: give that, too")
            return None
        data = load_data(self.calibration_data)
        limit = self.calibration_limit
        return data.head(min(CALIBRATION_SAMPLES, len(data)) if limit is None else limit)

    def _recalibration(self, inputs: Data | None, ranged: bool) -> Recalibration | None:
        from driftproof.errors import DriftproofError
        from driftproof.evaluation import Recalibration

        if self.recalibrate is not None and inputs is not None:
            return Recalibration(inputs, self.recalibrate)  # type: ignore[arg-type]  # checked there
        if self.recalibrate is not None or (inputs is not None and not ranged):
            raise DriftproofError(
                "--recalibrate WHEN and --calibration-data DATA go together, with --calibration-limit N if you like: "
                "when, on what, and on how many (a periphery with static input ranges takes --calibration-data, too)"
            )
        return None


@dataclass(kw_only=True)
class EvaluatorOptions:
    """What is measured, on how many samples, and where it is computed."""

    metric: MetricOption = METRIC
    limit: Annotated[int | None, typer.Option(help="Use only the first N samples of all data.")] = None
    batch_size: Annotated[int, typer.Option(help="Samples per forward pass.")] = BATCH_SIZE
    device: Annotated[str, typer.Option(help="Where to compute: cpu or cuda.")] = TORCH_DEVICE

    def limited(self, data: Data) -> Data:
        """Return the first samples of some data, or all."""
        return data if self.limit is None else data.head(self.limit)

    def evaluator(self, loaded: LoadedModel, data: Data, backend: str) -> Evaluator:
        """Return an evaluator of a network on data."""
        from driftproof.evaluation import Evaluator

        return Evaluator(
            loaded.model,
            data,
            self.metric,
            backend=backend,
            batch_size=self.batch_size,
            torch_device=self.device,
            name=loaded.name,
        )
