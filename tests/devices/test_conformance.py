"""Every shipped preset against an independent reference, device by device, on the very numbers that the sampler draws.

The references are in ``papers``: one device at a time, in float64, constants typed in again. What is left between them
and the sampler is the rounding of float32 (6·10⁻⁸) in a dozen operations: measured, at most 3·10⁻⁷ of a conductance
and 4·10⁻⁷ of the largest weight. The tolerances are three to ten times that; a constant that is off in its fifth digit
or a missing clip is far outside.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch

from devices.papers import cmo, in_steps, nandakumar, sonos
from devices.papers.device import Devices, NetWeight, Numbers, Reading, Spectrum, Stuck, nearest_level
from devices.papers.shipped import PAPERS
from devices.sampled import CHIP, DAY, LAYER, SEED, YEAR, drawn, numbers, programmed, targets
from driftproof._chip import Chip
from driftproof._devices import generator
from driftproof._mapping import Mapping as TileMapping
from driftproof._mapping import TileSize, map_weight
from driftproof._presets import DevicePreset, load_preset, preset_names

RELATIVE, ABSOLUTE_US, ABSOLUTE_NET = 1e-6, 2e-6, 1e-6
# as programmed; inside every table, at its times, between them, and beyond its end
TIMES = (0.0, 0.5, 1.0, 3600.0, DAY, 1.5 * DAY, 4.25 * DAY, YEAR)
DEVICES = {name: paper for name, paper in PAPERS.items() if isinstance(paper, Devices)}
WEIGHTS = {name: paper for name, paper in PAPERS.items() if isinstance(paper, NetWeight)}


class Wanted:
    """What the reference says of an array at a time, as lists in the order of the weights."""

    def __init__(self, paper: Devices, target: torch.Tensor, t_s: float, groups: int = 1) -> None:
        weights, n = target.flatten().tolist(), target.numel()
        inputs, outputs = target.shape[1], target.shape[0] // groups
        places = list(zip(*(paper.targets_us(w) for w in weights), strict=True))  # one row for each mark
        kept = [numbers(mark, n, t_s) for mark in paper.marks()]
        banks = [list(zip(goal, own, strict=True)) for goal, own in zip(places, kept, strict=True)]
        self.quiet = [[paper.quiet_us(goal, xi, t_s) for goal, xi in bank] for bank in banks]
        self.read = [[paper.read_us(goal, xi, t_s) for goal, xi in bank] for bank in banks]
        sigmas = [[paper.mvm_sigma_us(goal, xi, t_s) for goal, xi in bank] for bank in banks]
        weighed = [[f * sigma for sigma in bank] for f, bank in zip(paper.factors(), sigmas, strict=True)]
        self.mvm_sigma = [math.hypot(*each) for each in zip(*weighed, strict=True)]
        half = paper.target_us(0.5)
        column = numbers("ref", groups * inputs, t_s) if paper.reference == "column" else []
        self.reference_sigma = [paper.factors()[0] * paper.mvm_sigma_us(half, xi, t_s) for xi in column]
        own = [inputs * (i // inputs // outputs) + i % inputs for i in range(n)]  # each weight's reference device
        still, loud = ([at(half, xi, t_s) for xi in column] for at in (paper.quiet_us, paper.read_us))
        self.quiet_net = [
            self._net(paper, g, still, i) for g, i in zip(zip(*self.quiet, strict=True), own, strict=True)
        ]
        self.read_net = [self._net(paper, g, loud, i) for g, i in zip(zip(*self.read, strict=True), own, strict=True)]

    @staticmethod
    def _net(paper: Devices, conductances: tuple[float, ...], column: list[float], place: int) -> float:
        return paper.net(conductances, column[place] if column else None)


def assert_close(got: torch.Tensor, wanted: Sequence[float], absolute: float, what: str) -> None:
    expected = torch.tensor(wanted, dtype=torch.float64).view(got.shape)
    torch.testing.assert_close(got.double(), expected, rtol=RELATIVE, atol=absolute, msg=lambda text: f"{what}: {text}")


def assert_conforms(preset: DevicePreset, paper: Devices, times: Sequence[float] = TIMES, groups: int = 1) -> None:
    target = targets()
    array = programmed(preset, target, groups)
    absolute_us = ABSOLUTE_US
    if paper.stuck:  # at random: the place is what is left of a float32 between 0 and 1, divided by a small share
        absolute_us += 1.2e-7 / paper.stuck.at_random * (paper.g_max_us - paper.g_min_us)
    for t_s in times:
        wanted = Wanted(paper, target, t_s, groups)
        for noisy, banks, net in ((False, wanted.quiet, wanted.quiet_net), (True, wanted.read, wanted.read_net)):
            where = f"{preset.name} at {t_s:g} s, read noise {noisy}"
            got = array.conductances(t_s, read_noise=noisy)
            for mark, bank, g in zip(paper.marks(), banks, got, strict=True):
                assert_close(g, bank, absolute_us, f"G{mark} of {where}")
            assert_close(array.net(t_s, read_noise=noisy), net, ABSOLUTE_NET, f"net weight of {where}")
        noise = array.mvm_read_noise(t_s)
        assert (noise is not None) == (paper.read_noise == "mvm")
        if noise is not None:
            assert_close(noise.weights, wanted.mvm_sigma, ABSOLUTE_NET, f"noise of products at {t_s:g} s")
            assert (noise.reference is not None) == (paper.reference == "column")
            if noise.reference is not None:
                assert_close(noise.reference, wanted.reference_sigma, ABSOLUTE_NET, "noise of the reference column")


# --- what is shipped ---


def test_every_shipped_preset_has_a_reference() -> None:
    assert sorted(PAPERS) == preset_names(), (
        "a shipped preset and its independent reference come together: write its law in tests/devices/papers, "
        "from the paper, and name it in papers/shipped.py"
    )


def constants(value: Any) -> Iterator[float]:
    """The numbers of a preset's table, but for what only says where they hold: times of a table, and a unit."""
    if isinstance(value, dict):
        value = [inner for key, inner in value.items() if key not in ("t_s", "read_voltage_v")]
    if isinstance(value, list | tuple):
        for inner in value:
            yield from constants(inner)
    elif isinstance(value, int | float):
        yield abs(value)


