"""Everything that computes, on a GPU: the same laws and answers as on a CPU. Without a GPU nothing of it runs."""

from __future__ import annotations

import copy
import math
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof.arrays import input_ranges
from driftproof.data import digits
from driftproof.evaluation import Deployment, Evaluator, FoldedNetwork, TilesNetwork, Trial
from driftproof.evaluation._executor import Request, computed
from driftproof.evaluation._many_chips import AGREEMENT_ALONE, MEMORY_BYTES, MOST_CHIPS, ManyChips
from driftproof.periphery import DynamicRange, StaticRange, load_periphery
from driftproof.zoo import trained_digits_cnn
from training.small import NAMES, Small, method_of, sgd

# the tests themselves can be tried out on a CPU with DRIFTPROOF_TEST_DEVICE=cpu
DEVICE = os.environ.get("DRIFTPROOF_TEST_DEVICE", "cuda")
pytestmark = pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA GPU")

BACKENDS: tuple[Any, ...] = ("folded", "tiles")
PCM, SONOS = "pcm-nandakumar-2019", "sonos-agrawal-2022"
STANDARD = load_periphery("standard")
PERIPHERIES = {
    "ideal": load_periphery("ideal"),
    "static": STANDARD.with_changes(input_range=StaticRange(method="maximum")),
    "dynamic": STANDARD.with_changes(input_range=DynamicRange()),
}


