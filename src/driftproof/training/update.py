"""The gradient of one whole update: what a method may do with it is the same in all processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

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
