"""The forward and backward passes of one micro-batch of one update."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from driftproof._errors import DriftproofError
from driftproof._inputs import in_eval_mode
from driftproof._old_paths import old_attribute
from driftproof._random_state import random_state_kept
from driftproof.training._noise import Key, Noise
from driftproof.training._norms import NormPolicy, statistics_kept
from driftproof.training._update import Shared
from driftproof.training._weights import wide

type Closure = Callable[[], Tensor]
"""A forward pass of the network on one batch, always the same, that returns its loss; the method calls backward."""
type Closures = Sequence[Closure]
"""The closures of one micro-batch: one, or as many as the method takes."""


@dataclass(kw_only=True)
class Passes(Shared):
    """What a method can do with one micro-batch: compute gradients at clean or perturbed weights.

    Attributes:
        norms: Norms of the network that keep running statistics.
        policy: Which pass updates these statistics.
        share: Share of this micro-batch in the update.
        last: Whether it is the last micro-batch. Gradients are then exchanged between processes.
        key: Key of this micro-batch's draws.
        diagnose: Whether diagnostics that cost passes are wanted.
        measured: Diagnostics of this micro-batch, name → scalar.
    """

    norms: Sequence[nn.Module]
    policy: NormPolicy
    share: float
    last: bool
    key: Key
    diagnose: bool
    measured: dict[str, Tensor] = field(default_factory=dict)

    found = old_attribute("measured")

    def backward(
        self,
        closure: Closure,
        *,
        perturbed: bool,
        share: float = 1.0,
        last: bool = True,
        moves_norms: bool | None = None,
    ) -> Tensor:
        """Add the gradient at the present weights to ``.grad``, and return the loss.

        Args:
            closure: Forward pass that returns the loss.
            perturbed: Whether the weights are perturbed.
            share: Share of this gradient in the gradient of the micro-batch (default: 1).
            last: Whether this is the last backward pass of the micro-batch (default: True).
            moves_norms: Whether this pass updates the norms' statistics (default: as the policy says).
        """
        with self._pass(perturbed, moves_norms, exchanged=self.last and last):
            loss = checked(closure(), perturbed)
            scaled = loss * (self.share * share) if self.share * share != 1 else loss
            try:
                torch.autograd.backward(self._scaled(scaled))
            except RuntimeError as error:
                if "a second time" in str(error):
                    raise DriftproofError(_REMEMBERS) from error
                raise
        return loss.detach()

    def plain(self, closure: Closure) -> Tensor:
        """Make the only pass of this micro-batch, at clean weights, as training without a method would."""
        return self.backward(closure, perturbed=False, moves_norms=True)

    def overflow(self, closure: Closure) -> Tensor:
        """Leave a gradient that is not finite, in all processes, so that the scaler skips this update.

        The gradient of another pass overflowed before. That of this pass may not overflow, with other dropout or a
        smaller share, and the update would then be one without a perturbation.
        """
        return self.backward(closure, perturbed=True, share=float("inf"))

    def gradients(
        self, closure: Closure, *, perturbed: bool = False, moves_norms: bool | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and the gradients of the analog weights; ``.grad`` and the other processes see nothing."""
        wanted = {name: p for name, p in self.weights.parameters.items() if p.requires_grad}
        with self._pass(perturbed, moves_norms):
            loss = checked(closure(), perturbed)
            parts = torch.autograd.grad(self._scaled(loss), list(wanted.values()), allow_unused=True) if wanted else ()
        scale = 1.0 if self.scaler is None else self.scaler.get_scale()
        unscaled = {
            name: g / scale if scale != 1 else g for name, g in zip(wanted, parts, strict=True) if g is not None
        }
        return loss.detach(), unscaled

    def measure(self, closure: Closure) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and the gradients at the present weights; statistics and random state stay as they are."""
        with random_state_kept(), statistics_kept(self.norms):
            return self.gradients(closure)

    def loss(self, closure: Closure, *, perturbed: bool) -> Tensor:
        """Return the loss at the present weights, without a gradient."""
        with self._pass(perturbed), torch.no_grad():
            return checked(closure(), perturbed).detach()

    def keep(self, gradients: Mapping[str, Tensor]) -> None:
        """Add this micro-batch's share of some gradients to :attr:`kept`, for the end of the update."""
        for name, gradient in gradients.items():
            part = wide(gradient) * self.share
            self.kept[name] = self.kept[name] + part if name in self.kept else part

    def draw(self, noise: Noise, strength: float) -> dict[str, Tensor]:
        """Return weights perturbed by a draw of noise: array name → present weights + strength × error."""
        drawn = noise.draw(self.weights, self.key)
        if strength != 1:
            now = self.weights.parameters
            drawn = {name: torch.lerp(now[name].detach().to(w.dtype), w, strength) for name, w in drawn.items()}
        return drawn

    def holding(self, values: Mapping[str, Tensor]) -> AbstractContextManager[None]:
        """Return a context in which the analog weights have other values."""
        return self.weights.holding(values)

    def _scaled(self, loss: Tensor) -> Tensor:
        return loss if self.scaler is None else self.scaler.scale(loss)

    @contextmanager
    def _pass(self, perturbed: bool, moves_norms: bool | None = None, *, exchanged: bool = False) -> Iterator[None]:
        """Make one pass: it updates the norms' statistics, and exchanges gradients between processes, or does not."""
        if moves_norms is None:
            moves_norms = (self.policy == "perturbed") == perturbed
        with ExitStack() as contexts:
            if not exchanged and (no_sync := getattr(self.model, "no_sync", None)) is not None:
                contexts.enter_context(no_sync())
            if self.policy == "frozen":
                contexts.enter_context(in_eval_mode(self.norms))
            elif self.policy == "recalibrate" or not moves_norms:
                contexts.enter_context(statistics_kept(self.norms))
            yield


_REMEMBERS = (
    "the loss depends on a pass that was made before: the network keeps something between calls, such as the membrane "
    "potential of a spiking neuron or a hidden state; reset that at the start of forward(), or detach it"
)


def checked(loss: object, perturbed: bool) -> Tensor:
    """Return a loss as a scalar, or raise DriftproofError if it is not a finite scalar with a gradient."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        came = f"a tensor of shape {list(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
        raise DriftproofError(f"the closure returned {came}; wanted the loss as a tensor of one number")
    if not bool(torch.isfinite(loss)):
        raise DriftproofError(
            f"the loss at {'perturbed' if perturbed else 'clean'} weights is {float(loss.detach())}: nothing was "
            "updated. Lower the learning rate or the strength of the perturbation, or ramp it"
        )
    if torch.is_grad_enabled() and not loss.requires_grad:
        raise DriftproofError(
            "the closure's loss has no gradient: wanted one that is computed from the network's outputs, without "
            "torch.no_grad, detach or item"
        )
    return loss.reshape(())
