"""The closures of one update: its micro-batches, the keys of their draws, and the inputs that they give the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_map_only

from driftproof._batch_norm import norms_with_statistics
from driftproof._errors import DriftproofError
from driftproof._inputs import Inputs, on_tensors
from driftproof._random_state import random_state_kept
from driftproof.training._noise import Key
from driftproof.training._norms import statistics_kept
from driftproof.training._parallel import processes
from driftproof.training._passes import Closure
from driftproof.training._update import wrappers

MOST_SHARDS = 1 << 16


def shards_of(closure: Closure | Sequence[Closure], size: int) -> list[list[Closure]]:
    """Return the closures of each micro-batch.

    Args:
        closure: One closure, or one or several for each micro-batch.
        size: Number of closures that the method takes for a micro-batch; a single closure serves for all of them.

    Raises:
        DriftproofError: No closure; something that cannot be called; a number that is not a multiple of ``size``.
    """
    closures = list(closure) if isinstance(closure, Sequence) else [closure]
    if not closures:
        raise DriftproofError("no closure came; wanted at least one function that returns the loss of a batch")
    for one in closures:
        if not callable(one):
            raise DriftproofError(
                f"the closure came as {type(one).__name__}; wanted a function that makes a forward pass and returns "
                "the loss: it may be called several times"
            )
    size = 1 if len(closures) == 1 else size
    if len(closures) % size:
        raise DriftproofError(f"{len(closures)} closures came; this method wants one, or a multiple of {size}")
    return [closures[start : start + size] for start in range(0, len(closures), size)]


def key_of(seed: int, updates: int, index: int, shards: int | None) -> Key:
    """Return the key of one micro-batch; micro-batches are counted over the processes.

    Args:
        seed: Seed of the draws.
        updates: Number of the update.
        index: Number of the micro-batch in this process.
        shards: Number of micro-batches of each process. If it is not known, those of one index stand side by side.
    """
    rank, world = processes()
    place, most = (index * world + rank, index + 1) if shards is None else (rank * shards + index, shards)
    if world * most > MOST_SHARDS:
        raise DriftproofError(f"{most} micro-batches in {world} processes: more than {MOST_SHARDS} in one update")
    return Key(seed, updates * MOST_SHARDS + place)


@contextmanager
def inputs_copied(model: nn.Module) -> Iterator[None]:
    """Give a network copies of its inputs inside, since its code may write into them: each pass gets the same batch."""

    def copy(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
        return on_tensors(args, Tensor.clone), on_tensors(named, Tensor.clone)

    if isinstance(model, torch.jit.ScriptModule):  # it has no hooks
        yield
        return
    handle = model.register_forward_pre_hook(copy, with_kwargs=True, prepend=True)
    try:
        yield
    finally:
        handle.remove()


class _Seen(BaseException):
    """The exception that ends a forward pass as soon as its inputs are known."""


def inputs_of_call(args: tuple[Any, ...], named: dict[str, Any]) -> Inputs:
    """Return the inputs of a call of a network, to watch it on.

    A tensor without an axis is a number for all samples, such as the number of tokens in a trainer's batch.

    Raises:
        DriftproofError: Inputs by place and by name.

    >>> inputs_of_call((), {"x": torch.zeros(1), "tokens": torch.tensor(7)})
    {'x': tensor([0.]), 'tokens': 7}
    """
    if args and named:
        raise DriftproofError(
            "the network is called with inputs by place and by name; call method.prepare(model, example) before the "
            "first update, with inputs of one kind"
        )
    inputs: Inputs = dict(named) if named else args[0] if len(args) == 1 else tuple(args)
    if isinstance(inputs, Tensor):
        return inputs
    return tree_map_only(Tensor, lambda part: part if part.dim() else part.item(), inputs)  # type: ignore[no-any-return]


def inputs_of_first_pass(model: nn.Module, closure: Callable[[], Any]) -> Inputs:
    """Return the inputs with which a closure calls a network, by place or by name; the pass is not made.

    Raises:
        DriftproofError: A closure that calls another network, or the network inside a wrapper that exchanges gradients.
    """
    caught: list[Inputs] = []

    def stop(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        caught.append(inputs_of_call(args, named))
        raise _Seen

    parts = wrappers(model)
    parallel = next((place for place, part in enumerate(parts) if isinstance(part, DistributedDataParallel)), None)
    # a call of the network inside the wrapper would not exchange gradients
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
