"""The evaluator: it holds a network, data and a metric, and measures the outcome of every trial."""

from __future__ import annotations

import copy
import time
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from driftproof._behaviour import SAMPLES, Behaviour, observe_first
from driftproof._compensation import late_reference_text
from driftproof._defaults import BACKEND, BATCH_SIZE, METRIC, RANGE_SAMPLES, TORCH_DEVICE
from driftproof._errors import DriftproofError, warn
from driftproof._inputs import Inputs, call_on_copies, to_device
from driftproof._keywords import ChecksKeywords
from driftproof._mapping import Mapping, MappingOptions, map_plain, plain_copy, unasked_text, unwrap
from driftproof._numerics import VERSION
from driftproof._own_measures import clear_diagnostics, diagnostics_of
from driftproof._provenance import model_hash
from driftproof._random_state import random_state_kept
from driftproof._record import Outcome, Samples, Subject, as_samples
from driftproof.data import Data
from driftproof.data._adapters import as_data
from driftproof.data._batched import hold
from driftproof.evaluation._backends import check_backend, warn_of_compiled_tile
from driftproof.evaluation._checks import check_numbers, check_seed, check_torch_device, saturation_text, wafer_texts
from driftproof.evaluation._deployment import Deployment
from driftproof.evaluation._hardware import Hardware
from driftproof.evaluation._metrics import Function, Metric, as_metric
from driftproof.evaluation._recalibration import check_recalibration, warn_of_measured
from driftproof.evaluation._score import Network, Score, score
from driftproof.evaluation._trial import Trial

HARDWARE_KEPT = 4
"""Number of mappings and peripheries that stay ready. Each holds a copy of the network."""


