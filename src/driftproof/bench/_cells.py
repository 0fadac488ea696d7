"""Cells of driftproof: each programs a new chip, lets it drift, and evaluates the network on all inputs."""

from __future__ import annotations

import itertools

from driftproof._device_choice import load_device
from driftproof._errors import DriftproofError, did_you_mean
from driftproof.bench._networks import Workload
from driftproof.bench._paired import Step, timed
from driftproof.evaluation import Deployment, Evaluator, Trial
from driftproof.periphery import DynamicRange, Periphery, load_periphery

DEVICE = "pcm-nandakumar-2019"
T_S = 86400.0
"""Time after the first read at which cells read their chips, in s."""
CALIBRATED_ON = 500
"""Number of inputs on which static input ranges are measured, before anything is timed."""
PERIPHERIES = {
    "ideal": "ideal",
    "static": "8 bit, static ranges",
    "noise": "8 bit, static ranges, output noise (`standard`)",
    "dynamic": "8 bit, a range for every vector",
}
"""Names of peripheries on the command line → in the table."""


def periphery_of(name: str) -> Periphery:
    """Return a periphery of the benchmark.

    Raises:
        DriftproofError: There is no such periphery.

    >>> str(periphery_of("dynamic"))
    '8-bit in (dynamic), 8-bit out, full scale 10'
    """
    if name not in PERIPHERIES:
        known = f"there are {', '.join(PERIPHERIES)}"
        raise DriftproofError(f"no periphery {name!r}{did_you_mean(name, PERIPHERIES)}; {known}")
    standard = load_periphery("standard")
    if name == "noise":
        return standard
    if name == "ideal":
        return load_periphery("ideal")
    quiet = standard.with_changes(output_noise=0.0)
    return quiet if name == "static" else quiet.with_changes(input_range=DynamicRange())


class Cells:
    """The cells of a network.

    Args:
        of: The network and its inputs.
    """

    def __init__(self, of: Workload) -> None:
        self._chips = itertools.count()
        self._data = of.inputs, of.targets
        self._evaluator = Evaluator(of.network, self._data, of.metric, batch_size=of.batch_size, name=of.name)

    def step(self, periphery: Periphery, samples: int | None = None) -> Step:
        """Return a step that evaluates the next chip.

        Args:
            periphery: Periphery of the arrays.
            samples: Number of inputs to evaluate on (default: all).
        """
        inputs, targets = self._data
        deployment = Deployment(device=load_device(DEVICE), periphery=periphery)
        if deployment.wants_calibration:
            deployment = deployment.with_changes(calibration=(inputs[:CALIBRATED_ON], targets[:CALIBRATED_ON]))
        chosen = None if samples is None else range(samples)
        return timed(lambda: self._evaluator(Trial(deployment, next(self._chips), T_S), chosen))
