"""The best plain pass of ``torch.compile``, if it compiles on this machine within a limit."""

from __future__ import annotations

import copy
import multiprocessing
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from driftproof.bench._networks import LAYOUTS, Workload
from driftproof.bench._paired import timed
from driftproof.bench._plain import Pass, batches

LIMIT_S = 240.0
"""Longest time for one compilation."""


def compiled_passes(of: Workload, batch_size: int, limit_s: float = LIMIT_S) -> tuple[list[Pass], str]:
    """Return one compiled pass for each layout, and why any is missing (else an empty text).

    The weights are frozen (Inductor's ``freezing``), so that BatchNorms fold into them. A compilation cannot be
    stopped inside a process. Each is therefore tried in another process first, which can be killed; Inductor's cache
    then makes the one in this process short.

    Args:
        of: The network and its inputs.
        batch_size: Number of inputs in a batch.
        limit_s: Longest time for one compilation in s.
    """
    passes, why = [], []
    for layout in of.layouts:
        inputs = batches(of, layout, batch_size)
        network = copy.deepcopy(of.network).to(memory_format=LAYOUTS[layout])
        reason = _tried(_compile_and_run, (network, inputs[0]), limit_s)
        if reason:
            why.append(f"{layout}: {reason}")
            continue
        passes.append(Pass(layout, batch_size, timed(_forward(_compiled(network), inputs))))
    return passes, "; ".join(why)


def _compiled(network: nn.Module) -> Any:
    return torch.compile(network, dynamic=False, options={"freezing": True})


def _forward(network: Any, inputs: list[Tensor]) -> Callable[[], None]:
    def run() -> None:
        with torch.no_grad():  # freezing wants no gradients
            for batch in inputs:
                network(batch)

    return run


def _compile_and_run(network: nn.Module, batch: Tensor) -> None:
    _forward(_compiled(network), [batch])()


def _tried(work: Callable[..., None], args: tuple[Any, ...], limit_s: float) -> str:
    """Do some work in another process, and return why it did not end well; an empty text if it did."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=args, daemon=False)
    process.start()
    process.join(limit_s)
    if process.is_alive():
        process.kill()
        process.join()
        return f"torch.compile took more than {limit_s:g} s"
    return f"torch.compile failed (exit code {process.exitcode})" if process.exitcode else ""
