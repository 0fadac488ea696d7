"""Chip in the loop: a learning rule runs on a chip that has drifted, and repairs it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from driftproof._chip import Chip
from driftproof._compensation import Compensation
from driftproof._defaults import COMPENSATION, SEED, TRAINING_BATCH_SIZE
from driftproof._device_choice import as_device
from driftproof._devices import Device
from driftproof._errors import DriftproofError, warn, whole_number
from driftproof._inputs import Inputs, call
from driftproof._keywords import checks_keywords
from driftproof._mapping import MappingOptions, map_plain, plain_copy
from driftproof._random_state import random_state_kept
from driftproof.data import Data
from driftproof.data._adapters import as_data
from driftproof.energy._pulses import PulsedUpdates
from driftproof.times import format_time, parse_time
from driftproof.training import Method
from driftproof.training._losses import as_loss, usual_loss


@dataclass(frozen=True, kw_only=True)
class Repair:
    """The result of :func:`repair`.

    Attributes:
        before: The network with the chip's effective weights before the repair, in eval mode.
        model: The network with the chip's effective weights after it, in eval mode.
        losses: Loss of each update, on the chip as it was before the update.
        pulses: Number of programming pulses.
        devices: Number of devices on the chip's arrays, one for each weight.
        pulsed: Number of devices that got at least one pulse.
    """

    before: nn.Module
    model: nn.Module
    losses: tuple[float, ...]
    pulses: int
    devices: int
    pulsed: int


@checks_keywords
@random_state_kept()
def repair(
    network: nn.Module,
    preset: Device | str,
    data: Data | object,
    *,
    time: str | float,
    method: Method,
    updates: int,
    lr: float,
    pulse: float = 0.01,
    batch_size: int = TRAINING_BATCH_SIZE,
    chip: int = 0,
    seed: int = SEED,
    compensation: str | Compensation = COMPENSATION,
    mapping: MappingOptions | None = None,
) -> Repair:
    """Program a chip, let it drift, and repair it by a learning rule that runs on the chip itself.

    The states of a Hopfield network relax on the chip's own effective weights at that time, so that the rule corrects
    programming noise, drift and read noise of this chip together; targets come from a few labelled samples. Updates
    are whole pulses (:class:`driftproof.energy.PulsedUpdates`); biases are digital. What a repair brings is the
    difference of the accuracies of ``before`` and ``model``.

    Converters are ideal, and the chip is read out once, before the repair: later drift and the noise of the repair's
    pulses are not part of it.

    Args:
        network: Trained network. It is not changed.
        preset: The device.
        data: Samples to repair on, in their order, again and again. They must not be those that are reported on.
        time: Time of the repair after the first read, such as ``1y`` or a number of seconds.
        method: Energy-based method, or another method for other networks.
        updates: Number of updates.
        lr: Learning rate.
        pulse: Change of a conductance by one pulse, relative to the largest (default: 0.01).
        batch_size: Samples of an update (default: 128).
        chip: Number of the chip (default: 0).
        seed: Seed of the chips (default: 0).
        compensation: Drift compensation (default: ``tile``).
        mapping: Which weights are on tiles, and how (default: all).

    Raises:
        DriftproofError: Less than one update, a time before the first read, or settings that are impossible.

    >>> from driftproof.data import digits
    >>> from driftproof.energy import CenteredEP, hopfield_dense
    >>> network = hopfield_dense([64, 16, 10], iterations=10)
    >>> data, method = digits("train"), CenteredEP()
    >>> made = repair(network, "pcm-nandakumar-2019", data, time="1d", method=method, updates=3, lr=0.1)
    >>> len(made.losses), made.devices, 0 < made.pulsed <= made.pulses
    (3, 1184, True)
    """
    updates = whole_number("repair: updates", updates)
    if updates < 1:
        raise DriftproofError(f"repair: updates {updates}, wanted at least 1")
    samples, device = as_data(data), as_device(preset)
    t_s = parse_time(time) if isinstance(time, str) else float(time)
    if not 0 <= t_s < math.inf:
        raise DriftproofError(f"repair: time {time!r}, wanted a time after the first read, such as 1y")
    if not device.in_validity(t_s):
        low, high = (format_time(end) for end in device.validity.t_s)
        warn(
            f"repair: {device.name} is valid from {low} to {high}, and {format_time(t_s)} is outside: the chip is an "
            "extrapolation"
        )
    model = plain_copy(network)
    first, _ = next(iter(samples.batches(min(batch_size, len(samples)))))
    made = map_plain(model, example=first, **vars(mapping or MappingOptions()))
    arrays = _written(model, Chip(made, device, seed=seed, chip=chip, compensation=compensation), t_s)
    before = plain_copy(model)
    digital = [p for p in model.parameters() if p.requires_grad and p not in arrays]
    optimizer = PulsedUpdates(arrays, digital, lr=lr, pulse=pulse)
    loss = as_loss(usual_loss(model))[1]
    losses = []
    for inputs, targets in itertools.islice(_again(samples, batch_size), updates):

        def on_chip(inputs: Inputs = inputs, targets: Tensor = targets) -> Tensor:
            return loss(call(model, inputs), targets)

        losses.append(float(method.step(on_chip, model, optimizer)))
    return Repair(
        before=before,
        model=model.eval(),
        losses=tuple(losses),
        pulses=optimizer.pulses,
        devices=sum(parameter.numel() for parameter in arrays),
        pulsed=sum(int(mask.sum()) for mask in optimizer.pulsed.values()),
    )


@torch.no_grad()
def _written(model: nn.Module, chip: Chip, t_s: float) -> dict[nn.Parameter, Tensor]:
    """Write a chip's effective weights into a network; return the weight of the largest conductance of each."""
    arrays: dict[nn.Parameter, Tensor] = {}
    for name, mapped in chip.weights.items():
        parameter = model.get_submodule(mapped.path)._parameters[mapped.parameter]
        assert parameter is not None
        if mapped.made:
            raise DriftproofError(
                f"layer {name}: its weight is computed at every call, so that pulses cannot change it"
            )
        reading = chip.read(name, t_s)
        factor = reading.scale * reading.alpha
        parameter.copy_(mapped.weight(reading.net, factor))
        arrays[parameter] = mapped.weight(torch.ones_like(reading.net), factor)
    return arrays


def _again(data: Data, batch_size: int) -> Iterator[tuple[Inputs, Tensor]]:
    while True:
        yield from data.batches(batch_size)
