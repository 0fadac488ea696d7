"""Variation from wafer to wafer, from die to die and from column to column: the declared spreads, and where they act.

The components of variance are compared with what is declared by the mean squares of a balanced nested analysis of
variance, which are multiples of χ². The chance that any of them fails on a right sampler is below 1e-4 (Bonferroni over
all comparisons of the file); seeds are fixed.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import driftproof as dp
from driftproof._chip import Chip
from driftproof._devices import LayerKey, ProgrammedArray, generator, program, restore
from driftproof._devices.variation import deviations
from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._mapping import Mapping, TileSize, map_weight
from driftproof._presets import DeviceMix, DevicePreset, Law, load_preset, without
from driftproof.data import digits
from driftproof.evaluation import Deployment, Evaluator, Trial
from driftproof.laws._variation import Variation
from driftproof.laws._words import in_words
from driftproof.plans._causes import causes
from driftproof.training._noise import DeviceNoise, Key
from driftproof.training._weights import AnalogWeights
from driftproof.zoo import trained_digits_cnn

FAMILY_WISE, COMPARISONS = 1e-4, 9
DAY, YEAR = 86_400.0, 31_536_000.0
# one preset per way in which devices keep what they were programmed to, and a reference column
NAMES = ("pcm-nandakumar-2019", "reram-wan-2022", "reram-cmo-2pct", "sonos-agrawal-2022")
WHY = {"assumption": "a test"}


def varied(base: str | DevicePreset, **levels: dict[str, float]) -> DevicePreset:
    definition = (load_preset(base) if isinstance(base, str) else base).definition()
    variation = {level: {**spreads, **WHY} for level, spreads in levels.items()}
    return DevicePreset.model_validate({**definition, "variation": variation})


def array(preset: DevicePreset, target: Tensor, chip: int = 0, layer: str = "fc", seed: int = 0) -> ProgrammedArray:
    return program(preset, target, seed=seed, chip=chip, layer=layer)


@pytest.mark.parametrize("name", NAMES)
def test_spreads_of_zero_change_no_bit(name: str) -> None:
    target = torch.rand(20, 30) * 2 - 1
    nothing = varied(name, die={}, wafer={"dies_per_wafer": 3}, column={"g_max_sd": 0.0})
    plain, same = array(load_preset(name), target), array(nothing, target)
    for t_s in (0.0, DAY):
        assert torch.equal(plain.net(t_s), same.net(t_s))
    assert plain.state().keys() == same.state().keys()
    assert load_preset(name).sha256 != nothing.sha256


# --- the declared components of variance ---


def assert_components(values: Tensor, wafer: float, die: float, column: float, within: float) -> None:
    """The mean squares of values [wafers, dies, columns] are those of the declared standard deviations.

    Args:
        values: Means over the devices of a column.
        wafer: Standard deviation from wafer to wafer.
        die: Standard deviation from die to die.
        column: Standard deviation from column to column.
        within: Standard error of a column's mean.
    """
    wafers, dies, columns = values.shape
    of_die, of_wafer = values.mean(dim=2), values.mean(dim=(1, 2))
    squares = {
        "column": ((values - of_die[:, :, None]).square().sum(), wafers * dies * (columns - 1)),
        "die": (columns * (of_die - of_wafer[:, None]).square().sum(), wafers * (dies - 1)),
        "wafer": (dies * columns * (of_wafer - of_wafer.mean()).square().sum(), wafers - 1),
    }
    lowest = column**2 + within**2
    expected = {
        "column": lowest,
        "die": lowest + columns * die**2,
        "wafer": lowest + columns * die**2 + columns * dies * wafer**2,
    }
    for level, (total, freedom) in squares.items():
        low, high = stats.chi2.interval(1 - FAMILY_WISE / COMPARISONS, freedom)
        assert low < float(total) / expected[level] < high, level


WAFERS, DIES, COLUMNS, DEVICES = 60, 5, 12, 400
SPREADS = {"wafer": 0.04, "die": 0.03, "column": 0.05}


def grid(key: str, share: float) -> tuple[Tensor, Tensor]:
    """Programmed conductances and drift exponents, [wafers, dies, columns, devices], of a preset that varies by key."""
    wafer = {key: share * SPREADS["wafer"], "dies_per_wafer": DIES}
    preset = varied("pcm-nandakumar-2019", wafer=wafer, **{n: {key: share * SPREADS[n]} for n in ("die", "column")})
    target = torch.full((COLUMNS, DEVICES), 0.5)
    arrays = [array(preset, target, chip, f"layer{chip % 3}") for chip in range(WAFERS * DIES)]
    shape = (WAFERS, DIES, COLUMNS, DEVICES)
    lives = [one.life[0] for one in arrays if one.life is not None]
    return torch.stack([one.conductances(0.0)[0] for one in arrays]).view(shape), torch.stack(lives).view(shape)


@pytest.mark.parametrize("key", ["g_max_sd", "mean_error_sd_us", "nu_sd"])
def test_the_components_of_variance_are_those_that_are_declared(key: str) -> None:
    # so small that nothing is clipped at zero: G is 12.5 ± 1 µS, ν is 0.049 ± 0.008 at half the range
    share = {"g_max_sd": 1.0, "mean_error_sd_us": 10.0, "nu_sd": 0.02}[key]
    g, nu = grid(key, share)
    values = {"g_max_sd": g / 12.5, "mean_error_sd_us": g, "nu_sd": nu}[key].double()
    within = float((values - values.mean(dim=3, keepdim=True)).square().mean().sqrt())
    sizes = {level: share * spread for level, spread in SPREADS.items()}
    assert_components(values.mean(dim=3), **sizes, within=within / DEVICES**0.5)


# --- where they act ---


@pytest.mark.parametrize("name", NAMES)
def test_conductances_are_shifted_and_multiplied_and_exponents_are_shifted(name: str) -> None:
    exponents = name.startswith("pcm")
    die = {"g_max_sd": 0.1, "mean_error_sd_us": 0.2} | ({"nu_sd": 0.004} if exponents else {})
    preset, plain = varied(name, die=die), load_preset(name)
    target = torch.full((3, 50), 0.4)
    source = generator(0, 5, "", "variation|die", torch.device("cpu"))
    gain, error, nu = (
        torch.empty(3, 1, 1).normal_(generator=source).flatten() * torch.tensor([0.1, 0.2, 0.004])
    ).tolist()
    ours, other = (array(one.without("drift", "read"), target, chip=5) for one in (preset, plain))
    for mine, theirs in zip(ours.conductances(0.0), other.conductances(0.0), strict=True):
        inside = theirs > 1.5  # not clipped at zero, with and without
        torch.testing.assert_close(mine[inside], ((1 + gain) * (theirs + error))[inside], rtol=1e-5, atol=1e-5)
    if exponents:
        nus = [array(one, target, chip=5).life for one in (preset, plain)]
        assert nus[0] is not None
        assert nus[1] is not None
        torch.testing.assert_close(nus[0], (nus[1] + nu).clamp(min=0), rtol=0, atol=1e-7)


def test_layers_share_the_die_chips_share_the_wafer_and_columns_share_nothing() -> None:
    both = Variation.model_validate(
        {"die": {"nu_sd": 0.01, **WHY}, "wafer": {"nu_sd": 0.01, "dies_per_wafer": 3, **WHY}}
    )

    def of(variation: Variation, chip: int, layer: str = "a", mark: str = "+") -> Tensor:
        return deviations(variation, LayerKey(0, chip, layer), mark, 2, 7)

    assert torch.equal(of(both, 0), of(both, 0, "b", "-"))
    assert not torch.equal(of(both, 0), of(both, 1))
    wafer = Variation(wafer=both.wafer)
    assert torch.equal(of(wafer, 0), of(wafer, 2))
    assert not torch.equal(of(wafer, 2), of(wafer, 3))
    column = Variation.model_validate({"column": {"nu_sd": 0.01, **WHY}})
    drawn = [of(column, 0), of(column, 0, "b"), of(column, 0, "a", "-"), of(column, 1)]
    assert drawn[0].shape == (3, 2, 7)
    assert torch.unique(torch.stack(drawn)[:, 2]).numel() == 4 * 14


def test_each_tile_of_a_layer_has_columns_of_its_own() -> None:
    preset = varied("pcm-nandakumar-2019", column={"g_max_sd": 0.2}).without("programming", "drift", "read")
    weight = torch.ones(4, 10)
    mapping = Mapping(TileSize(), (), {"fc": map_weight("fc", weight, TileSize(5, 4))})
    gains = Chip(mapping, preset, seed=0, chip=0).arrays["fc"].net(0.0)
    for column in gains:
        first, second = column[:5], column[5:]
        assert torch.unique(first).numel() == torch.unique(second).numel() == 1
        assert float(first[0]) != float(second[0])
    assert torch.unique(gains).numel() == 8


def test_presets_of_one_network_are_on_one_die() -> None:
    levels = {"die": {"g_max_sd": 0.1}, "wafer": {"g_max_sd": 0.1, "dies_per_wafer": 2}}
    quiet = [varied(name, **levels).without("programming", "drift", "read") for name in NAMES[:2]]
    mix = DeviceMix("both", quiet[0], (("b", quiet[1]),))
    target = torch.ones(2, 3)
    gains = [mix.array(layer, 4, target, seed=0).conductances(0.0)[0] for layer in "ab"]
    torch.testing.assert_close(gains[0] / 25, gains[1] / 40)
    assert float(gains[0][0, 0]) != 25


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("effects", [(), ("programming", "drift")])
def test_stored_devices_keep_them(name: str, effects: tuple[Law, ...]) -> None:
    """The seed of the restored array is another one: all that it has comes from the file."""
    preset = varied(name, die={"g_max_sd": 0.1}, column={"mean_error_sd_us": 0.1}).without("read", *effects)
    target = torch.rand(6, 8) * 2 - 1
    rows = (slice(0, 5), slice(5, 8))
    devices = program(preset, target, seed=0, chip=1, layer="fc", rows=rows)
    again = restore(preset, target, devices.state(), seed=77, chip=9, layer="fc", rows=rows)
    for t_s in (0.0, DAY):
        assert torch.equal(again.net(t_s), devices.net(t_s))
    if "variation+" in devices.state():
        less = {key: value for key, value in devices.state().items() if key != "variation+"}
        with pytest.raises(DriftproofError, match="variation"):
            restore(preset, target, less, seed=0, chip=1, layer="fc", rows=rows)


def test_they_can_be_switched_off_and_do_not_outlive_the_drift() -> None:
    preset = varied("pcm-nandakumar-2019", die={"g_max_sd": 0.1, "nu_sd": 0.01}, column={"nu_sd": 0.01})
    off = without(preset, "variation")
    target = torch.rand(5, 6) * 2 - 1
    assert torch.equal(array(off, target).net(YEAR), array(load_preset("pcm-nandakumar-2019"), target).net(YEAR))
    assert off.sha256 == load_preset("pcm-nandakumar-2019").sha256
    frozen = without(preset, "drift").variation
    assert frozen is not None
    assert (frozen.die and frozen.die.nu_sd, frozen.die and frozen.die.g_max_sd, frozen.column) == (0.0, 0.1, None)


# --- what it is for ---


def accuracies(preset: DevicePreset, width: int, chips: int = 60) -> Tensor:
    """Accuracy of x · w > 1 on chips that are not compensated after a day, against the exact weights."""
    draw = torch.Generator().manual_seed(width)
    weight = torch.randn(1, width, generator=draw)
    x = torch.randn(4000, width, generator=draw) / weight.norm()
    wanted = (x @ weight.T) > 1
    mapping = Mapping(TileSize(), (), {"fc": map_weight("fc", weight, TileSize())})
    found = []
    for chip in range(chips):
        read = Chip(mapping, preset, seed=0, chip=chip, compensation="none").weight("fc", DAY)
        found.append(float((((x @ read.T) > 1) == wanted).float().mean()))
    return torch.tensor(found)


def test_chips_of_a_large_network_still_differ() -> None:
    """Independent devices average out; a die's drift exponent does not."""
    plain, dies = load_preset("pcm-nandakumar-2019"), varied("pcm-nandakumar-2019", die={"nu_sd": 0.01})
    small, large = 32, 2048
    alone = float(accuracies(plain, small).std()) / float(accuracies(plain, large).std())
    common = float(accuracies(dies, small).std()) / float(accuracies(dies, large).std())
    assert alone > 2.5  # √64 = 8, if no inputs were sampled
    assert common < 2
    assert float(accuracies(dies, large).std()) > 4 * float(accuracies(plain, large).std())


