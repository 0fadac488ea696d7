"""A PAC-Bayes bound on the error of a network with noisy weights on new samples, with all its terms.

Q is the law of the noisy weights, P a law of weights that was fixed before the n samples were seen, R(Q) the error on
new samples and R̂(Q) that on the n samples, both averaged over Q. With probability 1 − δ/2 over the samples, for all Q
at the same time,

    kl(R̂(Q) ‖ R(Q)) ≤ (KL(Q ‖ P) + ln(2√n / (δ/2))) / n,   kl(q ‖ p) = q ln(q/p) + (1 − q) ln((1 − q)/(1 − p))

(Seeger, JMLR 2002; the 2√n is from Maurer, arXiv cs/0411099). Solved for the largest R(Q), this is the *kl form*; with
kl(q ‖ p) ≥ 2 (p − q)² it becomes the *square-root form* R ≤ R̂ + √(…/2n) (McAllester 1999). R̂(Q) is estimated from m
draws: with probability 1 − δ/2, kl(measured ‖ R̂(Q)) ≤ ln(2/(δ/2)) / m (Langford & Caruana, NIPS 2001). If the samples
were held out, P = Q is fixed before them, and the right-hand side becomes Chernoff's ln(1/(δ/2)) / n.

**The bound is usually vacuous.** A network has more weights than samples. Unless it stayed close to its start,
KL(Q ‖ P) / n is several nats, and the bound is above the error of guessing. :attr:`Bound.vacuous` and the text of the
bound tell whether it is. The terms and the held-out form are useful.

**Another noise at test.** "Incorruptible Neural Networks" (arXiv 2602.07320) argues with a bound of this kind for
training with more noise than the test has. What carries over from a noise σ_train to a smaller σ_test:

- proved: kl(R(Q_test) ‖ R(Q_train)) ≤ KL(Q_test ‖ Q_train), by the data-processing inequality. For d weights the
  right-hand side is d (r − 1 − ln r)/2 with r = (σ_test/σ_train)², which is large for any network.
- only under an assumption: R(Q_test) ≤ R(Q_train), that is, the error around these weights does not grow when the noise
  shrinks. For a smooth loss L, dE L(w + σSξ)/dσ² = ½ E tr(S ∇²L S): the mean curvature under the noise must not be
  negative. This holds for a convex L (Jensen), but not for networks in general. Since KL(Q ‖ P) falls when σ grows, the
  bound is then lowest at some σ_train above σ_test. The argument for over-regularising depends on this assumption.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from driftproof._errors import DriftproofError
from driftproof._keywords import checks_keywords
from driftproof.analysis._divergence import kl_inverse, largest_before

DELTA = 0.05


@dataclass(frozen=True, kw_only=True)
class AtTestNoise:
    """The bounds for a smaller noise that follow from a bound; errors in %.

    Attributes:
        noise: The smaller noise.
        error: Error measured with the smaller noise on the same samples.
        kl: KL(Q_test ‖ Q_train) in nats; infinite if it has no closed form.
        proved: Bound without an assumption on the network.
        assumed: Bound under the assumption that the error does not grow when the noise shrinks.
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
        noise: The noise on the weights.
        samples: Number of samples n.
        draws: Number of draws m.
        delta: Probability that the bound is wrong, one half for the samples and one half for the draws.
        classes: Number of classes.
        error: Measured error on the samples, mean over the draws.
        error_above: Upper bound of the mean error on the samples over all possible draws.
        kl: Layer → KL(Q ‖ P) in nats; empty if the samples were held out.
        complexity: (KL + ln(2√n / (δ/2))) / n in nats; ln(1 / (δ/2)) / n if the samples were held out.
        sqrt_form: The bound in McAllester's form.
        kl_form: The bound in Seeger's form, which is never above McAllester's.
        proved: Statements that follow without an assumption on the network.
        assumed: Assumptions of these statements.
        test: The bounds for a smaller noise; None if there is none.
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
        """KL(Q ‖ P) in nats, the sum over layers."""
        return math.fsum(self.kl.values())

    @property
    def chance(self) -> float:
        """Error of guessing in %, with equal probabilities."""
        return 100 * (1 - 1 / self.classes)

    @property
    def vacuous(self) -> bool:
        """Whether the bound is at or above the error of guessing."""
        return self.kl_form >= self.chance

    def at_noise(self, noise: str, *, error: float, kl: float) -> Bound:
        """Return the same bound with the bounds for a smaller noise around the same weights.

        Args:
            noise: Name of the smaller noise.
            error: Error measured with the smaller noise on the same samples, 0 to 1.
            kl: KL(Q_test ‖ Q_train) in nats, ``math.inf`` if it is unknown.
        """
        _check_share("error", error)
        _check_nats("kl", kl)
        proved = 100 * largest_before(self.kl_form / 100, kl)
        test = AtTestNoise(noise=noise, error=100 * error, kl=kl, proved=proved, assumed=self.kl_form)
        measured = "which these samples contradict" if test.error > self.error else "as it is on these samples"
        follows = f"With {noise} it is at most {_up(proved)} %, by the change from one noise to the other alone."
        assumption = (
            f"For at most {_up(self.kl_form)} % with {noise}: the error on new samples around these weights does "
            f"not grow from {self.noise} to {noise}, {measured} ({self.error:.1f} % and {test.error:.1f} %). This "
            "holds if the error is convex around the weights, or its mean curvature under the noise is not negative, "
            "but not for networks in general."
        )
        return replace(self, test=test, proved=(*self.proved, follows), assumed=(*self.assumed, assumption))

    def table(self) -> pd.DataFrame:
        """Return a table with one row per term: its name, value and unit."""
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
                lines += textwrap.wrap(f"  - {text}", 100, subsequent_indent="    ", break_on_hyphens=False)
        return "\n".join(lines)


