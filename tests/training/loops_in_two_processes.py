"""One of two processes whose loops step by themselves: ``python loops_in_two_processes.py FOLDER RANK``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from driftproof._errors import DriftproofError
from training.small import NAMES, method_of, points_loss, sgd, smooth, state_of

STEPS = 8
ONE_PASS = ("plain", "rwp", "arwp")


def started(name: str) -> Any:
    method = method_of(name)
    method.begin(20)
    return method


def share(model: nn.Module, rank: int) -> Callable[[], Tensor]:
    return points_loss(model, slice(4 * rank, 4 * rank + 4))


def stepped(name: str, rank: int) -> dict[str, Tensor]:
    """The loop to compare with."""
    network, method = smooth(), started(name)
    model, optimizer = DistributedDataParallel(network), sgd(network)
    for _ in range(STEPS):
        method.step(share(model, rank), model, optimizer)
    return state_of(network)


def gradient(name: str, rank: int) -> dict[str, Tensor]:
    network, method = smooth(), started(name)
    model, optimizer = DistributedDataParallel(network), sgd(network)
    for _ in range(STEPS):
        method.gradient(share(model, rank), model)
        optimizer.step()
        optimizer.zero_grad()
    return state_of(network)


def perturbed(name: str, rank: int, inner: bool) -> dict[str, Tensor]:
    """A trainer's wrapper is outside, and the network that the user knows is inside."""
    network, method = smooth(), started(name)
    model, optimizer = DistributedDataParallel(network), sgd(network)
    for _ in range(STEPS):
        with method.perturbed(network if inner else model):
            torch.autograd.backward(share(model, rank)())
        optimizer.step()
        optimizer.zero_grad()
    return state_of(network)


def by_hand(rank: int) -> dict[str, Tensor]:
    """No wrapper, but the loop exchanges the gradients itself."""
    network, method = smooth(), started("rwp")
    optimizer = sgd(network)
    for _ in range(STEPS):
        with method.perturbed(network):
            torch.autograd.backward(share(network, rank)())
        for p in network.parameters():
            assert p.grad is not None
            dist.all_reduce(p.grad)
            p.grad /= 2
        optimizer.step()
        optimizer.zero_grad()
    return state_of(network)


def accumulated(name: str, rank: int) -> dict[str, Tensor]:
    """Two micro-batches, the first without an exchange."""
    network, method = smooth(), started(name)
    model, optimizer = DistributedDataParallel(network), sgd(network)
    loss = share(model, rank)
    for _ in range(STEPS):
        with model.no_sync():
            method.gradient(lambda: loss() / 2, model)
        method.gradient(lambda: loss() / 2, model)
        optimizer.step()
        optimizer.zero_grad()
    assert method.updates == STEPS
    return state_of(network)


def refused(loop: Callable[[], object]) -> str:
    try:
        loop()
    except DriftproofError as error:
        return str(error)
    return "nothing was said"


def inside(name: str, rank: int, given: str) -> None:
    """The method knows the network, so nobody looks which one the closure calls first."""
    network, method = smooth(), started(name)
    method.prepare(network, torch.ones(4, 5))
    model, optimizer = DistributedDataParallel(network), sgd(network)
    for _ in range(STEPS):
        if given == "step":
            method.step(share(network, rank), model, optimizer)
        else:
            method.gradient(share(network, rank), model)
            optimizer.step()
            optimizer.zero_grad()


def bare(name: str, rank: int, form: str) -> None:
    """No wrapper at all."""
    network, method = smooth(), started(name)
    optimizer = sgd(network)
    for _ in range(STEPS):
        if form == "step":
            method.step(share(network, rank), network, optimizer)
        elif form == "gradient":
            method.gradient(share(network, rank), network)
        else:
            with method.perturbed(network):
                torch.autograd.backward(share(network, rank)())
        optimizer.step()
        optimizer.zero_grad()


def other_start(rank: int) -> None:
    network, method = smooth(), started("rwp")
    with torch.no_grad():
        next(network.parameters()).mul_(rank + 1)
    with method.perturbed(network):
        torch.autograd.backward(share(network, rank)())


def sharded(form: str, rank: int) -> None:
    network = smooth()
    fully_shard(network, mesh=init_device_mesh("cpu", (2,)))
    method = started("rwp")
    if form == "step":
        method.step(share(network, rank), network, sgd(network))
    with method.perturbed(network):
        torch.autograd.backward(share(network, rank)())


def run(rank: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name in (name for name in NAMES if name != "noise-injection"):
        out[f"{name}: step"], out[f"{name}: gradient"] = stepped(name, rank), gradient(name, rank)
    for name in ONE_PASS:
        for inner in (False, True):
            out[f"{name}: perturbed {inner}"] = perturbed(name, rank, inner)
    out["rwp: by hand"] = by_hand(rank)
    for name in ("rwp", "sam"):
        out[f"{name}: accumulated"] = accumulated(name, rank)
        for form in ("step", "gradient"):
            out[f"refused: {name} bare {form}"] = refused(lambda n=name, f=form: bare(n, rank, f))  # type: ignore[misc]
            out[f"refused: {name} inside {form}"] = refused(lambda n=name, f=form: inside(n, rank, f))  # type: ignore[misc]
    out["refused: rwp bare perturbed"] = refused(lambda: bare("rwp", rank, "perturbed"))
    out["refused: other start"] = refused(lambda: other_start(rank))
    for form in ("step", "perturbed"):
        out[f"refused: sharded {form}"] = refused(lambda f=form: sharded(f, rank))  # type: ignore[misc]
    return out


if __name__ == "__main__":
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.save(run(rank), folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
