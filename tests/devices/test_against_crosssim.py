"""Every preset that comes from CrossSim against CrossSim's documented models, in CrossSim's own units.

CrossSim (sandialabs/cross-sim 3.2, simulator/devices/custom) is not installed here. Its docstrings and readme describe
each model: a state is a normalised weight x from 0 to 1, G = Gmin + (Gmax - Gmin) x, and an error is added to x with
the standard deviation σ(G) / (Gmax - Gmin). The models below are written from that, on arrays and with numpy and scipy,
and not from driftproof's laws or the references in ``papers``, which go device by device in µS.

Mean and standard deviation before clipping are compared at 33 states. Clipping at G = 0, the pairs of a weight and
every single device are in ``test_conformance.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.interpolate import interp1d

from driftproof._presets import load_preset, preset_names
from driftproof.laws._encoding import Conductances

Array = npt.NDArray[np.float64]
DAY_S = 86400.0
X = np.linspace(0.0, 1.0, 33)


@dataclass(frozen=True)
class Model:
    """A model of CrossSim: conductances in S, and (G in S, days) → (mean of G, σ of G), both in S."""

    g_min: float
    g_max: float
    errors: Callable[[Array, float], tuple[Array, Array]]
    days: tuple[float, ...] = (0.0,)

    def normalised(self, days: float) -> tuple[Array, Array]:
        """Mean and standard deviation of the state x at each of the states X."""
        mean, sigma = self.errors(self.g_min + (self.g_max - self.g_min) * X, days)
        return (mean - self.g_min) / (self.g_max - self.g_min), np.maximum(sigma, 0) / (self.g_max - self.g_min)


def of_micro_siemens(*highest_first: float) -> Callable[[Array, float], tuple[Array, Array]]:
    """A programming error without a shift: a polynomial of G in µS."""
    return lambda g, days: (g, np.asarray(1e-6 * np.polyval(highest_first, 1e6 * g), dtype=np.float64))


# t = 0 to 5 days; polynomials of the shift with the constant first
A_NA = (19.88665, 25.59102, 28.72753, 31.04318, 33.76214, 34.57909)
B_NA = (176.3115, 186.85544, 193.56834, 198.90332, 204.77023, 207.34309)
# fmt: off
SHIFT_NA = (
    [0.0] * 11,
    [0.172684, 5.72552e-2, -6.85715e-4, 3.50271e-6, -9.37682e-9, 1.40575e-11, -1.19803e-14, 5.41293e-18,
     -8.85448e-22, -1.66869e-25, 5.9518e-29],
    [0.250712, 6.62195e-2, -6.83218e-4, 2.99442e-6, -6.78255e-9, 7.70482e-12, -3.04983e-15, -2.15919e-18,
     2.94617e-21, -1.23359e-24, 1.85329e-28],
    [-1.753e-2, 9.76883e-2, -9.63791e-4, 4.55551e-6, -1.22391e-8, 1.93786e-11, -1.85899e-14, 1.07659e-17,
     -3.58211e-21, 5.96785e-25, -3.3041e-29],
    [4.03338e-2, 0.103111, -1.0474e-3, 4.83961e-6, -1.28132e-8, 1.99484e-11, -1.85139e-14, 1.00008e-17,
     -2.84944e-21, 3.01008e-25, 1.18747e-29],
    [0.319927, 0.106596, -1.04054e-3, 4.5029e-6, -1.10352e-8, 1.56477e-11, -1.27592e-14, 5.45513e-18,
     -7.26841e-22, -2.43893e-25, 7.14608e-29],
)
# fmt: on
READ_V = 0.1


def sonos(g: Array, days: float) -> tuple[Array, Array]:
    """Mean drift first; the random variability is that of the current after it. A, B and coefficients interpolate."""
    at = (interp1d(range(6), table, axis=0)(days) for table in (A_NA, B_NA, SHIFT_NA))
    a, b, shift = at
    current = 1e9 * READ_V * g
    current = current + np.polynomial.polynomial.polyval(current, shift)
    return current / (1e9 * READ_V), np.maximum(a - a * np.exp(-current / b), 0) / (1e9 * READ_V)


MODELS = {
    "pcm-joshi-2020": Model(0.0, 25e-6, of_micro_siemens(-0.00178767, 0.07585724, 0.28638599)),
    "reram-wan-2022-crosssim": Model(0.0, 39.26e-6, of_micro_siemens(1.536e-4, -1.167e-2, 2.374e-1, 1.053)),
    "reram-milo-2021": Model(50e-6, 225e-6, of_micro_siemens(-0.009107, 4.782321)),
    "sonos-agrawal-2022": Model(0.0, 16e-6, sonos, (0.0, 0.25, 1.0, 2.0, 2.5, 3.0, 4.0, 5.0)),
}


def test_every_preset_from_crosssim_is_here() -> None:
    assert {name for name in preset_names() if "CrossSim" in load_preset(name).source.fitted_by} == set(MODELS)
    for name in MODELS:
        assert "simulator/devices/custom/" in load_preset(name).source.where


@pytest.mark.parametrize(("name", "days"), [(name, days) for name, model in MODELS.items() for days in model.days])
def test_mean_and_standard_deviation_are_those_of_crosssims_model(name: str, days: float) -> None:
    preset, model = load_preset(name), MODELS[name]
    encoding = preset.conductance
    assert isinstance(encoding, Conductances)
    assert preset.validity.g_us is not None
    span = encoding.g_max_us - encoding.g_min_us
    assert (encoding.g_min_us, encoding.g_max_us) == pytest.approx((1e6 * model.g_min, 1e6 * model.g_max))
    target = encoding.target(torch.from_numpy(X))
    mean, sigma = preset.programming.moments(target, preset.validity.g_us, days * DAY_S)
    wanted_mean, wanted_sigma = model.normalised(days)
    np.testing.assert_allclose((mean.double().numpy() - encoding.g_min_us) / span, wanted_mean, rtol=1e-6, atol=3e-7)
    np.testing.assert_allclose(sigma.double().numpy() / span, wanted_sigma, rtol=1e-6, atol=1e-8)
    assert wanted_sigma.max() > 0.01  # in a range of 1: neither side is zero throughout


def test_read_noise_of_sonos_is_crosssims_in_every_mvm() -> None:
    preset = load_preset("sonos-agrawal-2022")
    assert preset.read is not None
    assert preset.read.new_every == "mvm"
    current = 1600 * X
    wanted = np.maximum(12.58037 - 12.58037 * np.exp(-current / 215.36557), 0)
    g = torch.from_numpy(current / 100)
    for t_s in (0.0, 5 * DAY_S):  # it does not change with time
        sigma = preset.read.sigma_us(g.clone(), g / 16, t_s)
        np.testing.assert_allclose(100 * sigma.double().numpy(), wanted, rtol=1e-6, atol=1e-6)


def test_crosssim_extrapolates_after_five_days_and_the_preset_holds() -> None:
    preset = load_preset("sonos-agrawal-2022")
    assert any("CrossSim extrapolates" in one.text for one in preset.assumptions)
    assert preset.validity.g_us is not None
    five, ten = (
        preset.programming.moments(torch.from_numpy(16 * X), preset.validity.g_us, days * DAY_S) for days in (5, 10)
    )
    assert all(torch.equal(before, after) for before, after in zip(five, ten, strict=True))
