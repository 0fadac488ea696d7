"""The error of a weight at half the range, against what the law says by hand."""

from __future__ import annotations

import math

import pytest

from driftproof._presets import load_preset
from driftproof._weight_error import weight_error


@pytest.mark.parametrize(
    ("name", "wanted"), [("ideal", 0.0), ("gaussian:0.1", 0.1), ("gaussian-multiplicative:0.1", 0.05)]
)
def test_generic_errors(name: str, wanted: float) -> None:
    # 65,000 weights: a spread's relative standard error is 0.3 %; 2 % is over 5 of them
    assert weight_error(load_preset(name), 1.0) == pytest.approx(wanted, rel=0.02, abs=1e-6)


def test_wan_at_one_second_is_the_spread_of_both_devices_of_a_pair() -> None:
    sigma = [sum(c * 0.5**i for i, c in enumerate((0.348, 16.030, -43.853, 45.393, -16.815))), 0.348]
    # the device at zero is clipped: its spread is 0.5838 of the declared one, its mean 0.3989
    plain = math.hypot(sigma[0], 0.5838 * sigma[1]) / 40
    got = weight_error(load_preset("reram-wan-2022"), 1.0, compensation="none")
    assert got == pytest.approx(math.hypot(plain, 0.3989 * sigma[1] / 40), rel=0.02)


def test_compensation_reduces_the_error_of_a_drifting_device() -> None:
    pcm = load_preset("pcm-nandakumar-2019")
    bare, tile = (weight_error(pcm, 31536000.0, compensation=c) for c in ("none", "tile"))
    assert tile < 0.5 * bare
