"""Encodings, faults and levels: several pairs, offset devices and their reference, stuck devices, finite levels."""

from __future__ import annotations

import json
import math
import tomllib
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from driftproof._chip import Chip
from driftproof._device_card import device_card
from driftproof._devices import program
from driftproof._errors import DriftproofError
from driftproof._mapping import Mapping, TileSize, map_weight
from driftproof._presets import DevicePreset, load_preset, preset_folder
from driftproof.laws._drift import LogRelaxation
from driftproof.laws._encoding import Conductances
from driftproof.laws._read import OneOverFRead

PCM = load_preset("pcm-nandakumar-2019")
DAY = 86400.0


def changed(preset: DevicePreset, **tables: dict[str, object] | None) -> DevicePreset:
    definition = preset.definition()
    for table, values in tables.items():
        definition[table] = {**definition.get(table, {}), **values} if values is not None else None
    return DevicePreset.model_validate({key: value for key, value in definition.items() if value is not None})


def net(preset: DevicePreset, target: torch.Tensor, t_s: float = 0.0, chip: int = 0) -> torch.Tensor:
    return program(preset, target, seed=0, chip=chip, layer="fc").net(t_s, read_noise=False)


def test_n_equal_pairs_average_their_errors() -> None:
    target = torch.full((1, 100_000), 0.5)
    one, four = net(PCM, target), net(changed(PCM, conductance={"significance": [1.0, 1.0, 1.0, 1.0]}), target)
    assert float(four.mean()) == pytest.approx(float(one.mean()), abs=1e-3)
    assert float(one.std() / four.std()) == pytest.approx(2.0, rel=0.02)


def test_significance_weighs_the_pairs() -> None:
    array = program(
        changed(PCM, conductance={"significance": [3.0, 1.0]}), torch.rand(5, 6), seed=0, chip=0, layer="fc"
    )
    a, b, c, d = array.conductances(DAY)
    torch.testing.assert_close(array.net(DAY), (3 * (a - b) + (c - d)) / (4 * 25), rtol=1e-5, atol=1e-6)
    assert torch.equal(a, program(PCM, array.target, seed=0, chip=0, layer="fc").conductances(DAY)[0])


FACTORS = {
    "binary": (1.0, 2.0, 4.0),
    "in any order": (2.0, 0.5, 4.0, 1.0),
    "equal": (1.0, 1.0, 1.0),
    "dominant": (1.0, 10.0),
}
FILLS = ("equal", "least-first", "most-first", "max-fill")


def filled(fill: str, f: tuple[float, ...], w: float) -> list[float]:
    """The shares of one weight's pairs, by going through them one by one."""
    if fill == "equal":
        return [abs(w)] * len(f)
    rest, shares = Fraction(abs(w)) * sum(map(Fraction, f)), [Fraction(0)] * len(f)
    left = [(factor, -i) for i, factor in enumerate(f)]  # max() takes the first of equal pairs
    while left:
        if fill == "least-first":
            factor, place = min(left, key=lambda pair: (pair[0], -pair[1]))
        else:
            factor, place = max(left)
        left.remove((factor, place))
        if fill == "max-fill" and rest <= sum(Fraction(other) for other, _ in left):
            continue
        shares[-place] = min(Fraction(1), rest / Fraction(factor))
        rest -= shares[-place] * Fraction(factor)
    assert rest == 0
    return [float(share) for share in shares]


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("factors", FACTORS.values(), ids=FACTORS)
def test_pairs_are_filled_in_the_declared_order(fill: str, factors: tuple[float, ...]) -> None:
    preset = changed(PCM, conductance={"significance": list(factors), "fill": fill})
    preset = preset.without("programming", "drift", "read")
    # none where two definitions of a tie would differ by rounding
    weights = [0.0, 1.0, 0.013, 0.11, 0.151, 0.217, 0.32, 0.437, 0.513, 0.61, 0.71, 0.83, 0.931]
    target = torch.tensor([weights, [-w for w in weights]])
    array = program(preset, target, seed=0, chip=0, layer="fc")
    banks = array.conductances(0.0)
    wanted = torch.tensor([filled(fill, factors, w) for w in weights]).T * 25
    for pair in range(len(factors)):
        for sign in (0, 1):  # the positive devices carry positive weights, the negative ones negative weights
            torch.testing.assert_close(banks[2 * pair + sign][sign], wanted[pair], rtol=0, atol=1e-5)
            assert not banks[2 * pair + sign][1 - sign].any()
    torch.testing.assert_close(array.net(0.0), target, rtol=0, atol=1e-6)


