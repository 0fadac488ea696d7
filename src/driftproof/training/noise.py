"""What is put on weights: a device's own errors, drawn by the one sampler; and Gaussian noise of a filter's size."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, final, get_args

import torch
from torch import Tensor

from driftproof.chip import Programmer
from driftproof.device_choice import load_device
from driftproof.devices import Device, generator
from driftproof.devices.normals import layer_normals
from driftproof.errors import DriftproofError, did_you_mean, warn
from driftproof.presets import AtTime, at_time
from driftproof.presets.at_time import check_can_be_drawn
from driftproof.times import format_time
from driftproof.training.weights import AnalogWeights

type NoiseLike = Noise | AtTime | Device | str
"""A device at a time (``preset.at("1d")``), a device that has no time, either as text, or a :class:`Noise`."""


LARGEST_SEED = 1 << 62
"""Seeds of validations come below those of this many trainings."""


@dataclass(frozen=True)
class Key:
    """Which draw of a training run this is; no two are equal, and none is a chip of an evaluation.

    Attributes:
        seed: of the training.
        number: of the draw, counted over updates, micro-batches and processes.
    """

    seed: int
    number: int

    def __post_init__(self) -> None:
        """Refuse a seed whose draws would be those of an evaluation's chips, or of a validation's."""
        if not 0 <= self.seed < LARGEST_SEED or self.number < 0:
            raise DriftproofError(
                f"draw {self.number} of seed {self.seed}: wanted neither negative, and a seed below 2^62"
            )

    @property
    def chip_seed(self) -> int:
        """The seed in the sampler's keys: those of evaluations are not negative."""
        return -1 - self.seed


class Noise(ABC):
    """A law of errors of weights."""

    @abstractmethod
    def draw(self, weights: AnalogWeights, key: Key) -> dict[str, Tensor]:
        """Return one draw: array name → perturbed weights in the parameter's shape, at strength 1."""

    @abstractmethod
    def __str__(self) -> str: ...

    @property
    def in_validity(self) -> bool:
        """Whether what it draws was measured, not held from the nearest time that was: true of a law without time."""
        return True


@final
class DeviceNoise(Noise):
    """The errors of a device's chips at a time: every draw is a new chip, programmed, drifted, read, compensated.

    Read noise that is new in every product (SONOS) is drawn once for the draw, as an error of the weight.

    Args:
        at: the device and the time, or range of times.
        timeless: whether the device's errors are the same at all times, so that its name says all.

    >>> import driftproof as dp
    >>> from torch import nn
    >>> noise = DeviceNoise(dp.load_preset("pcm-nandakumar-2019").at("1d"))
    >>> weights = AnalogWeights.of(nn.Linear(3, 2), torch.ones(1, 3))
    >>> noise.draw(weights, Key(seed=0, number=0))[""].shape
    torch.Size([2, 3])
    """

    def __init__(self, at: AtTime, *, timeless: bool = False) -> None:
        self.at, self.timeless = at, timeless
        self._programmer = Programmer()
        if not self.in_validity:
            warn(f"noise {at}: outside the times for which the device was measured; its last value is held")

    def __str__(self) -> str:
        return self.at.device.name if self.timeless else str(self.at)

    @property
    def in_validity(self) -> bool:
        """Whether all its times lie in the device's range of validity; of errors without time, any does."""
        return self.timeless or self.at.in_validity

    def time_s(self, key: Key) -> float:
        """Return the time of one draw, in s."""
        if self.at.until_s is None:
            return self.at.t_s
        source = generator(key.chip_seed, key.number, "", "time", torch.device("cpu"))
        share = float(torch.rand((), generator=source, dtype=torch.float64))
        return math.exp(math.log(self.at.t_s) + share * math.log(self.at.until_s / self.at.t_s))

    @torch.no_grad()
    def draw(self, weights: AnalogWeights, key: Key) -> dict[str, Tensor]:
        """Program a chip from the weights as they are now, and read it."""
        mapping, t_s = weights.mapped(), self.time_s(key)
        chip = self._programmer.program(
            mapping, self.at.device, seed=key.chip_seed, chip=key.number, compensation=self.at.compensation
        )
        drawn = {}
        for name, mapped in mapping.weights.items():
            reading = chip.read(name, t_s)
            net = reading.net
            if reading.noise is not None:
                net = _frozen(net, reading.noise.weights, key, name, t_s)
            drawn[name] = chip.weights[name].weight(net, reading.scale * reading.alpha).view(mapped.shape)
        return drawn


def _frozen(net: Tensor, sigma: Tensor, key: Key, layer: str, t_s: float) -> Tensor:
    """Return an array with read noise of single products drawn once for all of them."""
    flat = net.clone().view(-1)
    for part, numbers in layer_normals(net, key.chip_seed, key.number, layer, "read", t_s):
        flat[part] += sigma.view(-1)[part] * numbers
    return flat.view_as(net)


RelativeTo = Literal["filter norm", "filter maximum", "layer norm"]
_TEXTS: dict[str, RelativeTo] = {"norm": "filter norm", "max": "filter maximum", "norm-layer": "layer norm"}


