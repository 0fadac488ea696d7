"""Validation on chips: one number that a training computes after every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from driftproof._compensation import Compensation
from driftproof._defaults import BATCH_SIZE, COMPENSATION, METRIC, PERIPHERY, RANGE_SAMPLES, SEED, VALIDATION_CHIPS
from driftproof._devices import Device, ReadOuts
from driftproof._errors import DriftproofError
from driftproof._keywords import ChecksKeywords
from driftproof._mapping import MappingOptions, unasked_text
from driftproof._random_state import random_state_kept
from driftproof.data import Data
from driftproof.data._adapters import as_data
from driftproof.data._batched import hold
from driftproof.evaluation import Deployment, Evaluator, Metric, Trial, ask, run
from driftproof.evaluation._checks import check_seed, check_validity
from driftproof.evaluation._executor import Plan
from driftproof.evaluation._metrics import Function, as_metric
from driftproof.periphery import Periphery
from driftproof.times import parse_times
from driftproof.training._warned_once import not_again

FIRST_SEED = -(1 << 62)
"""Seeds of evaluations are 0 and above, and those of training noise just below 0. Validation uses neither."""


@dataclass(kw_only=True)
class ChipValidation(ChecksKeywords):
    """The mean metric over a few chips and times. The chips are always the same, and no evaluation reports on them.

    A warning names weights that stay digital although ``where`` does not exclude them. It comes once, however often
    the object is called.

    Attributes:
        data: Samples to validate on. Use others than those of the training and of the report.
        preset: Device of the chips.
        times: Times after the first read (default: ``1d``). The result is the mean over them.
        chips: Number of chips (default: 5).
        metric: Metric, as :func:`driftproof.evaluate` takes it.
        compensation: Drift compensation.
        read_outs: The read-out that measures the compensation, and that of the use, as :func:`driftproof.evaluate`
            takes them (default: ``duration_s=1,pause_s=3600``).
        periphery: DAC, ADC and noise of the arrays: ``ideal``, ``standard``, a file, or a
            :class:`driftproof.periphery.Periphery` (default: ``ideal``).
        calibration: Inputs on which static input ranges of the periphery are measured, again after every epoch
            (default: the first 500 samples of ``data``).
        mapping: Which layers are on tiles, the size of the tiles, and the scale of the weights.
        seed: Seed of the chips. They differ from the chips of an evaluation or a training with the same seed.
        batch_size: Number of samples in a forward pass (default: 250).
        within_validity: Whether to refuse times outside the device's range of validity.

    Raises:
        DriftproofError: There is no chip; the seed, the data, the times or the metric are impossible; the device has
            measured chips, which an evaluation would report on.

    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> validate = ChipValidation(data=digits().head(100), preset="pcm-nandakumar-2019", times=["1y"], chips=2)
    >>> 50 < validate(trained_digits_cnn()) <= 100
    True
    """

    data: Data | Any
    preset: Device | str
    times: str | Sequence[str | float] = ("1d",)
    chips: int = VALIDATION_CHIPS
    metric: str | Metric | Function = METRIC
    compensation: str | Compensation = COMPENSATION
    read_outs: str | ReadOuts | None = None
    periphery: Periphery | str | Path = PERIPHERY
    calibration: Data | Any = None
    mapping: MappingOptions = field(default_factory=MappingOptions)
    seed: int = SEED
    batch_size: int = BATCH_SIZE
    within_validity: bool = False

    def __post_init__(self) -> None:
        """Read the data and check the other values."""
        if self.chips < 1:
            raise DriftproofError(f"validation on {self.chips} chips: wanted at least 1")
        check_seed(self.seed, below=-FIRST_SEED)
        self.data = hold(as_data(self.data))
        self.times_s = parse_times(self.times)
        self._warned: set[str] = set()
        self.measured = as_metric(self.metric)
        deployment = Deployment(
            device=self.preset,
            mapping=self.mapping,
            compensation=self.compensation,
            read_outs=self.read_outs,
            periphery=self.periphery,
            calibration=self.calibration,
            seed=FIRST_SEED - 1 - self.seed,
        )
        if deployment.wants_calibration:
            deployment = deployment.with_changes(calibration=self.data.head(min(RANGE_SAMPLES, len(self.data))))
        self.deployment = deployment
        if self.deployment.device.chips is not None:
            raise DriftproofError(
                f"validation on {self.deployment.device.name}: measured chips have no others of their kind, and "
                "an evaluation reports on these; validate on a preset, such as one fitted to measurements"
            )
        if self.within_validity:
            check_validity([self.deployment.device], self.times_s)

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher metric is better."""
        return self.measured.quantity.sign > 0

    def __call__(self, model: nn.Module) -> float:
        """Return the mean over chips and times."""
        values = self.each(model)
        return sum(values) / len(values)

    @random_state_kept()
    def each(self, model: nn.Module) -> list[float]:
        """Return the metric of every chip at every time."""
        where = next(model.parameters()).device.type
        evaluator = Evaluator(model, self.data, self.measured, batch_size=self.batch_size, torch_device=where)
        if self._warned:  # of clipped values, too, is warned once
            evaluator.be_told_of_saturation(self.deployment)
        with not_again(self._warned):
            self._warned |= {unasked_text(evaluator.mapping(self.mapping)), evaluator.joint_text}
            return run(self._plan(), evaluator, progress=False)

    def _plan(self) -> Plan[list[float]]:
        outcomes = yield ask(Trial(self.deployment, chip, t_s) for chip in range(self.chips) for t_s in self.times_s)
        return [outcome.value for outcome in outcomes]

    def __str__(self) -> str:
        return f"{self.deployment.device.name}, {self.chips} chips"

    def describe(self) -> dict[str, str]:
        """Return everything that the number depends on, as text. Equal descriptions give comparable numbers."""
        device, mapping = self.deployment.device, self.mapping
        tile, where = mapping.tile, mapping.where
        layers = [where] if isinstance(where, str) else ["given in Python"] if callable(where) else where or ["all"]
        return {
            "device": f"{device.name}, {device.sha256[:16]}",
            "times": ", ".join(f"{t_s:g} s" for t_s in self.times_s),
            "chips": f"{self.chips} of seed {self.seed}, apart from those of evaluations",
            "metric": self.measured.name,
            "data": f"{self.data.name}, {len(self.data)} samples, {self.data.fingerprint()}",
            "compensation": str(self.compensation),
            "read-outs": str(self.deployment.read_outs),
            **self._around(),
            "tiles": f"{tile.rows}x{tile.columns}, weights relative to the {mapping.scale}, clip {mapping.clip}",
            "analog layers": ", ".join(layers),
        }

    def _around(self) -> dict[str, str]:
        """Return the periphery as text; nothing for an ideal one, as in trainings before there was a choice."""
        periphery, held = self.deployment.periphery, self.deployment.calibration
        if periphery.is_ideal:
            return {}
        ranges = "" if held is None else f", ranges measured on {len(held)} inputs, {held.fingerprint()}"
        return {"periphery": f"{periphery.name}, {periphery.sha256[:16]}{ranges}"}