def test_the_order_matters_only_where_there_is_one() -> None:
    """The default is the encoding of before, to the hash; a fill without several pairs does nothing, and is told."""
    several: dict[str, object] = {"significance": [3.0, 1.0]}
    plain, equal = changed(PCM, conductance=several), changed(PCM, conductance={**several, "fill": "equal"})
    assert plain == equal
    assert plain.sha256 == equal.sha256
    assert "fill" not in equal.definition()["conductance"]
    assert "fill" not in json.loads(equal.model_dump_json())["conductance"]
    most = changed(PCM, conductance={**several, "fill": "most-first"})
    assert most.sha256 != plain.sha256
    assert DevicePreset.model_validate(most.definition()) == most
    assert "the most significant pair is filled first" in most.conductance.words()
    with pytest.raises(ValueError, match=r'fill = "max-fill" shares a weight out among several pairs'):
        changed(PCM, conductance={"fill": "max-fill"})
    with pytest.raises(ValueError, match="fill"):
        changed(PCM, conductance={**several, "fill": "most"})


def test_a_card_shows_the_same_devices_whatever_the_order() -> None:
    several = {"significance": [1.0, 4.0]}
    equal, least = (
        device_card(changed(PCM, conductance={**several, "fill": fill})) for fill in ("equal", "least-first")
    )
    assert least.spreads == equal.spreads
    assert least.exponent == equal.exponent
    assert least.errors != equal.errors


def test_an_offset_device_without_noise_is_exact() -> None:
    quiet = changed(load_preset("reram-cmo-2pct"), programming={"sigma_us": [0.0]}, drift=None)
    target = torch.rand(4, 5) * 2 - 1
    for reference in ("column", "constant"):
        torch.testing.assert_close(net(changed(quiet, conductance={"reference": reference}), target), target)


def test_a_drifting_reference_column_cancels_the_shift_and_a_constant_does_not() -> None:
    preset = load_preset("reram-cmo-2pct")
    target = torch.zeros(50, 4000)
    assert isinstance(preset.conductance, Conductances)
    assert isinstance(preset.drift, LogRelaxation)
    span = preset.conductance.g_max_us - preset.conductance.g_min_us
    shift = 2 * preset.drift.shift_us_per_ln_t * math.log(DAY) / span
    column = net(preset, target, DAY)
    constant = net(changed(preset, conductance={"reference": "constant"}), target, DAY)
    # 200,000 devices, and 4,000 reference devices of about 0.9 µS spread: 2 % of the shift is 4 standard errors
    assert float(constant.mean()) == pytest.approx(shift, abs=abs(shift) * 0.02)
    assert abs(float(column.mean())) < abs(shift) * 0.1
    # one reference device per input: its error is common to all outputs
    assert float(column.mean(dim=0).std()) > 3 * float(constant.mean(dim=0).std())


def test_relaxation_has_the_declared_shift_and_spread_and_one_number_per_device() -> None:
    preset = load_preset("reram-cmo-2pct")
    array = program(preset, torch.zeros(1, 200_000), seed=0, chip=0, layer="fc")
    start = array.conductances(0.0)[0].double()
    for t_s in (1.0, 3600.0, DAY):
        change = array.conductances(t_s, read_noise=False)[0].double() - start
        log_t = math.log(t_s)
        assert float(change.mean()) == pytest.approx(-0.08900206 * log_t, abs=5.2 * 0.9 / math.sqrt(200_000))
        assert float(change.std()) == pytest.approx(0.04201137 * log_t + 0.41183342, rel=5.2 / math.sqrt(400_000))
    early, late = (array.conductances(t, read_noise=False)[0][0] - start[0] for t in (3600.0, DAY))
    assert float(torch.corrcoef(torch.stack([early, late]))[0, 1]) > 0.999


