"""The calls of a method for loops that step by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from driftproof.training._methods.own_loop import OwnLoop
from driftproof.training._passes import Closure


class GradientOnly:
    """The part of a method that computes its gradient and does not step."""

    _own_loop: OwnLoop

    def gradient(
        self,
        closure: Closure | Sequence[Closure],
        model: nn.Module,
        *,
        part: int = 0,
        parts: int | None = None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> Tensor:
        """Add the method's gradient to ``.grad`` and return the loss, for a loop that steps by itself.

        ``method.gradient(closure, model); optimizer.step(); optimizer.zero_grad()`` is :meth:`step`. An update of the
        method lasts until an optimizer steps or the gradients are dropped: a loop that accumulates gradients gives its
        micro-batches one by one, and each has its own perturbation, of the same strength. With ``part`` and ``parts``
        they are the micro-batches of :meth:`step`.

        Args:
            closure: Forward pass that returns the loss, as for :meth:`step`, or as many as the method takes.
            model: Network that the closure calls, in its wrappers.
            part: Number of this micro-batch in the update (default: 0).
            parts: Number of micro-batches of the update, by which the loss is divided here (default: not known; a loop
                that accumulates divides the loss itself).
            scaler: Scaler of the loss in float16 (default: none).

        Raises:
            DriftproofError: As for :meth:`step`; a gradient that is not finite (do not step along it); parts out of
                order; a method with weight clipping; gradients that are accumulated without ``parts``, for a method
                that looks at the gradient of the whole update.
        """
        return self._own_loop.gradient(closure, model, part, parts, scaler)

    def perturbed(self, model: nn.Module, *, part: int = 0, parts: int | None = None) -> AbstractContextManager[None]:
        """Return a context in which the weights are perturbed: ``with method.perturbed(model): loss().backward()``.

        It is for loops that step by themselves, and for methods with one pass an update, such as
        :class:`driftproof.training.RWP`. Forward and backward belong inside. Afterwards the weights are as they were,
        bit for bit. One block is one update of the method, or one micro-batch of it, as for :meth:`gradient`. A scaler
        of the loss is not known here: with one, methods that look at the gradient, such as
        :class:`driftproof.training.AdaptiveRWP`, need :meth:`step`.

        Args:
            model: Network that is called inside, in its wrappers or not.
            part: Number of this micro-batch in the update (default: 0).
            parts: Number of micro-batches of the update (default: not known). The loop divides the loss by it.

        Raises:
            DriftproofError: A method with several passes or with weight clipping; parts out of order; processes whose
                weights have drifted apart, as they do if nothing exchanges the gradients; weights that are split over
                processes (FSDP).

        >>> import driftproof as dp
        >>> network, method = nn.Linear(4, 2), dp.RWP(noise="gaussian:0.1")
        >>> before = network.weight.detach().clone()
        >>> with method.perturbed(network):
        ...     network(torch.ones(1, 4)).sum().backward()
        >>> torch.equal(before, network.weight), network.weight.grad is None
        (True, False)
        """
        return self._own_loop.perturbed(model, part, parts)