class Evaluator(ChecksKeywords):
    """Measure a network on data: ``outcome = evaluator(trial)``.

    An evaluator reads and writes no files and shows no progress. :func:`driftproof.evaluation.run` does both.

    Args:
        network: A trained network. It is not changed.
        data: :class:`driftproof.data.Data`, or any data that :func:`driftproof.evaluate` takes.
        metric: Name of a metric, a :class:`Metric`, or a function of outputs and targets (default: ``accuracy``).
        backend: ``folded`` (fast) or ``tiles`` (aihwkit's tiles, the reference).
        batch_size: Number of samples in a forward pass (default: 250).
        torch_device: ``cpu`` or ``cuda``.
        name: Name of the network in a record (default: the name of its class).

    Attributes:
        network: A plain copy of the network in eval mode.
        data: The samples, in memory if they fit.
        metric: The metric.
        example: Inputs of the first samples, on the torch device.
        at_once: Number of samples in a forward pass of a trial. It is ``batch_size``, and less where memory was short.
            Recalibration and input ranges always take ``batch_size``, which decides their numbers.

    Raises:
        DriftproofError: The metric, the backend or the torch device is unknown, or the data cannot be read.

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
        with random_state_kept():
            self.network = plain_copy(network).to(self.torch_device)
        self.name = name or type(unwrap(network)).__name__
        self.at_once = batch_size
        self._mappings: dict[MappingOptions, Mapping] = {}
        self._hardware: OrderedDict[tuple[Any, ...], Hardware] = OrderedDict()
        self._saturation_told: set[str] = set()
        self._take(data)
        if self.backend == "tiles":
            warn_of_compiled_tile()

    def _take(self, data: Data | object) -> None:
        with random_state_kept():
            self.data = hold(as_data(data))
            self.example = self._first(SAMPLES)
        self._calibration: Data | None = None
        self._behaviour: Behaviour | None = None
        self._digital_outcome: Outcome | None = None

    def _first(self, number: int) -> Inputs:
        inputs, _ = next(iter(self.data.batches(min(number, len(self.data)))))
        return to_device(inputs, self.torch_device)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copies and other processes, without mappings and hardware."""
        return self.__dict__ | {"_mappings": {}, "_hardware": OrderedDict()}

    def on(self, data: Data | object) -> Evaluator:
        """Return an evaluator of the same network and metric on other data.

        >>> from driftproof.data import digits
        >>> from driftproof.zoo import trained_digits_cnn
        >>> len(Evaluator(trained_digits_cnn(), digits()).on(digits().head(10)).data)
        10
        """
        other = copy.copy(self)
        other._take(data)
        return other

    @property
    def behaviour(self) -> Behaviour:
        """What the network does with the example, found out once, before anything is measured.

        Raises:
            DriftproofError: The network fails on the first samples. It keeps something between calls, or is random.
                Axis 0 of its main output does not count the samples.
        """
        if self._behaviour is None:
            examples = (self._first(number) for number in (SAMPLES, self.batch_size))
            behaviour, self.example = observe_first(self.network, examples)
            behaviour.check_axis()
            self._behaviour = behaviour
            if self.joint_text:
                warn(self.joint_text)
        return self._behaviour

    @property
    def joint_text(self) -> str:
        """What follows if the samples of a batch see each other; empty if they do not."""
        if not self.behaviour.joint:
            return ""
        return (
            "the samples of a batch see each other: the network's outputs for a sample depend on the others in its "
            "batch (or it takes batches of some sizes only). Batches are computed as wholes; all numbers depend on "
            f"batch_size ({self.batch_size}) and on the order of the data"
        )

    @random_state_kept()
    def __call__(self, trial: Trial, samples: Iterable[int] | None = None) -> Outcome:
        """Measure one trial.

        Args:
            trial: The trial. Its outcome does not depend on trials that were measured before.
            samples: Indices of the samples to measure on, or a boolean mask [N] (default: all samples). A sample has
                the same outcome in any subset, up to the rounding of another batch.

        Raises:
            DriftproofError: The device does not fit the network, the network fails, or an output is not finite; some
                samples are asked for, but their outputs depend on the others in their batches.
        """
        start = time.perf_counter()
        chosen, indices, data = self.chosen(samples)
        if trial.deployment is None and chosen is None and self._digital_outcome is not None:
            return self._digital_outcome  # measured together with the margins
        network: Network = self._digital
        clear_diagnostics(self.network)
        hardware = None
        if trial.deployment is not None:
            hardware = self.ready(trial.deployment)
            network = hardware.become(trial).outputs
        measured = score(self.metric, network, data, self.at_once, self.torch_device, str(trial), indices)
        diagnostics = self._measured_itself() if hardware is None else hardware.diagnostics()
        if trial.deployment is not None:
            self.warn_of_saturation(trial.deployment, diagnostics)
        return self.outcome(trial, measured, chosen, diagnostics, time.perf_counter() - start)

    def _measured_itself(self) -> dict[str, Any]:
        """Return what the digital network measured of itself."""
        return dict(diagnostics_of(self.network, lambda _: None))

    def chosen(self, samples: Iterable[int] | None) -> tuple[Samples | None, list[int] | None, Data]:
        """Return the wanted samples as an array and as a list, None for all, and their data."""
        chosen = as_samples(samples, len(self.data))
        if chosen is None:
            return None, None, self.data
        if self.behaviour.joint:
            raise DriftproofError(
                "the samples of a batch see each other, so that some samples have other outputs than they have among "
                "all; measure all samples, or make an evaluator of the wanted ones: evaluator.on(data)"
            )
        indices = chosen.tolist()
        return chosen, indices, self.data.take(indices)

    def outcome(
        self, trial: Trial, measured: Score, chosen: Samples | None, diagnostics: dict[str, Any], seconds: float
    ) -> Outcome:
        """Return the outcome of a trial from its score on the chosen samples."""
        return Outcome(
            value=measured.value,
            total=len(self.data),
            samples=chosen,
            per_sample=measured.per_sample,
            diagnostics=diagnostics,
            seconds=seconds,
            in_validity=trial.deployment is None or trial.deployment.device.in_validity(trial.t_s),
        )

    @random_state_kept()
    def digital_with_margins(self) -> tuple[Outcome, npt.NDArray[np.float64] | None]:
        """Return the outcome of the digital network and the margin of every sample, [N], from one pass over the data.

        The margin says how far a sample is from another entry; it is None for a metric that has none. The outcome is
        kept, and not measured again.
        """
        start, margins = time.perf_counter(), []
        clear_diagnostics(self.network)
        of = self.metric.margin

        def watch(outputs: Any, targets: Tensor) -> None:
            margins.append(of(outputs, targets).double().cpu().numpy())  # type: ignore[misc]  # only where there is one

        value, entries = score(
            self.metric,
            self._digital,
            self.data,
            self.at_once,
            self.torch_device,
            "digital",
            watch=None if of is None else watch,
        )
        seconds = time.perf_counter() - start
        self._digital_outcome = Outcome(
            value=value,
            total=len(self.data),
            per_sample=entries,
            diagnostics=self._measured_itself(),
            seconds=seconds,
        )
        return self._digital_outcome, np.concatenate(margins) if margins else None

    def warn_of_saturation(self, deployment: Deployment, diagnostics: dict[str, Any]) -> None:
        """Warn once for each periphery whose converters clip more than some share of a layer's values."""
        key = deployment.hardware[1]
        if key not in self._saturation_told and (text := saturation_text(deployment.periphery, diagnostics)):
            self._saturation_told.add(key)
            warn(text)

    def be_told(self, deployment: Deployment) -> None:
        """Prepare a deployment that another process has prepared too. What that process warned of is not repeated."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.mapping(self.calibrated(deployment).mapping)
        self.be_told_of_saturation(deployment)

    def be_told_of_saturation(self, deployment: Deployment) -> None:
        """Do not warn of the clipped values of this deployment's periphery any more."""
        self._saturation_told.add(deployment.hardware[1])

    @property
    def subject(self) -> Subject:
        """The subject of a record of this evaluator's outcomes: network, data and metric."""
        return Subject(
            model=self.name,
            model_hash=model_hash(self.network),
            data=self.data.name,
            data_hash=self.data.fingerprint(),
            n_samples=len(self.data),
            metric=self.metric.name,
            own_metric=self.metric.custom_quantity,
            numerics=VERSION,
        )

    def mapping(self, options: MappingOptions) -> Mapping:
        """Return the mapping of the network to tiles under some options."""
        if options not in self._mappings:
            _ = self.behaviour  # what the network does is found out before it is watched
            with random_state_kept():
                self._mappings[options] = mapping = map_plain(self.network, example=self.example, **vars(options))
            if text := unasked_text(mapping):
                warn(text)
        return self._mappings[options]

    def calibrated(self, deployment: Deployment) -> Deployment:
        """Return the deployment with calibration data, if its periphery has static input ranges.

        A deployment without calibration data gets the first 500 samples of this evaluator's data, with a warning.
        """
        if not deployment.wants_calibration:
            return deployment
        if self._calibration is None:
            self._calibration = self.data.head(min(RANGE_SAMPLES, len(self.data)))
            warn(
                f"static input ranges are measured on the first {len(self._calibration)} of the inputs that are "
                "reported on (without their targets); give others, such as training images, with "
                "calibration=DATA or --calibration-data"
            )
        return deployment.with_changes(calibration=self._calibration)

    def check(self, deployment: Deployment, chips: int = 1, times_s: Sequence[float] = ()) -> None:
        """Check that a deployment is possible, before anything is computed or written.

        Args:
            deployment: The deployment of the trials to come.
            chips: Number of chips of these trials.
            times_s: Times of these trials, in s after the first read (default: they are not known).

        Raises:
            DriftproofError: The seed is below 0, which is reserved for trainings and validations; the device does not
                fit the layers, or has fewer measured chips; BatchNorm is to be recalibrated, but the network has none
                or does not take the inputs for it.
        """
        check_seed(deployment.seed)
        device = deployment.device
        device.check_layers(self.mapping(deployment.mapping).weights)
        if device.chips is not None and chips > device.chips:
            raise DriftproofError(
                f"device {device.name} has {device.chips} measured chips, but {chips} are needed; ask for fewer "
                "(a search needs chips to choose on, and other chips to report on)"
            )
        for text in (*wafer_texts(device, chips), late_reference_text(device, deployment.compensation, times_s)):
            if text:
                warn(text)
        if deployment.recalibration is not None:
            check_recalibration(deployment.recalibration, self.network, self.data)
            warn_of_measured(deployment)

    def ready(self, deployment: Deployment) -> Hardware:
        """Return the hardware of a deployment, which becomes one trial after another."""
        deployment = self.calibrated(deployment)
        key = deployment.hardware
        if key not in self._hardware:
            while len(self._hardware) >= HARDWARE_KEPT:
                self._hardware.popitem(last=False)
            self._hardware[key] = Hardware(self, deployment)
        self._hardware.move_to_end(key)
        return self._hardware[key]

    def _digital(self, inputs: Inputs, _: Sequence[int]) -> Any:
        return call_on_copies(self.network, inputs)
