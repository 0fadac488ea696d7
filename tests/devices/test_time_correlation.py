"""Tables of spreads in time: one number for life, or a step of its own from each time of the table to the next."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from driftproof._devices import program
from driftproof._errors import DriftproofError
from driftproof._presets import DevicePreset, load_preset

DAY = 86400.0
N = 200_000
# Sampled moments are compared at |z| < 5.2: false alarm 2e-7 each, fewer than 50 comparisons here
Z = 5.2


def sonos(correlation: str) -> DevicePreset:
    shipped = load_preset("sonos-agrawal-2022").definition()
    still = shipped["programming"] | {"time_correlation": correlation, "shift_na": [[0.0]] * 6}
    return DevicePreset.model_validate(shipped | {"programming": still, "name": "sonos"})


def sigma_us(i_na: float, day: float) -> float:
    a = [19.88665, 25.59102, 28.72753, 31.04318, 33.76214, 34.57909]
    b = [176.3115, 186.85544, 193.56834, 198.90332, 204.77023, 207.34309]
    low = min(int(day), 4)
    share = min(day, 5.0) - low
    sigma = [a[d] * (1 - math.exp(-i_na / b[d])) for d in (low, low + 1)]
    return ((1 - share) * sigma[0] + share * sigma[1]) / 100


def devices(correlation: str, days: list[float]) -> list[torch.Tensor]:
    array = program(sonos(correlation), torch.full((1, N), 0.5), seed=0, chip=0, layer="fc")
    return [array.conductances(day * DAY)[0].double() for day in days]


def assert_covariance(a: torch.Tensor, b: torch.Tensor, wanted: float) -> None:
    error = math.sqrt((float(a.var()) * float(b.var()) + wanted**2) / N)
    assert abs(float(torch.cov(torch.cat([a, b]))[0, 1]) - wanted) < Z * error


@pytest.mark.parametrize("correlation", ["common", "increments"])
@pytest.mark.parametrize("day", [0.0, 0.5, 1.0, 3.25, 5.0, 9.0])
def test_the_spread_at_a_time_is_the_tables_either_way(correlation: str, day: float) -> None:
    (g,) = devices(correlation, [day])
    assert abs(float(g.mean()) - 8.0) < Z * sigma_us(800, day) / math.sqrt(N)
    assert abs(float(g.var()) / sigma_us(800, day) ** 2 - 1) < Z * math.sqrt(2 / N)


def test_common_devices_keep_their_place() -> None:
    early, late = devices("common", [0.0, 5.0])
    assert float(torch.corrcoef(torch.cat([early, late]))[0, 1]) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(("early", "late"), [(0.0, 1.0), (1.0, 5.0), (0.0, 2.5), (2.0, 4.5)])
def test_increments_are_independent_of_what_came_before(early: float, late: float) -> None:
    a, b = devices("increments", [early, late])
    # cov(g(s), g(t)) = var(g(s)) for s < t, if what happens between is independent of g(s)
    assert_covariance(a, b, sigma_us(800, early) ** 2)


def test_one_device_through_increments_is_one_path() -> None:
    array = program(sonos("increments"), torch.full((1, 9), 0.5), seed=0, chip=0, layer="fc")
    there, _ = array.conductances(3 * DAY), array.conductances(DAY)
    assert torch.equal(there[0], array.conductances(3 * DAY)[0])
    just_before, just_after = (array.conductances(3 * DAY + dt)[0] for dt in (-1.0, 1.0))
    assert float((just_before - there[0]).abs().max()) < 0.01
    assert float((just_after - there[0]).abs().max()) < 0.01
    assert torch.equal(array.conductances(6 * DAY)[0], array.conductances(5 * DAY)[0])


def test_increments_want_a_spread_that_grows(tmp_path: Path) -> None:
    file = tmp_path / "wan.toml"
    file.write_text('extends = "reram-wan-2022"\nname = "wan"\n[programming]\ntime_correlation = "increments"\n')
    with pytest.raises(DriftproofError, match=r"that grows, but at r = .* it falls from .* at 86400 s"):
        load_preset(str(file))