@pytest.mark.parametrize("name", [name for name in PAPERS if name != "pcm-foundation-2025"])
def test_constants_are_typed_in_again_to_the_last_digit(name: str) -> None:
    """What no device shows in float32, or what is clipped away. (The foundation models' law is in other units.)"""
    law = PAPERS[name].law
    module = inspect.getmodule(law.func if isinstance(law, partial) else law)
    assert module is not None
    literals = {node.value for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Constant)}
    definition = load_preset(name).definition()
    wanted = {number for table in ("programming", "drift", "read") for number in constants(definition.get(table, {}))}
    assert wanted - literals == set()


@pytest.mark.parametrize("name", DEVICES)
def test_every_device_of_a_shipped_preset_follows_its_paper(name: str) -> None:
    assert_conforms(load_preset(name), DEVICES[name])


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_net_weight_of_a_shipped_preset_follows_its_paper(name: str) -> None:
    target, paper = targets(), WEIGHTS[name]
    array = programmed(load_preset(name), target)
    xi = drawn("program+", target.numel())
    wanted = [paper.law(w, number) for w, number in zip(target.flatten().tolist(), xi, strict=True)]
    for t_s in TIMES:
        for noisy in (False, True):
            assert_close(array.net(t_s, read_noise=noisy), wanted, ABSOLUTE_NET, f"{name} at {t_s:g} s")
        assert array.mvm_read_noise(t_s) is None


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_net_weight_is_relative_to_the_largest_of_its_column_or_layer(name: str) -> None:
    weight = targets(5, 30) * torch.tensor([0.02, 3.0, 0.7, 1.0, 0.11])[:, None]
    mapping = TileMapping(TileSize(), (), {LAYER: map_weight(LAYER, weight)})
    got = Chip(mapping, load_preset(name), seed=SEED, chip=CHIP).weight(LAYER, 1.0)
    paper, xi = WEIGHTS[name], iter(drawn("program+", weight.numel()))
    whole = float(weight.abs().max())
    wanted = []
    for column in weight.tolist():
        largest = whole if paper.scale == "layer" else max(map(abs, column))
        wanted += [largest * paper.law(w / largest, next(xi)) for w in column]
    assert_close(got, wanted, 3 * ABSOLUTE_NET, name)


