"""Chips and samples, both random: the mean of their outcomes, what its variance consists of, and its intervals.

An outcome yᵢⱼ belongs to a chip i and to a sample j. Chips are drawn from all chips of a device, samples from all
inputs of a kind, and every chip sees the same samples (a crossed design, two ways without replication):

    yᵢⱼ = µ + aᵢ + bⱼ + eᵢⱼ

aᵢ is the chip's part, with the variance σ²_chip; bⱼ the sample's, σ²_sample (some inputs are hard on every chip); eᵢⱼ
is the rest, σ²_rest. With K chips and N samples the mean over all outcomes has the variance

    on these samples:  σ²_chip/K + σ²_rest/(K N)
    on new samples:    σ²_chip/K + σ²_sample/N + σ²_rest/(K N)

The mean squares of the analysis of variance estimate both without bias, whatever the distributions: with s² the
variance of the chips' means, c² that of the samples' means, and m² the mean square of what is left, they are s²/K, and
s²/K + c²/N - m²/(K N).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from driftproof._errors import DriftproofError, did_you_mean
from driftproof._intervals import CONFIDENCE, p_value, tails, transformed_interval, whole_skewness

On = Literal["these", "new"]
"""The samples for which a statement holds: ``these`` that were seen, or ``new`` ones of the same kind."""

Numbers = npt.NDArray[np.float64]
ROUNDING = 1e-12
STOPPED = 0.15
"""Relative widening of an interval after a sequential stop, times the root of the number of chips."""


@dataclass(frozen=True, eq=False)
class Crossed:
    """Outcomes of chips on samples, as their means and mean squares. Made by :func:`crossed`.

    Attributes:
        chip_means: Mean over the samples of each chip, [chips].
        samples: Number of samples N.
        sample_square: Variance c² of the samples' means over the chips; NaN for one sample.
        rest_square: Mean square m² of what neither chip nor sample explains; NaN for one chip or one sample.
        sample_third: Third central moment of the samples' means.
        within: Variance of ``chip_means`` that comes from their samples, where each chip saw a part of all samples
            (:func:`driftproof.statistics.stratified`); else 0.
        passes: Number of samples that all chips together saw, where each saw a part; 0 where all saw all.
    """

    chip_means: Numbers
    samples: int
    sample_square: float
    rest_square: float
    sample_third: float
    within: float = 0.0
    passes: int = 0

    @property
    def whole(self) -> bool:
        """Whether every chip saw all samples. Otherwise single chips are not known, and there is no worst chip."""
        return not self.passes

    @property
    def chips(self) -> int:
        """Number of chips K."""
        return len(self.chip_means)

    @cached_property
    def mean(self) -> float:
        """Mean over chips and samples."""
        return float(self.chip_means.mean())

    @cached_property
    def chip_square(self) -> float:
        """Variance s² of the chips' means; NaN for one chip."""
        if self.chips < 2:
            return math.nan
        square = float(self.chip_means.var(ddof=1))
        # equal values differ from their mean by rounding
        square = square if square > (ROUNDING * max(abs(self.mean), 1.0)) ** 2 else 0.0
        return max(square, self.within)

    @cached_property
    def chip_third(self) -> float:
        """Third central moment of the chips' means, without bias; 0 for two chips."""
        n = self.chips
        if n < 3:
            return 0.0
        return float(((self.chip_means - self.mean) ** 3).sum()) * n / ((n - 1) * (n - 2))

    # --- the components ---

    @property
    def chip_variance(self) -> float:
        """σ²_chip: variance over chips of a chip's mean over all inputs, at least 0; NaN for one chip or sample."""
        return not_negative(self.chip_square - self.within - self.rest_square / self.samples)

    @property
    def sample_variance(self) -> float:
        """σ²_sample: variance over samples of a sample's mean over all chips, at least 0; NaN as above."""
        return not_negative(self.sample_square - self.rest_square / self.chips)

    @property
    def rest_variance(self) -> float:
        """σ²_rest, NaN for one chip or sample."""
        return self.rest_square

    # --- the mean ---

    def error(self, on: On) -> float:
        """Return the standard error of the mean; NaN where it cannot be told (one chip, one sample).

        Chips that saw parts of the samples were added until an interval was narrow, which happens too early where they
        are alike by accident. Their error is larger by ``STOPPED / √chips`` of itself.
        """
        error = math.sqrt(self._chip_part + (self._sample_part if check_on(on) == "new" else 0.0))
        return error if self.whole else error * (1 + STOPPED / math.sqrt(self.chips))

    def interval(self, on: On, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Return the interval of the mean over all chips.

        Hall's transformation of Student's t (:func:`driftproof._intervals.mean_interval`) takes the standard error and
        the skewness of the mean, with the degrees of freedom of Satterthwaite. On these samples it is the interval of
        the chips' means. Its measured coverage stands in docs/statistics.md.

        Args:
            on: ``these``: over all chips, on the samples that were seen. ``new``: over all chips and all inputs.
            confidence: Share of such intervals that contain the mean (default: 0.95).

        Returns:
            Both ends; NaN where they cannot be told (one chip, one sample).
        """
        error = self.error(on)
        if not error > 0:
            return (self.mean, self.mean) if error == 0 else (math.nan, math.nan)
        return transformed_interval(self.mean, error, self._skewness(on), self._freedom(on), confidence)

    def p_value(self, on: On) -> float:
        """Return the two-sided p-value of the hypothesis that the mean is 0, of a difference for example."""
        error = self.error(on)
        return math.nan if math.isnan(error) else p_value(self.mean, error, self._skewness(on), self._freedom(on))

    def equivalence(self, margin: float, on: On) -> float:
        """Return the p-value of the hypothesis that the mean is ``margin`` or more away from 0.

        These are two one-sided tests (TOST; D. J. Schuirmann, J. Pharmacokin. Biopharm. 15 (1987) 657-680). The mean
        is closer to 0 than ``margin`` at the level 0.05 where this is below 0.05.
        """
        if not (math.isfinite(margin) and margin > 0):
            raise DriftproofError(f"equivalence: wanted a margin above 0, in the unit of the values, got {margin!r}")
        error = self.error(on)
        if math.isnan(error):
            return math.nan
        shape = error, self._skewness(on), self._freedom(on)
        return max(tails(self.mean + margin, *shape)[0], tails(self.mean - margin, *shape)[1])

    @property
    def _chip_part(self) -> float:
        """Part of the mean's variance that comes with other chips.

        Few chips on few samples can have equal means although they differ in samples. Their means' variance of 0 is an
        accident then, and what neither chip nor sample explains takes its place.
        """
        if self.whole and self.chip_square == 0 and self.rest_square > 0:
            return self.rest_square / (self.chips * self.samples)
        return self.chip_square / self.chips

    @property
    def _sample_part(self) -> float:
        """Part of the mean's variance that comes with other samples."""
        return self.sample_variance / self.samples

    def _skewness(self, on: On) -> float:
        third = whole_skewness(self.chip_third, self.chips) / self.chips**2
        if on == "new":
            third += whole_skewness(self.sample_third, self.samples) / self.samples**2
        error = self.error(on)
        return third / error**3 if error else 0.0

    def _freedom(self, on: On) -> float:
        """Degrees of freedom of the variance of the mean: Satterthwaite's, between K - 1 and K - 1 + N - 1."""
        if on == "these" or not self.chip_square:
            return self.chips - 1 if on == "these" else self.samples - 1
        chips, samples = self.chip_square / self.chips, self.sample_square / self.samples
        total = chips + self._sample_part
        return total**2 / (chips**2 / (self.chips - 1) + samples**2 / (self.samples - 1))


def crossed(outcomes: npt.ArrayLike, reference: npt.ArrayLike | None = None, *, percent: bool | None = None) -> Crossed:
    """Return the statistics of outcomes of chips on samples.

    Args:
        outcomes: One entry per chip and sample, [chips, samples]: right or wrong (bool), or numbers.
        reference: Outcomes that are subtracted: those of the digital network, [samples], or of other chips with the
            same numbers, [chips, samples] (default: none).
        percent: Whether to multiply by 100 (default: if the outcomes are bools).

    Raises:
        DriftproofError: There is no entry, the shapes do not fit, or an entry is not finite.

    >>> right = np.array([[True, True, False, True], [True, False, False, True], [True, True, False, True]])
    >>> chips = crossed(right)
    >>> round(chips.mean, 1), [round(end, 1) for end in chips.interval("these")]
    (66.7, [4.7, 95.2])
    >>> digital = np.array([True, True, False, True])
    >>> round(crossed(right, digital).mean, 1)
    -8.3
    """
    y = np.asarray(outcomes)
    if y.ndim != 2 or not y.size:
        raise DriftproofError(f"outcomes: wanted [chips, samples] with at least one of each, got {list(y.shape)}")
    scale = 100.0 if (y.dtype == np.bool_ if percent is None else percent) else 1.0
    x = y.astype(np.int8) if y.dtype == np.bool_ else y.astype(np.float64)
    if reference is not None:
        z = np.asarray(reference)
        if z.shape not in ((y.shape[1],), y.shape):
            raise DriftproofError(f"reference of shape {list(z.shape)}; wanted [{y.shape[1]}] or {list(y.shape)}")
        x = x - (z.astype(np.int8) if z.dtype == np.bool_ else z.astype(np.float64))
    if not np.isfinite(x).all():
        raise DriftproofError("outcomes: an entry is not finite; wanted finite numbers")
    return _crossed(x, scale)


def _crossed(x: npt.NDArray[Any], scale: float) -> Crossed:
    chips, samples = x.shape
    rows, columns = x.mean(axis=1, dtype=np.float64), x.mean(axis=0, dtype=np.float64)
    mean = rows.mean()
    away = columns - mean
    sample_square = rest_square = math.nan
    if samples > 1:
        sample_square = float((away**2).sum()) / (samples - 1)
        if chips > 1:
            if x.dtype == np.int8:  # whole numbers: their squares add up exactly
                whole = np.count_nonzero(x) if np.abs(x).max(initial=0) <= 1 else int((x.astype(np.int64) ** 2).sum())
                rest = whole - samples * (rows**2).sum() - chips * (columns**2).sum() + chips * samples * mean**2
            else:
                rest = sum(float(((row - own - away) ** 2).sum()) for row, own in zip(x, rows, strict=True))
            rest_square = max(0.0, float(rest)) / ((chips - 1) * (samples - 1))
    third = float((away**3).mean()) * scale**3
    return Crossed(rows * scale, samples, sample_square * scale**2, rest_square * scale**2, third)


def not_negative(variance: float) -> float:
    """Return a variance, 0 in place of a negative estimate, NaN of NaN."""
    return 0.0 if variance < 0 else variance


def check_on(on: str) -> On:
    """Return the word, or raise DriftproofError."""
    if on not in get_args(On):
        raise DriftproofError(f"on={on!r}{did_you_mean(on, get_args(On))}; wanted 'these' or 'new' samples")
    return on  # type: ignore[return-value]  # checked in the line above