@final
@dataclass(frozen=True)
class GaussianNoise(Noise):
    """Gaussian noise relative to what no device knows: ε = γ s ξ, the size s of a whole filter or layer.

    A filter is a column over all its tiles; on one tile, relative to its maximum is ``gaussian:SIGMA``. Relative to its
    norm is how LPF-SGD scales its noise (Bisla, Wang & Choromanska, AISTATS 2022): n weights of one size get γ √n of a
    weight.

    Attributes:
        gamma: usual values are 0.002 to 0.01 for norms, 0.02 to 0.2 for maxima.
        relative_to: the Euclidean norm of each ``filter`` or of the ``layer``, or each filter's largest weight.

    >>> from torch import nn
    >>> net = nn.Linear(2, 1)
    >>> _ = net.weight.data.copy_(torch.tensor([[3.0, -4.0]]))
    >>> weights = AnalogWeights.of(net, torch.ones(1, 2))
    >>> [float(GaussianNoise(0.1, size).spread(net.weight.detach())) for size in ("filter norm", "filter maximum")]
    [0.5, 0.4000000059604645]
    """

    gamma: float
    relative_to: RelativeTo = "filter norm"

    def __post_init__(self) -> None:
        """Refuse what is no spread."""
        if self.relative_to not in get_args(RelativeTo):
            raise DriftproofError(
                f"noise relative to {self.relative_to!r}{did_you_mean(self.relative_to, get_args(RelativeTo))}: there "
                f"are {', '.join(get_args(RelativeTo))}"
            )
        if not (math.isfinite(self.gamma) and self.gamma > 0):
            raise DriftproofError(
                f"noise relative to the {self.relative_to}: wanted a gamma above 0, got {self.gamma!r}"
            )

    def __str__(self) -> str:
        return next(f"{text}:{self.gamma:g}" for text, size in _TEXTS.items() if size == self.relative_to)

    def spread(self, matrix: Tensor) -> Tensor:
        """Return the standard deviation of the noise of a matrix [out, in]: [out, 1] or [1, 1]."""
        if self.relative_to == "filter maximum":
            size: Tensor = matrix.abs().amax(dim=1, keepdim=True)
        elif self.relative_to == "layer norm":
            size = torch.linalg.vector_norm(matrix).view(1, 1)
        else:
            size = torch.linalg.vector_norm(matrix, dim=1, keepdim=True)
        return size * self.gamma

    @torch.no_grad()
    def draw(self, weights: AnalogWeights, key: Key) -> dict[str, Tensor]:
        """Draw normal numbers of every analog weight."""
        drawn = {}
        for name, parameter in weights.parameters.items():
            layout = weights.mapping.weights[name].layout
            matrix = layout.matrix(parameter.detach()).float()
            noise = torch.empty_like(matrix)
            for _ in layer_normals(noise, key.chip_seed, key.number, name, "program+", into=noise.view(-1)):
                pass
            drawn[name] = layout.weight(matrix + noise * self.spread(matrix), tuple(parameter.shape))
        return drawn


def as_noise(choice: NoiseLike) -> Noise:
    """Return a noise from what a user gives.

    Args:
        choice: ``preset.at("1d")``; a device whose error is the same at all times; as text ``NAME``, ``NAME@1d`` or
            ``NAME@1h..1y``, and ``norm:GAMMA``, ``max:GAMMA``, ``norm-layer:GAMMA`` (:class:`GaussianNoise`).

    Raises:
        DriftproofError: a device that changes in time without a time; measured chips; an unknown name.

    >>> str(as_noise("gaussian:0.1")), str(as_noise("pcm-nandakumar-2019@1d")), str(as_noise("norm:0.005"))
    ('gaussian:0.1', 'pcm-nandakumar-2019@1d', 'norm:0.005')
    """
    if isinstance(choice, Noise):
        return choice
    if isinstance(choice, AtTime):
        return DeviceNoise(choice)
    if isinstance(choice, str):
        kind, colon, _ = choice.partition(":")
        if colon and kind in _TEXTS:
            return GaussianNoise(_number(choice), _TEXTS[kind])
        name, at, time = choice.rpartition("@")
        device = load_device(name if at else choice)
        check_can_be_drawn(device, choice)
        return DeviceNoise(at_time(device, time)) if at else _timeless(device)
    if isinstance(choice, Device):
        return _timeless(choice)
    raise DriftproofError(f"noise came as {type(choice).__name__}; wanted preset.at(TIME), or a text such as NAME@1d")


def check_noise_validity(noise: Noise) -> None:
    """Raise DriftproofError for noise at times outside the device's range of validity.

    >>> check_noise_validity(as_noise("pcm-nandakumar-2019@1d"))
    """
    if noise.in_validity:
        return
    valid = ""
    if isinstance(noise, DeviceNoise):
        low, high = (format_time(t_s) for t_s in noise.at.device.validity.t_s)
        valid = f"; {noise.at.device.name} is valid from {low} to {high}"
    raise DriftproofError(
        f"within_validity: noise {noise} is at times for which the device was not measured{valid}; train at a time in "
        "that range, or leave within_validity out to have the device's last value held"
    )


def _timeless(device: Device) -> Noise:
    check_can_be_drawn(device)
    if device.changes_in_time:
        raise DriftproofError(
            f"noise {device.name}: its errors change in time; say when: {device.name}@1d as text, or "
            f'preset.at("1d"), or a range, {device.name}@1h..1y'
        )
    return DeviceNoise(at_time(device, device.validity.t_s[0], compensation="none"), timeless=True)


def _number(choice: str) -> float:
    try:
        return float(choice.partition(":")[2])
    except ValueError:
        raise DriftproofError(f"noise {choice!r}: wanted a number after the colon, such as norm:0.005") from None
