"""Networks and checkpoints of aihwkit: the digital weights, the ranges of the tiles, the layers on tiles."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from aihwkit.inference import PCMLikeNoiseModel
from aihwkit.nn import AnalogLinear, AnalogLinearMapped, AnalogLSTMCell, AnalogRNN
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.simulator.configs import (
    FloatingPointRPUConfig,
    InferenceRPUConfig,
    SingleRPUConfig,
    TorchInferenceRPUConfig,
)
from aihwkit.simulator.presets import StandardHWATrainingPreset
from torch import Tensor, nn

import driftproof as dp
from driftproof import DriftproofError
from driftproof.periphery import load_periphery
from driftproof.zoo._weights import load_weights

take_over: Any = dp.from_aihwkit
"""The call, with a result whose parts may be anything."""
SAME = 1e-6
"""Largest difference between the weights before and after aihwkit, which multiplies by scales in float32."""


def digital() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)).eval()


def ranged(kind: type = TorchInferenceRPUConfig) -> Any:
    """Return a configuration with input ranges, column scales and tiles of 64 rows."""
    config = kind()
    config.mapping.weight_scaling_omega, config.mapping.weight_scaling_columnwise = 1.0, True
    config.mapping.max_input_size = 64
    config.pre_post.input_range.enable = True
    return config


class Own(AnalogLinear):  # type: ignore[misc]
    """A user's subclass of aihwkit's layer, which its convert_to_digital leaves analog."""


class Sequences(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = AnalogRNN(AnalogLSTMCell, 2, 5, rpu_config=TorchInferenceRPUConfig())
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cells(x.view(-1, 4, 2).transpose(0, 1))[0][-1])  # type: ignore[no-any-return]


ANALOG: dict[str, Callable[[], Any]] = {
    "compiled": lambda: convert_to_analog(digital(), InferenceRPUConfig()),
    "torch": lambda: convert_to_analog(digital(), ranged()),
    "hardware-aware": lambda: convert_to_analog(digital(), StandardHWATrainingPreset()),
    "pulses": lambda: convert_to_analog(digital(), SingleRPUConfig()),
    "floating point": lambda: convert_to_analog(digital(), FloatingPointRPUConfig()),
    "in part": lambda: convert_to_analog(digital(), TorchInferenceRPUConfig(), exclude_modules=["0"]),
}


@pytest.mark.parametrize("kind", ANALOG)
def test_the_digital_network_has_the_same_weights_and_evaluates(kind: str) -> None:
    analog = ANALOG[kind]()
    held = {name: layer.get_weights() for name, layer in analog.named_analog_layers()}
    found = take_over(analog)
    assert found.network is not None
    for name, (weight, bias) in held.items():
        layer: Any = found.network.get_submodule(name)
        assert float((layer.weight.view_as(weight) - weight).abs().max()) <= SAME
        assert torch.equal(layer.bias, bias)
    if kind != "pulses":  # whose devices have limits of their own
        before, now = digital().state_dict(), found.network.state_dict()
        assert max(float((now[name] - value).abs().max()) for name, value in before.items()) <= SAME
    assert any("analog" in name for name in analog.state_dict())  # the analog network is as it was
    x, y = torch.rand(20, 1, 8, 8), torch.arange(20) % 10
    device = found.device or "ideal"
    assert found.periphery is not None
    backend: Any = "tiles" if found.periphery.ir_drop else "folded"
    record = dp.evaluate(
        found.network,
        (x, y),
        presets=device,
        times="1s",
        chips=1,
        backend=backend,
        progress=False,
        **found.settings,
    )
    assert len(record.cells()) >= 2
    on_tiles = [
        layer.name for layer in dp.convert(found.network, device, example=x, **found.settings).layers if layer.analog
    ]
    assert on_tiles == (["3"] if kind == "in part" else ["0", "3"])


def test_learned_input_ranges_are_taken_over_and_used() -> None:
    analog = convert_to_analog(digital(), ranged())
    for number, tile in enumerate(analog.analog_tiles()):
        tile.set_input_range(1.5 + number)
    found = take_over(analog)
    assert found.ranges == {"0": 1.5, "3": [2.5, 3.5, 4.5]}
    assert found.settings["ranges"] == found.ranges
    assert not [text for text in found.not_taken_over if "input range" in text]
    assert found.taken_over["input ranges of the tiles"] == "ranges={0: 1.5, 3: 2.5, 3.5, 4.5}"
    x = torch.rand(8, 1, 8, 8)
    chip = dp.program(dp.convert(found.network, found.device, example=x, **found.settings))
    wide = dp.program(dp.convert(found.network, found.device, example=x, **found.settings | {"ranges": 30.0}))
    assert not torch.allclose(chip.model(x), wide.model(x), atol=1e-3)


@pytest.mark.parametrize("kind", ["torch", "hardware-aware"])
def test_the_lines_to_go_on_with_run(kind: str) -> None:
    analog = ANALOG[kind]()
    found = take_over(analog)
    x = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    names: dict[str, Any] = {"dp": _Quick(), "found": found, "data": (x, torch.arange(8) % 10)}
    for line in found.next_lines:
        exec(line, names)
    assert len(names["record"].cells()) > 2
    assert names["analog"].layers
    assert ("without_ir_drop" in names) == (kind == "hardware-aware")


class _Quick:
    """driftproof with few chips, so that the lines run in a second."""

    convert = staticmethod(dp.convert)
    train = staticmethod(dp.train)

    @staticmethod
    def evaluate(*given: Any, **named: Any) -> Any:
        return dp.evaluate(*given, times="1s", chips=1, progress=False, **named)


def test_ranges_that_were_never_learned_are_named_once() -> None:
    found = take_over(convert_to_analog(digital(), ranged()))
    (text,) = (text for text in found.not_taken_over if text.startswith("input ranges of 0, 3 = "))
    assert "never learned" in text
    assert found.ranges == {"0": 3.0, "3": [3.0, 3.0, 3.0]}


def test_tiles_of_the_same_inputs_with_several_ranges_get_the_largest() -> None:
    config = ranged()
    config.mapping.max_output_size = 5
    analog = convert_to_analog(digital(), config)
    for number, tile in enumerate(analog.analog_tiles()):
        tile.set_input_range(1.0 + number)
    found = take_over(analog)
    assert found.ranges["3"] == [3.0, 5.0, 7.0]
    assert any(text.startswith("input ranges of 3 = 2, 3: ") for text in found.not_taken_over)


def test_a_programmed_chip_gives_back_the_weights_that_it_was_programmed_to() -> None:
    analog = convert_to_analog(digital(), ranged()).eval()
    analog.program_analog_weights()
    analog.drift_analog_weights(1e6)
    found = take_over(analog)
    assert found.network is not None
    torch.testing.assert_close(found.network[3].weight, digital()[3].weight, atol=SAME, rtol=0)
    assert any(text.startswith("3 = a programmed chip: ") for text in found.not_taken_over)


def test_subclasses_and_recurrent_networks_become_digital() -> None:
    mine = nn.Sequential(nn.Linear(8, 6), Own(6, 4, rpu_config=TorchInferenceRPUConfig()))
    found = take_over(mine)
    assert found.network is not None
    assert type(found.network[1]) is nn.Linear
    assert found.mapping is not None
    assert found.mapping.where == ("1",)
    network = take_over(Sequences()).network
    assert network is not None
    assert dp.convert(network, "ideal", example=torch.rand(2, 8)).layers


def test_layers_with_configurations_of_their_own_are_named() -> None:
    other = InferenceRPUConfig(noise_model=PCMLikeNoiseModel(prog_noise_scale=7.0))

    def choose(name: str, module: nn.Module, config: Any) -> Any:
        return other if name == "3" else config

    net = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4))
    found = take_over(convert_to_analog(net, InferenceRPUConfig(), specific_rpu_config_fun=choose))
    (text,) = (text for text in found.not_taken_over if text.startswith("rpu_config of 3 = "))
    assert "prog_noise_scale=7.0" in text
    assert found.device is not None
    assert found.device.name == "pcm-nandakumar-2019"


def test_a_tile_without_limit_is_as_large_as_the_largest_layer() -> None:
    found = take_over(convert_to_analog(digital(), StandardHWATrainingPreset()))
    assert found.mapping is not None
    assert (found.mapping.tile.rows, found.mapping.tile.columns) == (512, 10)
    alone = take_over(StandardHWATrainingPreset())
    assert any(
        text.startswith("mapping.max_input_size, mapping.max_output_size = 512, 0: ") for text in alone.not_taken_over
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (digital, "is digital already"),
        (lambda: dp.convert(digital(), "ideal").model, "the one that was given to driftproof.convert"),
        (lambda: 5, "a int came; wanted a network"),
        (lambda: digital().state_dict(), "has no layer on aihwkit's tiles"),
        (lambda: Path("nowhere.pt"), "no such file"),
    ],
)
def test_other_things_are_refused_with_what_was_wanted(source: Callable[[], Any], message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        take_over(source())


# --- checkpoints ---


@pytest.mark.parametrize("kind", ["compiled", "torch", "hardware-aware", "in part", "pulses"])
@pytest.mark.parametrize("given", ["digital", "analog"])
def test_state_dicts_are_read_without_running_code_of_the_file(kind: str, given: str, tmp_path: Path) -> None:
    analog = ANALOG[kind]()
    with torch.no_grad():  # other weights than those of the network that is given
        for tile in analog.analog_tiles():
            tile.set_weights(*(None if part is None else part * 0.5 for part in tile.get_weights()))
    torch.save({"epoch": 3, "state_dict": analog.state_dict()}, tmp_path / "sd.pt")
    network = digital() if given == "digital" else ANALOG[kind]()
    found, wanted = take_over(tmp_path / "sd.pt", network), take_over(analog)
    assert found.network is not None
    assert wanted.network is not None
    for name, value in wanted.network.state_dict().items():
        assert torch.equal(found.network.state_dict()[name], value), name
    assert not torch.allclose(found.network[3].weight, digital()[3].weight)
    assert found.not_taken_over == wanted.not_taken_over
    assert str(found.settings) == str(wanted.settings)


def test_mapped_layers_and_prefixes_of_wrappers_are_read(tmp_path: Path) -> None:
    analog: Any = nn.Sequential(AnalogLinearMapped(8, 4, rpu_config=TorchInferenceRPUConfig()))
    torch.save({f"module.{name}": value for name, value in analog.state_dict().items()}, tmp_path / "sd.pt")
    found = take_over(tmp_path / "sd.pt", nn.Sequential(nn.Linear(8, 4)))
    assert found.network is not None
    torch.testing.assert_close(found.network[0].weight, analog[0].get_weights()[0], atol=SAME, rtol=0)


def test_state_dicts_want_their_network(tmp_path: Path) -> None:
    state = ANALOG["compiled"]().state_dict()
    with pytest.raises(
        DriftproofError, match=r"2 layers on tiles: 0, 3\), .*give the network too.*from_aihwkit\(FILE, network\)"
    ):
        take_over(state)
    with pytest.raises(DriftproofError, match="layer 0 on tiles, where the network has no such layer"):
        take_over(state, nn.Linear(3, 4))
    with pytest.raises(DriftproofError, match="does not fit the network"):
        take_over(state, nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)))
    with pytest.raises(DriftproofError, match="belongs to a state dict"):
        take_over(InferenceRPUConfig(), digital())


def test_whole_networks_are_read(tmp_path: Path) -> None:
    analog = ANALOG["compiled"]()
    torch.save(analog, tmp_path / "net.pt")
    found = take_over(tmp_path / "net.pt")
    assert found.network is not None
    assert torch.equal(found.network[0].weight, take_over(analog).network[0].weight)


class Runs:
    """An object whose unpickling runs code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this code came from the file",))


