"""The forward and backward passes of one micro-batch of one update."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from driftproof.errors import DriftproofError
from driftproof.training.noise import Key, Noise
from driftproof.training.norms import NormPolicy, in_eval_mode, statistics_kept
from driftproof.training.random_state import random_state_kept
from driftproof.training.weights import AnalogWeights, wide

type Closure = Callable[[], Tensor]
"""A forward pass of the network on one batch, always the same, that returns its loss; the method calls backward."""


@dataclass(kw_only=True)
class Passes:
    """What a method may do with one micro-batch: gradients at clean or perturbed weights.

    Attributes:
        model: what the closure calls, in its wrappers.
        weights: its analog weights.
        norms: those of its norms that keep statistics.
        policy: which pass moves the statistics.
        scaler: of the loss, in half precision.
        share: of this micro-batch in the update.
        last: whether it is the last one: gradients are then exchanged between processes.
        levels: strength of each perturbation at this update, in the order of the method's schedules.
        key: of this micro-batch's draws.
        step: number of the update.
        diagnose: whether diagnostics that cost passes are wanted.
        kept: what :meth:`keep` has summed over the micro-batches of this update.
        found: what was measured on the way, name → scalar.
    """

    model: nn.Module
    weights: AnalogWeights
    norms: Sequence[nn.Module]
    policy: NormPolicy
    scaler: torch.amp.GradScaler | None
    share: float
    last: bool
    levels: tuple[float, ...]
    key: Key
    step: int
    diagnose: bool
    kept: dict[str, Tensor]
    found: dict[str, Tensor] = field(default_factory=dict)

    @property
    def level(self) -> float:
        """Strength of the method's first perturbation."""
        return self.levels[0]

    def backward(
        self,
        closure: Closure,
        *,
        perturbed: bool,
        share: float = 1.0,
        last: bool = True,
        moves_norms: bool | None = None,
    ) -> Tensor:
        """Add the gradient at the weights as they are now to ``.grad``, and return the loss.

        Args:
            closure: the forward pass.
            perturbed: whether the weights are perturbed.
            share: of this gradient in that of the micro-batch.
            last: whether no other backward of this micro-batch follows.
            moves_norms: whether this is the pass that moves the norms' statistics; as the policy says unless given.
        """
        with self._synchronised(self.last and last), self._statistics(perturbed, moves_norms):
            loss = checked(closure(), "perturbed" if perturbed else "clean")
            scaled = loss * (self.share * share) if self.share * share != 1 else loss
            torch.autograd.backward(self._scaled(scaled))
        return loss.detach()

    def plain(self, closure: Closure) -> Tensor:
        """Make the only pass of this micro-batch, at clean weights, as training without a method would."""
        return self.backward(closure, perturbed=False, moves_norms=True)

    def overflow(self, closure: Closure) -> Tensor:
        """Leave a gradient that is not finite, in all processes, so that the scaler leaves this update out.

        The gradient of another pass overflowed already; with other dropout, or a smaller share, that of this one may
        not, and the update would be one without a perturbation.
        """
        return self.backward(closure, perturbed=True, share=float("inf"))

    def gradients(
        self, closure: Closure, *, perturbed: bool = False, moves_norms: bool | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and the gradient of the analog weights alone; ``.grad`` and other processes see nothing."""
        wanted = {name: p for name, p in self.weights.parameters.items() if p.requires_grad}
        with self._synchronised(False), self._statistics(perturbed, moves_norms):
            loss = checked(closure(), "perturbed" if perturbed else "clean")
            found = torch.autograd.grad(self._scaled(loss), list(wanted.values()), allow_unused=True) if wanted else ()
        gradients = {name: g for name, g in zip(wanted, found, strict=True) if g is not None}
        if self.scaler is not None:
            scale = self.scaler.get_scale()
            gradients = {name: g / scale for name, g in gradients.items()}
        return loss.detach(), gradients

    def measure(self, closure: Closure) -> tuple[Tensor, dict[str, Tensor]]:
        """Return loss and gradient at the weights as they are now; nothing moves: no statistics, no random state."""
        with random_state_kept(), statistics_kept(self.norms):
            return self.gradients(closure)

    def loss(self, closure: Closure, *, perturbed: bool) -> Tensor:
        """Return the loss at the weights as they are now, without a gradient."""
        with self._synchronised(False), self._statistics(perturbed), torch.no_grad():
            return checked(closure(), "perturbed" if perturbed else "clean").detach()

    def keep(self, gradients: Mapping[str, Tensor]) -> None:
        """Add this micro-batch's share of some gradients to those that the end of the update will have."""
        for name, gradient in gradients.items():
            part = wide(gradient) * self.share
            self.kept[name] = self.kept[name] + part if name in self.kept else part

    def draw(self, noise: Noise, strength: float) -> dict[str, Tensor]:
        """Return perturbed weights, the noise drawn around the weights as they are now."""
        drawn = noise.draw(self.weights, self.key)
        if strength != 1:
            now = self.weights.parameters
            drawn = {name: torch.lerp(now[name].detach().to(w.dtype), w, strength) for name, w in drawn.items()}
        return drawn

    @contextmanager
    def holding(self, values: Mapping[str, Tensor]) -> Iterator[None]:
        """Hold perturbed weights inside."""
        with self.weights.holding(values):
            yield

    def _scaled(self, loss: Tensor) -> Tensor:
        return loss if self.scaler is None else self.scaler.scale(loss)

    def _synchronised(self, wanted: bool) -> AbstractContextManager[object]:
        no_sync = getattr(self.model, "no_sync", None)
        return nullcontext() if wanted or no_sync is None else no_sync()

    @contextmanager
    def _statistics(self, perturbed: bool, moves_norms: bool | None = None) -> Iterator[None]:
        """Let this pass move the norms' statistics, or not, as the policy says."""
        if moves_norms is None:
            moves_norms = (self.policy == "perturbed") == perturbed
        if self.policy == "frozen":
            with in_eval_mode(self.norms):
                yield
        elif self.policy == "recalibrate" or not moves_norms:
            with statistics_kept(self.norms):
                yield
        else:
            yield


def checked(loss: object, where: str) -> Tensor:
    """Return a loss as a scalar, or raise DriftproofError if it is no finite one with a gradient."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        came = f"a tensor of shape {list(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
        raise DriftproofError(f"the closure returned {came}; wanted the loss as a tensor of one number")
    if not bool(torch.isfinite(loss)):
        raise DriftproofError(
            f"the loss at {where} weights is {float(loss.detach())}: nothing was updated. Lower the learning rate or "
            "the strength of the perturbation, or ramp it"
        )
    if torch.is_grad_enabled() and not loss.requires_grad:
        raise DriftproofError(
            "the closure's loss has no gradient: wanted one that is computed from the network's outputs, without "
            "torch.no_grad, detach or item"
        )
    return loss.reshape(())
