"""Perfect devices are the digital network: bit for bit where the weights allow it, else the difference is said."""

from __future__ import annotations

import hashlib
import itertools
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

import driftproof as dp
from driftproof import DriftproofError, DriftproofWarning, TileSize
from driftproof._chip import Chip
from driftproof._conversion.digital import digital_network
from driftproof._mapping import map_model, map_weight
from driftproof._mapping.quantised import is_quantised
from driftproof.evaluation._folded import FoldedNetwork


def integers(shape: Any, low: int, high: int, seed: int) -> Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed)).float()


class Spiking(nn.Module):
    """Integrate-and-fire neurons: weights are multiples of a step, and the threshold is 1."""

    def __init__(self, bits: int, step: float) -> None:
        super().__init__()
        sizes = (48, 96, 64, 10)
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(sizes))
        self.to_steps(bits, step)

    def to_steps(self, bits: int, step: float) -> None:
        half = 2 ** (bits - 1)
        for seed, layer in enumerate(self.layers):
            layer.weight.data = integers(layer.weight.shape, 1 - half, half, seed) * step

    def forward(self, x: Tensor) -> Tensor:
        potentials: list[Any] = [0.0] * len(self.layers)
        rates: Any = 0
        for t in range(x.shape[1]):
            spikes = x[:, t]
            for k, layer in enumerate(self.layers):
                potentials[k] = potentials[k] + layer(spikes)
                spikes = (potentials[k] >= 1).to(x.dtype)
                potentials[k] = potentials[k] - spikes
            rates = rates + spikes
        return rates / x.shape[1]  # type: ignore[no-any-return]


