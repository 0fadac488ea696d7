"""Noise of weights: the errors of a device, drawn by the one sampler, and Gaussian noise relative to a filter."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from driftproof._chip import Programmer
from driftproof._device_choice import load_device
from driftproof._devices import ONE_READ_OUT, Device, generator
from driftproof._devices.normals import layer_normals
from driftproof._errors import DriftproofError, aihwkit_hint, check_choice, warn
from driftproof._presets import AtTime, at_time
from driftproof._presets.at_time import check_can_be_drawn
from driftproof.times import format_time
from driftproof.training._weights import AnalogWeights

type NoiseLike = Noise | AtTime | Device | str
"""A device at a time (``preset.at("1d")``), a device whose errors do not change in time, a text, or a noise."""
LARGEST_SEED = 1 << 62
"""Seeds of trainings are below this number, because validations use the seeds from here on."""


@dataclass(frozen=True)
class Key:
    """The key of one draw of a training run: no two draws have the same, and no chip of an evaluation has one of them.

    Attributes:
        seed: Seed of the training.
        number: Number of the draw, counted over updates, micro-batches and processes.
    """

    seed: int
    number: int

    def __post_init__(self) -> None:
        """Refuse a seed that would draw the chips of an evaluation or a validation."""
        if not 0 <= self.seed < LARGEST_SEED or self.number < 0:
            raise DriftproofError(
                f"draw {self.number} of seed {self.seed}: wanted neither negative, and a seed below 2^62"
            )

    @property
    def chip_seed(self) -> int:
        """The seed in the sampler's keys. It is negative, and the seeds of evaluations are not."""
        return -1 - self.seed


class Noise(ABC):
    """A law of the errors of weights."""

    @abstractmethod
    def draw(self, weights: AnalogWeights, key: Key) -> dict[str, Tensor]:
        """Return one draw: array name → perturbed weights in the parameter's shape, at strength 1."""

    @abstractmethod
    def __str__(self) -> str: ...

    def check_validity(self) -> None:
        """Raise DriftproofError for noise at times outside the device's range of validity."""
        return  # a law without time is valid at all times


@final
class DeviceNoise(Noise):
    """The errors of a device's chips at a time: every draw is a new chip, programmed, drifted, read and compensated.

    A draw has a new die and a new wafer, too, where the device varies from one to the next (``[variation]``).

    Read noise that is new in every MVM (SONOS) is drawn once for each draw, as an error of the weight. The compensation
    is measured in the read-out whose weights are drawn: a mean over many devices hardly depends on their read noise,
    and a second read-out would cost as much as the first.

    Args:
        at: Device and time, or range of times.
        timeless: Whether the device's errors are the same at all times (default: False). Its text is then the device's
            name alone.

    >>> import driftproof as dp
    >>> from torch import nn
    >>> noise = DeviceNoise(dp.load_preset("pcm-nandakumar-2019").at("1d"))
    >>> weights = AnalogWeights.of(nn.Linear(3, 2), torch.ones(1, 3))
    >>> noise.draw(weights, Key(seed=0, number=0))[""].shape
    torch.Size([2, 3])
    """

    def __init__(self, at: AtTime, *, timeless: bool = False) -> None:
        self.at, self.timeless = at, timeless
        self._programmer, self._device = Programmer(), at.device.one_die_per_wafer()
        if not self.in_validity:
            warn(f"noise {at}: outside the times for which the device was measured; its last value is held")

    def __str__(self) -> str:
        return self.at.device.name if self.timeless else str(self.at)

    @property
    def in_validity(self) -> bool:
        """Whether all its times lie in the device's range of validity; True if the errors do not change in time."""
        return self.timeless or self.at.in_validity

    def check_validity(self) -> None:
        """Raise DriftproofError for noise at times outside the device's range of validity."""
        if not self.in_validity:
            low, high = (format_time(t_s) for t_s in self.at.device.validity.t_s)
            raise DriftproofError(
                f"within_validity: noise {self} is at times for which the device was not measured; "
                f"{self.at.device.name} is valid from {low} to {high}; train at a time in that range, or leave "
                "within_validity out to have the device's last value held"
            )

    def time_s(self, key: Key) -> float:
        """Return the time of one draw, in s: the time itself, or log-uniform in a range of times."""
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
            mapping,
            self._device,
            seed=key.chip_seed,
            chip=key.number,
            compensation=self.at.compensation,
            read_outs=ONE_READ_OUT,
        )
        drawn = {}
        for name, reading in chip.readings(mapping.weights, t_s).items():
            noise = reading.noise
            net = reading.net if noise is None else _frozen(reading.net, noise.weights, key, name, t_s)
            weight = chip.weights[name].weight(net, reading.scale * reading.alpha)
            drawn[name] = weight.view(mapping.weights[name].shape)
        return drawn


def _frozen(net: Tensor, sigma: Tensor, key: Key, layer: str, t_s: float) -> Tensor:
    """Return an array's net weights with read noise of single MVMs, drawn once for all of them."""
    flat = net.clone().view(-1)
    for part, numbers in layer_normals(net, key.chip_seed, key.number, layer, "read", t_s):
        flat[part] += sigma.view(-1)[part] * numbers
    return flat.view_as(net)


