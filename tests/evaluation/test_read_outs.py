"""A calibration reads the chip in a read-out of its own: compensation, BatchNorm statistics, both backends, records."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof._batch_norm import batch_norms
from driftproof._compensation import factor, least_squares, mean_magnitude
from driftproof._devices import ONE_READ_OUT, ReadOuts
from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._mapping import map_model
from driftproof._record import Record
from driftproof._reporting import export
from driftproof.data import TensorData
from driftproof.evaluation import Deployment, Evaluator, FoldedNetwork, Recalibration, TilesNetwork, Trial
from driftproof.evaluation._hardware import Hardware
from driftproof.measured import save_conductances
from driftproof.plans import sensitivity
from driftproof.plans._grid import on_perfect_devices
from synthetic_record import conditions, configuration

PCM, CMO = "pcm-nandakumar-2019", "reram-cmo-2pct"
DAY, YEAR = 86_400.0, 31_536_000.0
WAYS = ("fast=read-out", "fast=mvm", "duration_s=0,pause_s=0")


class Net(nn.Module):
    """A convolution and a linear layer, each before a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.first = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.fc, self.second = nn.Linear(4 * 36, 6), nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.second(self.fc(torch.relu(self.first(self.conv(x))).flatten(1)))
        return outputs


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return Net().eval()


def labelled(n: int, seed: int) -> TensorData:
    source = torch.Generator().manual_seed(seed)
    return TensorData(f"set{seed}", torch.randn(n, 1, 8, 8, generator=source), torch.randint(6, (n,), generator=source))


TEST, SOME = labelled(60, 1), labelled(40, 2)


