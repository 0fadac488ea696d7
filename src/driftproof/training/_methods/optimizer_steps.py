"""Whether an optimizer has stepped that the caller's loop holds."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

_waiting: WeakSet[OptimizerSteps] = WeakSet()
"""Everybody who waits for a step."""


class OptimizerSteps:
    """The steps of any optimizer that has one of some parameters, from now on.

    torch tells of every optimizer's steps. The parameters themselves do not: their version stays if a fused optimizer
    changes them.

    Args:
        parameters: The parameters.

    Attributes:
        seen: Whether an optimizer has stepped.

    >>> import torch
    >>> mine, other = nn.Linear(2, 2), nn.Linear(2, 2)
    >>> steps = OptimizerSteps(mine.parameters())
    >>> torch.optim.SGD(other.parameters(), lr=0.1).step()
    >>> steps.seen
    False
    >>> torch.optim.SGD(mine.parameters(), lr=0.1).step()
    >>> steps.seen
    True
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.seen = False
        self._parameters = {id(parameter) for parameter in parameters}
        _listen()
        _waiting.add(self)


@functools.cache
def _listen() -> None:
    """Listen to all optimizers, once in a process: torch fails if a listener goes while it tells of a step."""
    register_optimizer_step_post_hook(_note)


def _note(optimizer: Optimizer, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    if not _waiting:
        return
    changed = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for steps in list(_waiting):
        if not changed.isdisjoint(steps._parameters):
            steps.seen = True
            _waiting.discard(steps)