RelativeTo = Literal["filter norm", "filter maximum", "layer norm"]
_SIZES: dict[str, Callable[[Tensor], Tensor]] = {
    "filter norm": lambda matrix: torch.linalg.vector_norm(matrix, dim=1, keepdim=True),
    "filter maximum": lambda matrix: matrix.abs().amax(dim=1, keepdim=True),
    "layer norm": lambda matrix: torch.linalg.vector_norm(matrix).view(1, 1),
}
_TEXTS: dict[str, RelativeTo] = {"norm": "filter norm", "max": "filter maximum", "norm-layer": "layer norm"}


@final
@dataclass(frozen=True)
class GaussianNoise(Noise):
    """Gaussian noise relative to a size that devices do not know: ε = γ s ξ, s the size of a whole filter or layer.

    A filter is a column over all its tiles. On one tile, ``filter maximum`` is the same as ``gaussian:SIGMA``. LPF-SGD
    scales its noise relative to the norm (Bisla, Wang & Choromanska, AISTATS 2022): n weights of one size get noise of
    γ √n times a weight.

    Attributes:
        gamma: Factor γ, above 0. Usual values are 0.002 to 0.01 for norms and 0.02 to 0.2 for maxima.
        relative_to: Size s: the Euclidean norm of each filter or of the layer, or each filter's largest weight
            (default: ``"filter norm"``).

    >>> from torch import nn
    >>> net = nn.Linear(2, 1)
    >>> _ = net.weight.data.copy_(torch.tensor([[3.0, -4.0]]))
    >>> weights = AnalogWeights.of(net, torch.ones(1, 2))
    >>> [float(GaussianNoise(0.1, size).sigma(net.weight.detach())) for size in ("filter norm", "filter maximum")]
    [0.5, 0.4000000059604645]
    """

    gamma: float
    relative_to: RelativeTo = "filter norm"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_choice("noise relative to", self.relative_to, _SIZES)
        if not (math.isfinite(self.gamma) and self.gamma > 0):
            raise DriftproofError(
                f"noise relative to the {self.relative_to}: wanted a gamma above 0, got {self.gamma!r}"
            )

    def __str__(self) -> str:
        return next(f"{text}:{self.gamma:g}" for text, size in _TEXTS.items() if size == self.relative_to)

    def sigma(self, matrix: Tensor) -> Tensor:
        """Return the standard deviation of the noise of a matrix [out, in]: [out, 1] or [1, 1]."""
        return _SIZES[self.relative_to](matrix) * self.gamma

    @torch.no_grad()
    def draw(self, weights: AnalogWeights, key: Key) -> dict[str, Tensor]:
        """Draw a normal number for every analog weight."""
        drawn = {}
        for name, parameter in weights.parameters.items():
            layout = weights.mapping.weights[name].layout
            matrix = layout.matrix(parameter.detach()).float()
            noise = torch.empty_like(matrix)
            for _ in layer_normals(noise, key.chip_seed, key.number, name, "program+", into=noise.view(-1)):
                pass
            drawn[name] = layout.weight(matrix + noise * self.sigma(matrix), tuple(parameter.shape))
        return drawn


def as_noise(choice: NoiseLike) -> Noise:
    """Return a noise from a device or a text.

    Args:
        choice: Device at a time, ``preset.at("1d")``; device whose errors are the same at all times; text ``NAME``,
            ``NAME@1d`` or ``NAME@1h..1y``; text ``norm:GAMMA``, ``max:GAMMA`` or ``norm-layer:GAMMA``
            (:class:`GaussianNoise`).

    Raises:
        DriftproofError: A device that changes in time without a time; measured chips; an unknown name.

    >>> str(as_noise("gaussian:0.1")), str(as_noise("pcm-nandakumar-2019@1d")), str(as_noise("norm:0.005"))
    ('gaussian:0.1', 'pcm-nandakumar-2019@1d', 'norm:0.005')
    """
    if isinstance(choice, Noise):
        return choice
    if isinstance(choice, AtTime):
        return DeviceNoise(choice)
    if isinstance(choice, str):
        kind, colon, gamma = choice.partition(":")
        if colon and kind in _TEXTS:
            try:
                number = float(gamma)
            except ValueError:
                raise DriftproofError(
                    f"noise {choice!r}: wanted a number after the colon, such as norm:0.005"
                ) from None
            return GaussianNoise(number, _TEXTS[kind])
        name, at, time = choice.rpartition("@")
        device = load_device(name if at else choice)
        check_can_be_drawn(device, choice)
        return DeviceNoise(at_time(device, time)) if at else _timeless(device)
    if isinstance(choice, Device):
        return _timeless(choice)
    raise DriftproofError(
        f"noise came as {type(choice).__name__}; wanted preset.at(TIME), or a text such as NAME@1d"
        f"{aihwkit_hint(choice, 'noise')}"
    )


def _timeless(device: Device) -> Noise:
    check_can_be_drawn(device)
    if device.changes_in_time:
        raise DriftproofError(
            f"noise {device.name}: its errors change in time; say when: {device.name}@1d as text, or "
            f'preset.at("1d"), or a range, {device.name}@1h..1y'
        )
    return DeviceNoise(at_time(device, device.validity.t_s[0], compensation="none"), timeless=True)
