"""The benchmark: all timings of all networks, and what was not measured, as one object."""

from __future__ import annotations

import dataclasses
import statistics
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._keywords import checks_keywords
from driftproof._provenance import describe_run
from driftproof._random_state import random_state_kept
from driftproof.bench._cells import DEVICE, PERIPHERIES, T_S, Cells, periphery_of
from driftproof.bench._compiled import compiled_passes
from driftproof.bench._memory import peak_bytes
from driftproof.bench._needed import read_needed
from driftproof.bench._networks import NETWORKS, Workload, workload
from driftproof.bench._paired import Median, Step, ratio, take_turns
from driftproof.bench._peers import Peers
from driftproof.bench._plain import Pass, best_of, plain_passes
from driftproof.bench._workers import chips_per_second

SCHEMA = 1
PLAIN, COMPILED, CELL, ONE_SAMPLE = "plain", "compiled plain", "driftproof", "driftproof, one sample"
ROUNDS, QUICK_ROUNDS = 7, 3
CANDIDATE_ROUNDS = 3
"""Number of runs of each candidate for the best plain pass."""
MANY = 2000
"""Number of inputs to which cells are extrapolated: a chip is programmed once, however many inputs it computes."""
MEMORY_CHIPS, QUICK_MEMORY_CHIPS = (3, 300), (3, 30)
WORKER_CHIPS, QUICK_WORKER_CHIPS = 20, 30
WORKER_ROUNDS, QUICK_WORKER_ROUNDS = 5, 1


@checks_keywords
@random_state_kept()
def benchmark(
    *,
    quick: bool = False,
    networks: Sequence[str] = NETWORKS,
    peripheries: Sequence[str] = tuple(PERIPHERIES),
    compiled: bool | None = None,
    others: bool = True,
    needed: str | Path | None = None,
) -> dict[str, Any]:
    """Time the evaluation of chips on this machine against plain passes and other simulators.

    Progress goes to stderr. The module's docstring describes the result.

    Args:
        quick: Whether inputs and repetitions are few, for a first look of some minutes.
        networks: Names of networks: ``resnet20``, ``resnet18``, ``bert-layer`` (default: all).
        peripheries: Names of peripheries: ``ideal``, ``static``, ``noise``, ``dynamic`` (default: all).
        compiled: Whether to time plain passes of ``torch.compile`` (default: unless ``quick``).
        others: Whether to time other simulators, several workers and memory (default: True).
        needed: CSV file with the samples that intervals need, which experiments/few_passes writes (default: none).

    Raises:
        DriftproofError: There is no such network, periphery or file.

    >>> results = benchmark(quick=True, networks=["resnet20"], peripheries=["ideal"], others=False)
    >>> [cell["what"] for cell in results["cells"]]
    ['plain', 'driftproof', 'driftproof, one sample']
    """
    run = describe_run(batch_size=1)
    result: dict[str, Any] = {"schema": SCHEMA, "quick": quick, "started": run.started}
    result |= {"machine": run.machine, "versions": run.versions, "commit": run.commit, "dirty": bool(run.dirty)}
    result |= {key: [] for key in ("networks", "plain", "cells", "missing", "workers", "memory", "needed")}
    if needed is not None:
        result["needed"] = read_needed(Path(needed))
    for periphery in peripheries:
        periphery_of(periphery)  # a wrong name is to be said before anything is timed
    chosen = [workload(name, quick) for name in networks]
    with warnings.catch_warnings():
        # random inputs on a random network: what its converters clip says nothing
        warnings.filterwarnings("ignore", r"periphery .* clipped", DriftproofWarning)
        for one in chosen:
            _time_network(result, one, peripheries, quick, not quick if compiled is None else compiled, others)
    if others and chosen:
        _time_workers(result, chosen[0], quick)
        _measure_memory(result, QUICK_MEMORY_CHIPS if quick else MEMORY_CHIPS)
    return result


