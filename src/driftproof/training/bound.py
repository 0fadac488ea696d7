"""A bound on the error of a network with noisy weights on new samples, term by term: PAC-Bayes.

Q is the law of the noisy weights, P a law of weights that was fixed before the n samples were seen, R(Q) the error on
new samples and R̂(Q) that on the n samples, both averaged over Q. With probability 1 − δ/2 over the samples, for all Q
at once,

    kl(R̂(Q) ‖ R(Q)) ≤ (KL(Q ‖ P) + ln(2√n / (δ/2))) / n,   kl(q ‖ p) = q ln(q/p) + (1 − q) ln((1 − q)/(1 − p))

(Seeger, JMLR 2002; the 2√n is Maurer's, arXiv cs/0411099). Solved for the largest R(Q) that is the *kl form*; with
kl(q ‖ p) ≥ 2 (p − q)² it is the *square-root form* R ≤ R̂ + √(…/2n) (McAllester 1999). R̂(Q) itself is known from m
draws only: with probability 1 − δ/2, kl(measured ‖ R̂(Q)) ≤ ln(2/(δ/2)) / m (Langford & Caruana, NIPS 2001). Where the
samples were held out, P = Q is fixed before them, and Chernoff's ln(1/(δ/2)) / n is all that is left of the first term.

**Do not expect much.** A network has more weights than samples; unless it stayed close to its start, KL(Q ‖ P) / n is
several nats and the bound says less than guessing does. :attr:`Bound.vacuous` tells, and so does the text. What is
useful of it are the terms, and the held-out form.

**Another noise at test.** "Incorruptible Neural Networks" (arXiv 2602.07320) argues with a bound of this kind for
training with more noise than the test has. What carries over from a noise σ_train to a smaller σ_test:

- proved: kl(R(Q_test) ‖ R(Q_train)) ≤ KL(Q_test ‖ Q_train), since right or wrong says less than the weights behind it
  (data processing). For d weights that is d (r − 1 − ln r)/2 with r = (σ_test/σ_train)²: soon more than any error.
- only under an assumption: R(Q_test) ≤ R(Q_train), that is, the error around these weights does not grow when the noise
  shrinks. For a smooth loss L, dE L(w + σSξ)/dσ² = ½ E tr(S ∇²L S): the curvature that the noise meets must not be
  negative on average. A convex L fulfils that (Jensen); a network's error need not. Since KL(Q ‖ P) falls when σ grows,
  the bound is then lowest at some σ_train above σ_test: that is the argument for over-regularising, and the assumption
  is what it rests on.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import torch
from torch import Tensor

from driftproof.errors import DriftproofError
from driftproof.keywords import checks_keywords

DELTA = 0.05


@dataclass(frozen=True, kw_only=True)
class AtTestNoise:
    """What the bound at one noise says of a smaller one; errors in %.

    Attributes:
        noise: the smaller one.
        error: measured with it on the same samples.
        kl: KL(Q_test ‖ Q_train) in nats; infinite if it has no closed form.
        proved: bound without an assumption on the network.
        assumed: bound if the error does not grow when the noise shrinks.
    """

    noise: str
    error: float
    kl: float
    proved: float
    assumed: float


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A bound on the error on new samples, averaged over draws of the noise, with all its terms; errors in %.

    Attributes:
        noise: on the weights.
        samples: n.
        draws: m.
        delta: how often the bound may be wrong, half of it for the samples and half for the draws.
        classes: how many there are to guess from.
        error: measured: the mean over the draws of the error on the samples.
        error_above: what the mean over all possible draws is at most.
        kl: where → KL(Q ‖ P) in nats; empty if the samples were held out.
        complexity: (KL + ln(2√n / (δ/2))) / n in nats; ln(1 / (δ/2)) / n if the samples were held out.
        sqrt_form: the bound, McAllester's form.
        kl_form: the bound, Seeger's form: never above the other.
        proved: what follows without an assumption on the network.
        assumed: what it follows from.
        test: what it says of a smaller noise.
    """

    noise: str
    samples: int
    draws: int
    delta: float
    classes: int
    error: float
    error_above: float
    kl: dict[str, float]
    complexity: float
    sqrt_form: float
    kl_form: float
    proved: tuple[str, ...]
    assumed: tuple[str, ...]
    test: AtTestNoise | None = None

    @property
    def kl_nats(self) -> float:
        """KL(Q ‖ P), in all."""
        return math.fsum(self.kl.values())

    @property
    def chance(self) -> float:
        """Error in % of guessing with equal odds."""
        return 100 * (1 - 1 / self.classes)

    @property
    def vacuous(self) -> bool:
        """Whether guessing has no larger error than the bound allows."""
        return self.kl_form >= self.chance

    def at_noise(self, noise: str, *, error: float, kl: float) -> Bound:
        """Return the same bound with what it says of a smaller noise around the same weights.

        Args:
            noise: what it is called.
            error: measured with it on the same samples, 0 to 1.
            kl: KL(Q_test ‖ Q_train) in nats, ``math.inf`` if it is not known.
        """
        _check_share("error", error)
        _check_nats("kl", kl)
        proved = 100 * _largest_before(self.kl_form / 100, kl)
        test = AtTestNoise(noise=noise, error=100 * error, kl=kl, proved=proved, assumed=self.kl_form)
        measured = "which these samples contradict" if test.error > self.error else "as it is on these samples"
        return replace(
            self,
            test=test,
            proved=(
                *self.proved,
                f"With {noise} it is at most {_up(proved)} %, by the change from one noise to the other alone.",
            ),
            assumed=(
                *self.assumed,
                f"For at most {_up(self.kl_form)} % with {noise}: the error on new samples around these weights does "
                f"not grow from {self.noise} to {noise}, {measured} ({self.error:.1f} % and {test.error:.1f} %). True "
                "where the error is convex around the weights, or its mean curvature under the noise not negative; "
                "not of networks in general.",
            ),
        )

    def table(self) -> pd.DataFrame:
        """Return one row per term: what it is, its value, its unit."""
        rows: list[tuple[str, float, str]] = [
            ("samples", self.samples, ""),
            ("draws", self.draws, ""),
            ("delta", self.delta, ""),
            ("error, mean of the draws", self.error, "%"),
            ("error, at most over all draws", self.error_above, "%"),
            *((f"KL, {name or '(root)'}", nats, "nats") for name, nats in self.kl.items()),
            ("KL in all", self.kl_nats, "nats"),
            ("complexity per sample", self.complexity, "nats"),
            ("bound, square-root form", self.sqrt_form, "%"),
            ("bound, kl form", self.kl_form, "%"),
            ("error of guessing", self.chance, "%"),
        ]
        if self.test is not None:
            rows += [
                (f"error with {self.test.noise}, mean of the draws", self.test.error, "%"),
                (f"KL from {self.test.noise} to {self.noise}", self.test.kl, "nats"),
                (f"bound with {self.test.noise}, proved", self.test.proved, "%"),
                (f"bound with {self.test.noise}, if the error falls with the noise", self.test.assumed, "%"),
            ]
        return pd.DataFrame(rows, columns=["term", "value", "unit"])

    def __str__(self) -> str:
        terms = [(term, f"{value:,.6g}", unit) for term, value, unit in self.table().itertuples(index=False)]
        width = max(len(term) for term, _, _ in terms)
        lines = [f"PAC-Bayes bound with {self.noise}"]
        lines += [f"  {term:<{width}}  {value:>12} {unit}".rstrip() for term, value, unit in terms]
        if self.vacuous:
            lines.append(f"Vacuous: guessing is wrong in {self.chance:.1f} %, so the bound says nothing.")
        for title, statements in (("Proved", self.proved), ("Assumed", self.assumed)):
            lines.append(title)
            for text in statements:
                lines += textwrap.wrap(
                    text, 100, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False
                )
        return "\n".join(lines)