class Users(nn.Module):
    """A network of a user's class."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)  # type: ignore[no-any-return]


def test_code_of_a_file_runs_with_consent_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(ANALOG["compiled"]().state_dict() | {"extra": Runs()}, tmp_path / "runs.pt")
    with pytest.raises(DriftproofError, match=r"builtins\.print, which can run code .*trust_pickle=True"):
        take_over(tmp_path / "runs.pt", digital())
    assert not capsys.readouterr().out
    # aihwkit's wrapper of the root cannot be saved as a whole
    torch.save(convert_to_analog(Users(), InferenceRPUConfig(), ensure_analog_root=False), tmp_path / "users.pt")
    with pytest.raises(DriftproofError, match=r"trust_pickle=True; or save the state dict"):
        take_over(tmp_path / "users.pt")
    found = take_over(tmp_path / "users.pt", trust_pickle=True)
    assert found.network is not None
    assert isinstance(found.network, Users)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    torch.save(ANALOG["compiled"]().state_dict(), tmp_path / "whole.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    for name, part in (("empty.pt", b""), ("cut.pt", content[: len(content) // 2]), ("text.pt", b"weights")):
        (tmp_path / name).write_bytes(part)
        with pytest.raises(DriftproofError, match=f"checkpoint .*{name}"):
            take_over(tmp_path / name, digital())


def test_weights_that_training_made_smaller_are_named() -> None:
    """After a training, a column's largest weight on the tile is no longer 1; here it gets the whole range."""
    config = ranged()
    config.mapping.weight_scaling_omega, config.mapping.weight_scaling_columnwise = 1.0, True

    def named(analog: Any) -> list[str]:
        return [text for text in dp.from_aihwkit(analog).not_taken_over if text.startswith("largest weights")]

    analog = convert_to_analog(digital(), config)
    assert named(analog) == []
    for tile in analog.analog_tiles():
        weights = tile.tile.get_weights().detach()
        tile.tile.set_weights(weights * torch.linspace(0.5, 0.9, len(weights))[:, None])
    (text,) = named(analog)
    assert " = 0.5 to 0.9: training has changed them from 1," in text
    assert "noise, ADC and full scale of the periphery are larger" in text
    assert "relative to the largest weight of the tile, here to that of the column" in text