def statistics(network: nn.Module) -> list[Tensor]:
    return [buffer.clone() for norm in batch_norms(network) for buffer in norm.buffers()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# --- drift compensation ---


@pytest.mark.parametrize("read_outs", WAYS)
@pytest.mark.parametrize("per", ["tile", "column"])
def test_the_compensation_is_measured_in_the_read_out_that_calibrates(net: nn.Module, per: Any, read_outs: str) -> None:
    mapping = map_model(net, dp.TileSize(60, 4))
    made = {kind: dp.Chip(mapping, dp.load_preset(PCM), seed=0, chip=0, compensation=kind, read_outs=read_outs)
            for kind in (per, f"exact:per={per}")}  # fmt: skip
    for kind, chip in made.items():
        array, mapped = chip.arrays["fc"], chip.weights["fc"]
        nets = {which: array.net(YEAR, read_out=getattr(chip.read_outs, which)) for which in ("use", "calibration")}
        if kind == per:
            reference = mean_magnitude(mapped, array.net(0.0, read_noise=False), per)
            by = {which: factor(reference, mean_magnitude(mapped, now, per)) for which, now in nets.items()}
        else:
            by = {which: least_squares(mapped, mapped.target, now, per) for which, now in nets.items()}
        reading = chip.read("fc", YEAR)
        assert torch.equal(reading.net, nets["use"])
        assert torch.equal(reading.alpha, by["calibration"])
        assert torch.equal(reading.alpha, by["use"]) == (read_outs != "fast=read-out")
        calibrating = chip.read("fc", YEAR, to_calibrate=True)
        assert torch.equal(calibrating.net, nets["calibration"])
        assert torch.equal(calibrating.alpha, reading.alpha)


def test_a_factor_that_is_kept_was_measured_in_a_calibration_too(net: nn.Module) -> None:
    chip = dp.Chip(map_model(net), dp.load_preset(PCM), seed=0, chip=0, compensation="column:every_s=1d")
    array, mapped = chip.arrays["fc"], chip.weights["fc"]
    reference = mean_magnitude(mapped, array.net(0.0, read_noise=False), "column")
    measured = array.net(DAY, read_out=chip.read_outs.calibration)
    wanted = factor(reference, mean_magnitude(mapped, measured, "column"))
    for t_s in (1.5 * DAY, DAY, 1.2 * DAY):
        assert torch.equal(chip.read("fc", t_s).alpha, wanted)


# --- BatchNorm ---


@pytest.mark.parametrize("read_outs", WAYS)
@pytest.mark.parametrize("when", ["programming", "time"])
def test_statistics_come_from_the_calibration_and_weights_from_the_use(
    net: nn.Module, when: Any, read_outs: str
) -> None:
    deployment = Deployment(device=PCM, recalibration=Recalibration(SOME, when), read_outs=read_outs)
    evaluator = Evaluator(net, TEST, batch_size=20)
    hardware = Hardware(evaluator, deployment)
    network = hardware.become(Trial(deployment, 0, YEAR))
    assert isinstance(network, FoldedNetwork)

    chip = dp.Chip(map_model(net), dp.load_preset(PCM), seed=0, chip=0, read_outs=read_outs)
    by_hand = FoldedNetwork(net, map_model(net), TEST.inputs, fold=False)
    at_s = YEAR if when == "time" else 0.0
    found = {}
    for to_calibrate in (True, False):
        by_hand.load(chip, at_s, to_calibrate=to_calibrate)
        by_hand.recalibrate([SOME.inputs[:20], SOME.inputs[20:]])  # type: ignore[index]
        found[to_calibrate] = statistics(by_hand.model)
    assert same(statistics(network.model), found[True])
    # the slow part is the only one that is frozen with fast=mvm, and both read-outs have it
    assert same(found[True], found[False]) == (read_outs != "fast=read-out")
    by_hand.load(chip, YEAR)
    buffers = [buffer for norm in batch_norms(by_hand.model) for buffer in norm.buffers()]
    for buffer, value in zip(buffers, found[True], strict=True):
        buffer.copy_(value)
    assert torch.equal(network(TEST.inputs), by_hand(TEST.inputs))


def test_a_norm_cancels_the_read_noise_that_it_has_seen_and_no_more() -> None:
    """Each column has one weight. Its norm takes out the factor by which the calibration reads that weight wrong."""
    n = 2000
    linear = nn.Linear(1, n, bias=False)
    nn.init.ones_(linear.weight)
    model = nn.Sequential(linear, nn.BatchNorm1d(n)).eval()
    device, mapping = dp.load_preset(PCM).without("drift", "programming"), map_model(model)
    x = torch.randn(4000, 1, generator=torch.Generator().manual_seed(3))
    for read_outs in (ONE_READ_OUT, ReadOuts(duration_s=1, pause_s=0), ReadOuts()):
        chip = dp.Chip(mapping, device, seed=0, chip=0, compensation="none", read_outs=read_outs)
        network = FoldedNetwork(model, mapping, x[:10], fold=False)
        network.load(chip, YEAR, to_calibrate=True)
        network.recalibrate([x])
        network.load(chip, YEAR)
        gain = (network(x[:1]) - network(-x[:1]))[0] * float(x.std()) / (2 * float(x[0]))  # 1 if all is taken out
        octaves = math.log2((YEAR + 20 + 250e-9) / 500e-9)
        fast = 0.0 if read_outs == ONE_READ_OUT else math.log2(read_outs.period_s / 500e-9) / octaves
        sigma = 0.0088 * math.sqrt(math.log(2) * octaves)
        # the two differ by two fast parts; 5.2 standard errors (false alarm 2e-7) of 2,000 columns are 8.2 %
        assert float((gain - 1).std()) == pytest.approx(sigma * math.sqrt(2 * fast), rel=0.085, abs=1e-4)


@pytest.mark.parametrize("read_outs", WAYS)
@pytest.mark.parametrize("device", [PCM, CMO, f"{PCM},fc=sonos-agrawal-2022"])
def test_both_backends_are_calibrated_alike(net: nn.Module, device: str, read_outs: str) -> None:
    mapping = map_model(net, dp.TileSize(60, 4))
    outputs: list[Tensor] = []
    found: list[list[Tensor]] = []
    for network in (FoldedNetwork(net, mapping, TEST.inputs, fold=False), TilesNetwork(net, mapping)):
        chip = dp.Chip(mapping, dp.load_device(device), seed=0, chip=0, compensation="column", read_outs=read_outs)
        network.load(chip, DAY, to_calibrate=True)
        network.recalibrate([SOME.inputs])
        network.load(chip, DAY)
        outputs.append(network(TEST.inputs))
        found.append(statistics(network.model))
        network.load(chip, DAY, to_calibrate=True)
        alike = torch.allclose(network(TEST.inputs), outputs[-1], atol=1e-4)
        assert alike == (read_outs != "fast=read-out")  # the use is another read-out
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-4)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_fast_part_of_every_mvm_is_new_for_each_sample_and_the_spread_is_that_of_the_law() -> None:
    torch.manual_seed(1)
    model, n = nn.Linear(12, 5), 20_000
    x, mapping = torch.randn(1, 12), map_model(model)
    chip = dp.Chip(mapping, dp.load_preset(PCM), seed=0, chip=0, read_outs="fast=mvm")
    network = FoldedNetwork(model, mapping, x)
    network.load(chip, YEAR)
    outputs = network(x.expand(n, 12)).detach().double()
    reading, mapped = chip.read("", YEAR), chip.weights[""]
    quiet, programmed = (chip.arrays[""].conductances(t, read_noise=False) for t in (YEAR, 0.0))
    square = torch.zeros_like(mapped.target)
    for g, before in zip(quiet, programmed, strict=True):
        q = (0.0088 * (before / 25).clamp(min=1e-9) ** -0.65).clamp(max=0.2)
        square += (g * q / 25).square() * math.log((YEAR + 20) / 500e-9)
    fast = math.log(3601 / 500e-9) / math.log((YEAR + 20) / 500e-9)
    scaled = mapped.weight((fast * square).sqrt(), reading.scale * reading.alpha)
    wanted = (scaled.square() @ x[0].square()).sqrt().double()
    mean = (chip.weight("", YEAR) @ x[0] + model.bias).detach()
    # 10 comparisons at |z| < 5.2: false alarm 2e-7 each
    assert bool(((outputs.mean(dim=0) - mean).abs() < 5.2 * wanted / math.sqrt(n)).all())
    assert bool(((outputs.var(dim=0) / wanted**2 - 1).abs() < 5.2 * math.sqrt(2 / n)).all())


