"""The evaluator: a network, data and a metric; every trial gives an outcome."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from driftproof.data import Data, as_data, hold
from driftproof.defaults import BACKEND, BATCH_SIZE, METRIC, RANGE_SAMPLES, TORCH_DEVICE
from driftproof.errors import warn
from driftproof.evaluation.backends import check_backend, compiled_tile_warning
from driftproof.evaluation.checks import check_numbers, check_seed, check_torch_device
from driftproof.evaluation.deployment import Deployment
from driftproof.evaluation.hardware import Hardware, check_device
from driftproof.evaluation.metrics import Function, Metric, as_metric
from driftproof.evaluation.recalibration import check_recalibration
from driftproof.evaluation.score import Score, score
from driftproof.evaluation.trial import Trial
from driftproof.inputs import Inputs, call, to_device
from driftproof.keywords import ChecksKeywords
from driftproof.mapping import Mapping, MappingOptions, plain_copy, unasked_text, unwrap
from driftproof.numerics import VERSION
from driftproof.provenance import model_hash
from driftproof.record import Outcome, Subject, as_samples

EXAMPLES = 8
"""Samples that the network is watched on, to see what it multiplies by which weight."""
HARDWARE_KEPT = 4
"""How many mappings and peripheries stay ready; each holds a copy of the network."""


class Evaluator(ChecksKeywords):
    """Measures a network on data: ``outcome = evaluator(trial)``. It reads and writes no files and shows no progress.

    Args:
        network: a trained network; it is not changed.
        data: :class:`driftproof.data.Data`, or what :func:`driftproof.evaluate` takes.
        metric: what is measured.
        backend: ``folded`` (fast) or ``tiles`` (aihwkit's tiles, the reference).
        batch_size: samples per forward pass.
        torch_device: ``cpu`` or ``cuda``.
        name: what a record calls the network; the name of its class unless given.

    Attributes:
        network: a plain copy in eval mode.
        data: the samples, in memory if they fit.
        metric: what is measured.

    Raises:
        DriftproofError: an unknown metric, backend or torch device; data that cannot be read.

    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> evaluator = Evaluator(trained_digits_cnn(), digits().head(100))
    >>> outcome = evaluator(Trial(Deployment(device="gaussian:0.1"), chip=0, t_s=1.0))
    >>> outcome.value > 50, len(outcome.per_sample)
    (True, 100)
    """

    def __init__(
        self,
        network: nn.Module,
        data: Data | object,
        metric: str | Metric | Function = METRIC,
        *,
        backend: str = BACKEND,
        batch_size: int = BATCH_SIZE,
        torch_device: str = TORCH_DEVICE,
        name: str = "",
    ) -> None:
        self.metric, self.backend = as_metric(metric), check_backend(backend)
        check_numbers(batch_size=batch_size)
        self.batch_size, self.torch_device = batch_size, check_torch_device(torch_device)
        self.data = hold(as_data(data))
        self.network = plain_copy(network).to(self.torch_device)
        self.name = name or type(unwrap(network)).__name__
        self._example: Inputs = self._first(self.data)
        self._mappings: dict[MappingOptions, Mapping] = {}
        self._hardware: OrderedDict[tuple[Any, ...], Hardware] = OrderedDict()
        self._calibration: Data | None = None
        if self.backend == "tiles" and (text := compiled_tile_warning()):
            warn(text)

    def __getstate__(self) -> dict[str, Any]:
        """Travel to other processes without what was made ready here."""
        return self.__dict__ | {"_mappings": {}, "_hardware": OrderedDict()}

    def on(self, data: Data | object) -> Evaluator:
        """Return an evaluator of the same network and metric on other data.

        >>> from driftproof.data import digits
        >>> from driftproof.zoo import trained_digits_cnn
        >>> len(Evaluator(trained_digits_cnn(), digits()).on(digits().head(10)).data)
        10
        """
        return Evaluator(
            self.network,
            data,
            self.metric,
            backend=self.backend,
            batch_size=self.batch_size,
            torch_device=str(self.torch_device),
            name=self.name,
        )

    def __call__(self, trial: Trial, samples: Iterable[int] | None = None) -> Outcome:
        """Measure one trial.

        Args:
            trial: what to measure; no trial depends on another.
            samples: numbers of the samples to measure it on, or a mask; all unless given. A sample has the same outcome
                in any subset, but for the rounding of another batch.

        Raises:
            DriftproofError: a device that does not fit the network; a network that fails; outputs that are not finite.
        """
        start = time.perf_counter()
        chosen = as_samples(samples, len(self.data))
        diagnostics: dict[str, Any] = {}
        if trial.deployment is None:
            found, valid = self._score(self._digital, chosen, str(trial)), True
        else:
            hardware = self._ready(trial.deployment)
            network = hardware.become(trial)
            found = self._score(network, chosen, str(trial))
            diagnostics, valid = hardware.diagnostics(), trial.deployment.device.in_validity(trial.t_s)
        return Outcome(
            value=found.value,
            total=len(self.data),
            samples=chosen,
            per_sample=found.per_sample,
            diagnostics=diagnostics,
            seconds=time.perf_counter() - start,
            in_validity=valid,
        )

    @property
    def subject(self) -> Subject:
        """What a record of this evaluator's outcomes is about."""
        return Subject(
            model=self.name,
            model_hash=model_hash(self.network),
            data=self.data.name,
            data_hash=self.data.fingerprint(),
            n_samples=len(self.data),
            metric=self.metric.name,
            own_metric=self.metric.own,
            numerics=VERSION,
        )

    def mapping(self, options: MappingOptions) -> Mapping:
        """Return how the network lies on tiles under some options."""
        if options not in self._mappings:
            self._mappings[options] = mapping = options.map(self.network, self._example)
            if text := unasked_text(mapping):
                warn(text)
        return self._mappings[options]

    def calibrated(self, deployment: Deployment) -> Deployment:
        """Return a deployment whose static input ranges, if it has such, have inputs to be measured on.

        Without calibration data they are the first 500 of this evaluator's data, with a warning.
        """
        if not deployment.wants_calibration:
            return deployment
        if self._calibration is None:
            self._calibration = self.data.head(min(RANGE_SAMPLES, len(self.data)))
            warn(
                f"static input ranges are measured on the first {len(self._calibration)} of the inputs that are "
                "reported on (their targets are not looked at); give others, such as training images, with "
                "calibration=DATA or --calibration-data"
            )
        return deployment.with_changes(calibration=self._calibration)

    def check(self, deployment: Deployment, chips: int = 1) -> None:
        """See that a deployment is possible, before anything is computed or written.

        Args:
            deployment: what trials will be of.
            chips: how many of its chips will be wanted.

        Raises:
            DriftproofError: a seed below 0, which belongs to trainings and validations; a device that does not fit the
                layers, or has fewer measured chips; a network without
                BatchNorm that is to be recalibrated, or that does not take the inputs for it.
        """
        check_seed(deployment.seed)
        check_device(deployment, self.mapping(deployment.mapping), chips)
        if deployment.recalibration is not None:
            check_recalibration(deployment.recalibration, self.network, self.data)

    def _ready(self, deployment: Deployment) -> Hardware:
        deployment = self.calibrated(deployment)
        mapping = self.mapping(deployment.mapping)
        recalibrated = deployment.recalibration is not None
        held = None if deployment.calibration is None else deployment.calibration.fingerprint()
        key = (deployment.mapping, deployment.periphery.sha256, held, recalibrated)
        hardware = self._hardware.get(key)
        if hardware is None:
            while len(self._hardware) >= HARDWARE_KEPT:
                self._hardware.popitem(last=False)
            hardware = self._hardware[key] = Hardware(
                self.network, mapping, self._example, self.backend, deployment, self.batch_size, self.torch_device
            )
        self._hardware.move_to_end(key)
        return hardware

    @torch.inference_mode()
    def _digital(self, inputs: Inputs, _: Sequence[int]) -> Any:
        return call(self.network, inputs)

    def _score(self, network: Any, chosen: Any, what: str) -> Score:
        data = self.data if chosen is None else self.data.take(chosen.tolist())
        numbers = None if chosen is None else chosen.tolist()
        return score(self.metric, network, data, self.batch_size, self.torch_device, what, numbers)

    def _first(self, data: Data) -> Inputs:
        return to_device(next(iter(data.batches(min(EXAMPLES, len(data)))))[0], self.torch_device)


def layer_rows(mapping: Mapping) -> list[dict[str, Any]]:
    """Return the entries of a mapping's layers as a record holds them."""
    return [asdict(entry) | {"name": entry.name or "(root)"} for entry in mapping.layers]
