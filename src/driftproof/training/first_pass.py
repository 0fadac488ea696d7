"""What a closure calls a network with, found without a whole pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from driftproof.batch_norm import norms_with_statistics
from driftproof.errors import DriftproofError
from driftproof.inputs import Inputs
from driftproof.training.norms import statistics_kept
from driftproof.training.random_state import random_state_kept
from driftproof.training.update import wrappers


class _Seen(BaseException):
    """Ends a forward pass as soon as its inputs are known."""


def inputs_of_first_pass(model: nn.Module, closure: Callable[[], Any]) -> Inputs:
    """Return the inputs that a closure calls a network with, as positional or named inputs; the pass is not run.

    Raises:
        DriftproofError: it calls another network, or the one inside a wrapper that exchanges gradients.
    """
    caught: list[Inputs] = []

    def stop(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        if args and named:
            raise DriftproofError(
                "the closure calls the network with inputs by place and by name; call method.prepare(model, example) "
                "before the first step, with inputs of one kind"
            )
        caught.append(dict(named) if named else args[0] if len(args) == 1 else tuple(args))
        raise _Seen

    parts = wrappers(model)
    parallel = next((place for place, part in enumerate(parts) if isinstance(part, DistributedDataParallel)), None)
    # inside of it, gradients would not be exchanged
    called = parts if parallel is None else parts[: parallel + 1]
    handles = [part.register_forward_pre_hook(stop, with_kwargs=True, prepend=True) for part in called]
    try:
        with random_state_kept(), statistics_kept(norms_with_statistics(parts[-1])):
            closure()
    except _Seen:
        pass
    finally:
        for handle in handles:
            handle.remove()
    if not caught:
        inside = "" if parallel is None else ", the DistributedDataParallel, not the network inside"
        raise DriftproofError(
            f"the closure did not call the network that step() was given; give step() the network that it calls{inside}"
        )
    return caught[0]
