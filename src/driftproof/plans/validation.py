"""How good a network is on chips, as one number: what a training asks after every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from driftproof.compensation import Compensation
from driftproof.data import Data, as_data, hold
from driftproof.defaults import BATCH_SIZE, COMPENSATION, METRIC, SEED, VALIDATION_CHIPS
from driftproof.devices import Device
from driftproof.errors import DriftproofError
from driftproof.evaluation import Deployment, Evaluator, Function, Metric, Plan, Trial, as_metric, ask, run
from driftproof.evaluation.checks import check_seed, check_validity
from driftproof.keywords import ChecksKeywords
from driftproof.mapping import MappingOptions, unasked_text
from driftproof.times import parse_times
from driftproof.training.said_once import not_again

FIRST_SEED = -(1 << 62)
"""Seeds of evaluations are 0 and above, those of training noise just below 0: no chip of theirs is validated on."""


@dataclass(kw_only=True)
class ChipValidation(ChecksKeywords):
    """The mean metric over a few chips and times, always the same ones; chips that no evaluation reports on.

    It warns once of weights that stay digital unasked, however often it is called.

    Attributes:
        data: samples to validate on: neither trained nor reported on.
        preset: the device.
        times: after programming; the mean over them counts.
        chips: how many.
        metric: as of an evaluation.
        compensation: of the drift.
        mapping: which layers are on tiles, and how.
        seed: of the chips, which are other ones than an evaluation or a training has under this seed.
        batch_size: samples per forward pass.
        within_validity: refuse times outside the device's range of validity.

    Raises:
        DriftproofError: no chip; a seed, data, times or a metric that cannot be; measured chips, of which there are no
            others to report on.

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
    mapping: MappingOptions = field(default_factory=MappingOptions)
    seed: int = SEED
    batch_size: int = BATCH_SIZE
    within_validity: bool = False

    def __post_init__(self) -> None:
        """Read the data, and see that all of it is possible."""
        if self.chips < 1:
            raise DriftproofError(f"validation on {self.chips} chips: wanted at least 1")
        check_seed(self.seed, below=-FIRST_SEED)
        self.data = hold(as_data(self.data))
        self.times_s = parse_times(self.times)
        self._said: set[str] = set()
        self.measured = as_metric(self.metric)
        self.deployment = Deployment(
            device=self.preset, mapping=self.mapping, compensation=self.compensation, seed=FIRST_SEED - 1 - self.seed
        )
        if self.deployment.device.chips is not None:
            raise DriftproofError(
                f"validation on {self.deployment.device.name}: measured chips have no others of their kind, so these "
                "are the ones that an evaluation reports on; validate on a preset, such as one fitted to measurements"
            )
        if self.within_validity:
            check_validity([self.deployment.device], self.times_s)

    @property
    def higher_is_better(self) -> bool:
        """Whether more of the metric is better."""
        return self.measured.quantity.sign > 0

    def __call__(self, model: nn.Module) -> float:
        """Return the mean over chips and times."""
        values = self.each(model)
        return sum(values) / len(values)

    def each(self, model: nn.Module) -> list[float]:
        """Return the metric of every chip at every time."""
        where = next(model.parameters()).device.type
        evaluator = Evaluator(model, self.data, self.measured, batch_size=self.batch_size, torch_device=where)
        with not_again(self._said):
            self._said.add(unasked_text(evaluator.mapping(self.mapping)))
            return run(self._plan(), evaluator, progress=False)

    def _plan(self) -> Plan[list[float]]:
        outcomes = yield ask(Trial(self.deployment, chip, t_s) for chip in range(self.chips) for t_s in self.times_s)
        return [outcome.value for outcome in outcomes]

    def __str__(self) -> str:
        return f"{self.deployment.device.name}, {self.chips} chips"

    def describe(self) -> dict[str, str]:
        """Return all that the number depends on, as text: two validations of one description can be compared."""
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
            "tiles": f"{tile.rows}x{tile.columns}, weights relative to the {mapping.scale}, clip {mapping.clip}",
            "analog layers": ", ".join(layers),
        }
