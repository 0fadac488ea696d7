"""The shared part of sensitivity, causes and the search for digital layers: their record, and values per chip."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from driftproof._mapping import LayerEntry
from driftproof._record import Outcome, Quantity, Record
from driftproof.evaluation import Deployment, Evaluator, Trial, ask
from driftproof.evaluation._executor import Plan
from driftproof.evaluation._identity import preset_entries, show
from driftproof.evaluation._trial import NETWORK_ITSELF
from driftproof.plans._per_chip import PerChip


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The hardware and the time at which a result was measured.

    Attributes:
        device: Name of the preset, mix or measured chips.
        t_s: Time after the first read in s.
        in_validity: Whether the time is in the device's range of validity.
        compensation: Drift compensation, as text.
        read_outs: The read-out that calibrates a chip, and that of its use, as text.
        periphery: Periphery, as text.
        seed: Seed of the device randomness.
    """

    device: str
    t_s: float
    in_validity: bool
    compensation: str
    read_outs: str
    periphery: str
    seed: int


def setting_of(deployment: Deployment, t_s: float) -> Setting:
    """Return the setting of a deployment at a time."""
    return Setting(
        device=deployment.device.name,
        t_s=t_s,
        in_validity=deployment.device.in_validity(t_s),
        compensation=str(deployment.compensation),
        read_outs=str(deployment.read_outs),
        periphery=str(deployment.periphery),
        seed=deployment.seed,
    )


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the results of several questions have in common.

    Attributes:
        setting: Device, time and the rest of the hardware.
        quantity: Quantity of the metric.
        data: Name of the samples.
        n_samples: Number of samples.
        digital: Metric of the digital network.
    """

    setting: Setting
    quantity: Quantity
    data: str
    n_samples: int
    digital: float


def measured(evaluator: Evaluator, deployment: Deployment, t_s: float, digital: float) -> dict[str, Any]:
    """Return the values of :class:`Measured`."""
    data = evaluator.data
    values = {"quantity": evaluator.metric.quantity, "data": data.name, "n_samples": len(data), "digital": digital}
    return {"setting": setting_of(deployment, t_s), **values}


def analog_layers(evaluator: Evaluator, deployment: Deployment) -> dict[str, LayerEntry]:
    """Return name → entry of the layers that can be analog, in the network's order."""
    mapping = evaluator.mapping(deployment.mapping)
    return {entry.name: entry for entry in mapping.layers if entry.analog and entry.name in mapping.weights}


def analog_share(
    evaluator: Evaluator, deployment: Deployment, digital: Collection[str], of: str = "macs_per_input"
) -> float:
    """Return the analog share of the network's products, in percent.

    Args:
        evaluator: Evaluator of the network.
        deployment: Deployment with the mapping.
        digital: Names of the digital layers.
        of: ``macs_per_input`` for the share of multiply-accumulates, ``weights`` for the share of weights. All layers
            that multiply count, including those that cannot be analog. Look-up tables, norms and biases do not count.
    """
    entries = [e for e in evaluator.mapping(deployment.mapping).layers if e.macs_per_input is not None]
    sizes = {entry.name: int(getattr(entry, of) or 0) for entry in entries}
    analog = sum(sizes[name] for name in analog_layers(evaluator, deployment) if name not in digital)
    return 100.0 * analog / max(1, sum(sizes.values()))


@contextmanager
def ready(evaluator: Evaluator, deployments: Mapping[str, Deployment], record: Record | None) -> Iterator[Record]:
    """Yield a record that shows some deployments by name: the given one, or a new one in memory.

    A report shows the last deployment only. The others lead to it, such as the devices with single causes of error.
    """
    asked = list(deployments)[-1]
    entries = [
        entry.model_copy(update={"reported": name == asked})
        for name, deployment in deployments.items()
        for entry in preset_entries(deployment.device)
    ]
    with Record.create_or_open(None) if record is None else nullcontext(record) as held:
        with held.all_or_nothing():
            held.claim(evaluator.subject)
            for entry in entries:
                held.add_preset(entry)
            for name, deployment in deployments.items():
                show(held, evaluator, deployment, rows={name: deployment})
        yield held


def per_chip(trials: Sequence[Sequence[Trial]], *, paired: bool = True) -> Plan[list[PerChip]]:
    """Ask for trials [chips][columns], chip after chip. Return the values per chip of each column.

    Args:
        trials: The trials.
        paired: Whether differences are taken of the columns. Otherwise the outcomes of samples, which take memory, are
            kept only where they decide an interval: where all chips have one value.
    """
    outcomes = yield ask(trial for row in trials for trial in row)
    columns = len(trials[0])
    made = [of_outcomes(outcomes[place::columns]) for place in range(columns)]
    return made if paired else [column if column.are_equal else replace(column, outcomes=None) for column in made]


def of_outcomes(outcomes: Sequence[Outcome]) -> PerChip:
    """Return the values of outcomes, one per chip, with those of all samples where they are known."""
    values = tuple(outcome.value for outcome in outcomes)
    entries = [outcome.per_sample for outcome in outcomes if outcome.samples is None]
    if len(entries) < len(outcomes) or any(entry is None for entry in entries):
        return PerChip(values)
    whole = np.stack(entries)  # type: ignore[arg-type]  # none of them is None
    return PerChip(values, whole.astype(np.int8) if whole.dtype == np.bool_ else whole)


def compared_with_digital(trials: Sequence[Sequence[Trial]]) -> Plan[tuple[PerChip, list[PerChip]]]:
    """Ask for the digital network, then for trials as :func:`per_chip` does. Return both, with one value per chip."""
    outcomes = yield ask([NETWORK_ITSELF])
    digital = of_outcomes([*outcomes] * len(trials))
    return digital, (yield from per_chip(trials))


def digital_value() -> Plan[float]:
    """Ask for the digital network, and return its value."""
    (outcome,) = yield ask([NETWORK_ITSELF])
    return outcome.value


def configurations(
    deployment: Deployment, t_s: float, chips: Sequence[int], sets: Sequence[Collection[str]], layers: Collection[str]
) -> list[list[Trial]]:
    """Return trials [chips][sets of digital layers]. All chips share one trial where all layers are digital.

    Args:
        deployment: Deployment of all trials.
        t_s: Time after the first read in s.
        chips: Numbers of the chips.
        sets: Names of the digital layers, for each column.
        layers: Names of all layers that can be analog.
    """
    all_digital = Trial(deployment, digital=frozenset(layers))

    def trial(chip: int, digital: Collection[str]) -> Trial:
        made = Trial(deployment, chip, t_s, digital)  # type: ignore[arg-type]  # any collection of names
        return all_digital if made.digital == all_digital.digital else made

    return [[trial(chip, digital) for digital in sets] for chip in chips]
