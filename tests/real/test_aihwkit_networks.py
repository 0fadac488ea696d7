"""Networks and checkpoints of aihwkit: analog ones are refused with the way out, digital ones are like any other."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from aihwkit.nn import (
    AnalogConv2dMapped,
    AnalogLinear,
    AnalogLinearMapped,
    AnalogLSTMCell,
    AnalogRNN,
    AnalogSequential,
)
from aihwkit.nn.conversion import convert_to_analog, convert_to_digital
from aihwkit.simulator.configs import (
    FloatingPointRPUConfig,
    InferenceRPUConfig,
    SingleRPUConfig,
    TorchInferenceRPUConfig,
)
from safetensors.torch import save_file
from torch import Tensor, nn

import driftproof as dp
from driftproof import DriftproofError
from driftproof._cli.app import main
from driftproof._mapping import map_model
from driftproof.evaluation import Evaluator
from driftproof.zoo._weights import load_weights

WAY_OUT = r"on analog tiles already: .*convert_to_digital"


def digital() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()


class Mine(AnalogLinear):  # type: ignore[misc]
    """A user's subclass of aihwkit's layer, in a module of the user's."""


class Deep(nn.Module):
    """One analog layer deep inside a digital network."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"a": nn.Sequential(nn.Linear(8, 8), nn.ReLU())})
        self.parts["b"] = nn.ModuleList([nn.Linear(8, 6), Mine(6, 4, rpu_config=TorchInferenceRPUConfig())])

    def forward(self, x: Tensor) -> Tensor:
        x = self.parts["a"](x)
        for part in self.parts["b"].children():
            x = part(x)
        return x


class Sequences(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = AnalogRNN(AnalogLSTMCell, 2, 5, rpu_config=TorchInferenceRPUConfig())
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cells(x.view(-1, 4, 2).transpose(0, 1))[0][-1])  # type: ignore[no-any-return]


ANALOG: dict[str, Callable[[], nn.Module]] = {
    "wholly, compiled": lambda: convert_to_analog(digital(), InferenceRPUConfig()),
    "wholly, torch": lambda: convert_to_analog(digital(), TorchInferenceRPUConfig()),
    "pulses": lambda: convert_to_analog(digital(), SingleRPUConfig()),
    "floating point": lambda: convert_to_analog(digital(), FloatingPointRPUConfig()),
    "sequential": lambda: AnalogSequential(nn.Flatten(), AnalogLinear(8, 4, rpu_config=TorchInferenceRPUConfig())),
    "one layer": lambda: AnalogLinear(8, 4, rpu_config=TorchInferenceRPUConfig()),
    "in part": lambda: nn.Sequential(digital()[0], AnalogLinearMapped(16, 4, rpu_config=TorchInferenceRPUConfig())),
    "images": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 2, 2)), AnalogConv2dMapped(2, 4, 2, rpu_config=TorchInferenceRPUConfig()), nn.Flatten()
    ),
    "deep inside": Deep,
    "recurrent": Sequences,
    "compiled by torch": lambda: torch.compile(Deep()),  # type: ignore[dict-item,return-value]
    "of driftproof": lambda: dp.convert(digital(), "ideal").model,
    "a chip's": lambda: dp.program(dp.convert(nn.Sequential(nn.Conv1d(8, 4, 1), nn.Flatten()), "ideal")).model,
}


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(20, 8, generator=torch.Generator().manual_seed(1)), torch.arange(20) % 4


def step(network: nn.Module) -> None:
    x, y = batch()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    dp.Plain().step(lambda: nn.functional.cross_entropy(network(x), y), network, optimizer)


CALLS: dict[str, Callable[[nn.Module], Any]] = {
    "evaluate": lambda n: dp.evaluate(n, batch(), presets="ideal", times="1s", chips=1, progress=False),
    "tiles": lambda n: dp.evaluate(n, batch(), presets="ideal", times="1s", chips=1, backend="tiles", progress=False),
    "Evaluator": lambda n: Evaluator(n, batch()),
    "convert": lambda n: dp.convert(n, "ideal"),
    "convert, watched": lambda n: dp.convert(n, "ideal", example=batch()[0]),
    "to_aihwkit": lambda n: dp.to_aihwkit(n),
    "map_model": map_model,
    "train": lambda n: dp.train(n, batch(), epochs=1, lr=0.01, batch_size=10, progress=False),
    "step": step,
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", ANALOG)
def test_analog_networks_are_refused_with_the_way_out(kind: str, call: str) -> None:
    network = ANALOG[kind]()
    with pytest.raises(DriftproofError, match=WAY_OUT):
        CALLS[call](network)


def test_the_message_names_the_layers_as_the_user_knows_them() -> None:
    with pytest.raises(DriftproofError, match=r"the network Deep is on analog tiles already: parts\.b\.1 \(Mine\)\. "):
        dp.convert(Deep(), "ideal")


def test_saved_networks_are_not_loaded_into_analog_ones(tmp_path: Path) -> None:
    folder = dp.save(dp.convert(digital(), "ideal"), tmp_path / "saved")
    with pytest.raises(DriftproofError, match=WAY_OUT):
        dp.load(folder, convert_to_analog(digital(), TorchInferenceRPUConfig()))


@pytest.mark.parametrize("kind", ["wholly, compiled", "wholly, torch", "in part", "recurrent"])
def test_the_way_out_leads_to_the_digital_network(kind: str) -> None:
    """Also for aihwkit's own recurrent modules, which keep their classes when they are digital."""
    network = convert_to_digital(ANALOG[kind]()).eval()
    x, y = batch()
    with torch.no_grad():
        wanted = network(x)
        chip = dp.program(dp.convert(network, "ideal", example=x))
        torch.testing.assert_close(chip.model(x), wanted, rtol=1e-5, atol=1e-5)
    cells = dp.evaluate(network, (x, y), presets="ideal", times="1s", chips=1, progress=False).cells()
    assert cells["value"].nunique() == 1


