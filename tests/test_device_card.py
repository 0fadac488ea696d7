"""A card's numbers against the declared laws, and every preset through its card.

Sampled moments are compared at |z| < 5.2 (false alarm 2e-7 each); about 150 comparisons, so 3e-5 in all.
"""

from __future__ import annotations

import math

import pytest
import torch

from devices import reference
from driftproof._device_card import LEVELS, SHARES, device_card
from driftproof._errors import DriftproofError
from driftproof._presets import DevicePreset, load_preset, preset_names
from driftproof._presets.card import Card
from driftproof._weight_error import weight_error
from driftproof.laws._curve import curve_values
from driftproof.laws._drift import LogRelaxation, PowerDrift
from driftproof.laws._encoding import Conductances
from driftproof.laws._stuck import Stuck

NAMES = preset_names()
DEVICES = [name for name in NAMES if isinstance(load_preset(name).conductance, Conductances)]
POWER = [name for name in NAMES if isinstance(load_preset(name).drift, PowerDrift)]
Z, N, FEW, DAY, YEAR = 5.2, 10_000, 4_000, 86_400.0, 31_536_000.0
ROUNDED = 5.1e-4  # four digits: half a unit of the last


@pytest.fixture(scope="module")
def cards() -> dict[str, Card]:
    return {name: device_card(load_preset(name)) for name in [*NAMES, "levels:15"]}


def declared(preset: DevicePreset, g_us: float, t_s: float) -> tuple[float, float]:
    """Mean and standard deviation in µS that the laws declare at a time, without read noise and before clipping."""
    assert preset.validity.g_us is not None
    law = preset.programming.moments(torch.tensor([g_us]), preset.validity.g_us, t_s)
    mean, sd = (float(value) for value in law)
    if isinstance(preset.drift, LogRelaxation) and t_s:
        log_t = math.log(max(t_s, 1.0))
        mean += preset.drift.shift_us_per_ln_t * log_t
        sd = math.hypot(sd, preset.drift.sd_us_per_ln_t * log_t + preset.drift.sd_us)
    return mean, sd


@pytest.mark.parametrize("name", DEVICES)
def test_spread_is_the_declared_law_with_its_clipping(name: str, cards: dict[str, Card]) -> None:
    preset, card = load_preset(name), cards[name]
    assert card.unit == "µS"
    assert card.spreads[0].t_s == preset.validity.t_s[0]
    for row in card.spreads:
        assert preset.in_validity(row.t_s)
        for share in LEVELS:
            place = SHARES.index(share)
            _, sd, fourth = reference.clipped_normal(*declared(preset, card.targets[place], row.t_s))
            error = Z * math.sqrt(max(fourth - sd**4, 0.0) / N) + 2 * ROUNDED * sd**2
            assert row.sigma[place] ** 2 == pytest.approx(sd**2, abs=error + 1e-12), (share, row.t_s)


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("pcm-nandakumar-2019", [0.0]),
        ("reram-wan-2022", [1.0, DAY, 2 * DAY]),
        ("sonos-agrawal-2022", [0.0, DAY, 5 * DAY]),
        ("reram-cmo-2pct", [0.0, DAY]),
        ("gaussian", [0.0]),
    ],
)
def test_what_changes_in_time_has_further_spreads(name: str, times: list[float], cards: dict[str, Card]) -> None:
    assert [row.t_s for row in cards[name].spreads] == times


