"""One training in several processes, as ``torchrun`` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch import distributed as dist

from driftproof._errors import DriftproofError
from driftproof.training._norms import NormPolicy

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store


def processes() -> tuple[int, int]:
    """Return this process's rank and the number of processes.

    >>> processes()
    (0, 1)
    """
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def is_first() -> bool:
    """Whether this process writes, validates and prints; it is known before the processes have joined."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank() == 0
    return not _several() or int(os.environ["RANK"]) == 0


def from_first[T](value: T) -> T:
    """Return the first process's value, in all processes."""
    if processes()[1] == 1:
        return value
    held = [value]
    dist.broadcast_object_list(held, src=0)
    return held[0]


def take_from_first(network: nn.Module) -> None:
    """Copy the first process's parameters and buffers to the network, in all processes."""
    if processes()[1] == 1:
        return
    for tensor in network.state_dict().values():
        held = tensor.detach().contiguous()
        dist.broadcast(held, src=0)
        tensor.detach().copy_(held)


@contextmanager
def distributed(torch_device: str) -> Iterator[torch.device]:
    """Join the processes that ``torchrun`` started, if any, and yield this process's device.

    Processes that were joined before stay joined afterwards.
    """
    begun = _several() and not dist.is_initialized()
    if begun:
        _join("nccl" if torch_device.startswith("cuda") else "gloo")
    place = torch.device(torch_device)
    if place.type == "cuda" and place.index is None and processes()[1] > 1:
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
    try:
        yield place
        if begun:
            dist.barrier()  # not after a failure: the others may never get here
    finally:
        if begun:
            dist.destroy_process_group()


_meetings: list[Store] = []
"""Stores where the processes met. Each group has a new one, because addresses of an ended group must not be read."""


def _several() -> bool:
    """Whether ``torchrun`` started several processes. A scheduler may set RANK alone."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def _join(backend: str) -> None:
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    if not _meetings:
        _meetings.append(next(iter(rendezvous("env://")))[0])
    _meetings.append(PrefixStore(f"driftproof {len(_meetings)}", _meetings[0]))
    rank, number = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    dist.init_process_group(backend, store=_meetings[-1], rank=rank, world_size=number)


def check_exchange(model: nn.Module, what: str) -> None:
    """Raise DriftproofError if there are several processes, and a network's wrapper does not exchange gradients.

    Args:
        model: The network, in its wrappers.
        what: What would differ between the processes.
    """
    check_whole(model)
    if processes()[1] > 1 and group_of(model) is None:
        raise DriftproofError(
            f"there are {processes()[1]} processes, but the network is not wrapped in DistributedDataParallel: {what} "
            "would differ between them, and their weights would drift apart. Give the wrapper, and let the closure "
            "call it (in Lightning use perturbed() in a callback, see README)"
        )


def group_of(model: nn.Module) -> dist.ProcessGroup | None:
    """Return the processes between which a network's wrapper exchanges gradients; None for all."""
    wrappers = (part for part in model.modules() if isinstance(part, nn.parallel.DistributedDataParallel))
    return next((part.process_group for part in wrappers), None)


def check_whole(model: nn.Module) -> None:
    """Raise DriftproofError if each process has only a part of the weights: noise is that of whole columns."""
    if processes()[1] == 1:
        return
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.tensor import DTensor

    if any(isinstance(part, FullyShardedDataParallel) for part in model.modules()) or any(
        isinstance(parameter, DTensor) for parameter in model.parameters()
    ):
        raise DriftproofError(
            "the network's weights are split over the processes (FSDP or tensor parallelism), and noise is relative to "
            "whole columns; use DistributedDataParallel, with whole weights in each process"
        )


def same_in_all(tensors: Iterable[Tensor], group: dist.ProcessGroup | None = None) -> bool:
    """Whether all processes have the same numbers, bit for bit; all of them have to call it.

    Args:
        tensors: As many in each process, of the same types.
        group: The processes to compare (default: all).
    """
    if processes()[1] == 1:
        return True
    integers = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    plain = [torch.view_as_real(t) if t.is_complex() else t for t in (tensor.detach() for tensor in tensors)]
    dense = [(t.coalesce().values() if t.is_sparse else t).contiguous() for t in plain]
    sums = [t.view(integers[t.element_size()]).sum(dtype=torch.int64) for t in dense]
    if not sums:
        return True
    mine = torch.stack([one.to(sums[0].device) for one in sums])
    all_sums = [torch.empty_like(mine) for _ in range(dist.get_world_size(group))]
    dist.all_gather(all_sums, mine, group=group)
    return all(torch.equal(mine, other) for other in all_sums)


def wrapped(network: nn.Module, torch_device: torch.device, norms: NormPolicy) -> nn.Module:
    """Return the network that closures call. In several processes its wrapper exchanges gradients between them.

    The statistics of norms are those of the first process.
    """
    if processes()[1] == 1:
        return network
    ids = [torch_device.index] if torch_device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(network, device_ids=ids, broadcast_buffers=norms != "frozen")
