"""The loss around trained weights, on the plane of the errors of two chips of a device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import Tensor, nn

from driftproof._defaults import LOSS, SEED
from driftproof._errors import DriftproofError, foreign_code
from driftproof._keywords import checks_keywords
from driftproof._outputs import main_output
from driftproof._random_state import random_state_kept
from driftproof.analysis._answers import BATCH_SIZE, answers, are_classes, own_copy
from driftproof.analysis._fresh_key import fresh_key
from driftproof.data import Data
from driftproof.data._adapters import as_data
from driftproof.data._batched import hold
from driftproof.training._losses import Loss, as_loss
from driftproof.training._noise import Noise, NoiseLike, as_noise
from driftproof.training._weights import AnalogWeights, OnTiles, norm

Grid = npt.NDArray[np.float64]
type State = dict[str, Tensor]

_ROUNDING = 1e-6
"""Error relative to the weights that is due to rounding in float32."""
_PARALLEL = 1e-3
"""Sine of the angle between two errors below which they span no plane."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """Loss and accuracy on a plane through the trained weights w, at w + a d₁ + b d₂.

    d₁ is the error of chip 1. d₂ is in the plane of both chips' errors, perpendicular to d₁ and of the same length.
    Distances on the map are distances between weights, in units of chip 1's error, and chip 1 is at (1, 0).

    Attributes:
        noise: The device and its time.
        data: Name of the data.
        n_samples: Number of samples.
        seed: Seed of the chips.
        axis: Values of a and of b, [P].
        loss: Mean loss over the samples at [b, a], [P, P]; not finite where the network overflows.
        accuracy: Accuracy in % at [b, a], [P, P]; None if there are no classes.
        chips: Positions (a, b) of the two chips.
        error: ‖d₁‖ / ‖w‖ over all noisy weights.
        cosine: Cosine of the angle between the two chips' errors: 0 if all errors are independent, more if chips have
            errors in common.
    """

    noise: str
    data: str
    n_samples: int
    seed: int
    axis: Grid
    loss: Grid
    accuracy: Grid | None
    chips: tuple[tuple[float, float], tuple[float, float]]
    error: float
    cosine: float

    def table(self) -> pd.DataFrame:
        """Return a table with one row per point: a, b, loss and, if there is one, accuracy in %."""
        b, a = np.meshgrid(self.axis, self.axis, indexing="ij")
        columns = {"a": a.ravel(), "b": b.ravel(), "loss": self.loss.ravel()}
        if self.accuracy is not None:
            columns["accuracy"] = self.accuracy.ravel()
        return pd.DataFrame(columns)


@checks_keywords
@random_state_kept()
def loss_surface(
    model: nn.Module,
    data: Data | object,
    noise: NoiseLike,
    *,
    span: float = 2.0,
    points: int = 21,
    seed: int = SEED,
    loss: str | Loss = LOSS,
    on_tiles: OnTiles | None = None,
    batch_size: int = BATCH_SIZE,
) -> Surface:
    """Measure a network's loss around its weights, along the errors of two chips of a device.

    The network is in eval mode, and the two chips are none that training has used. The network is not changed.

    Args:
        model: A trained network.
        data: Data of any kind that :func:`driftproof.evaluate` takes. Every point of the grid is a pass over all of it.
        noise: The device and time whose errors are used, such as ``pcm-nandakumar-2019@1y``.
        span: Largest distance to each side, in errors of chip 1 (default: 2).
        points: Number of points per axis; an odd number, so that the trained weights are a point (default: 21).
        seed: Seed of the chips (default: 0).
        loss: Name of a loss, or a function of the network's output and the targets that returns a mean, as training
            takes it (default: ``cross-entropy``).
        on_tiles: The weights that are noisy, and how they are mapped (default: the weights that a conversion maps).
        batch_size: Samples per forward pass (default: 512).

    Raises:
        DriftproofError: the noise has no errors, or the same error on both chips; a number is out of its range.

    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> surface = loss_surface(trained_digits_cnn(), digits().head(50), "pcm-nandakumar-2019@1y", points=3)
    >>> surface.loss.shape, surface.chips[0], bool(surface.loss[1, 1] < surface.loss[0, 0])
    ((3, 3), (1.0, 0.0), True)
    """
    if points < 3 or points % 2 == 0:
        raise DriftproofError(f"points {points}: wanted an odd number, 3 or more")
    if not (math.isfinite(span) and span > 0):
        raise DriftproofError(f"span {span!r}: wanted a length above 0, in errors of one chip")
    samples, law, (_, measure) = hold(as_data(data)), as_noise(noise), as_loss(loss)
    example, _ = next(iter(samples.batches(1)))
    weights = AnalogWeights.of(own_copy(model, example), example, on_tiles)
    w, first, across, cosine, ratio, error = _directions(weights, law, seed)
    axis = np.linspace(-span, span, points)
    axis[points // 2] = 0.0
    losses, right = np.array(
        [
            _measured(weights, {n: w[n] + a * first[n] + b * across[n] for n in w}, samples, measure, batch_size)
            for b, a in product(axis.tolist(), repeat=2)
        ]
    ).T.reshape(2, points, points)
    return Surface(
        noise=str(law),
        data=samples.name,
        n_samples=len(samples),
        seed=seed,
        axis=axis,
        loss=losses,
        accuracy=None if np.isnan(right).any() else 100 * right,
        chips=((1.0, 0.0), (ratio * cosine, ratio * math.sqrt(1 - cosine**2))),
        error=error,
        cosine=cosine,
    )


def _directions(weights: AnalogWeights, noise: Noise, seed: int) -> tuple[State, State, State, float, float, float]:
    """Return w, d₁, d₂, the cosine between the two errors, the ratio of their lengths, and ‖d₁‖ / ‖w‖."""
    w = {name: parameter.detach().clone() for name, parameter in weights.parameters.items()}
    first, second = (
        {name: v - w[name] for name, v in noise.draw(weights, fresh_key(seed, n)).items()} for n in range(2)
    )
    error = float(norm(first)) / float(norm(w))
    if not error > _ROUNDING:
        raise DriftproofError(f"noise {noise}: a chip has no error, so there is no direction to go")
    return w, first, *_across(first, second, str(noise)), error


def _across(first: State, second: State, noise: str) -> tuple[State, float, float]:
    """Return d₂, the cosine between the two errors, and the ratio of their lengths."""
    lengths = float(norm(first)), float(norm(second))
    dot = sum(float((first[name].double() * second[name].double()).sum()) for name in first)
    cosine = dot / (lengths[0] * lengths[1])
    rest = {name: second[name] / lengths[1] - first[name] * (cosine / lengths[0]) for name in first}
    size = float(norm(rest))
    if size < _PARALLEL:
        raise DriftproofError(f"noise {noise}: two chips have the same error, so they span no plane")
    return {name: tensor * (lengths[0] / size) for name, tensor in rest.items()}, cosine, lengths[1] / lengths[0]


def _measured(weights: AnalogWeights, at: State, data: Data, loss: Loss, batch_size: int) -> tuple[float, float]:
    """Return the mean loss and the share of right answers at some weights; the share is NaN if there are no classes."""
    total, right = 0.0, 0.0
    with weights.holding(at):
        for returned, targets in answers(weights.network, data, batch_size):
            with foreign_code(f"the loss fails for targets {list(targets.shape)}:"):
                total += float(loss(returned, targets)) * len(targets)
            outputs = main_output(returned)
            right += int((outputs.argmax(dim=1) == targets).sum()) if are_classes(outputs, targets) else math.nan
    return total / len(data), right / len(data)