class SpikingImages(nn.Module):
    """Spiking convolutions, plain, grouped and transposed, with biases; weights of 7 bits. Images are [N, 2, 8, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 8, 3, groups=4)
        self.c, self.head = nn.ConvTranspose2d(8, 6, 2, stride=2), nn.Linear(6 * 144, 7)
        for seed, layer in enumerate((self.a, self.b, self.c, self.head)):
            layer.weight.data = integers(layer.weight.shape, -60, 64, seed) / 64
            assert layer.bias is not None
            layer.bias.data = integers(layer.bias.shape, -8, 9, seed + 10) / 64

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.a, self.b, self.c):
            x = (layer(x) >= 0.25).to(x.dtype)
        return self.head(x.flatten(1))  # type: ignore[no-any-return]


class Rounded(nn.Module):
    """Eight-bit weights of several channels' scales, and activations that are rounded to integers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(24, 40), nn.Linear(40, 9)
        for seed, layer in enumerate((self.a, self.b)):
            channels = 2.0 ** -integers(torch.Size((len(layer.weight), 1)), 3, 7, seed + 4)
            layer.weight.data = integers(layer.weight.shape, -127, 128, seed) * channels
            layer.bias.data.fill_(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.round(self.b(torch.round(self.a(torch.round(x))).clamp(-128, 127)))


class Signs(nn.Module):
    """A binary network: its code makes weights ±1 of the parameters, and activations ±1 of the sums."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Parameter(torch.randn(64, 20)), nn.Parameter(torch.randn(5, 64))

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.linear(torch.sign(x), torch.sign(self.a)).sign()
        return F.linear(hidden, torch.sign(self.b))


class Normed(nn.Module):
    """Five-bit weights, and a BatchNorm before a sign: sums of 0 are exactly on the threshold."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(24, 40, bias=False), nn.BatchNorm1d(40), nn.Linear(40, 6, bias=False)
        for seed, layer in enumerate((self.a, self.b)):
            layer.weight.data = integers(layer.weight.shape, -15, 16, seed) / 16
        assert self.norm.running_var is not None
        self.norm.running_var.fill_(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.sign(self.norm(self.a(x))))  # type: ignore[no-any-return]


def spikes(n: int, *size: int) -> Tensor:
    return (torch.rand(n, *size, generator=torch.Generator().manual_seed(1)) < 0.3).float()


def given(name: str) -> tuple[nn.Module, Tensor]:
    """Return a network with thresholds, and inputs."""
    network: nn.Module
    if name.startswith("spiking"):
        bits, step = {"spiking-4": (4, 1 / 16), "spiking-8": (8, 1 / 256)}[name]
        network, inputs = Spiking(bits, step), spikes(150, 12, 48)
    elif name == "normed":
        network, inputs = Normed(), 2 * spikes(200, 24) - 1
    elif name == "images":
        network, inputs = SpikingImages(), spikes(60, 2, 8, 8)
    elif name == "rounded":
        network, inputs = Rounded(), integers(torch.Size((200, 24)), -40, 41, 9)
    else:
        network, inputs = Signs(), torch.randn(200, 20, generator=torch.Generator().manual_seed(2))
    return network.eval(), inputs


NAMES = ("spiking-4", "spiking-8", "images", "rounded", "signs", "normed")


@pytest.mark.parametrize("tile", [TileSize(512, 512), TileSize(20, 24)], ids=("one tile", "several"))
@pytest.mark.parametrize("name", NAMES)
def test_quantised_networks_are_the_same_to_the_last_bit_on_perfect_devices(name: str, tile: TileSize) -> None:
    network, x = given(name)
    analog = dp.convert(network, "ideal", example=x[:8], tile=tile)
    chip = dp.program(analog)
    mapping = map_model(network, tile, x[:8])
    folded = FoldedNetwork(network, mapping, x[:8])
    folded.load(Chip(mapping, dp.load_preset("ideal"), seed=0, chip=0), 1.0)
    with torch.no_grad():
        wanted = network(x)
        if name != "normed":
            assert torch.equal(network.double()(x.double()).float(), wanted)  # no sum is rounded
        network.float()
        assert len(wanted.unique(dim=0)) > 10
        assert torch.equal(analog.model(x), wanted)
        assert torch.equal(chip.model(x), wanted)
        assert torch.equal(chip.drift("1y").model(x), wanted)
        assert torch.equal(folded(x), wanted)


@pytest.mark.parametrize("backend", ["folded", "tiles"])
@pytest.mark.parametrize("name", ["spiking-4", "images"])
def test_evaluations_on_perfect_devices_give_the_digital_value(name: str, backend: Any) -> None:
    network, x = given(name)
    with torch.no_grad():
        y = network(x).argmax(1)
    # off by the float32 rounding of conductances
    exact = dp.load_preset("pcm-nandakumar-2019").without("levels", "programming", "drift", "read", "stuck")
    devices: list[Any] = ["ideal", "gaussian:0", "gaussian-layer:0", exact]
    cells = dp.evaluate(network, (x, y), presets=devices, times="1s", chips=1, backend=backend, progress=False).cells()
    assert dict(zip(cells["preset"], cells["value"], strict=True)) == dict.fromkeys(cells["preset"], 100.0)


class Scaled(nn.Module):
    """A linear layer as a tile computes it: by weights relative to the largest one of a column, scaled afterwards."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        mapped = map_weight("0", layer.weight)
        self.target, self.scale = mapped.target, mapped.scale[0]

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.target.T * self.scale


def test_the_network_without_this_care_loses_spikes() -> None:
    """That the tests above can fail: scaling after the product changes rates, and weights do not come back."""
    network, x = Spiking(8, 1 / 256).eval(), spikes(150, 12, 48)
    with torch.no_grad():
        wanted = network(x)
        first, *_ = layers = [Scaled(layer) for layer in network.layers if isinstance(layer, nn.Linear)]
        assert not torch.equal(first.target * first.scale[:, None], network.get_parameter("layers.0.weight"))
        network.layers = nn.ModuleList(layers)
        assert int((network(x) != wanted).any(1).sum()) > 15


def test_steps_that_are_no_power_of_two_are_exact_on_one_tile_and_said_on_several() -> None:
    network, x = Spiking(4, 0.1).eval(), spikes(150, 12, 48)
    with torch.no_grad():
        wanted = network(x)
        chip = dp.program(dp.convert(network, "ideal", example=x[:8]))
        assert torch.equal(chip.model(x), wanted)
    with pytest.warns(DriftproofWarning, match=r"differs from the digital one by up to 0.\d+ in \d of 8 outputs"):
        dp.convert(network, "ideal", example=x[:8], tile=TileSize(20, 24))
    record = None
    with pytest.warns(DriftproofWarning, match="ideal-analog differs from digital") as seen:
        record = dp.evaluate(
            network, (x, wanted.argmax(1)), presets="ideal", times="1s", chips=1, backend="tiles", progress=False,
            tile=TileSize(20, 24),
        )  # fmt: skip
    value = record.cells().set_index("preset")["value"]["ideal-analog"]
    assert value < 100
    assert any(f"accuracy in % is {value:.2f} instead of 100.00" in str(each.message) for each in seen)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # noise hides all rounding: nothing is said
        dp.convert(network, "pcm-nandakumar-2019", example=x[:8], tile=TileSize(20, 24))


def test_networks_without_thresholds_warn_of_nothing() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 3)).eval()
    x = torch.randn(100, 48)
    y = network(x).detach()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dp.convert(network, "ideal", example=x, tile=TileSize(20, 24))
        for backend in ("folded", "tiles"):
            dp.evaluate(
                network, (x, y + 1), presets="ideal", times="1s", chips=1, metric="mse", backend=backend,
                tile=TileSize(20, 24), progress=False,
            )  # fmt: skip


def test_peripheries_keep_the_scale_of_the_columns() -> None:
    """Converters see sums relative to the largest weight, whatever the weights are."""
    network, x = given("spiking-8")
    chip = dp.program(dp.convert(network, "ideal", example=x[:8], periphery="standard"))
    for name, layer in chip.tiled.items():
        for tile, split, columns in layer.tiles:
            mapped = layer.mapped
            assert torch.equal(tile.tile.get_weights(), mapped.target[columns, mapped.rows[split]]), name
            assert torch.equal(tile.get_mapping_scales(), mapped.scale[split, columns]), name


def test_saved_networks_and_chips_keep_quantised_weights(tmp_path: Path) -> None:
    network, x = given("spiking-8")
    analog = dp.convert(network, "ideal", example=x[:8])
    assert torch.equal(
        digital_network(analog).get_parameter("layers.0.weight"), network.get_parameter("layers.0.weight")
    )
    with torch.no_grad():
        wanted = network(x)
        fresh = Spiking(4, 1.0)
        again = dp.load(dp.save(analog, tmp_path / "converted"), fresh)
        assert torch.equal(again.model(x), wanted)
        chip = dp.load(dp.save(dp.program(analog), tmp_path / "programmed"), fresh)
        assert torch.equal(chip.model(x), wanted)
        alone = dp.load(dp.save(dp.program(analog).chip, tmp_path / "chip"))
        assert torch.equal(alone.weight("layers.0", 1.0), network.get_parameter("layers.0.weight"))


def test_files_of_older_versions_give_what_they_gave(tmp_path: Path) -> None:
    """They do not know what the division lost: their weights are targets times scales."""
    network, x = given("spiking-8")
    analog = dp.convert(network, "ideal", example=x[:8])
    folder = dp.save(dp.program(analog), tmp_path / "saved")
    tensors = load_file(folder / "weights.safetensors")
    assert {name for name in tensors if name.startswith("lost/")} == {f"lost/layers.{k}" for k in range(3)}
    rewrite(folder, {name: value for name, value in tensors.items() if not name.startswith("lost/")})
    chip: Any = dp.load(folder, Spiking(4, 1.0))
    for k in range(3):
        name = f"layers.{k}"
        product = tensors[f"target/{name}"] * tensors[f"scale/{name}"].T
        assert torch.equal(chip.chip.weight(name, 1.0), product)
        (tile, split, columns), *others = chip.tiled[name].tiles
        assert not others
        assert torch.equal(tile.tile.get_weights(), tensors[f"target/{name}"])
        assert torch.equal(tile.get_mapping_scales(), tensors[f"scale/{name}"][split, columns])
    for wrong in (torch.zeros(3, dtype=torch.int8), torch.zeros(96, 48)):
        rewrite(folder, tensors | {"lost/layers.0": wrong})
        with pytest.raises(
            DriftproofError, match=r"tensor 'lost/layers.0' is torch\.\w+ \[.*\], wanted torch.int8 \[\] or"
        ):
            dp.load(folder, Spiking(4, 1.0))


def rewrite(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Replace the tensors of a saved folder."""
    save_file(tensors, folder / "weights.safetensors")
    form = json.loads((folder / "converted.json").read_text())
    form["weights_sha256"] = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    (folder / "converted.json").write_text(json.dumps(form))


def test_what_counts_as_quantised() -> None:
    torch.manual_seed(0)
    weights = torch.randn(200, 300)
    assert not is_quantised(weights)
    assert not is_quantised(weights * (weights.abs() > 1))  # pruned
    assert not is_quantised(weights[:, :3])
    assert is_quantised((weights * 20).round() * 0.013)
    assert is_quantised((weights[:2, :3] * 20).round() / 512)
    assert is_quantised(torch.zeros(3, 4))
    assert is_quantised(torch.tensor([[1.0]]))
    assert not is_quantised(torch.zeros(0, 4))
