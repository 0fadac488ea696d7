"""Which devices hold a weight: its encoding as banks of devices, their targets, finite levels, and stuck devices."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from driftproof.presets.laws import Conductance, Conductances, Levels, OffsetEncoding, PairEncoding, Stuck


@dataclass(frozen=True)
class Bank:
    """The devices of one place in every weight.

    Attributes:
        mark: its name in the key of randomness.
        sign: +1 carries positive weights, −1 negative ones, 0 both (an offset device).
        weight: its part in w = Σ weight · G / (g_max − g_min).
    """

    mark: str
    sign: float
    weight: float


def banks(conductance: Conductance) -> tuple[Bank, ...]:
    """Return the devices of a weight: one pair, several pairs, or one device with an offset.

    >>> banks(PairEncoding(encoding="pair", g_min_us=0.0, g_max_us=25.0))
    (Bank(mark='+', sign=1.0, weight=1.0), Bank(mark='-', sign=-1.0, weight=-1.0))
    """
    if isinstance(conductance, OffsetEncoding):
        return (Bank("+", 0.0, 2.0),)
    if not isinstance(conductance, PairEncoding):
        return (Bank("+", 0.0, 1.0),)
    total, found = sum(conductance.significance), []
    for number, factor in enumerate(conductance.significance, start=1):
        suffix = "" if number == 1 else str(number)
        found += [Bank(f"+{suffix}", 1.0, factor / total), Bank(f"-{suffix}", -1.0, -factor / total)]
    return tuple(found)


def share(conductance: Conductances, bank: Bank, w: Tensor, levels: Levels | None) -> Tensor:
    """Share of the range, 0 to 1, that a bank's devices carry for weights in [−1, 1], rounded to finite levels."""
    if isinstance(conductance, OffsetEncoding):
        r = w.add(1).div_(2)
    else:
        r = w.clamp(min=0) if bank.sign > 0 else w.neg().clamp_(min=0)
    return level(levels, r, 0.0)


def target_us(conductance: Conductances, r: Tensor) -> Tensor:
    """Target conductance in µS of devices that carry a share of the range."""
    g = r.mul(conductance.g_max_us - conductance.g_min_us)
    return g.add_(conductance.g_min_us) if conductance.g_min_us else g


def level(levels: Levels | None, x: Tensor, low: float) -> Tensor:
    """Round to the nearest of evenly spaced levels between ``low`` and 1."""
    if levels is None:
        return x
    step = (1 - low) / (levels.count - 1)
    return x.sub(low).div_(step).round_().mul_(step).add_(low)


def stuck_at(stuck: Stuck, conductance: Conductances, g_us: Tensor, xi: Tensor) -> Tensor:
    """Replace what is stuck, by a standard normal number that each device keeps for life."""
    lot = torch.special.ndtr(xi)  # uniform in [0, 1]
    low, high = stuck.at_g_min, stuck.at_g_min + stuck.at_g_max
    end = high + stuck.at_random
    if stuck.at_random:
        random = (lot - high) / stuck.at_random
        g_us = torch.where(lot < end, target_us(conductance, random.clamp_(0, 1)), g_us)
    g_us = torch.where(lot < high, torch.full_like(g_us, conductance.g_max_us), g_us)
    return torch.where(lot < low, torch.full_like(g_us, conductance.g_min_us), g_us)


def is_stuck(stuck: Stuck, xi: Tensor) -> Tensor:
    """Which devices are stuck, by the number that :func:`stuck_at` takes."""
    lot: Tensor = torch.special.ndtr(xi)
    return lot < stuck.at_g_min + stuck.at_g_max + stuck.at_random