def _time_network(
    result: dict[str, Any], of: Workload, peripheries: Sequence[str], quick: bool, compiled: bool, others: bool
) -> None:
    """Add the timings of a network."""
    shown = {"network": of.name, "title": of.title, "samples": len(of.inputs), "batch_size": of.batch_size}
    result["networks"].append(shown | {"device": DEVICE, "t_s": T_S})
    say(f"{of.title}: choosing the best of {len(of.layouts) * len(of.plain_batch_sizes)} plain passes")
    candidates = plain_passes(of)
    plain, seconds = best_of(candidates, CANDIDATE_ROUNDS)
    for one, median in zip(candidates, seconds, strict=True):
        row = {"network": of.name, "layout": one.layout, "batch_size": one.batch_size, "seconds": median}
        result["plain"].append(row | {"chosen": one is plain})
    say(f"  best: {plain.layout}, batches of {plain.batch_size}, {min(seconds):.3f} s")
    extra = _compiled(result, of, plain.batch_size) if compiled else {}
    if not compiled:
        _miss(result, f"{of.name}: {COMPILED}", "left out" + " (quick)" * quick)
    cells, peers = Cells(of), Peers(of)
    for number, name in enumerate(peripheries):
        steps: dict[str, tuple[Step, int]] = {PLAIN: (plain.step, len(of.inputs))}
        periphery = periphery_of(name)
        steps[CELL] = cells.step(periphery), len(of.inputs)
        steps[ONE_SAMPLE] = cells.step(periphery, samples=1), 1
        if number == 0:
            steps |= extra
        if others:
            theirs, missing = peers.steps(periphery)
            steps |= {peer: (step, of.peer_samples) for peer, step in theirs.items()}
            for peer, why in missing.items():
                _miss(result, f"{of.name}, {name}: {peer}", why)
        say(f"  {PERIPHERIES[name]}: {', '.join(steps)}")
        runs = take_turns({what: step for what, (step, _) in steps.items()}, QUICK_ROUNDS if quick else ROUNDS)
        samples = {what: number for what, (_, number) in steps.items()}
        result["cells"] += rows_of(of.name, name, runs, samples)


def rows_of(
    network: str, periphery: str, runs: dict[str, list[float]], samples: dict[str, int]
) -> list[dict[str, Any]]:
    """Return the rows of one network on one periphery. Each ratio is of runs of the same round.

    Args:
        network: Name of the network.
        periphery: Name of the periphery.
        runs: What was timed → seconds of each round.
        samples: What was timed → number of inputs that were computed.
    """
    own = (PLAIN, COMPILED, CELL, ONE_SAMPLE)
    return [
        {
            "network": network,
            "periphery": periphery,
            "what": what,
            "seconds": statistics.median(seconds),
            "samples": samples[what],
            "runs": len(seconds),
            "to_plain": _entry(ratio(seconds, runs[PLAIN])),
            "to_plain_of_many": _entry(of_many(runs, samples[CELL])) if what == CELL else None,
            "to_driftproof": None if what in own else _entry(ratio(seconds, runs[CELL])),
        }
        for what, seconds in runs.items()
    ]


def of_many(runs: dict[str, list[float]], samples: int, many: int = MANY) -> Median:
    """Return the ratio of a cell to the best plain pass, both of many inputs.

    A cell takes the time of a cell of one input, and for each further input the same time. A plain pass takes the same
    time for each input.

    Args:
        runs: What was timed → seconds of each round.
        samples: Number of inputs of the cells and plain passes that were timed, at least 2.
        many: Number of inputs to extrapolate to.

    >>> runs = {PLAIN: [10.0], CELL: [14.0], ONE_SAMPLE: [5.0]}  # 1 s an input, plain and in the cell; 4 s to program
    >>> of_many(runs, samples=10, many=100).median
    1.04
    """
    further = (many - 1) / (samples - 1)
    cells = [one + further * (all_ - one) for one, all_ in zip(runs[ONE_SAMPLE], runs[CELL], strict=True)]
    return ratio(cells, [plain * many / samples for plain in runs[PLAIN]])


def _entry(median: Median) -> dict[str, float]:
    return dataclasses.asdict(median)


def _compiled(result: dict[str, Any], of: Workload, batch_size: int) -> dict[str, tuple[Step, int]]:
    """Return the best compiled pass, if there is one."""
    say(f"  compiling for {' and '.join(of.layouts)}")
    passes, why = compiled_passes(of, batch_size)
    if why:
        _miss(result, f"{of.name}: {COMPILED}", why)
    if not passes:
        return {}
    best: Pass = best_of(passes, CANDIDATE_ROUNDS)[0]
    say(f"  best compiled: {best.layout}")
    return {COMPILED: (best.step, len(of.inputs))}


def _time_workers(result: dict[str, Any], of: Workload, quick: bool) -> None:
    say(f"{of.title}: chips per second against the number of workers")
    chips, rounds = (QUICK_WORKER_CHIPS, QUICK_WORKER_ROUNDS) if quick else (WORKER_CHIPS, WORKER_ROUNDS)
    result["workers"], why = chips_per_second(of, chips, rounds)
    if why:
        _miss(result, "workers", why)


def _measure_memory(result: dict[str, Any], numbers: Sequence[int]) -> None:
    for chips in numbers:
        say(f"peak memory of {chips} chips")
        try:
            result["memory"].append({"chips": chips, "peak_bytes": peak_bytes(chips)})
        except DriftproofError as error:
            _miss(result, f"memory of {chips} chips", str(error))


def _miss(result: dict[str, Any], what: str, why: str) -> None:
    say(f"  not measured: {what}: {why}")
    result["missing"].append({"what": what, "why": why})


def say(line: str) -> None:
    """Print a line of progress to stderr, so that stdout has the results only."""
    print(line, file=sys.stderr, flush=True)
