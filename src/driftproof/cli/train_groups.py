"""The option groups of ``driftproof train``: the method, how the training is run, and its validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftproof.cli.groups import MetricOption
from driftproof.defaults import (
    BATCH_SIZE,
    DIAGNOSE_EVERY,
    EPOCHS,
    LEARNING_RATE,
    LOSS,
    METHOD,
    METRIC,
    MICRO_BATCHES,
    OPTIMIZER,
    PRECISION,
    SEED,
    TORCH_DEVICE,
    TRAINING_BATCH_SIZE,
    VALIDATION_CHIPS,
    WEIGHT_DECAY,
)

if TYPE_CHECKING:
    from driftproof.data import Data
    from driftproof.devices import Device
    from driftproof.mapping import MappingOptions
    from driftproof.plans import ChipValidation
    from driftproof.training import Settings

HELD_OUT = 0.1  # share of the samples that is validated on, unless there is data for it


@dataclass(kw_only=True)
class MethodOptions:
    """How an update is made."""

    method: Annotated[
        str, typer.Option(help="Training method: plain, rwp, sam, sam-rwp, multi-step-sam, looksam, ...")
    ] = METHOD
    strength: Annotated[
        str | None,
        typer.Option(help="Factor on the noise: a number, 2; a schedule, quadratic:to=2,start=0.5; or auto."),
    ] = None
    schedule: Annotated[
        str | None,
        typer.Option(help="How strength (or rho) grows from 0 to its value: linear, quadratic or cosine."),
    ] = None
    rho: Annotated[float | None, typer.Option(help="How far SAM and its variants ascend.")] = None
    norms: Annotated[
        str | None,
        typer.Option(help="Which pass updates BatchNorm statistics: perturbed, clean, recalibrate or frozen."),
    ] = None
    clip_weights: Annotated[
        float | None, typer.Option(help="Clip weights at so many standard deviations after every update.")
    ] = None
    clip_per: Annotated[
        str | None,
        typer.Option(help="Whose standard deviation clips weights: column, or layer (as noise-injection has it)."),
    ] = None
    diagnose_every: Annotated[
        int, typer.Option(help="Updates between diagnostics that cost a pass each; 0 for never.")
    ] = DIAGNOSE_EVERY

    def make(self, noise: Any, level: str | float | None, on_tiles: MappingOptions, seed: int) -> Any:
        """Return a new method; a level alone is the end of the schedule.

        Args:
            noise: of the device; None if there is no device.
            level: strength of the noise; None for the method's own.
            on_tiles: which weights are analog.
            seed: of the noise.
        """
        from driftproof.training import ClipWeights
        from driftproof.training.methods.by_name import make_method, named_method

        named = named_method(self.method)
        options: dict[str, Any] = {} if self.norms is None else {"norms": self.norms}
        if self.clip_weights is not None:
            per = self.clip_per or ("layer" if self.method == "noise-injection" else "column")
            options["clip"] = ClipWeights(sigmas=self.clip_weights, per=per)  # type: ignore[arg-type]
        if self.method != "plain":
            options["diagnose_every"] = self.diagnose_every
        return make_method(
            self.method,
            noise=noise if named.noise else None,
            **self._scheduled(level),
            on_tiles=on_tiles,
            seed=seed,
            **options,
        )

    def _scheduled(self, level: str | float | None) -> dict[str, Any]:
        """Return strength and rho, the one that is scheduled as a schedule."""
        from driftproof.errors import DriftproofError
        from driftproof.training.methods.by_name import default_of, named_method
        from driftproof.training.schedule_text import as_schedule
        from driftproof.training.schedules import Constant, ramp

        given: dict[str, Any] = {"strength": None if level is None else as_schedule(level), "rho": self.rho}
        if self.schedule is not None:
            ramped = "strength" if named_method(self.method).strength else "rho"
            end = as_schedule(given[ramped]) if given[ramped] is not None else default_of(self.method)
            if given[ramped] is not None and not isinstance(end, Constant):
                raise DriftproofError(f"--schedule {self.schedule} and --{ramped} {end} are two schedules; give one")
            given[ramped] = ramp(self.schedule, to=end.largest)  # type: ignore[arg-type]
        return given


@dataclass(kw_only=True)
class SettingsOptions:
    """How the training is run, beside its method."""

    distil: Annotated[
        float | None, typer.Option(help="Share of the loss that is learning from the starting network's outputs.")
    ] = None
    epochs: Annotated[int, typer.Option(help="Passes through the data.")] = EPOCHS
    batch_size: Annotated[int, typer.Option(help="Samples of one update.")] = TRAINING_BATCH_SIZE
    micro_batches: Annotated[int, typer.Option(help="Parts of an update, each with noise of its own.")] = MICRO_BATCHES
    lr: Annotated[float, typer.Option(help="Largest learning rate.")] = LEARNING_RATE
    optimizer: Annotated[str, typer.Option(help="Optimizer: sgd or adamw.")] = OPTIMIZER
    weight_decay: Annotated[float, typer.Option(help="Weight decay of all parameters.")] = WEIGHT_DECAY
    loss: Annotated[str, typer.Option(help="Loss: cross-entropy, mse or causal.")] = LOSS
    clip_norm: Annotated[float | None, typer.Option(help="Largest norm of the gradient.")] = None
    precision: Annotated[str, typer.Option(help="Precision of products in passes: float32, bfloat16 or float16.")] = (
        PRECISION
    )
    augment: Annotated[str, typer.Option(help="Augmentation: none, or crop-flip for images.")] = "none"
    auto_epochs: Annotated[
        int | None, typer.Option(help="Epochs of each trial of --strength auto; a fifth of --epochs unless given.")
    ] = None
    device: Annotated[str, typer.Option(help="Where to compute: cpu or cuda.")] = TORCH_DEVICE
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = SEED

    def settings(self, epochs: int) -> Settings:
        """Return them as one object, for so many epochs."""
        from driftproof.training import Distillation, Settings

        return Settings(
            epochs=epochs,
            batch_size=self.batch_size,
            micro_batches=self.micro_batches,
            optimizer=self.optimizer,  # type: ignore[arg-type]
            lr=self.lr,
            weight_decay=self.weight_decay,
            loss=self.loss,
            clip_norm=self.clip_norm,
            precision=self.precision,  # type: ignore[arg-type]
            augment=self.augment,
            distil=None if self.distil is None else Distillation(weight=self.distil),
            seed=self.seed,
            device=self.device,
        )


@dataclass(kw_only=True)
class ValidationOptions:
    """What decides which epoch is the best one."""

    validation_data: Annotated[
        str | None, typer.Option(help="Data to validate on; a random tenth of --data unless given.")
    ] = None
    validation_limit: Annotated[int | None, typer.Option(help="Validate on the first N samples only.")] = None
    validation_chips: Annotated[int, typer.Option(help="Number of chips to validate on.")] = VALIDATION_CHIPS
    metric: MetricOption = METRIC

    def split(self, samples: Data) -> tuple[Data, Data]:
        """Return what is validated on and what is trained on."""
        from driftproof.data import as_data, held_out, load_data

        if self.validation_data is None:
            held, samples = held_out(samples, HELD_OUT)
        else:
            held = as_data(load_data(self.validation_data))
        return held if self.validation_limit is None else held.head(self.validation_limit), samples

    def validation(
        self, device: Device, time: str | None, held: Data, mapping: MappingOptions, within_validity: bool
    ) -> ChipValidation:
        """Return the validation on chips of a device, at a time, at both ends of a range, or when it is first valid."""
        from driftproof.plans import ChipValidation

        return ChipValidation(
            data=held,
            preset=device,
            times=[device.validity.t_s[0]] if time is None else time.split(".."),
            chips=self.validation_chips,
            metric=self.metric,
            mapping=mapping,
            batch_size=BATCH_SIZE,
            within_validity=within_validity,
        )