def test_the_spread_of_sonos_is_crosssims_at_five_levels_and_six_days() -> None:
    """Mean and spread by themselves, before clipping: devices of ξ = 0 and ±1 would hide neither."""
    preset = load_preset("sonos-agrawal-2022")
    assert preset.validity.g_us is not None
    levels = [0.0, 0.05, 0.4, 1.0, 16.0]  # µS at 0.1 V: 0, 5, 40, 100 and 1600 nA
    for day in range(6):
        mean, sigma = preset.programming.moments(torch.tensor(levels), preset.validity.g_us, day * DAY)
        shifted = [100 * g + sonos.shift_na(100 * g, day) for g in levels]
        spread = [max(sonos.spread_na(i, sonos.A[day], sonos.B[day]), 0.0) for i in shifted]
        for got, wanted in ((mean, shifted), (sigma, spread)):
            assert_close(got, [na / 100 for na in wanted], 1e-9, f"day {day}")
    five = torch.tensor([0.05])
    at_target = made("sonos-agrawal-2022", programming={"spread_at": "target"}).programming
    now, before = (float(law.moments(five, (0.0, 16.0), 5 * DAY)[1]) for law in (preset.programming, at_target))
    assert before / now == pytest.approx(0.86, abs=0.005)  # what the other reading of the source makes of 5 nA


def test_sonos_devices_whose_spread_is_taken_at_the_target() -> None:
    preset = made("sonos-agrawal-2022", programming={"spread_at": "target"})
    assert_conforms(preset, Devices(sonos.law_at_target, 0.0, 16.0, read_noise="mvm"))


def test_numbers_go_on_from_one_block_of_devices_to_the_next() -> None:
    n, last = 32_020, 40  # the sampler works through 32,000 devices at a time
    array = programmed(load_preset("pcm-nandakumar-2019"), torch.full((1, n), 0.8))
    xi = []
    for purpose, t_s in (("program+", None), ("drift+", None), ("read+", DAY), ("read+|use", DAY)):
        source = generator(SEED, CHIP, LAYER, purpose, torch.device("cpu"), t_s)
        parts = [torch.empty(part).normal_(generator=source) for part in (32_000, n - 32_000)]
        xi.append(torch.cat(parts)[-last:].tolist())
    paper, w = DEVICES["pcm-nandakumar-2019"], float(torch.tensor(0.8))
    wanted = [paper.read_us(25 * w, Numbers(*four), DAY) for four in zip(*xi, strict=True)]
    assert_close(array.conductances(DAY)[0][0, -last:], wanted, ABSOLUTE_US, "the last devices")


# --- what no shipped preset has ---


def made(base: str, **tables: Mapping[str, Any]) -> DevicePreset:
    """A shipped preset with other keys in some tables."""
    definition = load_preset(base).definition()
    merged = {table: {**definition.get(table, {}), **values} for table, values in tables.items()}
    return DevicePreset.model_validate(definition | merged | {"name": "made"})


STUCK = {"at_g_min": 0.06, "at_g_max": 0.04, "at_random": 0.05}
FAULTS: dict[str, Any] = {"stuck": Stuck(**STUCK), "levels": 9}