# --- records ---


def test_deployments_are_the_same_if_their_read_outs_are() -> None:
    base = Deployment(device=PCM)
    for same_as in (None, "duration_s=1s,pause_s=1h", ReadOuts(), "fast=read-out"):
        assert Deployment(device=PCM, read_outs=same_as).id == base.id
    others = [base.with_changes(read_outs=text) for text in ("pause_s=2h", "duration_s=2", "fast=mvm")]
    assert len({item.id for item in (base, *others)}) == 4
    assert len({on_perfect_devices(item).id for item in (base, *others)}) == 1  # perfect devices have no read noise
    with pytest.raises(DriftproofError, match="did you mean pause_s"):
        Deployment(device=PCM, read_outs="pause=1h")


def measured(net: nn.Module, out: Path, **options: Any) -> Record:
    return dp.evaluate(net, TEST, presets=[PCM], times="1y", chips=2, out=out, batch_size=20, **options)


def test_a_record_keeps_read_outs_apart_and_continues_each(net: nn.Module, tmp_path: Path) -> None:
    for _ in range(2):
        measured(net, tmp_path).close()
        measured(net, tmp_path, read_outs="pause_s=1d").close()
    with measured(net, tmp_path, read_outs=ReadOuts()) as record:
        texts = {item.read_outs: key for key, item in record.configurations().items()}
        cells = record.cells()
        assert len(record.runs()) == 2  # whatever was there is not measured once more
        report = dp.report(record, tmp_path / "report").read_text()
        exported = json.loads(export(record, "json", tmp_path / "all.json").read_text())
    assert texts.keys() == {"duration_s=1,pause_s=3600", "duration_s=1,pause_s=86400"}
    values = {text: cells[(cells["config_id"] == key)].set_index(["preset", "chip"])["value"] for text, key in
              texts.items()}  # fmt: skip
    assert all(len(series) == 4 for series in values.values())
    assert {item["read_outs"] for item in exported["configurations"].values()} == set(texts)
    assert "read-outs duration_s=1,pause_s=86400" in report
    assert "calibrated in a read-out of its own (duration_s=1,pause_s=3600)" in report


