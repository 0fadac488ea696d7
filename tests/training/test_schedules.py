"""How strong a perturbation is at each update: the declared curves, by name; texts and back; wrong ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from driftproof._errors import DriftproofError
from driftproof.training import ramp
from driftproof.training._schedules import Adaptive, Constant, Ramp, Sampled, Schedule, as_schedule
from training.small import method_of, points_loss, sgd, smooth


def test_ramps_follow_their_curve_from_the_first_update_to_the_last() -> None:
    curves: dict[str, Callable[[float], float]] = {
        "linear": lambda x: x,
        "quadratic": lambda x: x**2,
        "cosine": lambda x: 0.5 * (1 - math.cos(math.pi * x)),
    }
    for shape, curve in curves.items():
        schedule = ramp(shape, to=2.0, start=0.5)  # type: ignore[arg-type]
        for step in range(11):
            assert schedule.at(step, 11, 0) == pytest.approx(0.5 + 1.5 * curve(step / 10), abs=1e-12)
        assert schedule.at(0, 11, 0) == 0.5
        assert schedule.at(10, 11, 0) == schedule.at(500, 11, 0) == 2.0


def test_a_ramp_waits_before_its_delay_and_stays_after_its_end() -> None:
    schedule = ramp("linear", to=1.0, delay=0.2, until=0.6)
    assert [round(schedule.at(step, 11, 0), 6) for step in range(11)] == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    falling = ramp("linear", to=0.0, start=1.0)
    assert falling.at(0, 3, 0) == falling.largest == 1.0
    assert falling.at(2, 3, 0) == 0.0


def test_a_ramp_of_its_own_length_does_not_ask_the_run() -> None:
    schedule = ramp("linear", to=1.0, steps=3)
    assert [schedule.at(step, None, 0) for step in range(5)] == [0.0, 0.5, 1.0, 1.0, 1.0]
    assert [schedule.at(step, 100, 0) for step in range(3)] == [0.0, 0.5, 1.0]


def test_the_only_update_is_the_last_one() -> None:
    assert ramp("quadratic", to=2.0).at(0, 1, 0) == 2.0


def test_sampled_strengths_are_uniform_and_the_same_again() -> None:
    schedule = Sampled(0.5, 2.0)
    levels = [schedule.at(step, None, 0) for step in range(2000)]
    # Kolmogorov and Smirnov: false alarm 1e-6
    assert stats.kstest(levels, stats.uniform(0.5, 1.5).cdf).pvalue > 1e-6
    assert levels[:5] == [schedule.at(step, 7, 0) for step in range(5)]
    other = [schedule.at(step, None, 1) for step in range(2000)]
    assert abs(float(np.corrcoef(levels, other)[0, 1])) < 5.2 / math.sqrt(2000)  # false alarm 2e-7


def test_two_sampled_strengths_of_one_method_are_independent(monkeypatch: pytest.MonkeyPatch) -> None:
    network, method = smooth(), method_of("sam-rwp", rho=Sampled(0.0, 1.0), strength=Sampled(0.0, 1.0))
    seen: list[tuple[float, ...]] = []
    accumulate = method.accumulate

    def recorded(passes: Any, closures: Any) -> Any:
        seen.append(passes.strengths)
        return accumulate(passes, closures)

    monkeypatch.setattr(method, "accumulate", recorded)
    for _ in range(100):
        method.step(points_loss(network), network, sgd(network, 1e-3))
    assert abs(float(np.corrcoef(np.array(seen).T)[0, 1])) < 5.2 / math.sqrt(100)  # false alarm 2e-7


def grow(schedule: Adaptive, norms: list[float], steps: int) -> list[float]:
    levels = []
    for step, norm in enumerate(norms):
        levels.append(schedule.at(step, steps, 0))
        assert schedule.at(step, steps, 0) == levels[-1], "asking does not move it"
        schedule.observe(norm, steps)
    return levels


def test_an_adaptive_strength_grows_while_the_gradient_holds() -> None:
    levels = grow(Adaptive(to=1.0, over=0.5), [1.0] * 20, 20)
    assert levels[:11] == pytest.approx([step / 10 for step in range(11)])
    assert levels[11:] == pytest.approx([1.0] * 9)


def test_an_adaptive_strength_waits_while_the_gradient_has_collapsed() -> None:
    schedule = Adaptive(to=1.0, over=1.0, collapse=0.3, memory=1)
    norms = [1.0, 2.0, 0.5, 0.5, 0.7, 0.59, 3.0, 0.8]
    levels = grow(schedule, norms, 10)
    # below 0.3 × the largest so far (2, then 3) it stays: after the third, fourth, sixth and eighth
    assert levels == pytest.approx([0.0, 0.1, 0.2, 0.2, 0.2, 0.3, 0.3, 0.4])
    assert schedule.waiting
    slow = Adaptive(to=1.0, memory=4)
    grow(slow, [1.0, 5.0], 10)
    assert slow.mean_norm == pytest.approx(2.0)


def test_a_skipped_update_does_not_stop_an_adaptive_strength_for_ever() -> None:
    """A gradient that overflowed in half precision is no gradient to compare with."""
    network, method = smooth(), method_of("rwp", ramped=Adaptive(to=1.0, over=1.0))  # type: ignore[arg-type]
    method.begin(10)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    optimizer, levels = sgd(network, 1e-3), []
    for _ in range(10):
        method.step(lambda: 100 * points_loss(network)(), network, optimizer, scaler=scaler)
        assert method.last is not None
        levels.append((method.last.strength, method.last.skipped))
    assert levels[0] == (0.0, True)
    assert levels[-1][0] > 0


def test_where_it_is_can_be_kept() -> None:
    whole, first, second = (Adaptive(to=1.0, collapse=0.9, memory=2) for _ in range(3))
    norms = [1.0, 0.5, 2.0, 1.9, 0.3, 4.0]
    levels = grow(whole, norms, 6)
    assert grow(first, norms[:3], 6) == levels[:3]
    second.load_state_dict(first.state_dict())
    assert grow(second, norms[3:], 6) == levels[3:]


@pytest.mark.parametrize(
    "schedule",
    [
        Constant(2.0),
        Constant(0.123456789),
        Ramp(shape="cosine", to=2.0, start=0.1234567, delay=0.1, until=0.9, steps=40),
        Ramp(shape="linear", to=1e-7),
        Sampled(0.0, 1 / 3),
        Adaptive(to=2.0),
        Adaptive(to=2.0, over=0.5, collapse=0.25, memory=10, steps=7),
    ],
)
def test_a_schedule_is_what_its_text_says(schedule: Schedule) -> None:
    assert as_schedule(str(schedule)) == schedule
    assert as_schedule(schedule) is schedule


def test_numbers_are_constant_schedules() -> None:
    for number in (2, 2.0, np.float32(2.0), "2", "2.0"):
        assert as_schedule(number) == Constant(2.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("qudratic:to=2", "did you mean quadratic.*linear, quadratic, cosine, adaptive, sampled"),
        ("quadratic:too=2", "pairs of to, start, delay, .*got 'too=2' .did you mean to"),
        ("quadratic", "wanted a number, linear"),
        ("quadratic:to=much", "wanted a number, linear"),
        ("linear:to=1,to=2", "each once"),
        ("linear:start=1", "wanted a number, linear"),
        ("linear:to=1,steps=2.5", "wanted a number, linear"),
        ("linear:to=1,shape=cosine", "each once"),
        ("adaptive:to=1,reached=1", "'reached=1'"),
        ("adaptive:to=1,colapse=0.5", "did you mean collapse"),
        ("sampled:1", "sampled:LOW,HIGH"),
        ("sampled:2,1", "low < high"),
        ("two", "wanted a number, linear"),
        ("nan", "finite"),
        (-1.0, "not negative"),
        (float("inf"), "finite"),
        (None, "wanted a number, linear"),
        (True, "wanted a number, linear"),
    ],
)
def test_what_is_no_schedule_says_what_was_wanted(wrong: Any, message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        as_schedule(wrong)


def test_impossible_ramps_say_what_was_wanted() -> None:
    with pytest.raises(DriftproofError, match=r"ramp 'squared'.*there are linear, quadratic, cosine"):
        ramp("squared", to=1.0)  # type: ignore[arg-type]
    with pytest.raises(DriftproofError, match="did you mean quadratic"):
        ramp("quadratc", to=1.0)  # type: ignore[arg-type]
    with pytest.raises(DriftproofError, match="shares of the run"):
        ramp("linear", to=1.0, delay=0.6, until=0.5)
    for make in (lambda: ramp("linear", to=1.0, steps=0), lambda: Adaptive(to=1.0, steps=-3)):
        with pytest.raises(DriftproofError, match="wanted at least 1"):
            make()
    with pytest.raises(DriftproofError, match=r"collapse in \(0, 1\)"):
        Adaptive(to=1.0, collapse=1.5)
    for make in (
        lambda: ramp("linear", to=1.0, untill=0.5),  # type: ignore[call-arg]
        lambda: Ramp(shape="linear", to=1.0, untill=0.5),  # type: ignore[call-arg]
    ):
        with pytest.raises(DriftproofError, match=r"amp.*keyword 'untill' \(did you mean until\?\).* shape, to,"):
            make()
    for schedule in (ramp("linear", to=1.0), Adaptive(to=1.0)):
        with pytest.raises(DriftproofError, match="it has to know how many updates"):
            schedule.at(0, None, 0)
