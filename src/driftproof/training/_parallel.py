"""One training in several processes, as ``torchrun`` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import distributed as dist
from torch import nn

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
    if processes()[1] > 1 and not any(isinstance(m, nn.parallel.DistributedDataParallel) for m in model.modules()):
        raise DriftproofError(
            f"there are {processes()[1]} processes, but the network is not wrapped in DistributedDataParallel: {what} "
            "would differ between them, and their weights would drift apart. Give the wrapper, and let the closure "
            "call it (in Lightning use perturbed() in a callback, see README)"
        )


def wrapped(network: nn.Module, torch_device: torch.device, norms: NormPolicy) -> nn.Module:
    """Return the network that closures call. In several processes its wrapper exchanges gradients between them.

    The statistics of norms are those of the first process.
    """
    if processes()[1] == 1:
        return network
    ids = [torch_device.index] if torch_device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(network, device_ids=ids, broadcast_buffers=norms != "frozen")
