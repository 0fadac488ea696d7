"""Out of driftproof: plain aihwkit layers with the network's weights, and a list of what stays digital."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from aihwkit.inference import PCMLikeNoiseModel
from aihwkit.nn import AnalogConv1d, AnalogConv2d, AnalogConv3d, AnalogLinear
from aihwkit.nn.modules.base import AnalogLayerBase
from aihwkit.simulator.configs import InferenceRPUConfig, TorchInferenceRPUConfig
from torch import nn

import driftproof as dp
from driftproof._conversion.digital import digital_network
from driftproof._errors import DriftproofError
from driftproof._mapping import TileSize

IMAGES = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Mine(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(super().forward(x))


class Zoo(nn.Module):
    """One of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2, dilation=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.same = nn.Conv2d(6, 6, 3, padding="same")
        self.grouped = nn.Conv2d(6, 6, 3, padding=1, groups=2)
        self.mirrored = nn.Conv2d(6, 6, 3, padding=1, padding_mode="reflect")
        self.line = nn.Conv1d(6, 4, 3, padding=1)
        self.mine = Mine(9, 8)
        self.twice = nn.Linear(8, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.mirrored(self.grouped(self.same(self.norm(self.conv(x)))))
        x = self.mine(self.line(x.flatten(2)))
        x = self.twice(self.twice(x))
        outputs: torch.Tensor = self.head(self.attention(x, x, x, need_weights=False)[0])
        return outputs


def zoo() -> Zoo:
    torch.manual_seed(0)
    made = Zoo().eval()
    made.second = made.twice
    assert made.norm.running_mean is not None
    made.norm.running_mean.uniform_()
    return made


def perfect(kind: type = TorchInferenceRPUConfig) -> Any:
    config = kind()
    config.forward.is_perfect = True
    return config


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def assert_nothing_of_ours(model: nn.Module) -> None:
    for module in model.modules():
        assert not type(module).__module__.startswith("driftproof")
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            assert not hooks
        config = getattr(module, "rpu_config", None)
        assert config is None or type(config.noise_model) is PCMLikeNoiseModel


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("config", [TorchInferenceRPUConfig, InferenceRPUConfig])
def test_what_aihwkit_has_a_layer_for_is_its_own_and_the_rest_is_listed(config: type, watched: bool) -> None:
    model = zoo()
    before = copy.deepcopy(model.state_dict())
    made = dp.to_aihwkit(model, perfect(config), example=IMAGES if watched else None)
    with torch.no_grad():
        assert relative(made.model(IMAGES), model(IMAGES)) < 1e-5
    kinds = {name: type(module) for name, module in made.model.named_modules() if isinstance(module, AnalogLayerBase)}
    compiled = {"line": AnalogConv1d} if config is InferenceRPUConfig else {}
    assert {n: k for n, k in kinds.items() if n} == {"conv": AnalogConv2d, "head": AnalogLinear} | compiled
    assert {entry.name for entry in made.layers if entry.analog} == {"conv", "head", *compiled}
    expected = {
        "norm": "normalisation",
        "same": "padding in numbers, not 'same'",
        "grouped": "Only one group is supported",
        "mirrored": 'Only "zeros" padding mode',
        "mine": "Mine",
        "twice": "used at several places",
        "attention.in_proj_weight": "no layer for MultiheadAttention",
        "attention.out_proj": "no layer for NonDynamicallyQuantizableLinear",
    } | ({} if compiled else {"line": "AnalogConv1d runs on a single compiled tile only: give InferenceRPUConfig()"})
    assert made.digital.keys() == expected.keys()
    for name, text in expected.items():
        assert text in made.digital[name]
    assert_nothing_of_ours(made.model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_weights_that_other_code_reads_stay() -> None:
    model = nn.Sequential(
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1), nn.Linear(8, 3)
    )
    made, x = dp.to_aihwkit(model.eval(), perfect()), torch.randn(2, 5, 8)
    with torch.no_grad():
        assert relative(made.model(x), model(x)) < 1e-5
    assert [entry.name for entry in made.layers if entry.analog] == ["1"]
    assert "0.layers.0 reads its weight" in made.digital["0.layers.0.linear1"]


def test_three_dimensions_on_the_compiled_tile() -> None:
    layer, x = nn.Conv3d(2, 3, 3, padding=1), torch.randn(2, 2, 5, 5, 5)
    made = dp.to_aihwkit(layer, perfect(InferenceRPUConfig))
    assert type(made.model) is AnalogConv3d
    with torch.no_grad():
        assert relative(made.model(x), layer(x)) < 1e-5


def test_the_default_is_aihwkits_noise_on_the_whole_range() -> None:
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 5))
    with torch.no_grad():
        model.get_parameter("0.weight").mul_(0.01)
    made: Any = dp.to_aihwkit(model).model
    tile = made[0].analog_module
    assert type(tile.rpu_config.noise_model) is PCMLikeNoiseModel
    assert not tile.rpu_config.forward.is_perfect
    assert float(tile.tile.get_weights().abs().max()) == 1.0  # aihwkit's own default leaves it at 0.00125
    with torch.no_grad():
        weight, _ = made[0].get_weights()
        assert relative(weight, model.get_parameter("0.weight")) < 1e-6
    made.drift_analog_weights(86400.0)
    with torch.no_grad():
        assert relative(made(torch.ones(1, 64)), model(torch.ones(1, 64))) > 1e-3


