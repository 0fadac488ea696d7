"""Different devices for different layers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import driftproof as dp
from driftproof._chip import Chip
from driftproof._errors import DriftproofError
from driftproof._mapping import map_model
from driftproof._presets import load_mix
from driftproof.data import digits
from driftproof.laws._programming import GaussianProgramming
from driftproof.zoo import trained_digits_cnn

MIX = "pcm-nandakumar-2019,fc=reram-wan-2022,conv*=gaussian-layer:0.05"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)
        self.fc, self.last = nn.Linear(16, 8), nn.Linear(8, 3)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return Net()


def test_every_layer_has_its_device(net: nn.Module) -> None:
    mapping, t_s = map_model(net), 86400.0
    mixed = Chip(mapping, load_mix(MIX), seed=0, chip=3)
    for layer, name in (
        ("conv1", "gaussian-layer:0.05"),
        ("conv2", "gaussian-layer:0.05"),
        ("fc", "reram-wan-2022"),
        ("last", "pcm-nandakumar-2019"),
    ):
        alone = Chip(mapping, dp.load_preset(name), seed=0, chip=3)
        assert torch.equal(mixed.weight(layer, t_s), alone.weight(layer, t_s)), layer


def test_it_is_valid_where_all_its_devices_are() -> None:
    mix = load_mix(MIX)
    assert mix.validity.t_s == (1.0, 172800.0)
    assert mix.in_validity(86400.0)
    assert not mix.in_validity(0.0)
    assert not mix.in_validity(1e7)
    with pytest.raises(DriftproofError, match="no valid time in common"):
        load_mix("reram-milo-2021,fc=reram-wan-2022")


def test_its_hash_is_that_of_its_patterns_and_numbers() -> None:
    assert load_mix(MIX).sha256 == load_mix(MIX).sha256
    other = [MIX.replace("0.05", "0.06"), MIX.replace("fc=", "last="), MIX.replace("pcm-nandakumar-2019", "ideal")]
    assert len({load_mix(text).sha256 for text in [MIX, *other]}) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fc=ideal,ideal", "the device of most layers first"),
        ("ideal,fc", "wanted PATTERN=DEVICE"),
        ("ideal,=ideal", "wanted PATTERN=DEVICE"),
        ("ideal,fc=reram-wan-2023", "did you mean reram-wan-2022"),
    ],
)
def test_what_is_no_mix(text: str, message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        dp.load_device(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ideal,head=gaussian:0.1", "'head' matches no layer on tiles; there are conv1, conv2, fc, last"),
        ("ideal,conv*=gaussian:0.1,conv1=gaussian:0.2", "every layer of 'conv1' has a device by an earlier pattern"),
        ("ideal,*=gaussian:0.1", "no layer is left for ideal"),
    ],
)
def test_patterns_that_do_nothing_are_refused(net: nn.Module, text: str, message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        Chip(map_model(net), load_mix(text), seed=0, chip=0)


def test_a_record_and_report_name_all_its_devices(tmp_path: Path) -> None:
    text = "pcm-nandakumar-2019,conv1=ideal"
    with dp.evaluate(
        trained_digits_cnn(), digits().head(100), presets=[text, "gaussian:0.05"], times=["1d"], chips=2, out=tmp_path
    ) as record:
        assert sorted(record.presets()) == ["gaussian:0.05", "ideal", "pcm-nandakumar-2019", text]
        assert record.presets()[text].definition["devices"] == {
            "conv1": "ideal",
            "all other layers": "pcm-nandakumar-2019",
        }
        page = dp.report(record, tmp_path / "report").read_text()
    assert "this device has none, or those of its parts" in page
    assert page.count('class="card"') == 4


def test_a_conversion_refuses_patterns_that_do_nothing(net: nn.Module) -> None:
    with pytest.raises(DriftproofError, match="'nosuch' matches no layer"):
        dp.convert(net, "ideal,nosuch=gaussian:0.1")


def test_patterns_are_globs_and_changes_reach_every_device(net: nn.Module) -> None:
    mix = load_mix("gaussian:0.1,c?nv1=gaussian-layer:0.1", {"programming.sigma": 0.3})
    for layer in ("conv1", "conv2"):
        programming = mix.for_layer(layer).programming
        assert isinstance(programming, GaussianProgramming)
        assert programming.sigma == 0.3
    assert mix.for_layer("conv1.more").name == mix.default.name
    assert mix.name.endswith("[programming.sigma=0.3]")


def test_one_name_with_other_numbers_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('extends = "gaussian"\nname = "gaussian:0.1"\n[programming]\nsigma = 0.5\n')
    with pytest.raises(DriftproofError, match="one name and other numbers"):
        load_mix(f"gaussian:0.1,fc={file}")
    with pytest.raises(DriftproofError, match="measured chips stand alone"):
        dp.load_device("ideal,fc=measured:folder")


def test_the_end_of_programming_on_tiles_has_the_scale_of_the_layer() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(8, 4)
    with torch.no_grad():
        layer.weight[0] *= 0.05
    x = torch.ones(1, 8)
    made = dp.program(dp.convert(layer, "gaussian-layer:0.00001"))
    torch.testing.assert_close(made.model(x), layer(x), rtol=0, atol=1e-3)