def test_several_pairs_with_significance_stuck_devices_levels_and_a_part_of_the_range() -> None:
    conductance = {"significance": [4.0, 1.0, 0.5], "g_min_us": 2.0, "g_max_us": 20.0}
    preset = made("pcm-nandakumar-2019", conductance=conductance, stuck=STUCK, levels={"count": 9})
    given: dict[str, Any] = {"spectrum": nandakumar.SPECTRUM, **FAULTS}
    paper = Devices(nandakumar.law, 2.0, 20.0, read_noise="read-out", significance=(4.0, 1.0, 0.5), **given)
    assert_conforms(preset, paper)


@pytest.mark.parametrize("name", [name for name in WEIGHTS if name != "levels"])
def test_net_weights_are_rounded_to_levels_before_their_law(name: str) -> None:
    target, law = targets(), WEIGHTS[name].law
    xi = drawn("program+", target.numel())
    wanted = [law(nearest_level(w, -1.0, 15), x) for w, x in zip(target.flatten().tolist(), xi, strict=True)]
    array = programmed(made(name, levels={"count": 15}), target)
    assert_close(array.net(DAY), wanted, ABSOLUTE_NET, name)


@pytest.mark.parametrize("reference", ["column", "constant"])
@pytest.mark.parametrize("groups", [1, 3])
def test_offset_devices_with_faults_against_either_reference(reference: Any, groups: int) -> None:
    conductance = {"reference": reference}
    preset = made("reram-cmo-2pct", conductance=conductance, stuck=STUCK, levels={"count": 9})
    given: dict[str, Any] = {"spectrum": cmo.SPECTRUM, **FAULTS}
    paper = Devices(cmo.within_2_percent, 9.0, 88.2, "offset", "read-out", reference, **given)
    assert_conforms(preset, paper, groups=groups)


@pytest.mark.parametrize("reference", ["column", "constant"])
def test_offset_devices_near_zero_whose_read_noise_is_new_in_every_product(reference: Any) -> None:
    # from 0.2 µS: some relax below zero, some below the 1 µS where the read noise ends; and a slow read-out
    preset = made(
        "reram-cmo-2pct",
        conductance={"reference": reference, "g_min_us": 0.2},
        read={"new_every": "mvm", "t_read_s": 0.4},
        stuck=STUCK,
        validity={"g_us": [0.0, 88.2]},
    )
    law = partial(cmo.within_2_percent, t_read_s=0.4)
    paper = Devices(law, 0.2, 88.2, "offset", "mvm", reference, stuck=Stuck(**STUCK))
    assert_conforms(preset, paper, groups=2)


def test_one_over_f_noise_new_in_every_product_of_several_pairs() -> None:
    conductance = {"significance": [2.0, 1.0]}
    preset = made("pcm-nandakumar-2019", conductance=conductance, read={"new_every": "mvm"}, stuck=STUCK)
    paper = Devices(nandakumar.law, 0.0, 25.0, read_noise="mvm", significance=(2.0, 1.0), stuck=Stuck(**STUCK))
    assert_conforms(preset, paper)


def test_saturating_read_noise_of_a_read_out() -> None:
    preset = made("sonos-agrawal-2022", read={"new_every": "read-out"})
    assert_conforms(preset, Devices(sonos.law, 0.0, 16.0, read_noise="read-out"))


