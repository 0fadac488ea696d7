"""One of two processes of a distributed training: ``python two_processes.py FOLDER RANK``; without a rank, both in one.

Every case trains a small network for a few updates and keeps what came out. A case alone takes the micro-batches of
both processes, in their order.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from driftproof._errors import DriftproofError
from driftproof.training import ClipWeights
from driftproof.training._methods import Method
from driftproof.training._noise import Key
from driftproof.training._schedules import Adaptive
from training.small import (
    ASCENDING,
    IMAGES,
    NAMES,
    Overflow,
    gradients_of,
    method_of,
    points_loss,
    sgd,
    small,
    smooth,
    state_of,
)

STEPS, WORLD = 6, 2  # LookSAM ascends in the first and the last update


@dataclass(frozen=True)
class Place:
    """Which of how many processes this is."""

    rank: int
    world: int

    def wrapped(self, network: nn.Module, **options: Any) -> nn.Module:
        return DistributedDataParallel(network, **options) if self.world > 1 else network

    def closures(self, model: nn.Module, micro: int) -> list[Callable[[], Tensor]]:
        """Return a process's share of eight points, in ``micro`` parts; alone, all parts."""
        size = 8 // (WORLD * micro)
        places = range(micro) if self.world > 1 else range(micro * WORLD)
        return [points_loss(model, slice(start, start + size)) for start in self._starts(places, micro, size)]

    def _starts(self, places: range, micro: int, size: int) -> list[int]:
        first = self.rank * micro if self.world > 1 else 0
        return [(first + place) * size for place in places]


def seeing(network: nn.Module) -> tuple[torch.optim.Optimizer, list[Tensor | None]]:
    """An optimizer, and the gradients that it stepped along."""
    optimizer = sgd(network)
    return optimizer, gradients_of(optimizer)


def kept(
    network: nn.Module, method: Method, optimizer: torch.optim.Optimizer, seen: list[Tensor | None]
) -> dict[str, Any]:
    last = method.last
    return {
        "weights": state_of(network),
        "gradients": seen,
        "method": method.state_dict(),
        "optimizer": optimizer.state_dict(),
        "norm": last.update_norm if last else None,
        "skipped": last.skipped if last else None,
    }


def trained(place: Place, name: str, micro: int, **options: Any) -> dict[str, Any]:
    """A network without BatchNorm."""
    network = smooth(bias=True).double()
    model, (optimizer, seen) = place.wrapped(network), seeing(network)
    method = method_of(name, **options)
    method.begin(STEPS)
    clip = 0.5 if "clip" in options else None
    # m-RWP takes two batches for one micro-batch
    closures = place.closures(model, micro * method.closures_per_update)
    for _ in range(STEPS):
        method.step(closures, model, optimizer, clip_norm=clip)
    return kept(network, method, optimizer, seen)


def with_batch_norm(place: Place, name: str) -> dict[str, Any]:
    network = small(dropout=0.0)
    model, (optimizer, seen) = place.wrapped(network), seeing(network)
    method = method_of(name)
    method.begin(STEPS)
    mine = IMAGES[place.rank :: place.world]
    for _ in range(3):
        method.step([lambda: model(mine).square().mean()] * 2, model, optimizer)
    return kept(network, method, optimizer, seen)


def overflowing(place: Place, name: str, at: int) -> dict[str, Any]:
    """A gradient of the second process alone overflows in its third update."""
    network = smooth(bias=True)
    model, (optimizer, seen) = place.wrapped(network), seeing(network)
    method, scaler = method_of(name), torch.amp.GradScaler("cpu", init_scale=16.0)
    method.begin(STEPS)
    passes = 0
    part = place.closures(model, 1)[0]

    def closure() -> Tensor:
        nonlocal passes
        loss = part()
        passes += loss.requires_grad
        bad = place.rank == 1 and method.updates == 2 and passes == at
        return Overflow.apply(loss) if bad else loss

    skipped = []
    for _ in range(4):
        passes = 0
        method.step(closure, model, optimizer, scaler=scaler)
        assert method.last is not None
        skipped.append(method.last.skipped)
    return kept(network, method, optimizer, seen) | {"skips": skipped, "scale": scaler.get_scale()}