@pytest.fixture(autouse=True)
def exact_products() -> Any:
    """Let products be float32's, so that sums differ by rounding alone."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False, deterministic=True):
        yield


def images(number: int = 64) -> Tensor:
    inputs, _ = next(iter(digits().head(number).batches(number)))
    assert isinstance(inputs, Tensor)
    return inputs


@pytest.mark.parametrize("backend", ["folded", "tiles"])
def test_an_evaluation_repeats_itself_and_is_the_cpus_within_chips(backend: Any) -> None:
    def rows(torch_device: str) -> dict[tuple[Any, ...], Any]:
        record = dp.evaluate(
            trained_digits_cnn(),
            digits().head(300),
            presets=["ideal", PCM, "reram-wan-2022"],
            times=["1s", "1d"],
            chips=8,
            backend=backend,
            torch_device=torch_device,
        )
        table = dp.summarise(record)
        return {(row.preset, row.t_s): row.mean for row in table.itertuples()}

    gpu, again, cpu = rows(DEVICE), rows(DEVICE), rows("cpu")
    assert gpu == again
    assert gpu.keys() == cpu.keys()
    # other random numbers, so other chips: 8 of each, whose accuracy varies by up to 3 points; false alarm < 1e-4
    for key, value in gpu.items():
        assert abs(value - cpu[key]) < (0.4 if key[0] in ("digital", "ideal") else 6), (key, value, cpu[key])


@pytest.mark.parametrize("kind", PERIPHERIES)
@pytest.mark.parametrize("device", [PCM, SONOS])
def test_both_backends_agree(kind: str, device: str) -> None:
    model, x = trained_digits_cnn().to(DEVICE).eval(), images().to(DEVICE)
    mapping = dp.map_model(model, example=x)
    periphery = PERIPHERIES[kind]
    ranges = input_ranges(model, mapping, periphery, [x])
    chip = dp.Chip(mapping, dp.load_preset(device), seed=0, chip=0)
    folded = FoldedNetwork(model, mapping, x, periphery=periphery, ranges=ranges)
    tiles = TilesNetwork(model, mapping, periphery, ranges)
    for backend in (folded, tiles):
        backend.load(chip, 86400.0)
    gap = (folded(x) - tiles(x)).abs()
    assert folded(x).device.type == torch.device(DEVICE).type
    # rounding moves a few conversions by one step: the mean stays far below that
    assert float(gap.mean() / tiles(x).abs().mean()) < (1e-5 if kind == "ideal" else 2e-2)


@pytest.mark.parametrize("device", [PCM, SONOS, "pcm-hermes-1"])
def test_a_converted_network_and_its_saved_chip(device: str, tmp_path: Path) -> None:
    model, x = trained_digits_cnn().to(DEVICE), images().to(DEVICE)
    chip = dp.program(dp.convert(model, device, example=x)).drift("1d")
    dp.save(chip, tmp_path / "chip")
    with torch.no_grad():
        outputs = chip.model(x)
    assert outputs.device.type == torch.device(DEVICE).type
    loaded = dp.load(tmp_path / "chip", trained_digits_cnn().to(DEVICE))
    assert isinstance(loaded, dp.ProgrammedChip)
    assert loaded.t_s == 86400.0
    assert float((loaded.model(x) - outputs).abs().max() / outputs.abs().max()) < 1e-4
    if DEVICE == "cuda":  # its read noise has other numbers there
        with pytest.warns(dp.DriftproofWarning, match="programmed on cuda and is loaded on cpu"):
            dp.load(tmp_path / "chip", trained_digits_cnn())


@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_on_the_gpu_and_leaves_the_random_stream_of_its_passes(name: str) -> None:
    torch.manual_seed(0)
    network = Small(dropout=0.3).to(DEVICE)
    method, optimizer = method_of(name), sgd(network)
    method.begin(10)
    inputs, classes = torch.randn(8, 1, 4, 4, device=DEVICE), torch.arange(8, device=DEVICE) % 3
    before = copy.deepcopy(network.state_dict())
    for _ in range(3):
        loss = method.step(lambda: nn.functional.cross_entropy(network(inputs), classes), network, optimizer)
        assert math.isfinite(float(loss))
    after = network.state_dict()
    assert all(part.device.type == torch.device(DEVICE).type for part in after.values())
    assert not torch.equal(before["conv.weight"], after["conv.weight"])
    assert all(bool(torch.isfinite(part).all()) for part in after.values())


def test_plain_is_the_plain_loop_bit_for_bit() -> None:
    def trained(steps: bool) -> tuple[dict[str, Tensor], Tensor]:
        torch.manual_seed(0)
        network = Small(dropout=0.3).to(DEVICE)
        optimizer, method = sgd(network), dp.Plain()
        inputs, classes = torch.randn(8, 1, 4, 4, device=DEVICE), torch.arange(8, device=DEVICE) % 3
        for _ in range(4):
            if steps:
                method.step(lambda: nn.functional.cross_entropy(network(inputs), classes), network, optimizer)
                continue
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs), classes).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return network.state_dict(), torch.rand(3, device=DEVICE)

    (one, next_one), (other, next_other) = trained(True), trained(False)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(next_one, next_other)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_training_stopped_in_the_middle_ends_as_the_unbroken_one(precision: Any, tmp_path: Path) -> None:
    images, classes = torch.randn(64, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 3
    torch.manual_seed(3)
    network = Small()

    def run(out: Path, stop: bool = False) -> nn.Module:
        def validate(_: nn.Module) -> float:
            if stop:
                raise KeyboardInterrupt
            return 1.0

        return dp.train(
            network,
            (images, classes),
            method=dp.RWP(noise=f"{PCM}@1d", strength=0.5),
            epochs=3,
            batch_size=16,
            precision=precision,
            torch_device=DEVICE,
            validate=validate,
            out=out,
        ).model

    whole = run(tmp_path / "whole").state_dict()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", stop=True)
    parts = run(tmp_path / "parts").state_dict()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert not all(torch.equal(part.cpu(), network.state_dict()[name]) for name, part in whole.items())


class Deep(nn.Module):
    """Twelve convolutions with norms: rounding of TF32 products adds up."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for number in range(12):
            layers += [nn.Conv2d(1 if number == 0 else 16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()]
        self.layers, self.head = nn.Sequential(*layers), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x).mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("backend", BACKENDS)
