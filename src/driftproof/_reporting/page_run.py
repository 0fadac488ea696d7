"""What was run: facts that all configurations and runs share, once, and what differs between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from driftproof._record import Configuration, Quantity, Run
from driftproof._record.table import shown_id
from driftproof._reporting.device_notes import left_out
from driftproof._reporting.gather import Account, Evidence

type Facts = dict[str, str]
"""Term → description."""

NOT_RECORDED = "not recorded"


def what_was_run(evidence: Evidence) -> dict[str, Any]:
    """Return the shared facts, a table of what differs between configurations, the peripheries, and the runs."""
    found = {
        key: (account, account.configurations[key])
        for key in evidence.names
        for account in evidence.accounts
        if key in account.configurations
    }
    facts = {key: _facts(account, item, evidence.quantity) for key, (account, item) in found.items()}
    shared, different = shared_facts(list(facts.values()))
    peripheries: dict[str, Facts] = {}
    for key, (_, item) in found.items():
        peripheries.setdefault(_periphery(item), {})[key] = evidence.names[key]
    return {
        "shared": shared,
        "terms": different,
        "configurations": [
            (evidence.names[key], shown_id(key), [facts[key].get(term, "") for term in different]) for key in facts
        ],
        "peripheries": [
            (found[next(iter(names))][1].periphery, [name for name in names.values() if name], text)
            for text, names in peripheries.items()
        ],
        "runs": _runs([run for account in evidence.accounts for run in account.runs]),
    }


def shared_facts(all_facts: Sequence[Facts]) -> tuple[Facts, list[str]]:
    """Return the facts that all have in common, and the terms whose descriptions differ, in their order.

    >>> shared_facts([{"seed": "0", "tile": "512"}, {"seed": "1", "tile": "512"}])
    ({'tile': '512'}, ['seed'])
    """
    terms = list(dict.fromkeys(term for facts in all_facts for term in facts))
    same = [term for term in terms if len({facts.get(term, "") for facts in all_facts}) == 1]
    return {term: all_facts[0][term] for term in same}, [term for term in terms if term not in same]


def _facts(account: Account, item: Configuration, quantity: Quantity) -> Facts:
    subject, conversion = account.subject, account.conversion
    clipped = f", clipped at {conversion.clip:g} %" if conversion.clip else ""
    return {
        "model": f"{subject.model}, weights {subject.model_hash}",
        "data": f"{subject.data}, {_samples(subject.n_samples)}, {subject.data_hash}",
        "metric": metric_in_words(quantity),
        "tile size": f"at most {conversion.tile_rows} rows × {conversion.tile_cols} columns",
        "weights": f"relative to the largest of the {conversion.scale}{clipped}",
        "backend": item.backend,
        "compensation": item.compensation,
        "recalibration": str(item.recalibration or "BatchNorm as trained"),
        "calibration": item.calibrated or "none",
        "periphery": item.periphery,
        "seed": str(item.seed),
        "noise drawn on": item.device,
    }


def _samples(number: int) -> str:
    return f"{number:,} sample{'s' if number != 1 else ''}"


def _periphery(item: Configuration) -> str:
    """Return what a periphery models, in sentences."""
    if item.periphery == "ideal":
        return "only the devices are modelled, with no quantisation by DACs or ADCs and no output noise"
    parts = [part for part in (item.around_text, str(item.ranges or "")) if part]
    if missing := left_out(item):
        parts.append(f"left out of its source: {'; '.join(missing)}")
    said = f"{'; '.join(parts)}. " if parts else ""
    return (
        f"{said}DACs quantise the inputs of each tile and ADCs its partial sums. Scales, compensation, norms and "
        "biases are applied after the ADC"
    )


def metric_in_words(quantity: Quantity) -> str:
    """Return the metric, its unit, and which direction is better."""
    name = quantity.name if quantity.title == quantity.name else f"{quantity.name} ({quantity.title})"
    unit = ", in percent" if quantity.percent else ""
    return f"{name}{unit}; {'higher' if quantity.higher_is_better else 'lower'} is better"


def _runs(runs: Sequence[Run]) -> dict[str, Any]:
    """Return what all runs share, and the runs; those that differ only in their start are one entry."""
    groups: dict[str, dict[str, Any]] = {}
    for run in runs:
        same = run.model_dump_json(exclude={"started"})
        group = groups.setdefault(same, {"facts": _run_facts(run), "first": run.started, "count": 0})
        group |= {"last": run.started, "count": group["count"] + 1}
    shared, different = shared_facts([group["facts"] for group in groups.values()]) if groups else ({}, [])
    return {
        "shared": shared,
        "each": [
            {
                "facts": {term: group["facts"][term] for term in different},
                "started": group["first"]
                + (f"; {group['count']} runs, the last at {group['last']}" if group["count"] > 1 else ""),
            }
            for group in groups.values()
        ],
    }


def _run_facts(run: Run) -> Facts:
    return {
        "command": run.command or NOT_RECORDED,
        "batch size": str(run.batch_size),
        "versions": _pairs(run.versions),
        "commit": _commit(run),
        "machine": _pairs(run.machine),
    }


def _commit(run: Run) -> str:
    if not run.commit:
        return NOT_RECORDED
    unknown = "; it is unknown whether there were uncommitted changes"
    return run.commit + (unknown if run.dirty is None else " with uncommitted changes" if run.dirty else "")


def _pairs(table: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in table.items()) or NOT_RECORDED
