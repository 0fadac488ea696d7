"""Whether an optimizer has stepped that the caller's loop holds."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook


class OptimizerSteps:
    """The steps of any optimizer that has one of some parameters, from now on.

    torch tells of every optimizer's steps. The parameters themselves do not: their version stays if a fused optimizer
    changes them.

    Args:
        parameters: The parameters.

    Attributes:
        seen: Whether an optimizer has stepped. Afterwards nobody listens any more.

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
        me = weakref.ref(self)  # torch's list of listeners does not keep it alive

        def listen(optimizer: Optimizer, args: tuple[Any, ...], named: dict[str, Any]) -> None:
            if (steps := me()) is not None:
                steps._note(optimizer)

        self._stop = weakref.finalize(self, register_optimizer_step_post_hook(listen).remove)

    def _note(self, optimizer: Optimizer) -> None:
        if any(id(parameter) in self._parameters for group in optimizer.param_groups for parameter in group["params"]):
            self.seen = True
            self._stop()
