"""Choice of the noise strength: short trainings at several strengths are compared on validation data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from driftproof._errors import DriftproofError
from driftproof._keywords import checks_keywords
from driftproof._mapping import unasked_text
from driftproof.data import Data
from driftproof.training._loop import Validate, train
from driftproof.training._methods import Method
from driftproof.training._parallel import distributed, from_first, processes
from driftproof.training._schedules import STRENGTH
from driftproof.training._settings import Settings
from driftproof.training._warned_once import not_again

CANDIDATES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True, kw_only=True)
class Tried:
    """The result of one strength.

    Attributes:
        strength: Factor on the noise.
        validation: Validation of the network trained with it; None if the training failed.
        failure: Message of the failure; empty if there was none.
    """

    strength: float
    validation: float | None
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class StrengthChoice:
    """The best strength, and all strengths that were tried.

    Attributes:
        strength: The best strength on the validation; the smaller one if two are equally good.
        tried: Every trial, in order.
    """

    strength: float
    tried: tuple[Tried, ...]

    def __str__(self) -> str:
        parts = [
            f"{trial.strength:g}: " + (f"{trial.validation:.2f}" if trial.validation is not None else "failed")
            for trial in self.tried
        ]
        return f"strength {self.strength:g} (validation at {', '.join(parts)})"


@checks_keywords
def choose_strength(
    model: nn.Module,
    data: Data | object,
    make: Callable[[float], Method],
    validate: Validate,
    *,
    settings: Settings,
    candidates: Sequence[float] = CANDIDATES,
    higher_is_better: bool = True,
    on_trial: Callable[[Tried], None] | None = None,
) -> StrengthChoice:
    """Train with several strengths and return the best on the validation.

    The first strength is the candidate nearest to 1. Larger ones follow while the validation gets better; if the first
    of them is not better, smaller ones follow in the same way. Only ``validate`` decides: give it samples and chips on
    which the result is not reported.

    Args:
        model: Network to start from; it is not changed.
        data: Training data.
        make: Function that takes a strength and returns a new method.
        validate: Function that takes a trained network and returns how good it is.
        settings: Settings of each training; fewer epochs than the final training has are enough.
        candidates: Strengths to choose from, above 0 (default: 0.5, 1, 1.5, 2, 3 and 4).
        higher_is_better: Whether a higher validation is better (default: True).
        on_trial: Function that is called after each training.

    Raises:
        DriftproofError: All strengths failed; no candidates.

    >>> from driftproof.data import digits
    >>> from driftproof.training import RWP
    >>> from driftproof.zoo import trained_digits_cnn
    >>> chosen = choose_strength(
    ...     trained_digits_cnn(), digits("train").head(256), lambda s: RWP(noise="gaussian:0.1", strength=s),
    ...     lambda network: -abs(float(network.fc2.weight.std()) - 1), settings=Settings(epochs=1, lr=1e-3),
    ...     candidates=(1.0, 2.0),
    ... )
    >>> [trial.strength for trial in chosen.tried]
    [1.0, 2.0]
    """
    strengths = sorted(set(candidates))
    if not strengths or strengths[0] <= 0:
        raise DriftproofError(f"strengths to choose from: wanted numbers above 0, got {list(candidates)}")
    sign = 1 if higher_is_better else -1
    trials: dict[float, Tried] = {}
    warned: set[str] = set()

    def score(strength: float) -> float:
        if strength not in trials:
            try:
                method = make(strength)
                with not_again(warned):
                    trained = train(model, data, method=method, settings=settings, progress=False).model
                if method.weights is not None:
                    warned.add(unasked_text(method.weights.mapping))
                with not_again(warned):
                    trial = Tried(strength=strength, validation=from_first(float(validate(trained))))
            except DriftproofError as error:
                if processes()[1] > 1:
                    raise  # the other processes may wait in the middle of the training
                trial = Tried(strength=strength, validation=None, failure=str(error))
            trials[strength] = trial
            if on_trial is not None:
                on_trial(trial)
        validation = trials[strength].validation
        return float("-inf") if validation is None else sign * validation

    best = start = min(strengths, key=lambda strength: abs(strength - STRENGTH))
    place = strengths.index(start)
    with distributed(settings.torch_device):
        score(start)
        for side in (strengths[place + 1 :], strengths[:place][::-1]):
            for strength in side:
                if not score(strength) > score(best):
                    break
                best = strength
            if best != start:
                break
    if trials[best].validation is None:
        raise DriftproofError(f"no strength worked; the first failed with: {next(iter(trials.values())).failure}")
    # of two that are equally good, the one that disturbs training less
    chosen = min(strength for strength in trials if score(strength) == score(best))
    return StrengthChoice(strength=chosen, tried=tuple(trials.values()))
