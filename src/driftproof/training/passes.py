"""The forward and backward passes of one micro-batch of one update."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from driftproof.errors import DriftproofError
from driftproof.training.noise import Key, Noise
from driftproof.training.norms import NormPolicy, in_eval_mode, statistics_kept
from driftproof.training.random_state import random_state_kept
from driftproof.training.weights import AnalogWeights

type Closure = Callable[[], Tensor]
"""A forward pass of the network on one batch, always the same, that returns its loss; the method calls backward."""


@dataclass(kw_only=True)
class Passes:
    """What a method may do with one micro-batch: gradients at clean or perturbed weights.

    Attributes:
        model: what the closure calls, in its wrappers.
        weights: its analog weights.
        norms: those of its norms that keep statistics.
        policy: which passes move the statistics.
        scaler: of the loss, in half precision.
        share: of this micro-batch in the update.
        last: whether it is the last one: gradients are then exchanged between processes.
        level: strength of the perturbation at this update.
        key: of this micro-batch's draws.
        step: number of the update.
        diagnose: whether diagnostics that cost passes are wanted.
        found: what was measured on the way, name → scalar.
    """

    model: nn.Module
    weights: AnalogWeights
    norms: list[nn.Module]
    policy: NormPolicy
    scaler: torch.amp.GradScaler | None
    share: float
    last: bool
    level: float
    key: Key
    step: int
    diagnose: bool
    found: dict[str, Tensor] = field(default_factory=dict)

    def backward(self, closure: Closure, *, perturbed: bool, share: float = 1.0, last: bool = True) -> Tensor:
        """Add the gradient at the weights as they are now to ``.grad``, and return the loss.

        Args:
            closure: the forward pass.
            perturbed: whether the weights are perturbed.
            share: of this gradient in that of the micro-batch.
            last: whether no other backward of this micro-batch follows.
        """
        with self._synchronised(self.last and last), self._statistics(perturbed):
            loss = checked(closure(), "perturbed" if perturbed else "clean")
            scaled = loss * (self.share * share) if self.share * share != 1 else loss
            torch.autograd.backward(self._scaled(scaled))
        return loss.detach()

    def gradients(self, closure: Closure, *, perturbed: bool = False) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and the gradient of the analog weights alone; ``.grad`` and other processes see nothing."""
        wanted = {name: p for name, p in self.weights.parameters.items() if p.requires_grad}
        if not wanted:
            raise DriftproofError("all analog weights are frozen: there is no gradient to ascend along; use RWP")
        with self._synchronised(False), self._statistics(perturbed):
            loss = checked(closure(), "perturbed" if perturbed else "clean")
            found = torch.autograd.grad(self._scaled(loss), list(wanted.values()), allow_unused=True)
        gradients = {name: g for name, g in zip(wanted, found, strict=True) if g is not None}
        if self.scaler is not None:
            scale = self.scaler.get_scale()
            gradients = {name: g / scale for name, g in gradients.items()}
        return loss.detach(), gradients

    def measure(self, closure: Closure) -> tuple[Tensor, dict[str, Tensor]]:
        """Return loss and gradient at the weights as they are now; nothing moves: no statistics, no random state."""
        with random_state_kept(), statistics_kept(self.norms):
            return self.gradients(closure, perturbed=self.level > 0)

    def loss(self, closure: Closure, *, perturbed: bool) -> Tensor:
        """Return the loss at the weights as they are now, without a gradient."""
        with self._synchronised(False), self._statistics(perturbed), torch.no_grad():
            return checked(closure(), "perturbed" if perturbed else "clean").detach()

    def draw(self, noise: Noise, strength: float = 1.0) -> dict[str, Tensor]:
        """Return perturbed weights, the noise drawn around the weights as they are now."""
        drawn = noise.draw(self.weights, self.key)
        if strength != 1:
            now = self.weights.parameters
            drawn = {name: torch.lerp(now[name].detach().to(w.dtype), w, strength) for name, w in drawn.items()}
        return drawn

    def _scaled(self, loss: Tensor) -> Tensor:
        return loss if self.scaler is None else self.scaler.scale(loss)

    @contextmanager
    def holding(self, values: Mapping[str, Tensor]) -> Iterator[None]:
        """Hold perturbed weights inside."""
        with self.weights.holding(values):
            yield

    def _synchronised(self, wanted: bool) -> AbstractContextManager[object]:
        no_sync = getattr(self.model, "no_sync", None)
        return nullcontext() if wanted or no_sync is None else no_sync()

    @contextmanager
    def _statistics(self, perturbed: bool) -> Iterator[None]:
        """Let this pass move the norms' statistics, or not, as the policy says."""
        if self.policy == "frozen":
            with in_eval_mode(self.norms):
                yield
        elif self.policy == "recalibrate" or ((self.policy == "perturbed") != perturbed and self.level > 0):
            with statistics_kept(self.norms):
                yield
        else:
            yield


def checked(loss: Tensor, where: str) -> Tensor:
    """Return a loss, or raise DriftproofError if it is no finite scalar."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        shape = list(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise DriftproofError(f"the closure returned {shape}; wanted the loss as a tensor of one number")
    if not bool(torch.isfinite(loss)):
        raise DriftproofError(
            f"the loss at {where} weights is {float(loss)}: nothing was updated. Lower the learning rate or the "
            "strength of the perturbation, or ramp it"
        )
    return loss