def test_training_draws_a_new_die_of_a_new_wafer_each_time() -> None:
    preset = varied("pcm-nandakumar-2019", wafer={"g_max_sd": 0.2, "dies_per_wafer": 60})
    preset = preset.without("programming", "drift", "read")
    weights = AnalogWeights.of(nn.Linear(3, 2), torch.ones(1, 3))
    noise = DeviceNoise(preset.at("1s"), timeless=True)
    first, second = (noise.draw(weights, Key(seed=0, number=number))[""] for number in (0, 1))
    assert not torch.allclose(first, second, rtol=1e-3)
    chips = [array(preset, torch.ones(2, 2), chip).net(0.0) for chip in (0, 1, 60)]
    assert torch.equal(chips[0], chips[1])
    assert not torch.equal(chips[0], chips[2])


def test_both_backends_evaluate_it() -> None:
    device = varied("pcm-nandakumar-2019", die={"nu_sd": 0.02}, column={"g_max_sd": 0.4})
    values = []
    for backend, name in (("folded", device), ("tiles", device), ("folded", "pcm-nandakumar-2019")):
        evaluator = Evaluator(trained_digits_cnn(), digits().head(200), backend=backend)
        values.append(evaluator(Trial(Deployment(device=name), chip=0, t_s=DAY)).value)
    assert values[0] == values[1]
    assert values[0] < values[2] - 2


