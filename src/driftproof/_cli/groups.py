"""Option groups that commands share: the network, its mapping onto tiles, the deployment, and the evaluation."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from driftproof._defaults import (
    BATCH_SIZE,
    CALIBRATION_SAMPLES,
    CI_OF,
    CI_ON,
    COMPENSATION,
    METRIC,
    PERIPHERY,
    SCALE,
    SEED,
    TILE,
    TORCH_DEVICE,
)
from driftproof._errors import DriftproofError

if TYPE_CHECKING:
    from driftproof._devices import Device
    from driftproof._mapping import MappingOptions
    from driftproof.data import Data
    from driftproof.evaluation import Deployment, Evaluator, Recalibration
    from driftproof.evaluation._executor import Executor
    from driftproof.plans._precision import Precision
    from driftproof.zoo._load import LoadedModel

Changes = Annotated[list[str] | None, typer.Option("--set")]
"""``KEY=VALUE`` texts that change numbers of presets."""


@dataclass(kw_only=True)
class NetworkOptions:
    """The network and its weights.

    Attributes:
        model (MODEL): The network: digits-cnn or digits-resnet (for --data digits), resnet20, resnet32, resnet44 or
            resnet56 (for CIFAR images), torchvision:NAME, timm:NAME, hf:FOLDER (written by save_pretrained of Hugging
            Face), or FILE.py:FUNCTION, a function without arguments that returns a torch.nn.Module.
        weights (FILE): File with the trained weights of the network: .safetensors, or .pt, .pth, .th with tensors only.
            Default: the weights that come with digits-cnn, digits-resnet or an hf:FOLDER, or from FILE.py:FUNCTION.
    """

    model: Annotated[str, typer.Argument()]
    weights: Path | None = None

    def load(self) -> LoadedModel:
        """Return the network, trained or not."""
        from driftproof.zoo import load_model

        return load_model(self.model, self.weights)

    def load_trained(self) -> LoadedModel:
        """Return the network; raise DriftproofError if its weights are random."""
        loaded = self.load()
        if not loaded.trained:
            raise DriftproofError(f"{self.model} has random weights: give its trained weights with --weights FILE")
        return loaded


@dataclass(kw_only=True)
class TileOptions:
    """Which layers go on tiles, and how.

    Attributes:
        where (LAYERS): Layers to put on tiles, separated by commas: names (fc), patterns (layer1.*), !NAME for all
            layers but one, or inner for all but the first and the last. Default: every layer that can be on tiles.
        tile (ROWSxCOLUMNS): Largest size of a tile. A larger weight matrix is split over several tiles.
        scale: What weights are scaled to: column (the largest weight of each column of a tile) or layer (the largest
            weight of the layer).
        clip (PERCENTILE): Clip weights to this percentile of their absolute values, such as 99.9, and scale by it
            instead of by the largest weight. Default: no clipping.
        all_analog: Fail if a weight that is used in a matrix multiplication stays digital although --where does not
            exclude it.
        within_validity: Fail if a time is outside the device's range of validity.
        strict: Set both --all-analog and --within-validity.
    """

    panel: ClassVar[str] = "Mapping onto tiles"
    where: str | None = None
    tile: str = "{}x{}".format(*TILE)
    scale: str = SCALE
    clip: float | None = None
    all_analog: bool = False
    within_validity: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        """Let --strict set both switches."""
        self.all_analog, self.within_validity = self.all_analog or self.strict, self.within_validity or self.strict

    def options(self) -> MappingOptions:
        """Return the options as one object."""
        from driftproof._mapping import MappingOptions, TileSize

        return MappingOptions(
            tile=TileSize.parse(self.tile),
            where=self.where,
            scale=self.scale,  # type: ignore[arg-type]  # checked where weights are mapped
            clip=self.clip,
            all_analog=self.all_analog,
        )


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
        periphery (PERIPHERY): DAC, ADC and noise of the arrays: ideal, FILE.toml, or standard (8-bit DAC, 8-bit ADC and
            output noise of Rasch et al. 2023, without their PCM read noise in every MVM and their IR drop).
        ranges (RANGES): Input ranges of the --periphery in place of measured ones: a number for all layers, or
            LAYER=NUMBER pairs with commas, after an optional number for the other layers: 3,fc=1.5. Default: static
            ranges are measured, on --calibration-data.
        recalibrate (WHEN): When the statistics of BatchNorm layers are re-estimated on each chip: programming (once,
            after programming) or time (at every read-out time). Needs --calibration-data. Default: never.
        calibration_data (DATA): Inputs for --recalibrate and for the static input ranges of a --periphery, in the forms
            of --data, such as cifar10-train:ROOT. Targets are ignored. Default: no data; input ranges are measured on
            the first 500 inputs of --data, with a warning.
        calibration_limit (N): Number of inputs of --calibration-data to use, from its start. Default: 1000, or all if
            there are fewer.
        seed: Seed of the devices' random numbers, from 0 to 2^63 - 1. The same seed gives the same chips.
    """

    panel: ClassVar[str] = "Deployment"
    changes: Changes = None
    compensation: str = COMPENSATION
    read_outs: str | None = None
    periphery: str = PERIPHERY
    ranges: str | None = None
    recalibrate: str | None = None
    calibration_data: str | None = None
    calibration_limit: int | None = None
    seed: int = SEED

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

    def deployments(self, devices: list[Device], tiles: TileOptions) -> list[Deployment]:
        """Return one deployment for every device."""
        from driftproof.evaluation import Deployment
        from driftproof.periphery import StaticRange, load_periphery

        periphery = load_periphery(self.periphery)
        if self.ranges is not None:
            periphery = periphery.with_ranges(self.ranges)
        static = isinstance(periphery.input_range, StaticRange)
        inputs = self._calibration()
        recalibration = self._recalibration(inputs, static)
        return [
            Deployment(
                device=device,
                mapping=tiles.options(),
                compensation=self.compensation,
                read_outs=self.read_outs,
                periphery=periphery,
                calibration=inputs if static else None,
                recalibration=recalibration,
                seed=self.seed,
            )
            for device in devices
        ]

    def _calibration(self) -> Data | None:
        from driftproof.data import load_data

        if self.calibration_data is None:
            if self.calibration_limit is not None:
                raise DriftproofError(
                    "--calibration-limit counts inputs of --calibration-data DATA: give that option too"
                )
            return None
        data, limit = load_data(self.calibration_data), self.calibration_limit
        return data.head(min(CALIBRATION_SAMPLES, len(data)) if limit is None else limit)

    def _recalibration(self, inputs: Data | None, static: bool) -> Recalibration | None:
        from driftproof.evaluation import Recalibration

        if self.recalibrate is not None and inputs is not None:
            return Recalibration(inputs, self.recalibrate)  # type: ignore[arg-type]  # checked there
        if self.recalibrate is not None or (inputs is not None and not static):
            raise DriftproofError(
                "--recalibrate WHEN and --calibration-data DATA go together: give both, or neither (a --periphery with "
                "static input ranges takes --calibration-data alone); --calibration-limit N is optional"
            )
        return None


