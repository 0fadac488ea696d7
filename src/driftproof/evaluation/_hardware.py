"""A network on hardware: a backend that becomes one trial after another, and the chip that was programmed last."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from torch import Tensor

from driftproof._batch_norm import batch_norms
from driftproof._chip import Chip, Programmer
from driftproof._errors import DriftproofError, did_you_mean
from driftproof._own_measures import clear_diagnostics, diagnostics_of
from driftproof._random_state import random_state_kept
from driftproof.arrays import input_ranges
from driftproof.evaluation._backends import Backend, TilesNetwork
from driftproof.evaluation._deployment import Deployment
from driftproof.evaluation._folded import FoldedNetwork
from driftproof.evaluation._many_chips import ManyChips, many_chips
from driftproof.evaluation._recalibration import inputs_of
from driftproof.evaluation._trial import Trial

if TYPE_CHECKING:
    from driftproof.evaluation._evaluator import Evaluator


class Hardware:
    """A network under one mapping and one periphery, with BatchNorm either fixed or re-estimated on chips.

    A trial gives the same numbers whatever was loaded before it. A chip is kept for further trials of the same chip
    only, and BatchNorm statistics only where the trial would estimate the same ones.

    Args:
        evaluator: The evaluator, for its network, backend, batch size and torch device.
        deployment: A deployment with this mapping, periphery, calibration and kind of recalibration. Device,
            compensation, read-outs and seed may be others in each trial.
    """

    def __init__(self, evaluator: Evaluator, deployment: Deployment) -> None:
        network, periphery, held = evaluator.network, deployment.periphery, deployment.calibration
        self.mapping = mapping = evaluator.mapping(deployment.mapping)
        if deployment.recalibration is not None and not batch_norms(network):
            raise DriftproofError("recalibrate: the network has no BatchNorm that keeps statistics; leave it out")
        self._inputs = partial(inputs_of, batch_size=evaluator.batch_size, torch_device=evaluator.torch_device)
        # without data, ranges are given or dynamic
        ranges = input_ranges(network, mapping, periphery, () if held is None else self._inputs(held)) or None
        # a norm whose statistics change cannot fold into the layer before it
        fold = deployment.recalibration is None
        if evaluator.backend == "tiles":
            self.network: Backend = TilesNetwork(network, mapping, periphery, ranges)
        else:
            self.network = FoldedNetwork(
                network,
                mapping,
                evaluator.example,
                fold=fold,
                periphery=periphery,
                ranges=ranges,
                behaviour=evaluator.behaviour,
            )
        self._many = partial(
            many_chips, self.network, evaluator.behaviour, evaluator.example, batch_size=evaluator.batch_size
        )
        # statistics that the norms return to when all layers are digital
        self._trained = [] if fold else [(b, b.clone()) for n in batch_norms(self.network.model) for b in n.buffers()]
        self._programmer = Programmer()
        self._chip: Chip | None = None
        self._chip_key: tuple[Any, ...] | None = None
        self._norms_key: tuple[Any, ...] | None = None
        self._checked: set[str] = set()

    @cached_property
    def many(self) -> ManyChips | None:
        """The network with the weights of several trials, or None if trials are computed one at a time."""
        with random_state_kept():
            return None if self._trained else self._many()

    def become(self, trial: Trial) -> Backend:
        """Become a trial's chip at its time, with its BatchNorm statistics, and return the network.

        Raises:
            DriftproofError: A digital layer of the trial is not on tiles.
        """
        deployment, digital = trial.deployment, trial.digital
        assert deployment is not None
        if unknown := sorted(digital - self.mapping.weights.keys()):
            raise DriftproofError(
                f"no layer {unknown[0]!r} is on tiles{did_you_mean(unknown[0], self.mapping.weights)}; there are "
                f"{', '.join(name or '(root)' for name in self.mapping.weights)}"
            )
        if digital >= self.mapping.weights.keys():  # then no layer is on the chip
            self.network.load_exact()
            clear_diagnostics(self.network.model)
            self._norms_key = None
            for buffer, trained in self._trained:
                buffer.copy_(trained)
            return self.network
        chip, recalibration = self._programmed(deployment, trial.chip), deployment.recalibration
        if recalibration is not None and recalibration.when == "programming":
            key = (self._chip_key, digital, tuple(recalibration.definition().values()))
            if key != self._norms_key:
                self.network.load(chip, deployment.device.validity.t_s[0], digital, to_calibrate=True)
                self.network.recalibrate(self._inputs(recalibration.data))
                self._norms_key = key
        if recalibration is not None and recalibration.when == "time":
            self._norms_key = None
            self.network.load(chip, trial.t_s, digital, to_calibrate=True)
            self.network.recalibrate(self._inputs(recalibration.data))
            self.network.clear_counts()
        self.network.load(chip, trial.t_s, digital)
        clear_diagnostics(self.network.model)
        return self.network

    def diagnostics(self) -> dict[str, Any]:
        """Return diagnostics of the trial that was loaded last: name → number, or name → layer on tiles → number.

        ``compensation_factor`` is the mean α. ``saturated_inputs`` and ``saturated_outputs`` are the shares of a
        layer's DAC and ADC conversions that were clipped since the trial was loaded. A network that measures itself
        adds numbers about all of it.
        """
        numbers: dict[str, dict[str, float]] = {}
        for name, alpha in self.network.alphas.items():
            numbers.setdefault("compensation_factor", {})[name or "(root)"] = round(float(alpha.mean()), 6)
        for name, shares in self.network.diagnostics().items():
            for kind, share in shares.items():
                numbers.setdefault(kind, {})[name or "(root)"] = share
        return numbers | diagnostics_of(self.network.model, self._weight_of)

    def _weight_of(self, layer: str) -> Tensor | None:
        array = self.network.arrays.get(layer)
        return None if array is None or array.reading is None else array.weight

    def _programmed(self, deployment: Deployment, number: int) -> Chip:
        """Return a chip. Only the last one is kept, and the next one is programmed into its memory.

        Raises:
            DriftproofError: The device declares programming noise, but all weights of the largest layer are exact.
        """
        device = deployment.device
        key = (device.sha256, str(deployment.compensation), deployment.read_outs, deployment.seed, number)
        if self._chip is None or key != self._chip_key:
            self._chip = self._chip_key = self._norms_key = None
            self._chip = self._programmer.program(
                self.mapping,
                device,
                seed=deployment.seed,
                chip=number,
                compensation=deployment.compensation,
                read_outs=deployment.read_outs,
            )
            self._chip_key = key
            if device.sha256 not in self._checked:
                max(self._chip.arrays.values(), key=lambda array: array.target.numel()).check_perturbed()
                self._checked.add(device.sha256)
        return self._chip