@pytest.mark.parametrize(
    ("read_outs", "compensation", "words"),
    [
        ("", "tile", "calibrated in the read-out of the use, with the very read noise of the use"),  # earlier versions
        (str(ONE_READ_OUT), "tile", "calibrated in the read-out of the use, with the very read noise of the use"),
        (str(ReadOuts()), "tile", "calibrated in a read-out of its own (duration_s=1,pause_s=3600)"),
        (str(ReadOuts()), "none", ""),  # nothing is calibrated
    ],
)
def test_a_configuration_says_what_a_calibration_has_seen(read_outs: str, compensation: str, words: str) -> None:
    said = configuration(conditions(compensation=compensation), read_outs=read_outs).calibrated
    assert said.startswith(words)
    assert bool(said) == bool(words)


def test_other_plans_take_them_too(net: nn.Module) -> None:
    evaluator = Evaluator(net, TEST)
    found = [
        sensitivity(evaluator, Deployment(device=CMO, read_outs=text), "1y", chips=2)
        for text in (None, "fast=mvm", None)
    ]
    assert [item.setting.read_outs for item in found] == [str(ReadOuts()), str(ReadOuts(fast="mvm")), str(ReadOuts())]
    assert found[0] == found[2]
    validations = [dp.ChipValidation(data=TEST, preset=PCM, read_outs=text) for text in (None, "pause_s=1d")]
    assert [item.describe()["read-outs"] for item in validations] == [str(ReadOuts()), "duration_s=1,pause_s=86400"]
    assert validations[1].deployment.read_outs == ReadOuts(pause_s=DAY)


# --- measured chips ---


def test_a_file_holds_the_read_out_of_the_use(net: nn.Module, tmp_path: Path) -> None:
    mapping = map_model(net)
    for number, device in enumerate((PCM, CMO)):
        chip = dp.Chip(mapping, dp.load_preset(device), seed=0, chip=0, compensation="none", read_outs="pause_s=1d")
        folder = save_conductances(chip, tmp_path / str(number), "1d", name="mine")
        files = dp.Chip(mapping, dp.load_device(f"measured:{folder}"), seed=0, chip=0, compensation="none")
        assert torch.equal(files.read("fc", DAY).net, chip.read("fc", DAY).net)


def test_recalibrating_measured_chips_on_their_own_read_noise_is_told(net: nn.Module, tmp_path: Path) -> None:
    chip = dp.Chip(map_model(net), dp.load_preset(PCM), seed=0, chip=0)
    device = f"measured:{save_conductances(chip, tmp_path / 'chip', '1s,1d', name='mine')}"

    def run(when: Any, device: str = device, **options: Any) -> None:
        recalibrate = None if when is None else dp.Recalibration(SOME, when)
        dp.evaluate(net, TEST, presets=[device], times="1d", chips=1, recalibrate=recalibrate, **options).close()

    with pytest.warns(DriftproofWarning, match="measured:mine: its files hold one read-out .* the gain is optimistic"):
        run("time")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(None)  # a compensation is a mean over many devices
        run("programming")  # another measured time
        run("time", read_outs="duration_s=0,pause_s=0")  # asked for
        run("time", device=PCM)