def test_curves_given_by_points_and_a_slow_read_out() -> None:
    def between(points: Sequence[tuple[float, float]], r: float) -> float:
        if r <= points[0][0] or r >= points[-1][0]:
            return points[0][1] if r <= points[0][0] else points[-1][1]
        (x0, y0), (x1, y1) = next(ends for ends in pairwise(points) if r <= ends[1][0])
        return y0 + (y1 - y0) * (r - x0) / (x1 - x0)

    mean, q = ((0.02, 0.1), (0.3, 0.06), (0.9, 0.03)), ((0.0, 0.04), (0.5, 0.01))

    def law(target_us: float, xi: Numbers, t_s: float) -> Reading:
        g_programmed, r = nandakumar.programmed_us(target_us / 25, xi.program), target_us / 25
        sd = 0.011 if r < 0.2 else 0.3 * r**2 if r < 0.4 else 0.008
        g = nandakumar.drifted_us(g_programmed, abs(between(mean, r) + sd * xi.drift), t_s)
        return Reading(g, g * between(q, g_programmed / 25) * nandakumar.one_over_f(t_s, 4.0, 2.5))

    def points(curve: Sequence[tuple[float, float]]) -> dict[str, list[float]]:
        return {"at_r": [x for x, _ in curve], "values": [y for _, y in curve]}

    sd = [
        {"below_r": 0.2, "polynomial": [0.011]},
        {"below_r": 0.4, "scale": 0.3, "exponent": 2.0},
        {"polynomial": [0.008]},
    ]
    read = {"q": points(q), "t0_s": 4.0, "t_read_s": 2.5}
    preset = made("pcm-nandakumar-2019", drift={"nu_mean": points(mean), "nu_sd": sd}, read=read)
    assert_conforms(preset, Devices(law, 0.0, 25.0, read_noise="read-out", spectrum=Spectrum(4.0, 2.5)))


def test_a_saturating_table_whose_spread_grows_by_steps() -> None:
    def law(target_us: float, xi: Numbers, t_s: float) -> Reading:
        i_na, (low, high, share) = target_us * 100, sonos.between(t_s)
        table = [sonos.spread_na(i_na, a, b) for a, b in zip(sonos.A, sonos.B, strict=True)]
        now = (1 - share) * table[low] + share * table[high]
        mean = i_na + (1 - share) * sonos.shift_na(i_na, low) + share * sonos.shift_na(i_na, high)
        moved = in_steps.moved(table[: high if share else low + 1], now, xi.program, xi.steps)
        current = max(0.0, mean + moved)
        return Reading(current / 100, sonos.spread_na(current, 12.58037, 215.36557) / 100)

    programming = {"time_correlation": "increments", "spread_at": "target"}  # that at the shifted current falls at 0 nA
    preset = made("sonos-agrawal-2022", programming=programming, stuck=STUCK)
    paper = Devices(law, 0.0, 16.0, read_noise="mvm", stuck=Stuck(**STUCK))
    assert_conforms(preset, paper, (0.0, 1.0, DAY, 1.5 * DAY, 3 * DAY, 4.25 * DAY, 5 * DAY, YEAR))


@pytest.mark.parametrize("variable", ["r", "g_us"])
def test_a_table_of_polynomials_whose_spread_grows_by_steps(variable: str) -> None:
    times, table = (10.0, 1e3, 1e5), ((0.2,), (0.2, 0.03), (0.3, 0.03, 0.002))

    def law(target_us: float, xi: Numbers, t_s: float) -> Reading:
        # fitted from 5 to 40 µS: r = 0 and 1 are there, whatever part of that the weights are mapped to
        x = (target_us - 5) / (40 - 5) if variable == "r" else target_us
        sigmas = [sum(c * x**i for i, c in enumerate(row)) for row in table]
        past = [time for time in times if time < t_s] or [times[0]]
        now = sigmas[0] if t_s <= times[0] else sigmas[-1]
        if times[0] < t_s < times[-1]:
            k = len(past) - 1
            share = math.log(t_s / times[k]) / math.log(times[k + 1] / times[k])
            now = (1 - share) * sigmas[k] + share * sigmas[k + 1]
        known = sigmas[: len(past)] if t_s <= times[-1] else sigmas
        return Reading(max(0.0, target_us + in_steps.moved(known, now, xi.program, xi.steps[:2])))

    programming = {"variable": variable, "t_s": times, "sigma_us": table, "time_correlation": "increments"}
    preset = made(
        "reram-wan-2022",
        conductance={"g_min_us": 8.0, "g_max_us": 35.0},
        programming=programming,
        validity={"g_us": [5.0, 40.0]},
    )
    assert_conforms(preset, Devices(law, 8.0, 35.0), (0.0, 1.0, 10.0, 60.0, 1e3, 5e3, 1e5, YEAR))
