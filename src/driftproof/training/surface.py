"""The loss around trained weights, on the plane of the errors of two chips of a device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import Tensor, nn

from driftproof.data import Data, as_data, hold
from driftproof.defaults import LOSS, SEED
from driftproof.errors import DriftproofError
from driftproof.inputs import main_output
from driftproof.keywords import checks_keywords
from driftproof.training.answers import BATCH_SIZE, answers, are_classes
from driftproof.training.fresh_key import fresh_key
from driftproof.training.losses import Loss, as_loss
from driftproof.training.noise import NoiseLike, as_noise
from driftproof.training.weights import AnalogWeights, OnTiles, norm

Grid = npt.NDArray[np.float64]

_ROUNDING = 1e-6
"""Error relative to the weights that arithmetic in float32 makes of none."""
_PARALLEL = 1e-3
"""Sine of the angle between two errors below which they span no plane."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """Loss and accuracy on a plane through the trained weights w, at w + a d₁ + b d₂.

    d₁ is the error of chip 1, d₂ is in the plane of both chips' errors, perpendicular to d₁ and as long: distances on
    the map are distances between weights, in errors of chip 1, and chip 1 lies at (1, 0).

    Attributes:
        noise: the device and its time.
        data: name of the samples.
        n_samples: how many.
        seed: of the chips.
        axis: [P], values of a and of b.
        loss: [P, P], mean of the samples, at [b, a]; not finite where the network overflows.
        accuracy: [P, P], in %, at [b, a]; None if there are no classes.
        chips: where the two chips are, (a, b).
        error: ‖d₁‖ / ‖w‖ over all noisy weights.
        cosine: of the angle between the two chips' errors: 0 for chance alone, more for what all chips have in common.
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
        """Return one row per place: a, b, loss and, if there is one, accuracy in %."""
        b, a = np.meshgrid(self.axis, self.axis, indexing="ij")
        columns = {"a": a.ravel(), "b": b.ravel(), "loss": self.loss.ravel()}
        if self.accuracy is not None:
            columns["accuracy"] = self.accuracy.ravel()
        return pd.DataFrame(columns)


@checks_keywords
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

    In eval mode, with the running statistics as they are. The two chips are new ones: no training has had them.
    The network is as before afterwards, bit for bit.

    Args:
        model: a trained network.
        data: of any kind that :func:`driftproof.evaluate` takes; every place of the grid is a pass over all of it.
        noise: whose errors, such as ``pcm-nandakumar-2019@1y``.
        span: how far to go to each side, in errors of chip 1.
        points: how many a side, odd, so that the weights themselves are one of them.
        seed: of the chips.
        loss: by name, or a function of what the network returns and the targets, as training takes it: a mean.
        on_tiles: which weights are noisy, and how they are mapped.
        batch_size: samples per forward pass.

    Raises:
        DriftproofError: a noise without errors, or whose two errors are one and the same; impossible numbers.

    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> found = loss_surface(trained_digits_cnn(), digits().head(50), "pcm-nandakumar-2019@1y", points=3)
    >>> found.loss.shape, found.chips[0], bool(found.loss[1, 1] < found.loss[0, 0])
    ((3, 3), (1.0, 0.0), True)
    """
    if points < 3 or points % 2 == 0:
        raise DriftproofError(f"points {points}: wanted an odd number, 3 or more")
    if not (math.isfinite(span) and span > 0):
        raise DriftproofError(f"span {span!r}: wanted a length above 0, in errors of one chip")
    samples, law, (_, measure) = hold(as_data(data)), as_noise(noise), as_loss(loss)
    example, _ = next(iter(samples.batches(1)))
    weights = AnalogWeights.of(model, example, on_tiles)
    w = {name: parameter.detach().clone() for name, parameter in weights.parameters.items()}
    first, second = ({name: v - w[name] for name, v in law.draw(weights, fresh_key(seed, n)).items()} for n in range(2))
    error = float(norm(first)) / float(norm(w))
    if not error > _ROUNDING:
        raise DriftproofError(f"noise {law}: a chip has no error, so there is no direction to go")
    across, cosine, ratio = _across(first, second, str(law))
    axis = np.linspace(-span, span, points)
    axis[points // 2] = 0.0
    losses, right = np.empty((points, points)), np.empty((points, points))
    for row, b in enumerate(axis.tolist()):
        for column, a in enumerate(axis.tolist()):
            with weights.holding({name: w[name] + a * first[name] + b * across[name] for name in w}):
                losses[row, column], right[row, column] = _measured(weights.network, samples, measure, batch_size)
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


def _across(first: dict[str, Tensor], second: dict[str, Tensor], noise: str) -> tuple[dict[str, Tensor], float, float]:
    """Return d₂, the cosine between the two errors, and the second's length in lengths of the first."""
    lengths = float(norm(first)), float(norm(second))
    product = sum(float((first[name].double() * second[name].double()).sum()) for name in first)
    cosine = product / (lengths[0] * lengths[1])
    rest = {name: second[name] / lengths[1] - first[name] * (cosine / lengths[0]) for name in first}
    size = float(norm(rest))
    if size < _PARALLEL:
        raise DriftproofError(f"noise {noise}: two chips have the same error, so they span no plane")
    return {name: tensor * (lengths[0] / size) for name, tensor in rest.items()}, cosine, lengths[1] / lengths[0]


def _measured(network: nn.Module, data: Data, loss: Loss, batch_size: int) -> tuple[float, float]:
    """Return mean loss and share of right answers; NaN for the latter if there are no classes."""
    total, right = 0.0, 0.0
    for returned, targets in answers(network, data, batch_size):
        total += float(loss(returned, targets)) * len(targets)
        outputs = main_output(returned)
        right += int((outputs.argmax(dim=1) == targets).sum()) if are_classes(outputs, targets) else math.nan
    return total / len(data), right / len(data)
