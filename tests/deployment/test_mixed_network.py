"""Configurations of digital layers: each is the network with those layers' own weights, all on the same chips."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from driftproof.chip import Chip
from driftproof.data import TensorData, digits
from driftproof.deployment import Cells, Conditions, MixedNetwork, mixed_network
from driftproof.errors import DriftproofError, DriftproofWarning
from driftproof.mapping import TileSize, map_model
from driftproof.presets import load_preset
from driftproof.zoo import trained_digits_cnn

PCM, YEAR = "pcm-hermes-1", "1y"
SOME = digits().head(120)
MODEL = trained_digits_cnn()
LAYERS = ("conv1", "conv2", "fc1", "fc2")


def reference(digital: tuple[str, ...], chip_number: int) -> float:
    """Accuracy of a copy of the network whose other layers have a chip's weights written into them, one by one."""
    network = copy.deepcopy(MODEL).eval()
    chip = Chip(map_model(network, example=SOME.inputs[:1]), load_preset(PCM), seed=0, chip=chip_number)
    for name in LAYERS:
        if name not in digital:
            network.get_submodule(name).weight.data = chip.weight(name, 31_536_000.0)
    with torch.inference_mode():
        return 100.0 * float((network(SOME.inputs).argmax(1) == SOME.targets).double().mean())


def test_a_configuration_is_the_network_with_some_layers_exact() -> None:
    sets = [(), ("conv1",), ("conv2", "fc2"), LAYERS]
    values = MixedNetwork(MODEL, SOME).measure(PCM, YEAR, SOME, chips=range(2), configurations=sets)
    wanted = [[reference(digital, chip) for digital in sets] for chip in range(2)]
    assert values == pytest.approx(np.array(wanted))
    assert len(set(values.reshape(-1).tolist())) > 3  # so that one configuration is not taken for another


def test_a_configuration_does_not_depend_on_what_is_measured_beside_it() -> None:
    alone = MixedNetwork(MODEL, SOME).measure(PCM, YEAR, SOME, chips=[3], configurations=[("conv1",)])
    sets = [("fc2",), LAYERS, (), ("conv1",)]
    among = MixedNetwork(MODEL, SOME).measure(PCM, YEAR, SOME, chips=[1, 3], configurations=sets)
    assert alone[0, 0] == among[1, 3]


def test_nothing_is_measured_twice(tmp_path, monkeypatch) -> None:
    path = tmp_path / "cells.csv"
    sets = [(), ("fc1", "conv1"), LAYERS]
    first = MixedNetwork(MODEL, SOME, cells=Cells(path)).measure(PCM, YEAR, SOME, chips=range(2), configurations=sets)

    def refuse(*_: object) -> float:
        raise AssertionError("measured again")

    monkeypatch.setattr(mixed_network, "score", refuse)
    again = MixedNetwork(MODEL, SOME, cells=Cells(path))
    # the order of names does not matter
    sets[1] = ("conv1", "fc1")
    assert (again.measure(PCM, YEAR, SOME, chips=range(2), configurations=sets) == first).all()
    others = ({"seed": 1}, {"compensation": "none"}, {"metric": "f1"}, {"clip": 99.0}, {"tile": TileSize(20, 20)})
    for other in (Conditions(**changed) for changed in others):
        fresh = MixedNetwork(MODEL, SOME, other, Cells(path))
        with pytest.raises(AssertionError, match="measured again"):
            fresh.measure(PCM, YEAR, SOME, chips=[0], configurations=[()])
    for data, device, t in ((SOME.head(100), PCM, YEAR), (SOME, "ideal", YEAR), (SOME, PCM, "1d")):
        with pytest.raises(AssertionError, match="measured again"):
            again.measure(device, t, data, chips=[0], configurations=[()])


def test_changed_code_is_noticed_by_the_digital_network() -> None:
    class Moody(nn.Module):
        """Its answers depend on what its weights do not show."""

        flipped = False

        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2, bias=False)
            self.fc.weight.data = torch.eye(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -self.fc(x) if self.flipped else self.fc(x)

    data = TensorData("two", torch.eye(2).repeat(10, 1), torch.tensor([0, 1]).repeat(10))
    cells, model = Cells(), Moody()
    assert MixedNetwork(model, data, cells=cells).digital(data) == 100.0
    assert MixedNetwork(model, data, cells=cells).digital(data) == 100.0
    model.flipped = True
    with pytest.raises(DriftproofError, match=r"now it is 0\.00: the network's code or the metric has changed"):
        MixedNetwork(model, data, cells=cells).digital(data)


def test_the_analog_share_counts_every_product_of_the_network() -> None:
    mixed = MixedNetwork(MODEL, SOME)
    assert mixed.analog_share(()) == mixed.analog_share((), "weights") == 100.0
    assert mixed.analog_share(LAYERS) == 0.0
    sizes = {name: entry.macs_per_input for name, entry in mixed.layers.items()}
    # 16 filters of 3 × 3 on 8 × 8 pixels
    assert sizes["conv1"] == 16 * 9 * 64
    assert mixed.analog_share(["conv1"]) == pytest.approx(100 * (1 - sizes["conv1"] / sum(sizes.values())))
    inner = MixedNetwork(MODEL, SOME, Conditions(where="!conv1"))
    assert list(inner.layers) == ["conv2", "fc1", "fc2"]
    assert inner.analog_share(()) == mixed.analog_share(["conv1"])


def test_layers_that_are_not_there_are_named() -> None:
    mixed = MixedNetwork(MODEL, SOME)
    with pytest.raises(DriftproofError, match=r"no layer 'conv3' is on tiles \(did you mean conv2\?\)"):
        mixed.measure(PCM, YEAR, SOME, chips=[0], configurations=[["conv3"]])
    with pytest.raises(DriftproofError, match="came as a text, 'conv1'"):
        mixed.measure(PCM, YEAR, SOME, chips=[0], configurations=["conv1"])


def test_a_periphery_is_around_the_analog_layers_only() -> None:
    standard = Conditions(periphery="standard", calibration=digits("train").head(100))
    mixed = MixedNetwork(MODEL, SOME, standard)
    sets = [(), LAYERS]
    values = mixed.measure("ideal", "1s", SOME, chips=range(3), configurations=sets)
    assert (values[:, 1] == mixed.digital(SOME)).all()
    rough = load_rough()
    noisy = MixedNetwork(MODEL, SOME, Conditions(periphery=rough, calibration=digits("train").head(100)))
    assert noisy.measure("ideal", "1s", SOME, chips=[0], configurations=sets)[0, 0] < values[0, 1] - 5
    with pytest.warns(DriftproofWarning, match="static input ranges are measured on the first 120"):
        MixedNetwork(MODEL, SOME, Conditions(periphery="standard"))


def load_rough():
    from driftproof.periphery import load_periphery

    return load_periphery("standard").with_changes(adc_bits=2, dac_bits=2)
