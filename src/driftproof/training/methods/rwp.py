"""Random-weight perturbation: the gradient at w + ε, ε drawn from a device's own noise or a Gaussian."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from driftproof.training.methods.measured import check_perturbs, measure, note_realised
from driftproof.training.methods.method import Method
from driftproof.training.noise import Noise, NoiseLike, as_noise
from driftproof.training.norms import NormPolicy
from driftproof.training.passes import Closure, Passes
from driftproof.training.schedules import STRENGTH, Schedule


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
        strength: float | Schedule | str = STRENGTH,
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
            return passes.plain(closure)
        drawn = self.perturbed(passes)
        note_realised(passes, drawn)
        self.look_around(passes, closure, drawn)
        with passes.holding(drawn):
            return passes.backward(closure, perturbed=True)

    def perturbed(self, passes: Passes) -> dict[str, Tensor]:
        """Draw perturbed weights; the first time, see that they are."""
        drawn = passes.draw(self.noise, passes.level)
        if not self._checked:
            check_perturbs(passes, self.noise, self.strength.largest, self.name)
            self._checked = True
        return drawn

    def look_around(self, passes: Passes, closure: Closure, drawn: dict[str, Tensor]) -> None:
        """Make the passes that are no part of the gradient: for the norms' statistics, and for diagnostics."""
        if passes.diagnose:
            measure(passes, closure, drawn)
        if passes.policy == "clean":
            passes.found["clean_loss"] = passes.loss(closure, perturbed=False)

    def noises(self) -> list[Noise]:
        """Return its noise."""
        return [self.noise]

    def describe(self) -> dict[str, str]:
        """Return the settings as text."""
        return super().describe() | {"noise": str(self.noise)}

    def _own_state(self) -> dict[str, Any]:
        return {"checked": self._checked}

    def _load_own_state(self, state: dict[str, Any]) -> None:
        self._checked = state["checked"]
