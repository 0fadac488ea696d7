"""A network on hardware: a backend that becomes one trial after another, and the chip that was programmed last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from driftproof.arrays import input_ranges
from driftproof.batch_norm import batch_norms
from driftproof.chip import Chip, Programmer
from driftproof.data import Data
from driftproof.errors import DriftproofError, did_you_mean
from driftproof.evaluation.backends import Backend, BackendName, make_backend
from driftproof.evaluation.deployment import Deployment
from driftproof.evaluation.recalibration import inputs_of
from driftproof.evaluation.trial import Trial
from driftproof.inputs import Inputs
from driftproof.mapping import Mapping


class Hardware:
    """A network under one mapping, one periphery, and with BatchNorm either fixed or re-estimated on chips.

    Whatever was loaded before, a trial gives the same numbers: the chip is kept only for trials of the very same chip,
    BatchNorm statistics only where the trial would have estimated the very same ones.

    Args:
        network: plain, in eval mode, on its torch device; it is not changed.
        mapping: of this network.
        example: a batch of its inputs.
        backend: which one computes.
        deployment: its periphery, calibration and recalibration count; device, compensation and seed are each trial's.
        batch_size: samples of a forward pass, for calibration and recalibration.
        torch_device: where the network is.
    """

    def __init__(
        self,
        network: nn.Module,
        mapping: Mapping,
        example: Inputs,
        backend: BackendName,
        deployment: Deployment,
        batch_size: int,
        torch_device: torch.device,
    ) -> None:
        self.mapping = mapping
        self._batch_size, self._torch_device = batch_size, torch_device
        if deployment.recalibration is not None and not batch_norms(network):
            raise DriftproofError("recalibrate: the network has no BatchNorm that keeps statistics; leave it out")
        periphery, held = deployment.periphery, deployment.calibration
        ranges = None
        if held is not None:
            ranges = input_ranges(network, mapping, periphery, self._inputs(held, min(batch_size, len(held))))
        # a norm whose statistics change cannot fold into the layer before it
        fold = deployment.recalibration is None
        self.network: Backend = make_backend(backend, network, mapping, example, fold, periphery, ranges)
        # what re-estimated statistics are put back to where nothing of a chip is left
        self._trained = [] if fold else [(b, b.clone()) for n in batch_norms(self.network.model) for b in n.buffers()]
        self._programmer = Programmer()
        self._chip: Chip | None = None
        self._chip_key: tuple[Any, ...] | None = None
        self._norms_key: tuple[Any, ...] | None = None
        self._checked: set[str] = set()

    def become(self, trial: Trial) -> Backend:
        """Become a trial's chip at its time, with its BatchNorm statistics, and return the network."""
        deployment = trial.deployment
        assert deployment is not None
        self.check_layers(trial)
        if trial.digital >= self.mapping.weights.keys():
            self.network.load_exact()  # nothing of a chip is left
            self._norms_key = None
            for buffer, trained in self._trained:
                buffer.copy_(trained)
            return self.network
        chip, digital = self._programmed(deployment, trial.chip), trial.digital
        recalibration = deployment.recalibration
        if recalibration is not None and recalibration.when == "programming":
            key = (self._chip_key, digital, tuple(recalibration.definition().values()))
            if key != self._norms_key:
                self.network.load(chip, deployment.device.validity.t_s[0], digital)
                self._recalibrate(recalibration.data)
                self._norms_key = key
        self.network.load(chip, trial.t_s, digital)
        if recalibration is not None and recalibration.when == "time":
            self._norms_key = None
            self._recalibrate(recalibration.data)
            self.network.clear_counts()
        return self.network

    def diagnostics(self) -> dict[str, Any]:
        """Return what is worth knowing of the trial that was loaded last, by name, one number per layer on tiles.

        ``compensation_factor`` is the mean α; ``saturated_inputs`` and ``saturated_outputs`` are the shares of a
        layer's DAC and ADC conversions, since then, that were clipped.
        """
        found: dict[str, dict[str, float]] = {}
        for name, alpha in self.network.alphas.items():
            found.setdefault("compensation_factor", {})[name or "(root)"] = round(float(alpha.mean()), 6)
        for name, shares in self.network.diagnostics().items():
            for what, share in shares.items():
                found.setdefault(what, {})[name or "(root)"] = share
        return found

    def check_layers(self, trial: Trial) -> None:
        """Raise DriftproofError for a digital layer that is not on tiles."""
        for name in sorted(trial.digital):
            if name not in self.mapping.weights:
                raise DriftproofError(
                    f"no layer {name!r} is on tiles{did_you_mean(name, self.mapping.weights)}; there are "
                    f"{', '.join(name or '(root)' for name in self.mapping.weights)}"
                )

    def _programmed(self, deployment: Deployment, number: int) -> Chip:
        """Return a chip; only the last one is kept, and its memory serves the next."""
        device = deployment.device
        key = (device.sha256, str(deployment.compensation), deployment.seed, number)
        if self._chip is None or key != self._chip_key:
            self._chip = self._chip_key = self._norms_key = None
            self._chip = self._programmer.program(
                self.mapping, device, seed=deployment.seed, chip=number, compensation=deployment.compensation
            )
            self._chip_key = key
            if device.sha256 not in self._checked:
                check_perturbed(self._chip)
                self._checked.add(device.sha256)
        return self._chip

    def _recalibrate(self, data: Data) -> None:
        self.network.recalibrate(inputs_of(data, self._batch_size, self._torch_device))

    def _inputs(self, data: Data, batch_size: int) -> Iterator[Inputs]:
        return inputs_of(data, batch_size, self._torch_device)


def check_device(deployment: Deployment, mapping: Mapping, chips: int = 1) -> None:
    """Raise DriftproofError if a device does not fit the layers on tiles, or has not so many measured chips."""
    device = deployment.device
    device.check_layers(mapping.weights)
    if device.chips is not None and chips > device.chips:
        raise DriftproofError(
            f"device {device.name} has {device.chips} measured chips, wanted are {chips}; ask for fewer "
            "(a search wants chips to choose on, and others to report on)"
        )


def check_perturbed(chip: Chip) -> None:
    """Raise if a device declares programming noise and yet every weight of the largest layer is exact."""
    max(chip.arrays.values(), key=lambda array: array.target.numel()).check_perturbed()