def test_it_is_a_cause_of_its_own() -> None:
    evaluator = Evaluator(trained_digits_cnn(), digits().head(50))
    device = varied("pcm-nandakumar-2019", die={"nu_sd": 0.03})
    result = causes(evaluator, Deployment(device=device, compensation="none"), "1d", chips=2)
    assert [cause.name for cause in result.causes][-2:] == ["faults", "variation"]
    assert sum(cause.drop.mean for cause in result.causes) == pytest.approx(result.total.mean)
    plain = causes(evaluator, Deployment(device="pcm-nandakumar-2019"), "1d", chips=1)
    assert "variation" not in [cause.name for cause in plain.causes]


def test_chips_that_share_a_wafer_are_told() -> None:
    evaluator = Evaluator(trained_digits_cnn(), digits().head(20))
    device = varied("pcm-nandakumar-2019", wafer={"nu_sd": 0.01, "dies_per_wafer": 4})
    with pytest.warns(DriftproofWarning, match=r"the 10 chips are of 3 wafers.*dies_per_wafer=1"):
        evaluator.check(Deployment(device=device), chips=10)


@pytest.mark.filterwarnings("error")
def test_chips_of_different_wafers_are_not_told() -> None:
    evaluator = Evaluator(trained_digits_cnn(), digits().head(20))
    device = varied("pcm-nandakumar-2019", wafer={"nu_sd": 0.01, "dies_per_wafer": 1})
    evaluator.check(Deployment(device=device), chips=10)