def test_products_in_tf32_are_no_fault_of_a_network(backend: Any) -> None:
    """Rounding to ten bits is neither samples that see each other, nor chance, nor a fault of folding."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=True), warnings.catch_warnings():
        warnings.simplefilter("error", dp.DriftproofWarning)
        network, data = Deep().eval(), digits().head(200)
        record = dp.evaluate(
            network, data, presets="gaussian:0.05", times="1s", chips=2, backend=backend, torch_device=DEVICE
        )
        assert len(dp.summarise(record)) == 3


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x -= x.mean()
        return self.layer(x.flatten(1))  # type: ignore[no-any-return]


def test_the_users_things_stay_as_they_were() -> None:
    network, x = InPlace().to(DEVICE), images().to(DEVICE)
    before, kept = copy.deepcopy(network.state_dict()), x.clone()
    torch.manual_seed(5)
    wanted = torch.rand(3, device=DEVICE)
    torch.manual_seed(5)
    dp.program(dp.convert(network, PCM, example=x)).drift("1d").model(x.clone())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dp.DriftproofWarning)
        dp.evaluate(network, (x.cpu(), torch.arange(64) % 10), presets=PCM, times="1s", chips=1, torch_device=DEVICE)
    assert torch.equal(torch.rand(3, device=DEVICE), wanted)
    assert torch.equal(x, kept)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_perfect_device_gives_quantised_weights_bit_for_bit() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(12, 40, bias=False), nn.Linear(40, 4, bias=False)).to(DEVICE).eval()
    with torch.no_grad():
        for layer in network:
            layer.get_parameter("weight").mul_(24).round_().div_(16)
    x = torch.randint(0, 2, (64, 12), device=DEVICE).float()
    chip = dp.program(dp.convert(network, "ideal", example=x)).drift("1s")
    with torch.no_grad():
        assert torch.equal(chip.model(x), network(x))


def test_a_gradient_without_a_step_is_the_steps() -> None:
    def trained(steps: bool) -> dict[str, Tensor]:
        torch.manual_seed(0)
        network = Small(dropout=0.0).to(DEVICE)
        optimizer, method = sgd(network), dp.RWP(noise="gaussian:0.1")
        inputs, classes = torch.randn(8, 1, 4, 4, device=DEVICE), torch.arange(8, device=DEVICE) % 3
        for _ in range(3):
            if steps:
                method.step(lambda: nn.functional.cross_entropy(network(inputs), classes), network, optimizer)
            else:
                method.gradient(lambda: nn.functional.cross_entropy(network(inputs), classes), network)
                optimizer.step()
                optimizer.zero_grad()
        return network.state_dict()

    one, other = trained(True), trained(False)
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_recalibration_and_validation() -> None:
    data = (torch.randn(64, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 3)
    other = torch.randn(32, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    record = dp.evaluate(
        Small().eval(),
        data,
        presets=PCM,
        times="1d",
        chips=2,
        recalibrate=dp.Recalibration((other, data[1][:32])),
        torch_device=DEVICE,
    )
    assert len(dp.summarise(record)) >= 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dp.DriftproofWarning)
        done = dp.train(
            Small(),
            data,
            method=dp.SAM(rho=0.05),
            epochs=2,
            batch_size=16,
            torch_device=DEVICE,
            validate=dp.ChipValidation(data=data, preset=PCM, chips=2),
        )
    assert done is not None


def test_many_chips_in_one_pass_are_those_of_one_at_a_time() -> None:
    evaluator = Evaluator(trained_digits_cnn(), digits().head(300), torch_device=DEVICE)
    deployment = Deployment(device=PCM)
    hardware, x = evaluator.ready(deployment), images().to(DEVICE)
    many = ManyChips(hardware.network, 8)
    alone = []
    for chip in range(8):
        network = hardware.become(Trial(deployment, chip, 3600.0))
        many.take(chip)
        alone.append(network(x))
    for outputs, wanted in zip(many(x), alone, strict=True):
        assert float((outputs - wanted).abs().max()) <= AGREEMENT_ALONE * float(wanted.abs().max())
    trials = [Trial(deployment, chip, t_s) for chip in range(5) for t_s in (1.0, 3600.0)]
    together = [outcome for _, outcome in computed(evaluator, [Request(trial) for trial in trials])]
    for trial, outcome in zip(trials, together, strict=True):
        assert abs(outcome.value - evaluator(trial).value) <= 100 / 300  # rounding may turn an answer at a tie


@pytest.mark.skipif(DEVICE != "cuda", reason="the memory of a GPU")
def test_a_gpu_computes_many_chips_at_once_within_the_memory_for_them() -> None:
    evaluator = Evaluator(trained_digits_cnn(), digits(), torch_device=DEVICE)
    deployment = Deployment(device=PCM)
    many = evaluator.ready(deployment).many
    assert many is not None
    assert many.number == MOST_CHIPS
    peaks = []
    for chips in (1, 3):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        trials = [Trial(deployment, chip, 1.0) for chip in range(chips * MOST_CHIPS)]
        assert len(list(computed(evaluator, [Request(trial) for trial in trials]))) == len(trials)
        peaks.append(torch.cuda.max_memory_allocated() - before)
    assert max(peaks) <= MEMORY_BYTES
    assert peaks[1] <= 1.05 * peaks[0]
