"""One update as a whole: its gradient, which a method may change, and the optimizer's step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from driftproof._errors import DriftproofError
from driftproof._mapping import unwrap
from driftproof._old_paths import old_attribute
from driftproof.training._weights import AnalogWeights, wide


@dataclass(kw_only=True)
class Shared:
    """What an update has in common with each of its micro-batches.

    Attributes:
        model: Network in its wrappers.
        weights: Its analog weights.
        scaler: Scaler of the loss in float16; None without scaling.
        strengths: Strength of each perturbation at this update, in the order of the method's schedules.
        step: Number of the update, from 0.
        kept: Sum of what :meth:`driftproof.training._passes.Passes.keep` was given in this process.
    """

    model: nn.Module
    weights: AnalogWeights
    scaler: torch.amp.GradScaler | None
    strengths: tuple[float, ...]
    step: int
    kept: dict[str, Tensor] = field(default_factory=dict)

    @property
    def strength(self) -> float:
        """Strength of the method's first perturbation."""
        return self.strengths[0]

    level = old_attribute("strength")
    levels = old_attribute("strengths")


@dataclass(kw_only=True)
class Update(Shared):
    """One update as a whole, after its micro-batches.

    Attributes:
        optimizer: Optimizer that takes the step; None if the caller's loop steps.
    """

    optimizer: torch.optim.Optimizer | None

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        """The analog weights that the optimizer has: array name → parameter."""
        if self.optimizer is None:
            return {name: parameter for name, parameter in self.weights.parameters.items() if parameter.requires_grad}
        ids = {id(parameter) for group in self.optimizer.param_groups for parameter in group["params"]}
        return {name: parameter for name, parameter in self.weights.parameters.items() if id(parameter) in ids}

    @property
    def gradients(self) -> dict[str, Tensor]:
        """The gradients of the trained analog weights, to be changed in place: array name → ``.grad``.

        When :meth:`driftproof.training.Method.finish` sees them they are exchanged between processes and unscaled.
        """
        return {name: weight.grad for name, weight in self.trained.items() if weight.grad is not None}

    def mean_kept(self) -> dict[str, Tensor]:
        """Return the mean over all processes of what was kept, for each gradient; all processes have to call it."""
        mean = {name: self.kept.get(name, torch.zeros_like(wide(g))) for name, g in self.gradients.items()}
        parallel = next((part for part in wrappers(self.model) if isinstance(part, DistributedDataParallel)), None)
        if parallel is None or not mean:
            return mean
        group = parallel.process_group
        together = torch.cat([g.reshape(-1) for g in mean.values()])
        dist.all_reduce(together, group=group)
        together /= dist.get_world_size(group)
        parts = torch.split(together, [g.numel() for g in mean.values()])
        return {name: part.view_as(mean[name]) for name, part in zip(mean, parts, strict=True)}

    def make(self, finish: Callable[[Update], bool], clip_norm: float | None) -> tuple[float, bool]:
        """Let the optimizer take its step; return the gradient's norm before clipping, and whether it was skipped.

        Args:
            finish: The method's last change of a finite gradient; returns whether it changed it.
            clip_norm: Largest norm of the gradient; None for no clipping.

        Raises:
            DriftproofError: No gradient, or a gradient that is not finite if there is no scaler to skip the step.
        """
        optimizer, scaler = self.optimizer, self.scaler
        assert optimizer is not None
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if not parameters:
            raise DriftproofError("no parameter of the optimizer has a gradient: does the closure use the network?")
        if scaler is not None:
            scaler.unscale_(optimizer)
        size = gradient_norm(parameters)
        norm = float(size)
        if math.isfinite(norm) and finish(self):
            size = gradient_norm(parameters)
            norm = float(size)
            if not math.isfinite(norm):
                scaler = None  # the scaler has looked at the gradient before and would let it through
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


def check_clip_norm(clip_norm: float | None) -> None:
    """Raise DriftproofError if a gradient cannot be clipped to this norm: a negative one would reverse it."""
    if clip_norm is not None and not (math.isfinite(clip_norm) and clip_norm > 0):
        raise DriftproofError(f"gradient clipping at norm {clip_norm!r}: wanted a number above 0, or None for none")


def wrappers(model: nn.Module) -> list[nn.Module]:
    """Return the modules that wrap a network (DataParallel, torch.compile), the outermost first, and the network."""
    network = unwrap(model)
    return [part for part in model.modules() if unwrap(part) is network]


def gradient_norm(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Return the Euclidean norm of all gradients, sparse ones included, a scalar."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    dense = [g.coalesce().values() if g.is_sparse else g for g in gradients]
    size: Tensor = torch.nn.utils.get_total_norm(dense)
    return size