class Branches(nn.Module):
    """Each process uses another branch, and none uses the last."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.a, self.b, self.none = nn.Linear(5, 4), nn.Linear(4, 2), nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor, branch: int) -> Tensor:
        hidden = torch.tanh(self.stem(x))
        if branch == 2:
            return self.a(hidden) + self.b(hidden) + self.none(hidden)  # type: ignore[no-any-return]
        return (self.a, self.b)[branch](hidden)  # type: ignore[no-any-return]


def unused(place: Place, name: str) -> dict[str, Any]:
    network = Branches()
    model, (optimizer, seen) = place.wrapped(network, find_unused_parameters=True), seeing(network)
    method = method_of(name)
    method.begin(STEPS)
    method.prepare(network, (torch.ones(2, 5), 2))
    for _ in range(4):
        branches = [place.rank] if place.world > 1 else [0, 1]
        method.step(
            [lambda b=b: model(torch.ones(2, 5) * (b + 1), b).square().mean() for b in branches],  # type: ignore[misc]
            model,
            optimizer,
        )
    return kept(network, method, optimizer, seen)


def exchanges(place: Place, name: str) -> int:
    """How often gradients are exchanged in one update of two micro-batches."""
    network = smooth()
    model, optimizer, method = place.wrapped(network), sgd(network), method_of(name)
    seen: list[int] = []

    def counted(state, bucket):  # type: ignore[no-untyped-def]  # torch refuses annotations that are texts
        seen.append(1)
        return allreduce_hook(None, bucket)  # type: ignore[arg-type]

    assert isinstance(model, DistributedDataParallel)
    model.register_comm_hook(None, counted)
    method.begin(3)
    for _ in range(2):
        seen.clear()
        method.step(place.closures(model, 2 * method.closures_per_update), model, optimizer)
    return len(seen)


def inside(place: Place) -> str:
    """A closure that calls the network inside the wrapper would exchange nothing."""
    network = smooth()
    try:
        method_of("rwp").step(points_loss(network), place.wrapped(network), sgd(network))
    except DriftproofError as error:
        return str(error)
    return "nothing was said"


def keys(place: Place) -> list[int]:
    """The numbers of all draws of a run."""
    network = smooth()
    model, optimizer, method = place.wrapped(network), sgd(network), method_of("rwp")
    seen: list[Key] = []
    draw = method.noise.draw  # type: ignore[attr-defined]

    class Recorder:
        def draw(self, weights: Any, key: Key) -> Any:
            seen.append(key)
            return draw(weights, key)

    method.noise = Recorder()  # type: ignore[attr-defined]
    for _ in range(3):
        method.step(place.closures(model, 2), model, optimizer)
    return sorted({key.number for key in seen})


def run(place: Place) -> dict[str, Any]:
    out: dict[str, Any] = {"keys": keys(place)}
    for name in NAMES:
        out[f"{name}, 2"] = trained(place, name, micro=2)
        clip = {} if name == "noise-injection" else {"clip": ClipWeights(sigmas=1.5)}
        ramped = {} if name in ("plain", "multi-step-sam") else {"ramped": Adaptive(to=1.0, collapse=0.9, memory=2)}
        out[f"{name}, adaptive"] = trained(place, name, micro=1, **clip, **ramped)
        if place.world > 1:
            out[f"exchanges of {name}"] = exchanges(place, name)
            out[f"{name}, norms"] = with_batch_norm(place, name)
            for at in (1, 2) if name in ASCENDING else (1,):
                out[f"{name}, overflow {at}"] = overflowing(place, name, at)
        if name != "m-rwp":
            out[f"{name}, unused"] = unused(place, name)
    if place.world > 1:
        out["inside"] = inside(place)
    return out


if __name__ == "__main__":
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    torch.save(run(Place(rank, WORLD)), folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
