"""The option groups of ``driftproof train``: the method, the training, and its validation on chips."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from driftproof._cli.deployment_groups import Changes
from driftproof._cli.panels import COMPUTATION, TRAINING, VALIDATION
from driftproof._cli.panels import METHOD as METHOD_PANEL
from driftproof._defaults import (
    BATCH_SIZE,
    COMPENSATION,
    DIAGNOSE_EVERY,
    EPOCHS,
    LEARNING_RATE,
    LR_SCHEDULE,
    METHOD,
    METRIC,
    MICRO_BATCHES,
    OPTIMIZER,
    PERIPHERY,
    PRECISION,
    SEED,
    TORCH_DEVICE,
    VALIDATION_CHIPS,
    WARM_UP,
    WEIGHT_DECAY,
)
from driftproof._errors import DriftproofError

if TYPE_CHECKING:
    from driftproof._cli.network_groups import TileOptions
    from driftproof._mapping import MappingOptions
    from driftproof.data import Data
    from driftproof.plans import ChipValidation
    from driftproof.plans._digital_validation import DigitalValidation
    from driftproof.training._noise import Noise
    from driftproof.training._settings import Settings

FLAGS = {"changes": "set"}
"""Options whose flag has another name."""
OF_SOME_METHODS = ("beta", "perturbed_iterations", "start")
"""Options that are keywords of the methods that take them."""
NO_VALIDATION = (
    "belongs to a validation: for a validation on chips name their device with --preset, for one of the digital "
    "network give --validation-share or --validation-data"
)
HELD_OUT = 0.1  # share of the samples that is validated on, unless --validation-data gives others


def _keywords_of_methods() -> dict[str, list[str]]:
    """Return the keywords of all methods by name."""
    import driftproof.energy  # noqa: F401  its methods are known as soon as they are imported
    from driftproof.training._methods.by_name import METHODS

    return {name: one.make.keywords() for name, one in METHODS.items()}  # type: ignore[attr-defined]


@dataclass(kw_only=True)
class MethodOptions:
    """How an update is made.

    Attributes:
        method (METHOD): Training method. Without noise: plain. With noise of the --preset on the weights: rwp,
            two-point-rwp, m-rwp, arwp. Sharpness-aware: sam, multi-step-sam, asam, gsam, looksam. Both: sam-rwp. With
            Gaussian noise that needs no --preset: noise-injection. Energy-based, for Hopfield networks, with the noise
            of a --preset if there is one: p-ep, n-ep, c-ep (equilibrium propagation), p-cpl, n-cpl, c-cpl (coupled
            learning), cl (contrastive learning).
        strength (STRENGTH): Factor on the training noise. It is one of: a number (2); a linear, quadratic or
            cosine ramp, such as quadratic:to=2,start=0.5 (the parameters delay and until are the shares of the training
            at which the ramp begins and ends; the defaults are start=0, delay=0 and until=1); sampled:LOW,HIGH (a new
            value at every update); adaptive:to=2 (grows to 2 while the gradient does not collapse); auto (the best of
            several short trainings). Default: 1.
        schedule (SHAPE): Shape in which ρ, or a --strength that is not written as a ramp itself (auto, the default, a
            number), grows from 0 to its value: linear, quadratic or cosine. A ramp of the strength is better written as
            --strength quadratic:to=2. Default: linear for multi-step-sam, constant for other methods.
        rho (RHO): Radius ρ of the ascent of sharpness-aware methods, a number. Default: 0.5 for asam, 0.05 for other
            methods (multi-step-sam ramps to it).
        norms (PASS): Which forward pass updates the BatchNorm statistics: perturbed (with noise) or clean (without).
            recalibrate: no pass does; they are re-estimated after every epoch. frozen: they are never changed, as
            always in energy-based methods. Default: perturbed for rwp, two-point-rwp, arwp and noise-injection, frozen
            for p-ep, n-ep, c-ep, p-cpl, n-cpl, c-cpl and cl, clean for other methods.
        clip_weights (SIGMAS): Clip analog weights after every update to this number of standard deviations, such as
            2.5. Default: 2 for noise-injection, no clipping for other methods.
        clip_per: Weights whose standard deviation --clip-weights uses: those of a column or of a layer. Default: layer
            for noise-injection, column for other methods.
        diagnose_every (UPDATES): Number of updates between diagnostics, each of which costs an additional pass; 0 for
            no diagnostics.
        beta (BETA): Strength β with which energy-based methods, except cl, pull the output to its target, above 0; or
            share β of the past gradients that arwp keeps. Default: 0.25, but 0.99 for arwp.
        perturbed_iterations (N): Iterations of a perturbed phase of energy-based methods. The length of the free phase
            is that of the network. Default: 15.
        start: State from which the free phase of energy-based methods starts: previous (where the batch before ended)
            or zero. Default: previous.
    """

    panel: ClassVar[str] = METHOD_PANEL
    method: str = METHOD
    strength: str | None = None
    schedule: str | None = None
    rho: float | None = None
    norms: str | None = None
    clip_weights: float | None = None
    clip_per: str | None = None
    diagnose_every: int = DIAGNOSE_EVERY
    beta: float | None = None
    perturbed_iterations: int | None = None
    start: str | None = None

    def make(self, noise: Any, strength: str | float | None, on_tiles: MappingOptions, seed: int) -> Any:
        """Return a new method. A strength that is a number is the end of the --schedule.

        Args:
            noise: Noise of the device; None without a device.
            strength: Strength of the noise; None for that of the method.
            on_tiles: Which weights are analog.
            seed: Seed of the noise.
        """
        from driftproof.training import ClipWeights
        from driftproof.training._methods.by_name import make_method

        options: dict[str, Any] = {} if self.norms is None else {"norms": self.norms}
        if self.clip_weights is not None:
            per = self.clip_per or ("layer" if self.method == "noise-injection" else "column")
            options["clip"] = ClipWeights(sigmas=self.clip_weights, per=per)  # type: ignore[arg-type]
        if self.method != "plain":
            options["diagnose_every"] = self.diagnose_every
        if "noise" in _keywords_of_methods()[self.method]:
            options["noise"] = noise
        options |= {name: value for name in OF_SOME_METHODS if (value := getattr(self, name)) is not None}
        return make_method(self.method, **self._scheduled(strength), on_tiles=on_tiles, seed=seed, **options)

    def _scheduled(self, strength: str | float | None) -> dict[str, Any]:
        """Return strength and ρ; the one that --schedule applies to as a schedule."""
        from driftproof.training._methods.by_name import default_of, named_method
        from driftproof.training._schedules import Constant, as_schedule, ramp

        given: dict[str, Any] = {"strength": None if strength is None else as_schedule(strength), "rho": self.rho}
        if self.schedule is not None:
            ramped = "strength" if named_method(self.method).strength else "rho"
            end = as_schedule(given[ramped]) if given[ramped] is not None else default_of(self.method)
            if given[ramped] is not None and not isinstance(end, Constant):
                raise DriftproofError(f"--schedule {self.schedule} and --{ramped} {end} are two schedules: give one")
            given[ramped] = ramp(self.schedule, to=end.largest)  # type: ignore[arg-type]
        return given

    def check(self, given: Set[str]) -> None:
        """Raise DriftproofError if one of the options given has no effect without another one, or one is missing."""
        from driftproof.training._methods.by_name import named_method

        takes = _keywords_of_methods()
        named, auto, without_preset = named_method(self.method), self.strength == "auto", "preset" not in given
        for name in (*OF_SOME_METHODS, "norms"):
            if getattr(self, name) is not None and name not in takes[self.method]:
                others = ", ".join(method for method, known in takes.items() if name in known)
                raise DriftproofError(f"--{name.replace('_', '-')}: method {self.method} takes none; {others} do")
        if named.needs_noise and without_preset:
            raise DriftproofError(
                f"--method {self.method} trains with a device's noise: name the device with --preset DEVICE"
            )
        if auto and not (named.noise and "preset" in given):
            raise DriftproofError(f"--strength auto scales a device's noise, but --method {self.method} draws none")
        validated = {"validation_data", "validation_share"}
        any_validation = {"validation_limit", "metric"}
        on_chips = {field.name for field in fields(ValidationOptions)} - validated - any_validation
        asked = bool(validated & given) or not without_preset
        for names, idle, reason in (
            ({"time"}, without_preset, "is the time of a device: name the device with --preset"),
            (on_chips, without_preset, "belongs to the validation on chips: name their device with --preset"),
            (any_validation, not asked, NO_VALIDATION),
            ({"clip_per"}, self.clip_weights is None, "belongs to weight clipping: give the limit with --clip-weights"),
            ({"auto_epochs"}, not auto, "belongs to --strength auto"),
            ({"diagnose_every"}, self.method == "plain", "examines the training noise; plain has none"),
            (
                {"diagnose_every"},
                "start" in takes[self.method],
                f"examines gradients of a loss; {self.method} has none",
            ),
            ({"schedule"}, not (named.strength or named.rho), f"scales a perturbation; {self.method} has none"),
        ):
            if idle and names & given:
                raise DriftproofError(f"--{FLAGS.get(first := min(names & given), first).replace('_', '-')} {reason}")


@dataclass(kw_only=True)
class SettingsOptions:
    """The training, apart from its method.

    Attributes:
        distil (SHARE): Share of the loss, between 0 and 1, that compares the outputs with those of the network before
            this training (distillation). Default: no distillation.
        epochs: Number of passes through the data.
        batch_size (N): Number of samples per update. Default: that of the DataLoader if --data FILE.py:FUNCTION returns
            one, else 128.
        micro_batches: Number of parts into which the samples of an update are divided. Each part has noise of its own;
            the gradients are averaged.
        lr (LR): Largest learning rate, reached after a linear warm-up: a number, or one for each layer from the input
            on, separated by commas.
        lr_schedule (SCHEDULE): Learning rate after the warm-up: cosine (to zero), constant, or exponential:FACTOR,
            which multiplies by a factor after every epoch, such as exponential:0.99.
        warm_up (SHARE): Share of the updates in which the learning rate rises.
        optimizer: Optimizer: sgd (momentum 0.9, Nesterov), momentum (0.9, classical), plain-sgd (no momentum) or adamw.
        weight_decay: Weight decay of all parameters.
        loss (LOSS): Loss: cross-entropy, binary (one logit for yes or no), mse, squared-error (half the sum over
            outputs of squared differences from one-hot targets), or causal (next-token cross-entropy of a language
            model). Default: squared-error for Hopfield networks, cross-entropy for others.
        clip_norm (NORM): Largest norm of the gradient; a larger gradient is scaled down to it. Default: no limit.
        precision: Number format of multiplications: float32, bfloat16 or float16. Weights stay float32.
        augment: Augmentation of images: none, crop-flip (shifts by up to 4 pixels, mirror images), crop, or another
            number of pixels as in crop-flip:2.
        auto_epochs (N): Number of epochs of each short training of --strength auto. Default: a fifth of --epochs.
        device: Processor that runs the simulation (not the memory device; see --preset): cpu or cuda.
        seed: Seed of initial weights, order of the samples, augmentation and noise.
    """

    panel: ClassVar[str] = TRAINING
    distil: float | None = None
    epochs: int = EPOCHS
    batch_size: int | None = None
    micro_batches: int = MICRO_BATCHES
    lr: str = str(LEARNING_RATE)
    lr_schedule: str = LR_SCHEDULE
    warm_up: float = WARM_UP
    optimizer: str = OPTIMIZER
    weight_decay: float = WEIGHT_DECAY
    loss: str | None = None
    clip_norm: float | None = None
    precision: str = PRECISION
    augment: str = "none"
    auto_epochs: int | None = None
    device: Annotated[str, typer.Option(rich_help_panel=COMPUTATION)] = TORCH_DEVICE
    seed: int = SEED

    def settings(self, *, trial: bool = False) -> Settings:
        """Return the options as one object, for the training or for a short trial of ``--strength auto``."""
        from driftproof.training import Distillation
        from driftproof.training._settings import Settings

        same = {field.name for field in fields(Settings)} & vars(self).keys()
        made: dict[str, Any] = {name: getattr(self, name) for name in same}
        if trial:
            made["epochs"] = max(1, self.epochs // 5) if self.auto_epochs is None else self.auto_epochs
        distil = None if self.distil is None else Distillation(weight=self.distil)
        return Settings(**made | {"lr": _rates(self.lr), "distil": distil, "torch_device": self.device})


def _rates(text: str) -> float | tuple[float, ...]:
    """Return the learning rates of ``--lr``.

    >>> _rates("0.01"), _rates("0.2,0.1")
    (0.01, (0.2, 0.1))
    """
    try:
        rates = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise DriftproofError(
            f"--lr {text!r}: wanted a number, or one for each layer separated by commas, such as 0.05,0.03"
        ) from None
    return rates if len(rates) > 1 else rates[0]


@dataclass(kw_only=True)
class ValidationOptions:
    """The validation after every epoch, which decides which epoch is the best one.

    Attributes:
        validation_data (DATA): Samples to validate on after every epoch, in the forms of --data; use no test data.
            Without a --preset, the digital network is validated. Default: --validation-share of --data.
        validation_share (SHARE): Random share of --data that is validated on and not trained on, between 0 and 1.
            Without a --preset, the digital network is validated. Default: 0.1 with a --preset, else no validation.
        validation_limit (N): Number of samples to validate on, from the start of the data. Default: all samples.
        validation_chips: Number of chips of the --preset to validate on.
        metric (METRIC): Metric: accuracy, top5, token-accuracy, f1, perplexity, mse, or FILE.py:FUNCTION, a function of
            (outputs, targets) that returns a number.
        changes (KEY=VALUE): Change one number of the --preset, such as drift.t0_s=30, for the noise and the validation.
            The keys are those that `driftproof presets show NAME` prints. Repeat the option to change several numbers.
        compensation (KIND): Drift compensation of the chips, in the noise and in the validation, in the forms of
            `driftproof evaluate`: none, tile, column or exact, with parameters after a colon.
        read_outs (TIMES): How long read-outs of the validated chips take, and how long lies between calibration and
            use, in the form of `driftproof evaluate`. The training noise is one read-out. Default:
            duration_s=1s,pause_s=1h,fast=read-out.
        periphery (PERIPHERY): DAC, ADC and noise of the arrays of the validated chips: ideal, standard or FILE.toml.
            The best epoch is then that with the best metric behind these converters. Updates do not simulate them:
            the training noise is that of the weights.
        calibration_data (DATA): Inputs on which static input ranges of the --periphery are measured after every epoch,
            in the forms of --data. Default: the first 500 inputs that are validated on.
    """

    panel: ClassVar[str] = VALIDATION
    validation_data: str | None = None
    validation_share: float | None = None
    validation_limit: int | None = None
    validation_chips: int = VALIDATION_CHIPS
    metric: str = METRIC
    changes: Changes = None
    compensation: str = COMPENSATION
    read_outs: str | None = None
    periphery: str = PERIPHERY
    calibration_data: str | None = None

    def on_chips(
        self, preset: str, time: str | None, samples: Data, tiles: TileOptions
    ) -> tuple[Noise, ChipValidation, Data, str]:
        """Return a device's noise, the validation on its chips, the samples to train on, and the validation in words.

        Chips are validated at ``time``, at both ends of a range of times, or at the device's first valid time.
        """
        from driftproof._device_choice import load_device
        from driftproof._presets import at_time, parse_changes
        from driftproof.data._specs import load_inputs
        from driftproof.plans import ChipValidation
        from driftproof.training._noise import as_noise

        device = load_device(preset, parse_changes(self.changes or []))
        if device.chips is not None:
            raise DriftproofError(
                "--preset measured: the network would learn these few chips by heart; fit a preset to them "
                "(driftproof presets fit)"
            )
        if time is None and device.changes_in_time:
            raise DriftproofError(f"--preset {preset}: this device changes in time; add --time, such as 1d or 1h..1y")
        noise = as_noise(device if time is None else at_time(device, time, compensation=self.compensation))
        held, samples = self._held(samples)
        validation = ChipValidation(
            data=held,
            preset=device,
            times=[device.validity.t_s[0]] if time is None else time.split(".."),
            chips=self.validation_chips,
            metric=self.metric,
            compensation=self.compensation,
            read_outs=self.read_outs,
            periphery=self.periphery,
            calibration=None if self.calibration_data is None else load_inputs(self.calibration_data),
            mapping=tiles.options(),
            batch_size=BATCH_SIZE,
            within_validity=tiles.within_validity,
        )
        when = "" if time is None else f" at {time}"
        where = f"{self.validation_chips} chips of {device.name}{when}, {len(held)} samples of {held.name}"
        return noise, validation, samples, where

    def digital(self, samples: Data) -> tuple[DigitalValidation | None, Data, str]:
        """Return the validation of the digital network (None if not asked for), the samples to train on, and words."""
        from driftproof.plans._digital_validation import DigitalValidation

        if self.validation_data is None and self.validation_share is None:
            return None, samples, ""
        held, samples = self._held(samples)
        return DigitalValidation(data=held, metric=self.metric), samples, f"{len(held)} samples of {held.name}"

    def _held(self, samples: Data) -> tuple[Data, Data]:
        """Return the samples to validate on and those to train on."""
        from driftproof.data import load_data
        from driftproof.data._parts import held_out

        if self.validation_data is None:
            share = HELD_OUT if self.validation_share is None else self.validation_share
            if not 0 < share < 1:
                raise DriftproofError(f"--validation-share {share:g}: wanted a share between 0 and 1")
            held, samples = held_out(samples, share)
        elif self.validation_share is not None:
            raise DriftproofError("--validation-data and --validation-share both say what is validated on: give one")
        else:
            held = load_data(self.validation_data)
        return held if self.validation_limit is None else held.head(self.validation_limit), samples
