"""What sensitivity, causes and the search for digital layers share: a record that shows them, and values per chip."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from driftproof.evaluation import NETWORK_ITSELF, Deployment, Evaluator, Plan, Trial, ask
from driftproof.evaluation.identity import preset_entries, show
from driftproof.mapping import LayerEntry
from driftproof.plans.per_chip import PerChip
from driftproof.record import Record


@dataclass(frozen=True, kw_only=True)
class Setting:
    """On what a result was measured.

    Attributes:
        device: name of the preset, mix or measured chips.
        t_s: time after programming in s.
        in_validity: whether the device is valid at that time.
        compensation: of the drift, as text.
        periphery: as text.
        seed: of all device randomness.
    """

    device: str
    t_s: float
    in_validity: bool
    compensation: str
    periphery: str
    seed: int


def setting_of(deployment: Deployment, t_s: float) -> Setting:
    """Return on what a result of a deployment at a time is measured."""
    return Setting(
        device=deployment.device.name,
        t_s=t_s,
        in_validity=deployment.device.in_validity(t_s),
        compensation=str(deployment.compensation),
        periphery=str(deployment.periphery),
        seed=deployment.seed,
    )


def analog_layers(evaluator: Evaluator, deployment: Deployment) -> dict[str, LayerEntry]:
    """Return the layers that can be analog by name, in the network's order."""
    mapping = evaluator.mapping(deployment.mapping)
    return {entry.name: entry for entry in mapping.layers if entry.analog and entry.name in mapping.weights}


def analog_share(
    evaluator: Evaluator, deployment: Deployment, digital: Collection[str], of: str = "macs_per_input"
) -> float:
    """Return how much of the network's products is analog, in percent.

    Args:
        evaluator: of the network.
        deployment: its mapping counts.
        digital: names of the digital layers.
        of: ``macs_per_input``, multiply-accumulates, or ``weights``. All layers that multiply count, those too which
            cannot be analog; look-up tables, norms and biases do not.
    """
    entries = [e for e in evaluator.mapping(deployment.mapping).layers if e.macs_per_input is not None]
    layers = analog_layers(evaluator, deployment)
    sizes = {entry.name: int(getattr(entry, of) or 0) for entry in entries}
    analog = sum(sizes[name] for name in layers if name not in digital)
    return 100.0 * analog / max(1, sum(sizes.values()))


@contextmanager
def ready(evaluator: Evaluator, deployments: Mapping[str, Deployment], record: Record | None) -> Iterator[Record]:
    """Give a record that shows some deployments by name: the one that came, or one in memory.

    The last of them is what the question is about; reports leave the others out.
    """
    asked = list(deployments)[-1]
    entries = [
        entry.model_copy(update={"reported": name == asked})
        for name, deployment in deployments.items()
        for entry in preset_entries(deployment.device)
    ]
    held = Record.create_or_open(None) if record is None else record
    try:
        held.claim(evaluator.subject)
        for entry in entries:
            held.add_preset(entry)
        for name, deployment in deployments.items():
            show(held, evaluator, deployment, rows={name: deployment})
        yield held
    finally:
        if record is None:
            held.close()


def per_chip(trials: Sequence[Sequence[Trial]]) -> Plan[list[PerChip]]:
    """Ask for trials, [chips][columns], chip after chip, and return each column's values per chip."""
    outcomes = yield ask(trial for row in trials for trial in row)
    values, columns = [outcome.value for outcome in outcomes], len(trials[0])
    return [PerChip.of(values[place::columns]) for place in range(columns)]


def beside_digital(trials: Sequence[Sequence[Trial]]) -> Plan[tuple[float, list[PerChip]]]:
    """Ask for the network without analog hardware, then for trials as :func:`per_chip` does; return both."""
    digital = yield from digital_value()
    return digital, (yield from per_chip(trials))


def digital_value() -> Plan[float]:
    """Ask for the network without analog hardware."""
    (outcome,) = yield ask([NETWORK_ITSELF])
    return outcome.value


def configurations(
    deployment: Deployment, t_s: float, chips: Sequence[int], sets: Sequence[Collection[str]], layers: Collection[str]
) -> list[list[Trial]]:
    """Return trials, [chips][sets of digital layers]; one for all chips where all layers are digital.

    Args:
        deployment: of all trials.
        t_s: time after programming in s.
        chips: their numbers.
        sets: names of the digital layers of each column.
        layers: names of all that can be analog.
    """
    all_digital = Trial(deployment, digital=frozenset(layers))  # nothing of a chip is left then

    def trial(chip: int, digital: Collection[str]) -> Trial:
        made = Trial(deployment, chip, t_s, digital)  # type: ignore[arg-type]  # any collection of names
        return all_digital if made.digital == all_digital.digital else made

    return [[trial(chip, digital) for digital in sets] for chip in chips]