def test_the_files_for_the_command_line_give_the_same_deployment(tmp_path: Path) -> None:
    config = ranged()
    config.noise_model = PCMLikeNoiseModel(prog_noise_scale=1.2)
    analog = convert_to_analog(digital(), config)
    for tile in analog.analog_tiles():
        tile.set_input_range(2.5)
    found = dp.from_aihwkit(analog)
    words = shlex.split(found.write(tmp_path / "files"))
    given = dict(zip(words[3::2], words[4::2], strict=True))
    assert words[:3] == ["driftproof", "evaluate", "MODEL"]
    device = dp.load_preset(given["--preset"])
    assert found.device is not None
    assert (device.name, device.sha256) == ("pcm-nandakumar-2019 [prog_noise_scale=1.2]", found.device.sha256)
    assert found.periphery is not None
    assert load_periphery(given["--periphery"]) == found.periphery.with_ranges(found.ranges)
    assert (given["--scale"], given["--compensation"]) == (found.settings["scale"], "tile")
    assert dp.TileSize.parse(given["--tile"]) == found.settings["tile"]
    network = digital()
    load_weights(network, given["--weights"])
    assert found.network is not None
    for one, other in zip(network.parameters(), found.network.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(DriftproofError, match="is not empty; choose a new folder"):
        found.write(tmp_path / "files")
    alone = dp.from_aihwkit(PCMLikeNoiseModel()).write(tmp_path / "alone")
    assert alone.startswith("driftproof evaluate MODEL --data DATA --preset")
    assert [path.name for path in (tmp_path / "alone").iterdir()] == ["device.toml"]
