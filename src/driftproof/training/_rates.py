"""Learning rates: one for the whole network or one for each layer, and how they change over a training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from driftproof._errors import DriftproofError, check_choice


def as_rates(lr: float | Sequence[float]) -> tuple[float, ...]:
    """Return the learning rates, one for all layers or one for each.

    Raises:
        DriftproofError: There is none, or one is not above 0.

    >>> as_rates(0.1), as_rates([0.2, 0.1])
    ((0.1,), (0.2, 0.1))
    """
    rates = (lr,) if isinstance(lr, int | float) else tuple(lr)
    if not rates or not all(math.isfinite(rate) and rate > 0 for rate in rates):
        raise DriftproofError(f"wanted lr > 0, one number or one for each layer, got {lr!r}")
    return rates


def parameter_groups(network: nn.Module, rates: Sequence[float]) -> list[dict[str, Any]]:
    """Return the parameters of each layer with its learning rate, as optimizers take them.

    A layer is a module that owns parameters that take a gradient. Layers are counted in the order in which the network
    holds them, which is from the input on in usual networks.

    Raises:
        DriftproofError: Another number of rates than of layers.

    >>> two = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> [group["lr"] for group in parameter_groups(two, (0.2, 0.1))]
    [0.2, 0.1]
    """
    layers: dict[str, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():  # a tied one comes once
        if parameter.requires_grad:
            layers.setdefault(name.rpartition(".")[0], []).append(parameter)
    if len(rates) != len(layers):
        raise DriftproofError(
            f"lr has {len(rates)} numbers, and the network has {len(layers)} layers with parameters, from the input: "
            f"{', '.join(layers)}. Give one number for each, or one for all"
        )
    return [{"params": own, "lr": rate} for own, rate in zip(layers.values(), rates, strict=True)]


def decay_of(schedule: str) -> float | None:
    """Return the factor per epoch of ``exponential:FACTOR``; None for the other schedules.

    Raises:
        DriftproofError: An unknown schedule, or a factor that is not in (0, 1].

    >>> decay_of("exponential:0.99"), decay_of("cosine")
    (0.99, None)
    """
    kind, _, text = schedule.partition(":")
    if kind != "exponential":
        check_choice("lr_schedule", schedule, ["cosine", "constant", "exponential:FACTOR"])
        return None
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0 < factor <= 1:
        raise DriftproofError(
            f"lr_schedule {schedule!r}: wanted exponential:FACTOR with the factor per epoch in (0, 1], such as "
            "exponential:0.99"
        )
    return factor


def factor_of(schedule: str, warm_up: float, epochs: int, updates: int) -> Callable[[int], float]:
    """Return the factor on the learning rates at each update.

    Args:
        schedule: ``cosine`` to zero, ``constant``, or ``exponential:FACTOR``, which multiplies after every epoch.
        warm_up: Share of the updates in which the rates rise.
        epochs: Number of epochs.
        updates: Number of updates of the training.
    """
    warm, decay = warm_up * updates, decay_of(schedule)

    def factor(step: int) -> float:
        rising = min(1.0, (step + 1) / warm) if warm >= 1 else 1.0
        if decay is not None:
            return rising * decay ** (step * epochs // updates)
        return rising * (0.5 * (1 + math.cos(math.pi * step / updates)) if schedule == "cosine" else 1.0)

    return factor
