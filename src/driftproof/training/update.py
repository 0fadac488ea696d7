"""The gradient of one whole update: what a method may do with it is the same in all processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from driftproof.errors import DriftproofError
from driftproof.training.weights import AnalogWeights, wide


@dataclass(kw_only=True)
class Update:
    """The gradient of one update, exchanged between processes and out of the scaler's scale.

    Attributes:
        model: the network in its wrappers.
        weights: its analog weights.
        gradients: of those that the optimizer has: array name → ``.grad``, to be changed in place.
        level: strength of the perturbation.
        step: number of the update.
        kept: what this process's micro-batches left (:meth:`driftproof.training.passes.Passes.keep`), as a mean.
    """

    model: nn.Module
    weights: AnalogWeights
    gradients: dict[str, Tensor]
    level: float
    step: int
    kept: dict[str, Tensor] = field(default_factory=dict)

    def mean_kept(self) -> dict[str, Tensor]:
        """Return the mean over all processes of what was kept, for each of the gradients; all have to ask together."""
        mine = {name: self.kept.get(name) for name in self.gradients}
        found = {name: torch.zeros_like(wide(self.gradients[name])) if g is None else g for name, g in mine.items()}
        parallel = parallel_part(self.model)
        if parallel is None or not found:
            return found
        group = parallel.process_group
        together = torch.cat([g.reshape(-1) for g in found.values()])
        dist.all_reduce(together, group=group)
        together /= dist.get_world_size(group)
        parts = torch.split(together, [g.numel() for g in found.values()])
        return {name: part.view_as(found[name]) for name, part in zip(found, parts, strict=True)}


def own_weights(weights: AnalogWeights, optimizer: torch.optim.Optimizer) -> dict[str, nn.Parameter]:
    """Return the analog weights that the optimizer has."""
    own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return {name: parameter for name, parameter in weights.parameters.items() if id(parameter) in own}


def check_clip_norm(clip_norm: float | None) -> None:
    """Raise DriftproofError if a gradient cannot be clipped to this norm: a negative one would turn it around."""
    if clip_norm is not None and not (math.isfinite(clip_norm) and clip_norm > 0):
        raise DriftproofError(f"gradient clipping at norm {clip_norm!r}: wanted a number above 0, or None for none")


def make_update(
    update: Update,
    optimizer: torch.optim.Optimizer,
    finish: Callable[[Update], bool],
    scaler: torch.amp.GradScaler | None,
    clip_norm: float | None,
) -> tuple[float, bool]:
    """Let the optimizer take its step; return the gradient's norm before clipping, and whether the step was left out.

    Args:
        update: what the step is made of.
        optimizer: that takes it.
        finish: what the method does with a finite gradient; returns whether it changed it.
        scaler: of the loss in float16: it leaves the step out if a gradient overflowed.
        clip_norm: largest norm of the gradient.

    Raises:
        DriftproofError: no gradient, or one that is not finite and no scaler to leave it out.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if not parameters:
        raise DriftproofError("no parameter of the optimizer has a gradient: does the closure use the network?")
    if scaler is not None:
        scaler.unscale_(optimizer)
    size = gradient_norm(parameters)
    norm = float(size)
    if math.isfinite(norm) and finish(update):
        size = gradient_norm(parameters)
        norm = float(size)
        if not math.isfinite(norm):
            scaler = None  # it has looked already
    if not math.isfinite(norm) and scaler is None:
        raise DriftproofError(
            f"the gradient is {norm}: nothing was updated. Lower the learning rate or the strength of the "
            "perturbation, or ramp it"
        )
    if clip_norm is not None and math.isfinite(norm):
        torch.nn.utils.clip_grads_with_norm_(parameters, clip_norm, size)
    if scaler is None:
        optimizer.step()
        return norm, False
    before = scaler.get_scale()
    scaler.step(optimizer)
    scaler.update()
    return norm, bool(scaler.get_scale() < before)


def wrappers(model: nn.Module) -> list[nn.Module]:
    """Return a network and all that wraps it, from the outside; those that do not, alone."""
    found = [model]
    while True:
        outer = found[-1]
        if isinstance(outer, nn.DataParallel | DistributedDataParallel):
            inner: nn.Module | None = outer.module
        else:
            inner = outer._modules.get("_orig_mod") if type(outer).__name__ == "OptimizedModule" else None
        if inner is None:
            return found
        found.append(inner)


def parallel_part(model: nn.Module) -> DistributedDataParallel | None:
    """Return the wrapper that exchanges gradients between processes, if there is one."""
    return next((part for part in wrappers(model) if isinstance(part, DistributedDataParallel)), None)


def gradient_norm(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Return the Euclidean norm of all gradients, sparse ones included."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    dense = [g.coalesce().values() if g.is_sparse else g for g in gradients]
    size: Tensor = torch.nn.utils.get_total_norm(dense)
    return size
