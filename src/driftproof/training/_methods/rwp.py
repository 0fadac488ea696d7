"""Random-weight perturbation: the gradient at w + ε, with ε drawn from the noise of a device or from a Gaussian."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from driftproof._errors import DriftproofError
from driftproof.training._methods.perturbation import DrawsNoise, diagnose, measure_noise_periodically
from driftproof.training._noise import NoiseLike, as_noise
from driftproof.training._norms import NormPolicy
from driftproof.training._passes import Closure, Closures, Passes
from driftproof.training._schedules import STRENGTH, StrengthLike


class RWP(DrawsNoise):
    """Random-weight perturbation: one forward and one backward pass at w + s ε.

    The gradient treats ε as a constant. It is not differentiated through the column's maximum or the compensation,
    although both depend on w.

    Args:
        noise: Noise to draw ε from: ``preset.at("1d")``, ``"gaussian:0.1"``, ``"pcm-nandakumar-2019@1h..1y"`` or
            ``"norm:0.005"`` (:func:`driftproof.training._noise.as_noise`).
        strength: Factor s on the noise, a number or a schedule (default: 1). Above 1 the network is trained with more
            noise than the device has (over-regularisation).
        norms: Which pass updates the running statistics of norms (default: ``"perturbed"``, the statistics of the noisy
            network, which needs no additional pass).
        options: Further options of :class:`Method`.

    >>> import torch, driftproof as dp
    >>> from torch import nn
    >>> net = nn.Linear(4, 2)
    >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    >>> method = RWP(noise=dp.load_preset("pcm-nandakumar-2019").at("1d"), strength=2.0)
    >>> x, y = torch.ones(8, 4), torch.zeros(8, dtype=torch.long)
    >>> loss = method.step(lambda: nn.functional.cross_entropy(net(x), y), net, optimizer)
    >>> method.last.strength, method.last.more["noise"] > 0
    (2.0, True)
    """

    name = "rwp"

    def __init__(
        self, *, noise: NoiseLike, strength: StrengthLike = STRENGTH, norms: NormPolicy = "perturbed", **options: Any
    ) -> None:
        super().__init__(strength=strength, norms=norms, **options)
        self.noise = as_noise(noise)

    def accumulate(self, passes: Passes, closures: Closures) -> Tensor:
        """Compute the gradient in one pass at perturbed weights.

        Before it, make the additional passes for diagnostics and, with ``norms="clean"``, for the statistics of the
        norms.
        """
        closure = closures[0]
        if not passes.strength:
            return passes.plain(closure)
        drawn = self.drawn(passes)
        measure_noise_periodically(passes, drawn)
        diagnose(passes, closure, drawn)
        if passes.policy == "clean":
            passes.measured["clean_loss"] = passes.loss(closure, perturbed=False)
        return self.gradient_at(passes, closure, drawn)

    def weights_of_one_pass(self, passes: Passes) -> dict[str, Tensor]:
        """Return perturbed weights.

        Raises:
            DriftproofError: The method makes a second pass.
        """
        if type(self).accumulate is not RWP.accumulate or type(self).gradient_at is not RWP.gradient_at:
            return super().weights_of_one_pass(passes)
        if passes.policy == "clean":
            raise DriftproofError(
                f"method {self.name}: norms='clean' takes a clean pass for the statistics of the norms; use "
                "norms='perturbed', or gradient(closure, model)"
            )
        return self.drawn(passes) if passes.strength else {}

    def gradient_at(self, passes: Passes, closure: Closure, drawn: dict[str, Tensor]) -> Tensor:
        """Add the gradient at perturbed weights to ``.grad``; return the loss."""
        with passes.holding(drawn):
            return passes.backward(closure, perturbed=True)