@dataclass(kw_only=True)
class WorkerOptions:
    """Where trials are computed.

    Attributes:
        workers (N): Number of processes on this machine that compute side by side. The chips are the same as without
            them. Default: one process, with all processor cores.
        cluster (ADDRESS): Address of a Ray cluster that computes, such as 10.0.0.1:6379, or auto for the cluster that
            this machine is in; --workers is then the number of its workers. Needs Ray, the extra `ray` of driftproof.
            Default: no cluster.
        threads (N): Number of threads of each worker. The same number of threads gives the same cells. Default: the
            processor cores divided by --workers, or 1 on a cluster.
        worker_timeout (TIME): Time after which a worker that has not finished a trial is replaced, such as 30min; the
            units are s, min, h and d. Default: 20 times the longest trial so far, but at least 10 minutes, and one hour
            while no trial is finished.
    """

    panel: ClassVar[str] = "Workers"
    workers: int | None = None
    cluster: str | None = None
    threads: int | None = None
    worker_timeout: str | None = None

    def executor(self) -> AbstractContextManager[Executor]:
        """Return the executor, whose workers end with the ``with`` block."""
        from driftproof.evaluation._executor_choice import executor_for
        from driftproof.times import parse_time

        timeout_s = None if self.worker_timeout is None else parse_time(self.worker_timeout)
        return executor_for(self.workers, self.cluster, self.threads, timeout_s)


@dataclass(kw_only=True)
class EvaluatorOptions:
    """The evaluation: the metric, the number of samples, and the processor.

    Attributes:
        metric (METRIC): Metric: accuracy, top5, token-accuracy, f1, perplexity, mse, or FILE.py:FUNCTION, a function of
            (outputs, targets) that returns a number.
        limit (N): Number of samples to evaluate on, from the start of the data. Default: all samples.
        batch_size: Number of samples in one forward pass. It affects speed and memory.
        device: Processor that runs the simulation (not the memory device; see --preset): cpu or cuda.
    """

    panel: ClassVar[str] = "Evaluation"
    metric: str = METRIC
    limit: int | None = None
    batch_size: int = BATCH_SIZE
    device: str = TORCH_DEVICE

    def limited(self, data: Data) -> Data:
        """Return the first samples of the data, or all."""
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


@dataclass(kw_only=True)
class PrecisionOptions:
    """How narrow intervals are to become, in place of a number of chips on all samples.

    Attributes:
        ci (HALF_WIDTH): Stop each device at each time when the half-width of its 95 % interval is at most this, in the
            unit of the metric: 0.5 for points of accuracy. Each chip sees random samples, more of those that the
            digital network is in doubt about, and as many chips are programmed as are needed. The report then has no
            worst chip and no yield, which need all samples. Default: all samples on --chips chips.
        budget (TIME): Stop after this time, such as 5m or 1h, and spend it where intervals are widest. Chips see parts
            of the samples, as with --ci; with both, whichever comes first. Default: no limit.
        ci_of (QUANTITY): The quantity whose interval becomes narrow: drop (compared with the digital network) or mean.
        ci_on (SAMPLES): Samples for which the interval of --ci holds: these (the samples of --data) or new (all inputs
            of their kind), which needs many samples.
    """

    panel: ClassVar[str] = "Precision"
    ci: float | None = None
    budget: str | None = None
    ci_of: str = CI_OF
    ci_on: str = CI_ON

    def precision(self, chips: int | str) -> Precision | None:
        """Return the precision that was asked for, None if none was."""
        from driftproof.plans._precision import precision_of

        return precision_of(self.ci, self.budget, self.ci_of, self.ci_on, chips)