def test_read_noise_of_relaxing_devices_grows_with_conductance_and_time() -> None:
    array = program(load_preset("reram-cmo-2pct"), torch.linspace(-1, 1, 200_000)[None], seed=0, chip=0, layer="fc")
    for t_s in (1.0, 3600.0, DAY):
        quiet, noisy = (array.conductances(t_s, read_noise=noise)[0].double() for noise in (False, True))
        sigma = 0.0277316483 * quiet.log10() * math.sqrt(math.log((t_s + 1e-6) / 2e-6))
        xi = (noisy - quiet) / sigma
        assert float(xi.mean()) == pytest.approx(0, abs=5.2 / math.sqrt(200_000))
        assert float(xi.std()) == pytest.approx(1, rel=5.2 / math.sqrt(400_000))
    assert torch.equal(array.conductances(0.0)[0], array.conductances(0.0, read_noise=False)[0])


def test_stuck_devices_have_the_declared_shares_and_stay() -> None:
    preset = changed(PCM, stuck={"at_g_min": 0.02, "at_g_max": 0.03, "at_random": 0.05})
    n = 200_000
    array = program(preset, torch.full((1, n), 0.5), seed=0, chip=0, layer="fc")
    early, late = array.conductances(0.0)[0][0], array.conductances(31536000.0)[0][0]
    for value, share in ((0.0, 0.02), (25.0, 0.03)):
        found = early == value
        assert float(found.float().mean()) == pytest.approx(share, abs=5.2 * math.sqrt(share / n))
        assert torch.equal(found, late == value)
    still = early == late
    assert float(still.float().mean()) == pytest.approx(0.10, abs=5.2 * math.sqrt(0.1 / n))
    random = early[still & (early > 0) & (early < 25)]
    assert float(random.mean()) == pytest.approx(12.5, abs=0.4)
    assert float(random.std()) == pytest.approx(25 / math.sqrt(12), rel=0.03)
    healthy = ~still
    plain = program(PCM, array.target, seed=0, chip=0, layer="fc").conductances(0.0)[0][0]
    assert torch.equal(early[healthy], plain[healthy])
    other = program(preset, array.target, seed=0, chip=1, layer="fc").conductances(0.0)[0][0]
    assert not torch.equal(other == 25.0, early == 25.0)


def test_levels_are_the_nearest_ones() -> None:
    target = torch.linspace(-1, 1, 1001).reshape(1, -1)
    for count in (2, 3, 15, 255):
        got = net(load_preset(f"levels:{count}"), target)
        levels = torch.linspace(-1, 1, count)
        assert torch.unique(got).numel() == count
        nearest = (target[0][:, None] - levels).abs().min(dim=1).values
        torch.testing.assert_close((got - target)[0].abs(), nearest, rtol=0, atol=2e-6)


def test_levels_of_devices_are_levels_of_conductance() -> None:
    preset = changed(PCM, programming={"sigma_us": [0.0]}, drift=None, read=None, levels={"count": 5})
    plus, minus = program(preset, torch.rand(1, 500) * 2 - 1, seed=0, chip=0, layer="fc").conductances(0.0)
    assert set(torch.unique(torch.cat([plus, minus])).tolist()) == {0.0, 6.25, 12.5, 18.75, 25.0}


def test_a_layers_scale_is_the_largest_weight_of_the_layer() -> None:
    weight = torch.tensor([[1.0, -0.5], [0.1, 0.02], [0.0, 0.0]]).repeat(1, 2000)
    mapping = Mapping(TileSize(), (), {"fc": map_weight("fc", weight, TileSize(500, 2))})
    error = {
        name: (Chip(mapping, load_preset(name), seed=0, chip=0).weight("fc", 1.0) - weight).std(dim=1)
        for name in ("gaussian:0.1", "gaussian-layer:0.1", "gaussian-multiplicative:0.1")
    }
    tolerance = 5.2 / math.sqrt(2 * 4000)
    assert error["gaussian:0.1"].tolist() == pytest.approx([0.1, 0.01, 0.0], rel=tolerance)
    assert error["gaussian-layer:0.1"].tolist() == pytest.approx([0.1, 0.1, 0.1], rel=tolerance)
    wanted = 0.1 * weight.square().mean(dim=1).sqrt()
    assert error["gaussian-multiplicative:0.1"].tolist() == pytest.approx(wanted.tolist(), rel=2 * tolerance)