def test_a_converted_network_takes_its_layers_and_tiles_along(tmp_path: Path) -> None:
    model = zoo()
    analog = dp.convert(model, "pcm-nandakumar-2019", tile=TileSize(4, 4), where="!conv", example=IMAGES)
    loaded = dp.load(dp.save(analog, tmp_path / "saved"), Zoo2())
    assert isinstance(loaded, dp.AnalogModel)
    for given in (analog, loaded):
        made = dp.to_aihwkit(given)
        assert [entry.name for entry in made.layers if entry.analog] == ["head"]
        assert [entry.tiles for entry in made.layers if entry.analog] == [2 * 2]
        assert made.digital["conv"] == "digital as asked"
        head: Any = made.model.head
        weight, bias = head.get_weights()
        assert relative(weight, model.head.weight.detach()) < 1e-6
        assert torch.equal(bias, model.head.bias)
        assert_nothing_of_ours(made.model)
    with pytest.raises(DriftproofError, match=r"example and where.*convert"):
        dp.to_aihwkit(analog, where="head")


def Zoo2() -> Zoo:
    made = Zoo()
    made.second = made.twice
    return made


@pytest.mark.parametrize("periphery", ["ideal", "standard"])
def test_the_digital_network_comes_back(periphery: str) -> None:
    model = zoo()
    state = torch.get_rng_state()
    analog = dp.convert(model, "ideal", tile=TileSize(16, 5), example=IMAGES, periphery=periphery)
    torch.set_rng_state(state)
    plain = digital_network(analog)
    assert torch.equal(torch.get_rng_state(), state)
    assert_nothing_of_ours(plain)
    assert [type(module) for module in plain.modules()] == [type(module) for module in model.modules()]
    for name, value in plain.state_dict().items():
        assert value.shape == model.state_dict()[name].shape
        assert torch.allclose(value, model.state_dict()[name], rtol=1e-6, atol=1e-12), name
    with torch.no_grad():
        assert relative(plain(IMAGES), model(IMAGES)) < 1e-5
        assert bool(torch.isfinite(analog.model(IMAGES)).all())  # and is not taken apart
    assert all(p.requires_grad for p in plain.parameters())


def test_two_networks_of_one_name_keep_their_code() -> None:
    def network(sign: float) -> nn.Module:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.fc = nn.Linear(4, 2)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                outputs: torch.Tensor = sign * self.fc(x)
                return outputs

        return Net()

    with torch.no_grad():
        for sign in (1.0, -1.0):
            model = network(sign)
            made = dp.to_aihwkit(model, perfect()).model
            assert relative(made(torch.ones(1, 4)), model(torch.ones(1, 4))) < 1e-5


def test_what_cannot_be_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DriftproofError, match=r"aihwkit has no layer .*\(root\) \(Conv1d\): aihwkit's"):
        dp.to_aihwkit(nn.Conv1d(3, 3, 3))
    with pytest.raises(DriftproofError, match="bfloat16"):
        dp.to_aihwkit(nn.Linear(3, 3).bfloat16())
    with pytest.raises(DriftproofError, match=r"wanted .*ProgrammedChip"):
        dp.to_aihwkit(dp.program(dp.convert(nn.Linear(3, 3), "ideal")))  # type: ignore[arg-type]
    for name in [name for name in sys.modules if name.split(".")[0] == "aihwkit"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aihwkit", None)
    with pytest.raises(DriftproofError, match="pip install aihwkit"):
        dp.to_aihwkit(nn.Linear(3, 3))