@checks_keywords
def pac_bayes_bound(
    *, errors: Sequence[float], kl: Mapping[str, float], samples: int, classes: int, noise: str, delta: float = DELTA
) -> Bound:
    """Put measured quantities together to the bound.

    Args:
        errors: of every draw of the noise, the share of the samples that it gets wrong, 0 to 1.
        kl: where → KL(Q ‖ P) in nats (:func:`gaussian_kl`); empty if no sample was seen in training or choosing.
        samples: n.
        classes: how many there are.
        noise: what it is called.
        delta: how often the bound may be wrong.

    Raises:
        DriftproofError: a number outside its range; no draws.

    >>> bound = pac_bayes_bound(errors=[0.02] * 1000, kl={}, samples=5000, classes=10, noise="gaussian:0.1")
    >>> round(bound.error_above, 2), round(bound.kl_form, 2), bound.vacuous
    (3.6, 4.36, False)
    """
    check_delta(delta)
    for what, number, least in (("samples", samples, 1), ("classes", classes, 2), ("draws", len(errors), 1)):
        if number < least:
            raise DriftproofError(f"{what} {number!r}: wanted at least {least}")
    for error in errors:
        _check_share("error of a draw", error)
    for where, nats in kl.items():
        _check_nats(f"kl of {where or '(root)'}", nats)
    measured = math.fsum(errors) / len(errors)
    above = kl_inverse(measured, math.log(4 / delta) / len(errors))
    total = math.fsum(kl.values())
    complexity = (total + math.log(4 * math.sqrt(samples) / delta) if kl else math.log(2 / delta)) / samples
    bound = 100 * kl_inverse(above, complexity)
    return Bound(
        noise=noise,
        samples=samples,
        draws=len(errors),
        delta=delta,
        classes=classes,
        error=100 * measured,
        error_above=100 * above,
        kl=dict(kl),
        complexity=complexity,
        sqrt_form=100 * min(1.0, above + math.sqrt(complexity / 2)),
        kl_form=bound,
        proved=(
            f"With probability {100 * (1 - delta):g} % over samples and draws: on new samples the error with {noise}, "
            f"averaged over draws, is at most {_up(bound)} %. One chip may be worse than the average.",
            "The noise may depend on the trained weights (as a spread relative to a column's maximum does), and the "
            "training on the noise: the bound holds for all such laws at once."
            if kl
            else "Nothing is asked of the noise: any device, at any time.",
        ),
        assumed=(
            "The samples were drawn independently, and new ones come from where they came from.",
            "The start, the kind of noise and a given prior_sigma were fixed before these samples were seen. A start "
            "that was trained or chosen on them makes the bound false."
            if kl
            else "Neither the network nor the noise was trained or chosen on these samples.",
            "All that training changed is in the network's parameters and buffers.",
            "The sampler's numbers are random, and arithmetic on weights is exact.",
        ),
    )


