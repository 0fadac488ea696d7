"""Random-weight perturbation: the gradient at w + ε, ε drawn from a device's own noise or a Gaussian."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from driftproof.errors import DriftproofError
from driftproof.training.methods.method import Method
from driftproof.training.noise import NoiseLike, as_noise
from driftproof.training.norms import NormPolicy
from driftproof.training.passes import Closure, Passes
from driftproof.training.schedules import Schedule
from driftproof.training.weights import norm

REALISED_EVERY = 20  # updates between measurements of the noise that was put on


class RWP(Method):
    """Random-weight perturbation: one pass, at w + s ε.

    ε is held constant in the gradient: neither the column's maximum nor the compensation is differentiated.

    Args:
        noise: ``preset.at("1d")``, ``"gaussian:0.1"``, ``"pcm-nandakumar-2019@1h..1y"``, ``"norm:0.005"``
            (:func:`driftproof.training.as_noise`).
        strength: s, a number or a schedule; above 1 the training has more noise than the device (over-regularised).
        norms: ``perturbed`` unless said: statistics of the noisy network, no pass more.
        options: of :class:`Method`.

    >>> import torch, driftproof as dp
    >>> from torch import nn
    >>> net = nn.Linear(4, 2)
    >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    >>> method = RWP(noise=dp.load_preset("pcm-nandakumar-2019").at("1d"), strength=2.0)
    >>> x, y = torch.ones(8, 4), torch.zeros(8, dtype=torch.long)
    >>> loss = method.step(lambda: nn.functional.cross_entropy(net(x), y), net, optimizer)
    >>> method.last.level, method.last.more["noise"] > 0
    (2.0, True)
    """

    name = "rwp"

    def __init__(
        self,
        *,
        noise: NoiseLike,
        strength: float | Schedule | str = 1.0,
        norms: NormPolicy = "perturbed",
        **options: Any,
    ) -> None:
        super().__init__(strength=strength, norms=norms, **options)
        self.noise = as_noise(noise)
        self._checked = False

    def gradient(self, passes: Passes, closures: Sequence[Closure]) -> Tensor:
        """One pass at perturbed weights."""
        closure = closures[0]
        if not passes.level:
            return passes.backward(closure, perturbed=False)
        clean = self.clean_pass(passes, closure)
        drawn = self.perturbed(passes)
        with passes.holding(drawn):
            loss = passes.backward(closure, perturbed=True)
        if clean is not None:
            passes.found["clean_loss"] = clean
        return loss

    def perturbed(self, passes: Passes) -> dict[str, Tensor]:
        """Draw perturbed weights, and see that they are."""
        drawn = passes.draw(self.noise, passes.level)
        if passes.diagnose or passes.step % REALISED_EVERY == 0 or not self._checked:
            self._checked = True
            realised = passes.weights.realised(drawn)
            mean = sum(realised.values()) / len(realised)
            if mean == 0:
                raise DriftproofError(
                    f"method {self.name}: noise {self.noise} at strength {passes.level:g} perturbs nothing"
                )
            passes.found["noise"] = torch.tensor(mean)
        return drawn

    def clean_pass(self, passes: Passes, closure: Closure) -> Tensor | None:
        """Run what is wanted at clean weights: for the norms' statistics, or for diagnostics."""
        if passes.diagnose:
            clean, here = passes.measure(closure)
            drawn = passes.draw(self.noise, passes.level)
            with passes.holding(drawn):
                _, there = passes.measure(closure)
            passes.found["clean_loss"] = clean
            passes.found["gradient_sharpness"] = gradient_sharpness(passes, here, there, drawn)
        return passes.loss(closure, perturbed=False) if passes.policy == "clean" else None

    def state_dict(self) -> dict[str, Any]:
        """Return what the method has become, and whether its noise has been seen."""
        return super().state_dict() | {"checked": self._checked}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where a method of the same settings was."""
        super().load_state_dict(state)
        self._checked = state["checked"]

    def describe(self) -> dict[str, str]:
        """Return the settings as text."""
        return super().describe() | {"noise": str(self.noise)}


def gradient_sharpness(
    passes: Passes, here: dict[str, Tensor], there: dict[str, Tensor], moved: dict[str, Tensor]
) -> Tensor:
    """Return ‖∇L(w + ε) − ∇L(w)‖ / ‖ε‖: how fast the gradient turns along a perturbation."""
    change = {name: there[name] - here[name] for name in here if name in there}
    step = {name: moved[name] - passes.weights.parameters[name].detach() for name in moved}
    return norm(change) / norm(step)
