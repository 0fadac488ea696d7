"""The plan of an evaluation: every chip of every deployment at every time, and perfect devices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from driftproof._presets import load_preset
from driftproof.evaluation import Deployment, Metric, Trial, ask
from driftproof.evaluation._executor import Plan
from driftproof.evaluation._trial import NETWORK_ITSELF
from driftproof.plans._perfect import warn_of_differences


def grid(
    deployments: Sequence[Deployment], times_s: Sequence[float], chips: Iterable[int], metric: Metric
) -> Plan[None]:
    """Ask for every cell, chip after chip, so that a stopped run has the same number of chips of every device.

    It warns if perfect devices differ from the digital network.
    """
    perfect = dict.fromkeys(on_perfect_devices(deployment) for deployment in deployments)
    cells = [
        Trial(deployment, chip, t_s)
        for chip in chips
        for deployment in deployments
        if deployment.device.chips is None or chip < deployment.device.chips
        for t_s in times_s
    ]
    outcomes = yield ask([NETWORK_ITSELF, *map(Trial, perfect), *cells])
    warn_of_differences(outcomes[0], zip(perfect, outcomes[1:], strict=False), metric.quantity)


def on_perfect_devices(deployment: Deployment) -> Deployment:
    """Return the deployment with perfect devices. Its errors come from mapping and periphery only."""
    # perfect devices need no compensation and have no read noise, and one seed lets all deployments under the same
    # conditions share the cells
    return deployment.with_changes(device=load_preset("ideal"), compensation="none", read_outs=None, seed=0)