@checks_keywords
def pac_bayes_bound(
    *, errors: Sequence[float], kl: Mapping[str, float], samples: int, classes: int, noise: str, delta: float = DELTA
) -> Bound:
    """Compute the bound from measured quantities.

    Args:
        errors: Share of wrong answers on the samples for each draw of the noise, 0 to 1.
        kl: Layer → KL(Q ‖ P) in nats (``gaussian_kl``); empty if no sample was used to train or to choose.
        samples: Number of samples n.
        classes: Number of classes.
        noise: Name of the noise.
        delta: Probability that the bound is wrong (default: 0.05).

    Raises:
        DriftproofError: a number is out of its range; there are no draws.

    >>> bound = pac_bayes_bound(errors=[0.02] * 1000, kl={}, samples=5000, classes=10, noise="gaussian:0.1")
    >>> round(bound.error_above, 2), round(bound.kl_form, 2), bound.vacuous
    (3.6, 4.36, False)
    """
    _check_terms(errors, kl, samples, classes, delta)
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
            else "The noise may be any device, at any time.",
        ),
        assumed=(
            "The samples were drawn independently, and new ones come from where they came from.",
            "The start, the kind of noise and a given prior_sigma were fixed before these samples were seen. A start "
            "that was trained or chosen on them makes the bound false."
            if kl
            else "Neither the network nor the noise was trained or chosen on these samples.",
            "Training changed the parameters and buffers of the network and nothing else.",
            "The sampler's numbers are random, and arithmetic on weights is exact.",
        ),
    )


def _check_terms(errors: Sequence[float], kl: Mapping[str, float], samples: int, classes: int, delta: float) -> None:
    check_delta(delta)
    for name, number, least in (("samples", samples, 1), ("classes", classes, 2), ("draws", len(errors), 1)):
        if number < least:
            raise DriftproofError(f"{name} {number!r}: wanted at least {least}")
    for error in errors:
        _check_share("error of a draw", error)
    for where, nats in kl.items():
        _check_nats(f"kl of {where or '(root)'}", nats)


def _up(percent: float) -> str:
    """Return a bound for a sentence, rounded up so that it stays a bound."""
    return f"{math.ceil(10 * percent) / 10:.1f}"


def check_delta(delta: float) -> None:
    """Raise DriftproofError unless ``delta`` is a probability between 0 and 1."""
    if not 0 < delta < 1:
        raise DriftproofError(f"delta {delta!r}: wanted a probability above 0 and below 1, such as 0.05")


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise DriftproofError(f"{name} {value!r}: wanted a share of the samples, 0 to 1")


def _check_nats(name: str, value: float) -> None:
    if not value >= 0:
        raise DriftproofError(f"{name} {value!r}: wanted nats, 0 or more")
