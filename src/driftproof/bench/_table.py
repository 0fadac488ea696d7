"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from driftproof.bench._cells import PERIPHERIES
from driftproof.bench._peers import COMPILED_TILE, CROSSSIM, TORCH_TILE
from driftproof.bench._run import CELL, COMPILED, MANY, ONE_SAMPLE

_PEERS = (TORCH_TILE, COMPILED_TILE, CROSSSIM)


def markdown(results: dict[str, Any]) -> str:
    """Return the results of a benchmark as a page of tables.

    Args:
        results: Result of :func:`driftproof.bench.benchmark`.
    """
    parts = [_network(results, network) for network in results["networks"]]
    parts += [_workers(results["workers"]), _memory(results["memory"]), _needed(results["needed"])]
    parts += [_missing(results["missing"]), _machine(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _network(results: dict[str, Any], network: dict[str, Any]) -> str:
    """Return the table of a network, with its plain passes above and its compiled one below."""
    mine = [row for row in results["cells"] if row["network"] == network["network"]]
    plain = next(row for row in results["plain"] if row["network"] == network["network"] and row["chosen"])
    shown = [peer for peer in _PEERS if any(row["what"] == peer for row in mine)]
    header = ["periphery", "cell, s", "cell of one input, s", "cell / best plain pass"]
    header += [f"the same for {MANY:,} inputs", *(f"{peer} / cell" for peer in shown)]
    lines = []
    for name in dict.fromkeys(row["periphery"] for row in mine):
        rows = {row["what"]: row for row in mine if row["periphery"] == name}
        ratios = [_ratio(rows[peer]["to_driftproof"]) if peer in rows else "–" for peer in shown]
        cell = rows[CELL]
        seconds = [f"{rows[what]['seconds']:.3g}" for what in (CELL, ONE_SAMPLE)]
        own = [_ratio(cell[key]) for key in ("to_plain", "to_plain_of_many")]
        lines.append([PERIPHERIES[name], *seconds, *own, *ratios])
    runs = mine[0]["runs"] if mine else 0
    said = (
        f"{_inputs(network['samples'])}, {network['device']} at {network['t_s']:g} s after the first read. The best "
        f"plain pass is {plain['layout']} in batches of {plain['batch_size']} and takes {plain['seconds']:.3g} s. "
        f"Every cell programs a new chip. Ratios are medians of {runs} paired runs, with {_confidence(mine)} intervals."
    )
    return "\n\n".join([f"### {network['title']}", said, _rows(header, lines), *_notes(mine)])


def _notes(mine: Sequence[dict[str, Any]]) -> list[str]:
    """Return sentences about the compiled pass and the samples of the peers."""
    notes = []
    for row in mine:
        if row["what"] == COMPILED:
            notes.append(
                f"The best plain pass of `torch.compile` takes {_ratio(row['to_plain'])} of the best eager one."
            )
    if peers := {row["what"]: row["samples"] for row in mine if row["what"] in _PEERS}:
        listed = ", ".join(f"{name} computed {_inputs(samples)}" for name, samples in peers.items())
        notes.append(f"{listed}: the time of such a pass, but not of programming, is scaled to all inputs.")
    return [" ".join(notes)] if notes else []


def _workers(rows: Sequence[dict[str, Any]]) -> str:
    lines = [[str(row["workers"]), f"{row['chips_per_second']:.3g}", _ratio(row["to_one"])] for row in rows]
    return _section("Workers of one thread each", ["workers", "chips per second", "relative to one"], lines)


def _memory(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        [str(row["chips"]), f"{row['peak_bytes'] / 2**20:.0f}", f"{row['peak_bytes'] / rows[0]['peak_bytes']:.3f}"]
        for row in rows
    ]
    header = ["chips", "peak memory, MiB", f"relative to {rows[0]['chips']} chips" if rows else ""]
    return _section("Memory of a process that evaluates a small network", header, lines)


def _needed(rows: Sequence[dict[str, Any]]) -> str:
    header = ["device", "time", "design", "chips", "samples", "chips of the full design", "full / samples"]
    lines = [
        [
            *(row[key] for key in ("device", "time", "design")),
            *(f"{row[key]:.0f}" for key in ("chips", "samples", "full_chips")),
            f"{row['full_by_samples']:.1f}",
        ]
        for row in rows
    ]
    return _section(
        "Samples for an interval of ±0.5 points on the drop (a sample is one input on one chip)", header, lines
    )


def _missing(rows: Sequence[dict[str, Any]]) -> str:
    reasons: dict[str, list[str]] = {}
    for row in rows:
        reasons.setdefault(row["why"], []).append(row["what"])
    lines = "\n".join(f"- {'; '.join(what)}: {why}" for why, what in reasons.items())
    return f"### Not measured\n\n{lines}" if lines else ""


def _machine(results: dict[str, Any]) -> str:
    machine, versions = results["machine"], results["versions"]
    quick = " Quick: few inputs and repetitions." if results["quick"] else ""
    changed = ", with changes" if results["dirty"] else ""
    commit = f" Commit {results['commit'][:10]}{changed}." if results["commit"] else ""
    return (
        f"Measured at {results['started']} on {machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads,"
        f" {machine['os']}, GPU {machine['cuda']}, with {', '.join(f'{name} {v}' for name, v in versions.items())}."
        f"{commit}{quick}"
    )


def _ratio(median: dict[str, float]) -> str:
    return f"{_digits(median['median'])} ({_digits(median['low'])} to {_digits(median['high'])})"


def _inputs(number: int) -> str:
    return f"{number:,} input{'s' * (number != 1)}"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _confidence(rows: Iterable[dict[str, Any]]) -> str:
    return next((f"{100 * row['to_plain']['confidence']:.0f} %" for row in rows), "")


def _section(title: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return f"### {title}\n\n{_rows(header, lines)}" if lines else ""


def _rows(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    table = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in table)