# --- words and refusals ---


def test_words_say_sizes_and_where_they_are_from(tmp_path: Path) -> None:
    file = tmp_path / "dies.toml"
    file.write_text(
        'extends = "pcm-nandakumar-2019"\nname = "dies"\n[variation.die]\nnu_sd = 0.004\nsource = "Fig. 3 of a paper"\n'
        '[variation.wafer]\ndies_per_wafer = 60\ng_max_sd = 0.05\nassumption = "a round number"\n'
    )
    said = in_words(load_preset(file).definition())["variation"]
    for part in (
        "per die: 0.004 of the mean drift exponent nu (source: Fig. 3 of a paper)",
        "per wafer: 0.05 of g_max",
        "(assumption: a round number)",
        "60 chips are of one wafer",
    ):
        assert part in said
    other = load_preset(file, {"variation.die.nu_sd": 0.01})
    assert other.variation is not None
    assert other.variation.die is not None
    assert other.variation.die.nu_sd == 0.01
    text = file.read_text().replace("a paper", "another paper")
    file.write_text(text)
    assert load_preset(file).sha256 == load_preset(file).model_copy().sha256 != other.sha256


@pytest.mark.parametrize(
    ("base", "table", "said"),
    [
        ("gaussian", '[variation.die]\ng_max_sd = 0.1\nassumption = "x"', "variation acts on devices"),
        ("reram-wan-2022", '[variation.die]\nnu_sd = 0.1\nassumption = "x"', "there is no drift law"),
        ("reram-cmo-2pct", '[variation.column]\nnu_sd = 0.1\nassumption = "x"', "has no exponent nu"),
        ("pcm-nandakumar-2019", "[variation.die]\nnu_sd = 0.1", "give either source"),
        ("pcm-nandakumar-2019", '[variation.die]\nsource = "a"\nassumption = "b"', "give either source"),
        ("pcm-nandakumar-2019", '[variation.wafer]\nassumption = "b"', "missing key variation.wafer.dies_per_wafer"),
        ("pcm-nandakumar-2019", '[variation.die]\nnu_std = 0.1\nassumption = "b"', "did you mean nu_sd"),
    ],
)
def test_what_cannot_be_honoured_is_refused(base: str, table: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(f'name = "mine"\nextends = "{base}"\n{table}\n')
    with pytest.raises(DriftproofError) as caught:
        load_preset(tmp_path / "mine.toml")
    assert said in str(caught.value)


def test_a_table_without_levels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one of the tables die, wafer and column"):
        varied("pcm-nandakumar-2019")


def test_one_die_has_one_wafer(tmp_path: Path) -> None:
    for name, dies in (("a", 60), ("b", 50)):
        (tmp_path / f"{name}.toml").write_text(
            f'name = "{name}"\nextends = "pcm-nandakumar-2019"\n[variation.wafer]\ndies_per_wafer = {dies}\n'
            'nu_sd = 0.1\nassumption = "x"\n'
        )
    with pytest.raises(DriftproofError, match=r"dies_per_wafer is 50 and 60"):
        dp.load_device(f"{tmp_path / 'a.toml'},fc={tmp_path / 'b.toml'}")