@pytest.mark.parametrize("name", POWER)
def test_exponent_is_the_folded_normal_of_the_law(name: str, cards: dict[str, Card]) -> None:
    preset, card = load_preset(name), cards[name]
    assert isinstance(preset.drift, PowerDrift)
    assert preset.validity.g_us is not None
    assert card.exponent is not None
    assert card.shift is None
    for place in (0, 3, 8, 13, 23):
        r = torch.tensor([card.targets[place] / preset.validity.g_us[1]])
        m, s = float(curve_values(preset.drift.nu_mean, r)), float(curve_values(preset.drift.nu_sd, r))
        mean = s * math.sqrt(2 / math.pi) * math.exp(-(m**2) / (2 * s**2)) + m * math.erf(m / (s * math.sqrt(2)))
        sd = math.sqrt(m**2 + s**2 - mean**2)
        assert card.exponent.mean[place] == pytest.approx(mean, abs=Z * sd / math.sqrt(N) + ROUNDED * mean)
        # a folded normal has no more kurtosis than a half-normal, whose variance's error is 1.2 times a normal's
        assert card.exponent.sd[place] == pytest.approx(sd, rel=1.2 * Z / math.sqrt(2 * N) + ROUNDED)


@pytest.mark.parametrize("name", ["reram-wan-2022", "reram-cmo-2pct", "sonos-agrawal-2022"])
def test_laws_without_exponent_show_shift_and_spread_in_time(name: str, cards: dict[str, Card]) -> None:
    preset, card = load_preset(name), cards[name]
    assert card.exponent is None
    assert card.shift is not None
    for t_s in (1.0, DAY):
        place = card.times_s.index(t_s)
        mean, sd, fourth = reference.clipped_normal(*declared(preset, card.shift.target, t_s))
        error = Z * sd / math.sqrt(FEW)
        assert card.shift.mean[place] + card.shift.target == pytest.approx(mean, abs=error + ROUNDED * sd)
        assert card.shift.sd[place] ** 2 == pytest.approx(sd**2, abs=Z * math.sqrt((fourth - sd**4) / FEW) + 1e-3 * sd)


def test_presets_without_drift_have_neither(cards: dict[str, Card]) -> None:
    for name in ("ideal", "gaussian", "levels", "reram-milo-2021", "pcm-joshi-2020"):
        assert cards[name].exponent is None
        assert cards[name].shift is None


def test_courses_are_mean_and_middle_of_the_devices(cards: dict[str, Card]) -> None:
    card = cards["gaussian"]  # 5 % of the column's maximum
    assert card.unit == "% of the column's maximum"
    assert [course.target for course in card.courses] == [0, 25, 50, 75, 100]
    for course in card.courses:
        assert len(set(course.mean)) == 1
        assert course.mean[0] == pytest.approx(course.target, abs=Z * 5 / math.sqrt(FEW) + 0.05)
        # standard error of a normal's 5th percentile: √(p (1 − p)/n)/density
        error = Z * 5 * math.sqrt(0.05 * 0.95 / FEW) / 0.10314
        assert course.low[0] == pytest.approx(course.target - 1.6449 * 5, abs=error)
        assert course.high[0] == pytest.approx(course.target + 1.6449 * 5, abs=error)


def test_courses_drift_and_have_read_noise(cards: dict[str, Card]) -> None:
    card, preset = cards["pcm-nandakumar-2019"], load_preset("pcm-nandakumar-2019")
    assert card.read_noise
    top, place = card.courses[-1], card.times_s.index(YEAR)
    # ν is 0.049 ± 0.008, so the mean factor is e^(−0.049 l + (0.008 l)²/2), l = ln((t + 20)/20)
    log = math.log((YEAR + 20) / 20)
    assert top.mean[place] == pytest.approx(25 * math.exp(-0.049 * log + (0.008 * log) ** 2 / 2), rel=0.01)
    quiet = device_card(preset.model_copy(update={"read": None}))
    assert not quiet.read_noise
    for noisy, other in zip(card.courses[1:], quiet.courses[1:], strict=True):
        assert noisy.high[place] - noisy.low[place] > other.high[place] - other.low[place]


def test_times_run_from_a_second_to_ten_years_and_have_the_ends_of_validity(cards: dict[str, Card]) -> None:
    for name, card in cards.items():
        assert (card.times_s[0], card.times_s[-1]) == (1.0, 10 * YEAR)
        assert {DAY, YEAR} <= set(card.times_s)
        assert list(card.times_s) == sorted(set(card.times_s))
        low, high = card.valid_s
        assert (low, high) == load_preset(name).validity.t_s
        assert {end for end in (low, high) if 1 <= end <= 10 * YEAR} <= set(card.times_s)