def test_an_analog_container_of_digital_layers_is_digital() -> None:
    assert dp.convert(AnalogSequential(digital()), "ideal").layers[0].analog


def only_tensors(state: dict[str, Any]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.items() if type(value) is Tensor}


@pytest.mark.parametrize("kind", ["wholly, compiled", "wholly, torch", "in part", "recurrent", "pulses"])
def test_checkpoints_of_analog_networks_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    state = ANALOG[kind]().state_dict()
    network = digital()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    files = [tmp_path / name for name in ("all.pt", "wrapped.pth", "tensors.pt", "tensors.safetensors")]
    torch.save(state, files[0])
    torch.save({"epoch": 3, "state_dict": state}, files[1])
    torch.save(only_tensors(state), files[2])
    save_file(only_tensors(state), files[3])
    for file in files:
        with pytest.raises(
            DriftproofError, match=r"belong to layers on aihwkit's tiles: .*convert_to_digital"
        ) as error:
            load_weights(network, file)
        assert file.name in str(error.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    torch.save(convert_to_digital(ANALOG[kind]()).state_dict(), files[0])
    if kind in ("wholly, compiled", "wholly, torch", "pulses"):
        load_weights(network, files[0])


def test_the_command_line_refuses_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nets.py").write_text(
        "import torch\nfrom torch import nn\nfrom aihwkit.nn.conversion import convert_to_analog\n"
        "from aihwkit.simulator.configs import TorchInferenceRPUConfig\n"
        "def digital():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
        "def analog():\n    return convert_to_analog(digital(), TorchInferenceRPUConfig())\n"
    )
    analog = convert_to_analog(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), TorchInferenceRPUConfig())
    torch.save(analog.state_dict(), tmp_path / "analog.pt")
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).state_dict(), tmp_path / "digital.pt")
    monkeypatch.chdir(tmp_path)
    evaluation = ["--data", "digits", "--preset", "ideal", "--out", "record", "--times", "1s", "--chips", "1"]
    training = ["--data", "digits", "--method", "plain", "--epochs", "1", "--out", "trained"]
    for words in (
        ["evaluate", "nets.py:analog", *evaluation],
        ["evaluate", "nets.py:digital", "--weights", "analog.pt", *evaluation],
        ["evaluate", "nets.py:analog", "--weights", "digital.pt", *evaluation],
        ["convert", "nets.py:analog", "--preset", "ideal"],
        ["train", "nets.py:analog", *training],
        ["train", "nets.py:digital", "--weights", "analog.pt", *training],
    ):
        monkeypatch.setattr(sys, "argv", ["driftproof", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        assert stop.value.code == 2, printed.err
        assert "convert_to_digital" in " ".join(printed.err.split()), (words, printed.err)
