"""The outcome of a trial: its value, the outcome of every sample that was seen, and diagnostics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from driftproof._errors import DriftproofError

FLIPPED = 1 / 2000
"""Share of answers that another machine's rounding may change."""
ROUNDING = 1e-3
"""Largest relative difference of numbers that another machine's rounding may cause."""

type PerSample = npt.NDArray[Any]
"""One entry per sample: right or wrong (bool), or a number whose mean is the metric (float32)."""
type Samples = npt.NDArray[np.int64]
"""Numbers of samples of the data, ascending, without repeats."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """The outcome of a trial.

    Attributes:
        value: The metric over the samples that were seen; accuracies are in percent.
        total: Number of samples of the data.
        samples: Numbers of the samples that were seen, ascending; None if all of them were.
        per_sample: One entry per sample seen, in the same order: bool for metrics that are a share of samples, float32
            for metrics that are a mean over samples; None for all other metrics.
        diagnostics: Further measurements by name: a number for the network, or a dict with one number per layer. No
            identity depends on them.
        seconds: Duration of the trial.
        in_validity: Whether the device is valid at the time of the trial.

    >>> half = Outcome(value=50.0, total=4, samples=np.array([0, 2]), per_sample=np.array([True, False]))
    >>> rest = Outcome(value=100.0, total=4, samples=np.array([1, 3]), per_sample=np.array([True, True]))
    >>> whole = half.joined(rest)
    >>> whole.value, whole.samples, whole.per_sample.tolist()
    (75.0, None, [True, True, False, True])
    """

    value: float
    total: int
    samples: Samples | None = None
    per_sample: PerSample | None = None
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    in_validity: bool = True

    def __post_init__(self) -> None:
        """Check that there is one entry per sample, in order; a list of all samples becomes None."""
        if self.samples is not None:
            numbers = np.asarray(self.samples, dtype=np.int64)
            inside = numbers.size and numbers[0] >= 0 and numbers[-1] < self.total
            if not inside or (np.diff(numbers) <= 0).any():
                raise DriftproofError(
                    f"an outcome's samples are ascending numbers from 0 to {self.total - 1}, each once, got {numbers}"
                )
            object.__setattr__(self, "samples", numbers)
        if self.per_sample is not None:
            entries = np.asarray(self.per_sample)
            if entries.shape != (self.seen,):
                raise DriftproofError(
                    f"an outcome of {self.seen} samples came with entries of shape {list(entries.shape)}"
                )
            # the types that a record keeps, so that new outcomes can be joined with those read from a record
            object.__setattr__(self, "per_sample", entries if entries.dtype == np.bool_ else entries.astype(np.float32))
        if self.samples is not None and len(self.samples) == self.total:
            object.__setattr__(self, "samples", None)

    @property
    def seen(self) -> int:
        """Number of samples that were seen."""
        return self.total if self.samples is None else len(self.samples)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Whether each sample was seen, [total]."""
        mask = np.zeros(self.total, dtype=np.bool_)
        mask[slice(None) if self.samples is None else self.samples] = True
        return mask

    def missing(self, wanted: Samples | None) -> Samples | None:
        """Return the wanted samples (None: all) that were not seen; None if all of them were.

        An outcome without entries per sample cannot be extended: if a sample is missing, the samples that were seen
        are missing as well.
        """
        asked = np.arange(self.total) if wanted is None else wanted
        left: Samples = asked[~self.mask[asked]]
        if not len(left):
            return None
        if self.per_sample is None:
            mask = self.mask
            mask[asked] = True
            return np.flatnonzero(mask)
        return left

    def joined(self, other: Outcome) -> Outcome:
        """Return the outcome over the samples that this or another outcome of the same trial has seen.

        Where both have seen a sample, the entry of this outcome stays. Another machine or batch size rounds
        differently: numbers may differ by rounding, and about one answer in some thousand may change.

        Raises:
            DriftproofError: the outcomes are of different data, have no entries per sample, or contradict each other.
        """
        if self.total != other.total:
            raise DriftproofError(f"outcomes of {self.total} and of {other.total} samples cannot be joined")
        if self.per_sample is None or other.per_sample is None or self.per_sample.dtype != other.per_sample.dtype:
            raise DriftproofError("these outcomes have no entries per sample, so one cannot extend the other")
        mine, theirs = (np.zeros(self.total, dtype=self.per_sample.dtype) for _ in range(2))
        mine[self.mask], theirs[other.mask] = self.per_sample, other.per_sample
        both = self.mask & other.mask
        if apart := _contradictions(mine[both], theirs[both]):
            raise DriftproofError(f"two outcomes contradict each other on {apart} of {int(both.sum())} samples")
        mask = self.mask | other.mask
        kept = np.where(self.mask, mine, theirs)[mask]
        seconds = self.seconds + other.seconds
        return replace(other, value=value_of(kept), samples=np.flatnonzero(mask), per_sample=kept, seconds=seconds)


def _contradictions(one: PerSample, other: PerSample) -> int:
    """Return the number of samples on which two outcomes differ by more than rounding; 0 for a few changed answers."""
    if one.dtype == np.bool_:
        flipped = int((one != other).sum())
        return flipped if flipped > FLIPPED * len(one) else 0
    size = np.abs(np.concatenate([one, other])).mean() if len(one) else 0.0
    return int((~np.isclose(one, other, rtol=ROUNDING, atol=ROUNDING * float(size))).sum())


def value_of(per_sample: PerSample) -> float:
    """Return the metric from entries per sample: the share of True in percent, or the mean of numbers.

    >>> value_of(np.array([True, True, False, True])), value_of(np.array([1.0, 2.0], dtype=np.float32))
    (75.0, 1.5)
    """
    if per_sample.dtype == np.bool_:
        return 100.0 * int(per_sample.sum()) / len(per_sample)
    return float(per_sample.astype(np.float64).mean())


def as_samples(samples: Iterable[int] | npt.NDArray[Any] | None, total: int) -> Samples | None:
    """Return numbers of samples in ascending order, None for all.

    Args:
        samples: Numbers of samples, or a mask [total] of bools.
        total: Number of samples of the data.

    Raises:
        DriftproofError: there is no number, a number twice, or a number that is not a sample's.

    >>> as_samples([3, 1], 4), as_samples(range(4), 4)
    (array([1, 3]), None)
    """
    if samples is None:
        return None
    given = np.asarray(samples if isinstance(samples, np.ndarray) else list(samples))
    if given.dtype == np.bool_:
        if given.shape != (total,):
            raise DriftproofError(f"samples: a mask of shape {given.shape}, wanted [{total}], one entry per sample")
        given = np.flatnonzero(given)
    if given.size == 0 or not np.issubdtype(given.dtype, np.integer):
        raise DriftproofError(f"samples: wanted at least one whole number from 0 to {total - 1}, got {samples!r}")
    chosen = np.sort(given.astype(np.int64))
    if chosen[0] < 0 or chosen[-1] >= total or (np.diff(chosen) == 0).any():
        raise DriftproofError(f"samples: wanted different numbers from 0 to {total - 1}, got {samples!r}")
    return None if len(chosen) == total else chosen