def gaussian_kl(mean: Tensor, spread: Tensor, start: Tensor, start_spread: Tensor | float) -> float:
    """Return KL(N(mean, spread²) ‖ N(start, start_spread²)) of independent weights, in nats.

    ½ Σ [(s/s₀)² − 1 − ln (s/s₀)² + ((w − w₀)/s₀)²]; infinite where a weight has no noise at all.

    Raises:
        DriftproofError: a spread that is negative or no number, or a start's that is zero.

    >>> gaussian_kl(torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([0.0]), 2.0)
    0.125
    """
    before = torch.as_tensor(start_spread, dtype=torch.float64, device=mean.device)
    if not bool((torch.isfinite(before) & (before > 0)).all()):
        raise DriftproofError("the prior's spread is zero, negative or not finite somewhere; wanted it above 0")
    if not bool((torch.isfinite(spread) & (spread >= 0)).all()):
        raise DriftproofError("the noise's spread is negative or not finite somewhere")
    ratio = (spread.double() / before).square()
    moved = ((mean.double() - start.double()) / before).square()
    # what is equal up to rounding has none
    return max(0.0, 0.5 * float((ratio - 1 - ratio.log() + moved).sum()))


def binary_kl(q: float, p: float) -> float:
    """Return kl(q ‖ p) in nats, of two shares."""
    first = 0.0 if q == 0 else q * math.log(q / p) if p > 0 else math.inf
    second = 0.0 if q == 1 else (1 - q) * (math.log1p(-q) - math.log1p(-p)) if p < 1 else math.inf
    return first + second


def kl_inverse(q: float, nats: float) -> float:
    """Return the largest p with kl(q ‖ p) ≤ nats, rounded up.

    >>> round(kl_inverse(0.0, 0.1), 6) == round(1 - math.exp(-0.1), 6)
    True
    """
    return _last(q, lambda p: binary_kl(q, p) <= nats)


def _largest_before(p: float, nats: float) -> float:
    """Return the largest q with kl(q ‖ p) ≤ nats, rounded up."""
    return _last(p, lambda q: binary_kl(q, p) <= nats)


def _last(low: float, holds: Callable[[float], bool]) -> float:
    """Return where something that holds at ``low`` ceases to hold on the way to 1; 1 if it never does."""
    high = 1.0
    if holds(high):
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return high


def _up(percent: float) -> str:
    """Return a bound for a sentence, rounded up, so that it stays one."""
    return f"{math.ceil(10 * percent) / 10:.1f}"


def check_delta(delta: float) -> None:
    """Raise DriftproofError for what is no probability to be wrong with."""
    if not 0 < delta < 1:
        raise DriftproofError(f"delta {delta!r}: wanted a probability above 0 and below 1, such as 0.05")


def _check_share(what: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise DriftproofError(f"{what} {value!r}: wanted a share of the samples, 0 to 1")


def _check_nats(what: str, value: float) -> None:
    if not value >= 0:
        raise DriftproofError(f"{what} {value!r}: wanted nats, 0 or more")