@pytest.mark.parametrize("name", [*NAMES, "levels:15"])
def test_errors_are_those_of_the_list_of_presets(name: str, cards: dict[str, Card]) -> None:
    card, preset = cards[name], load_preset(name)
    assert [error.t_s for error in card.errors] == [1.0, DAY, YEAR]
    for error in card.errors:
        assert error.half == pytest.approx(100 * weight_error(preset, error.t_s), rel=ROUNDED)
        assert 98.5 < sum(error.shares) < 100.05
        width = 2 * card.limit / len(error.shares)
        centres = [width * (i + 0.5) - card.limit for i in range(len(error.shares))]
        squares = sum(share / 100 * centre**2 for share, centre in zip(error.shares, centres, strict=True))
        # what lies in the histogram is at most all of it, and only tails are not
        assert squares <= 1.01 * error.normal**2 + width**2 / 12
        assert squares >= 0.7 * error.normal**2


def test_gaussian_errors_are_gaussian(cards: dict[str, Card]) -> None:
    error = cards["gaussian"].errors[0]
    assert error.normal == pytest.approx(5.0, rel=Z / math.sqrt(2 * 65_000) + ROUNDED)
    assert error.shares[25] == pytest.approx(100 * math.erf(cards["gaussian"].limit / 51 / 5 / math.sqrt(2)), rel=0.06)


def test_ideal_devices_have_no_error(cards: dict[str, Card]) -> None:
    card = cards["ideal"]
    assert set(card.spreads[0].sigma) == {0.0}
    for course in card.courses:
        assert {*course.mean, *course.low, *course.high} == {course.target}
    for error in card.errors:
        assert (error.half, error.normal, error.shares[25], sum(error.shares)) == (0, 0, 100, 100)


def test_rounding_to_levels_is_an_error_everywhere(cards: dict[str, Card]) -> None:
    step = 100 * 2 / 14
    assert cards["levels:15"].spreads[0].sigma == pytest.approx([step / math.sqrt(12)] * 24, rel=0.01)
    assert cards["levels:15"].courses[1].mean[0] == pytest.approx(2 * step, abs=0.01)  # 25 % is nearest to 28.57 %
    assert "one step between levels" in " ".join(cards["levels:15"].notes)


def test_read_noise_of_products_and_stuck_devices_are_told(cards: dict[str, Card]) -> None:
    card = cards["sonos-agrawal-2022"]
    assert not card.read_noise
    # 12.58 (1 − e^(−1600/215)) nA of 1600 nA
    assert "0.79 % of the column's maximum for the largest weight" in " ".join(card.notes)
    stuck = load_preset("pcm-joshi-2020").model_copy(update={"stuck": Stuck(at_g_max=0.1)})
    assert "Stuck devices are in these plots." in device_card(stuck).notes


def test_a_card_is_small_repeatable_and_survives_as_json(cards: dict[str, Card]) -> None:
    for name, card in cards.items():
        text = card.model_dump_json()
        assert len(text) < 20_000, name
        assert Card.model_validate_json(text) == card
        numbers = [value for course in card.courses for value in course.mean]
        assert all(float(f"{value:.4g}") == value for value in numbers)
    torch.manual_seed(1)
    assert device_card(load_preset("pcm-nandakumar-2019")) == cards["pcm-nandakumar-2019"]


def test_laws_without_finite_numbers_are_refused() -> None:
    preset = load_preset("pcm-nandakumar-2019")
    wild = preset.model_copy(update={"drift": preset.drift.model_copy(update={"t0_s": math.nan})})  # type: ignore[union-attr]
    with pytest.raises(DriftproofError, match="pcm-nandakumar-2019: its laws give a number that is not finite"):
        device_card(wild)
