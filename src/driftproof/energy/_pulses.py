"""An optimizer that changes conductances by whole pulses, and counts them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from driftproof._errors import DriftproofError


class PulsedUpdates(torch.optim.Optimizer):
    """Stochastic gradient descent whose steps on arrays are whole programming pulses.

    What a gradient asks for is added up in digital memory, weight by weight. As soon as the sum is as large as what one
    pulse changes, pulses are applied, and the rest is kept (mixed-precision training, Nandakumar et al. 2020). A weight
    stays between ± the largest weight of its column. All pulses change the conductance by the same amount: presets have
    no law of single pulses.

    Args:
        arrays: Parameter of each array → weight that the largest conductance stands for, of a shape that broadcasts to
            the parameter's.
        digital: Parameters in digital memory, such as biases.
        lr: Learning rate, above 0.
        pulse: Change by one pulse, relative to the largest conductance, in (0, 1].

    Attributes:
        pulses: Number of pulses so far, over all devices.
        pulsed: Devices that got at least one pulse: parameter → mask.

    >>> weight = nn.Parameter(torch.zeros(2, 2))
    >>> optimizer = PulsedUpdates({weight: torch.ones(2, 1)}, lr=1.0, pulse=0.1)
    >>> weight.grad = torch.tensor([[0.25, 0.05], [-0.1, 0.0]])
    >>> optimizer.step()
    >>> weight.data
    tensor([[-0.2000,  0.0000],
            [ 0.1000,  0.0000]])
    >>> optimizer.pulses
    3
    """

    def __init__(
        self,
        arrays: Mapping[nn.Parameter, Tensor],
        digital: list[nn.Parameter] | None = None,
        *,
        lr: float,
        pulse: float,
    ) -> None:
        if not (math.isfinite(lr) and lr > 0) or not 0 < pulse <= 1:
            raise DriftproofError(f"pulses: wanted lr > 0 and a pulse in (0, 1], got {lr!r} and {pulse!r}")
        groups: list[dict[str, Any]] = [{"params": list(arrays), "on_array": True}]
        if digital:
            groups.append({"params": digital, "on_array": False})
        super().__init__(groups, {"lr": lr, "pulse": pulse})
        self._largest = dict(arrays)
        self.pulses = 0
        self.pulsed = {parameter: torch.zeros_like(parameter, dtype=torch.bool) for parameter in arrays}

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Add the gradients to what is asked for, and apply the pulses that are due."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if group["on_array"]:
                    self._apply(parameter, group["lr"], group["pulse"])
                else:
                    parameter.sub_(parameter.grad, alpha=group["lr"])

    def _apply(self, parameter: nn.Parameter, lr: float, pulse: float) -> None:
        largest = self._largest[parameter]
        asked = self.state[parameter].setdefault("asked", torch.zeros_like(parameter))
        assert parameter.grad is not None
        asked.sub_(parameter.grad, alpha=lr)
        one = (largest * pulse).expand_as(parameter)
        # a rounding error must not keep back a pulse that is due
        due = torch.where(one > 0, (asked / one * (1 + 1e-6)).trunc(), 0.0)
        asked.sub_(due * one)
        before = parameter.clone()
        parameter.add_(due * one)
        torch.minimum(torch.maximum(parameter, -largest), largest, out=parameter)
        # a device at its end takes no further pulse
        count = torch.where(one > 0, ((parameter - before) / one).abs().round(), 0.0)
        self.pulses += int(count.sum())
        self.pulsed[parameter] |= count > 0
