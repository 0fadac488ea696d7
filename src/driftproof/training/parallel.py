"""Several processes on one training, as ``torchrun`` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed as dist
from torch import nn

from driftproof.training.norms import NormPolicy


def processes() -> tuple[int, int]:
    """Return this process's rank and how many there are.

    >>> processes()
    (0, 1)
    """
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def is_first() -> bool:
    """Whether this process is the one that writes, validates and prints."""
    return processes()[0] == 0


@contextmanager
def distributed(device: str) -> Iterator[torch.device]:
    """Join the processes that ``torchrun`` started, if it did, and yield this process's device."""
    begun = False
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        begun = True
    place = torch.device(device)
    if place.type == "cuda" and place.index is None and processes()[1] > 1:
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
    try:
        yield place
    finally:
        if begun:
            dist.barrier()
            dist.destroy_process_group()


def wrapped(network: nn.Module, device: torch.device, norms: NormPolicy) -> nn.Module:
    """Return what closures call: the network, or the network with its gradients exchanged between processes.

    Statistics of norms are those of the first process.
    """
    if processes()[1] == 1:
        return network
    ids = [device.index] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(network, device_ids=ids, broadcast_buffers=norms != "frozen")
