"""The over-regularisation factor chosen for you: short trainings at several strengths, compared on validation data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from driftproof.data import Data
from driftproof.errors import DriftproofError
from driftproof.keywords import checks_keywords
from driftproof.mapping import unasked_text
from driftproof.training.loop import Validate, train
from driftproof.training.methods import Method
from driftproof.training.parallel import distributed, from_first, processes
from driftproof.training.said_once import not_again
from driftproof.training.schedules import STRENGTH
from driftproof.training.settings import Settings

CANDIDATES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
FIRST = STRENGTH


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One strength and what it came to.

    Attributes:
        strength: the factor.
        validation: of the network trained with it; None if the training failed.
        failure: why it failed.
    """

    strength: float
    validation: float | None
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class StrengthChoice:
    """The best strength, and all that were tried, in order.

    Attributes:
        strength: the best one on the validation; the smaller of two that are equal.
        tried: every trial.
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
    """Train with strengths around 1 and return the best on the validation: up while it gets better, else down.

    Nothing but ``validate`` decides; give it samples and chips that the result is not reported on.

    Args:
        model: the network to start from; it is not changed.
        data: what is trained on.
        make: strength → a new method.
        validate: of each trained network.
        settings: of each training: fewer epochs than the real one will do.
        candidates: strengths, with 1 among them.
        higher_is_better: of the validation.
        on_trial: called after each training.

    Raises:
        DriftproofError: every strength failed; no candidates.

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
    start = min(range(len(strengths)), key=lambda place: abs(strengths[place] - FIRST))
    trials: dict[float, Tried] = {}
    said: set[str] = set()

    def value(place: int) -> float:
        strength = strengths[place]
        if strength not in trials:
            try:
                method = make(strength)
                with not_again(said):
                    trained = train(model, data, method=method, settings=settings, progress=False).model
                if method.weights is not None:
                    said.add(unasked_text(method.weights.mapping))
                with not_again(said):
                    trial = Tried(strength=strength, validation=from_first(float(validate(trained))))
            except DriftproofError as error:
                if processes()[1] > 1:
                    raise  # the others may wait in the middle of it
                trial = Tried(strength=strength, validation=None, failure=str(error))
            trials[strength] = trial
            if on_trial is not None:
                on_trial(trial)
        found = trials[strength].validation
        return float("-inf") if found is None else sign * found

    best = start
    with distributed(settings.device):
        value(start)
        for step in (1, -1):
            place = best + step
            while 0 <= place < len(strengths) and value(place) > value(best):
                best, place = place, place + step
            if best != start:
                break
    if trials[strengths[best]].validation is None:
        raise DriftproofError(f"no strength worked; the first failed with: {next(iter(trials.values())).failure}")
    # of two that are equal, the one that disturbs training less
    chosen = min(trial.strength for trial in trials.values() if value(strengths.index(trial.strength)) == value(best))
    return StrengthChoice(strength=chosen, tried=tuple(trials.values()))
