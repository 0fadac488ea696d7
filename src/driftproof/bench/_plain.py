"""The best plain pass: the fastest eager forward pass among layouts of memory and batch sizes."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from driftproof.bench._networks import LAYOUTS, Workload
from driftproof.bench._paired import Step, take_turns, timed


@dataclass(frozen=True)
class Pass:
    """A forward pass of all inputs.

    Attributes:
        layout: Layout of the memory of weights and inputs.
        batch_size: Number of inputs in a batch.
        step: The pass. Inputs are in batches and in the layout before it is timed.
    """

    layout: str
    batch_size: int
    step: Step


def plain_passes(of: Workload) -> list[Pass]:
    """Return the eager passes of a network among which the best is chosen."""
    passes = []
    for layout in of.layouts:
        network = copy.deepcopy(of.network).to(memory_format=LAYOUTS[layout])
        for batch_size in of.plain_batch_sizes:
            passes.append(Pass(layout, batch_size, timed(forward(network, batches(of, layout, batch_size)))))
    return passes


def batches(of: Workload, layout: str, batch_size: int) -> list[Tensor]:
    """Return the inputs of a network in batches, each in the layout."""
    return [part.contiguous(memory_format=LAYOUTS[layout]) for part in torch.split(of.inputs, batch_size)]


def forward(network: nn.Module, inputs: Sequence[Tensor]) -> Callable[[], None]:
    """Return a function that computes all batches."""

    def run() -> None:
        with torch.inference_mode():
            for batch in inputs:
                network(batch)

    return run


def best_of(passes: Sequence[Pass], rounds: int) -> tuple[Pass, list[float]]:
    """Return the pass with the smallest median time, and the median time in s of each. The passes take turns.

    >>> passes = [Pass("contiguous", 10, lambda: 2.0), Pass("contiguous", 20, lambda: 1.0)]
    >>> best, seconds = best_of(passes, rounds=3)
    >>> best.batch_size, seconds
    (20, [2.0, 1.0])
    """
    runs = take_turns({str(place): one.step for place, one in enumerate(passes)}, rounds)
    seconds = [statistics.median(times) for times in runs.values()]
    return passes[seconds.index(min(seconds))], seconds