def test_a_preset_derives_from_another_in_three_lines(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('extends = "pcm-hermes-2"\nname = "mine"\ndrift = {}\n')
    mine, base = load_preset(tmp_path / "mine.toml"), load_preset("pcm-hermes-2")
    assert mine.drift is None
    assert (mine.programming, mine.read, mine.source) == (base.programming, base.read, base.source)
    (tmp_path / "yours.toml").write_text('extends = "mine.toml"\nname = "yours"\n[read]\nt_read_s = 1e-6\n')
    read = load_preset(tmp_path / "yours.toml").read
    assert isinstance(read, OneOverFRead)
    assert read.t_read_s == 1e-6
    (tmp_path / "ring.toml").write_text('extends = "ring.toml"\nname = "ring"\n')
    with pytest.raises(DriftproofError, match="in turn"):
        load_preset(tmp_path / "ring.toml")


def test_hermes_without_two_devices_says_only_what_differs() -> None:
    raw = tomllib.loads((preset_folder() / "pcm-hermes-1.toml").read_text())
    assert raw["extends"] == "pcm-hermes-2"
    assert "doi" not in raw["source"]


def test_a_pair_above_zero_uses_its_whole_range() -> None:
    preset = load_preset("reram-milo-2021")
    quiet = changed(preset, programming={"sigma_us": [0.0]})
    target = torch.tensor([[1.0, -1.0, 0.0, 0.5]])
    plus, minus = program(quiet, target, seed=0, chip=0, layer="fc").conductances(0.0)
    assert plus.tolist() == [[225.0, 50.0, 50.0, 137.5]]
    assert minus.tolist() == [[50.0, 225.0, 50.0, 50.0]]
    torch.testing.assert_close(net(quiet, target), target)


def test_reading_twice_gives_the_same() -> None:
    array = program(load_preset("reram-milo-2021"), torch.rand(3, 4), seed=0, chip=0, layer="fc")
    first = array.net(1.0)
    first.add_(1.0)
    assert not torch.equal(array.net(1.0), first)
    assert torch.equal(array.net(1.0), array.net(1.0))


def test_a_smaller_range_keeps_the_law_in_microsiemens() -> None:
    half = load_preset("pcm-nandakumar-2019", {"conductance.g_max_us": 12.5})
    target = torch.ones(1, 100_000)
    whole = program(PCM, target / 2, seed=0, chip=0, layer="fc")
    part = program(half, target, seed=0, chip=0, layer="fc")
    for t_s in (0.0, DAY):
        torch.testing.assert_close(part.conductances(t_s)[0], whole.conductances(t_s)[0], rtol=1e-5, atol=1e-5)
    with pytest.raises(DriftproofError, match="inside validity"):
        load_preset("pcm-nandakumar-2019", {"conductance.g_max_us": 40})


def test_polynomials_of_different_length_meet_half_way() -> None:
    law = {"t_s": [1.0, 100.0], "sigma_us": [[1.0], [1.0, 2.0]]}
    preset = changed(load_preset("reram-wan-2022"), programming=law)
    array = program(preset, torch.ones(1, 100_000), seed=0, chip=0, layer="fc")
    # half-way in ln t: (1 + (1 + 2)) / 2 at r = 1
    assert float(array.conductances(10.0)[0].std()) == pytest.approx(2.0, rel=0.02)


def test_each_group_has_a_reference_column_of_its_own() -> None:
    preset = load_preset("reram-cmo-2pct")
    assert preset.conductance.has_reference_column
    target = torch.zeros(6, 4)
    alone, grouped = (program(preset, target, seed=0, chip=0, layer="x", groups=g) for g in (1, 3))
    assert grouped.reference is not None
    assert grouped.reference.target.shape == (3, 4)
    # what outputs of one group have in common is their reference: the devices are the same in both
    shift = grouped.net(1.0, read_noise=False) - alone.net(1.0, read_noise=False)
    for group in range(3):
        rows = shift[2 * group : 2 * group + 2]
        torch.testing.assert_close(rows[0], rows[1], rtol=0, atol=1e-6)
    assert float((shift[0] - shift[2]).abs().max()) > 1e-3
