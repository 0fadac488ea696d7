"""BatchNorm statistics measured anew on chips: by hand, on both backends, and what the record says of it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof._batch_norm import recalibrate
from driftproof._chip import Chip
from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._inputs import Inputs
from driftproof._mapping import map_model
from driftproof.data._batched import TensorData
from driftproof.evaluation._backends import TilesNetwork
from driftproof.evaluation._folded import FoldedNetwork

YEAR = 31_536_000.0


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, stride=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(54, 3),
    )
    with torch.no_grad():  # statistics of some inputs, as training leaves them
        model.train()
        for _ in range(50):
            model(torch.randn(64, 1, 8, 8))
    return model.eval()


def batches(seed: int = 1) -> list[Tensor]:
    source = torch.Generator().manual_seed(seed)
    return [torch.randn(40, 1, 8, 8, generator=source), torch.randn(24, 1, 8, 8, generator=source)]


def weighted(values: list[Tensor]) -> Tensor:
    return (40 * values[0] + 24 * values[1]) / 64


def test_statistics_are_the_means_over_the_batches_by_hand(net: nn.Module) -> None:
    inputs = batches()
    network = FoldedNetwork(net, map_model(net), inputs[0], fold=False)
    network.load(Chip(map_model(net), dp.load_preset("pcm-nandakumar-2019"), seed=0, chip=0), YEAR)
    network.recalibrate(inputs)
    conv = dict(network.model.named_modules())["0"]
    values = [conv(batch).transpose(0, 1).flatten(1) for batch in inputs]
    norm = dict(network.model.named_modules())["1"]
    torch.testing.assert_close(norm.running_mean, weighted([v.mean(dim=1) for v in values]))
    torch.testing.assert_close(norm.running_var, weighted([v.var(dim=1) for v in values]))
    assert not norm.training
    assert norm.momentum == 0.1
    network.recalibrate(inputs)  # nothing is left of what was measured before
    torch.testing.assert_close(norm.running_mean, weighted([v.mean(dim=1) for v in values]))


@pytest.mark.parametrize("preset", ["pcm-nandakumar-2019", "sonos-agrawal-2022"])
def test_both_backends_measure_the_same(net: nn.Module, preset: str) -> None:
    x, mapping = batches(2)[0], map_model(net)
    outputs = []
    for network in (FoldedNetwork(net, mapping, x, fold=False), TilesNetwork(net, mapping)):
        chip = Chip(mapping, dp.load_preset(preset), seed=0, chip=0, compensation="none")
        network.load(chip, 86400.0)
        before = network(x)
        network.recalibrate(batches())
        outputs.append(network(x))
        assert not torch.allclose(outputs[-1], before, atol=1e-3)
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)


def test_it_undoes_a_common_decay(net: nn.Module) -> None:
    """Where every weight before a norm has shrunk by one factor, new statistics take the factor out."""
    x, mapping = torch.randn(500, 1, 8, 8, generator=torch.Generator().manual_seed(3)), map_model(net)
    network = FoldedNetwork(net, mapping, x, fold=False)
    chip = Chip(mapping, dp.load_preset("ideal"), seed=0, chip=0, compensation="none")
    readings = {name: chip.read(name, 0.0) for name in mapping.weights}
    network.write(readings)
    network.recalibrate([x])
    wanted = network(x)
    shrunk = {
        name: type(r)(r.net, r.scale * (0.5 if name in ("0", "3") else 1.0), r.alpha) for name, r in readings.items()
    }
    network.write(shrunk)
    assert float((network(x) - wanted).abs().max()) > 0.1
    network.recalibrate([x])
    # a bias stays as it is, which the norm's mean takes out too; epsilon is what is left
    torch.testing.assert_close(network(x), wanted, rtol=1e-2, atol=1e-3)


def labelled(n: int, seed: int) -> TensorData:
    source = torch.Generator().manual_seed(seed)
    return TensorData(f"set{seed}", torch.randn(n, 1, 8, 8, generator=source), torch.randint(3, (n,), generator=source))


def evaluated(net: nn.Module, when: str | None, **options: object) -> dp.Record:
    recalibrate = None if when is None else dp.Recalibration(labelled(100, 5), when, 64)  # type: ignore[arg-type]
    return dp.evaluate(
        net, labelled(300, 4), presets=["pcm-nandakumar-2019"], times=["0s", "1y"], chips=2, recalibrate=recalibrate,
        compensation="none", batch_size=32, **options,  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_evaluator_measures_after_programming_or_at_each_time(net: nn.Module, tmp_path: Path) -> None:
    values: dict[str | None, dict[tuple[Any, Any], Any]] = {}
    for when in (None, "programming", "time"):
        record = evaluated(net, when, out=tmp_path)  # one record holds all three
        kinds = {
            item.recalibration.when if item.recalibration else None: k for k, item in record.configurations().items()
        }
        key = kinds[when]
        cells = record.cells()
        cells = cells[(cells["config_id"] == key) & (cells["preset"] == "pcm-nandakumar-2019")]
        values[when] = {(row.chip, row.t_s): row.value for row in cells.itertuples()}
        if when:
            said = record.configurations()[key].recalibration
            assert said is not None
            assert (said.when, said.samples, said.batch_size) == (when, 64, 32)
            assert "on 64 inputs of set5" in str(said)
        record.close()
    # measured at the earliest valid time, t = 0: there both are the same, a year later they are not
    for chip in (0, 1):
        assert values["programming"][chip, 0.0] == values["time"][chip, 0.0]
    later = [[found[chip, YEAR] for chip in (0, 1)] for found in values.values()]
    assert later[0] != later[1] != later[2] != later[0]
    again = evaluated(net, "time", out=tmp_path)
    assert len(again.cells()) == 3 * (2 + 4)
    with again:
        page = dp.report(again, tmp_path / "report").read_text()
    assert "BatchNorm recalibrated at every time on 64 inputs" in page


def test_it_continues_as_if_never_stopped(net: nn.Module, tmp_path: Path) -> None:
    whole = evaluated(net, "programming").cells()["value"].tolist()
    recalibrate = dp.Recalibration(labelled(100, 5), "programming", 64)
    for times in (["1y"], ["0s", "1y"]):
        record = dp.evaluate(
            net, labelled(300, 4), presets=["pcm-nandakumar-2019"], times=times, chips=2, recalibrate=recalibrate,
            compensation="none", batch_size=32, out=tmp_path,
        )  # fmt: skip
        parts = record.cells()["value"].tolist()
        record.close()
    assert parts == whole


def test_what_cannot_be_measured(net: nn.Module) -> None:
    data = labelled(20, 4)
    with pytest.raises(DriftproofError, match="did you mean time"):
        dp.Recalibration(data, "times")  # type: ignore[arg-type]
    with pytest.raises(DriftproofError, match="no BatchNorm that keeps statistics"):
        dp.evaluate(
            nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), data, presets=["ideal"], recalibrate=dp.Recalibration(data)
        )
    with pytest.warns(DriftproofWarning, match="inputs that are reported on.*give others"):
        dp.evaluate(net, data, presets=["ideal"], times="1s", chips=1, recalibrate=dp.Recalibration(data)).close()
    broken = copy.deepcopy(net)
    with pytest.raises(DriftproofError, match="NaN or infinite"):
        recalibrate(broken, lambda x, _: broken(x), [torch.full((4, 1, 8, 8), torch.inf)])


def test_batches_of_unequal_size_count_by_their_samples() -> None:
    norm = nn.BatchNorm1d(3).eval()
    x = torch.randn(252, 3, generator=torch.Generator().manual_seed(6)) + 1
    recalibrate(nn.Sequential(norm), lambda batch, _: norm(batch), [x[:250], x[250:]])
    torch.testing.assert_close(norm.running_mean, x.mean(dim=0))
    wanted = (250 * x[:250].var(dim=0) + 2 * x[250:].var(dim=0)) / 252
    torch.testing.assert_close(norm.running_var, wanted)


def test_single_products_of_each_sample_have_noise_of_their_own() -> None:
    firsts: list[int] = []
    norm = nn.BatchNorm1d(3).eval()

    def run(batch: Inputs, first: int) -> Any:
        firsts.append(first)
        return norm(batch)

    recalibrate(nn.Sequential(norm), run, [torch.randn(4, 3), torch.randn(2, 3)])
    assert firsts == [-4, -6]  # samples -4 to -1, then -6 and -5


class Aside(nn.Module):
    """Reads a norm's statistics without calling it."""

    def __init__(self, called: bool) -> None:
        super().__init__()
        self.flat, self.fc, self.bn = nn.Flatten(), nn.Linear(64, 3), nn.BatchNorm1d(3)
        self.other = nn.BatchNorm1d(3) if called else nn.Identity()
        self.bn.get_buffer("running_mean").fill_(2.0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(self.flat(x))
        outputs: Tensor = self.other(nn.functional.batch_norm(y, self.bn.running_mean, self.bn.running_var))
        return outputs


def test_a_norm_that_is_not_called_keeps_its_statistics_and_is_named() -> None:
    torch.manual_seed(0)
    data = labelled(20, 4)
    with pytest.raises(DriftproofError, match=r"does not reach bn: .* uses their statistics in another way"):
        dp.evaluate(
            Aside(False).eval(), data, presets=["ideal"], times="1s", chips=1,
            recalibrate=dp.Recalibration(labelled(50, 5)),
        )  # fmt: skip
    model = Aside(True).eval()
    with pytest.warns(DriftproofWarning, match=r"does not reach bn: .*keep their statistics"):
        recalibrate(model, lambda x, _: model(x), [data.inputs])
    assert model.get_buffer("bn.running_mean").tolist() == [2.0] * 3
    assert model.get_buffer("other.running_mean").abs().max() > 0.1


@pytest.mark.parametrize("inputs", [torch.randn(30, 3, 8, 8), torch.randn(30, 1, 9, 9), torch.ones(30, 1, 8, 8).int()])
def test_inputs_that_the_network_does_not_take(net: nn.Module, inputs: Tensor, tmp_path: Path) -> None:
    other = TensorData("other", inputs, torch.zeros(30).long())
    with pytest.raises(DriftproofError, match="does not take inputs of other"):
        dp.evaluate(net, labelled(20, 4), presets=["ideal"], recalibrate=dp.Recalibration(other), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("reported", "measured"), [(20, 20), (200, 100), (50, 200)])
def test_measuring_on_what_is_reported_is_told(net: nn.Module, reported: int, measured: int) -> None:
    data = labelled(200, 4)
    with pytest.warns(DriftproofWarning, match="inputs that are reported on.*give others"):
        dp.evaluate(
            net, data, presets=["ideal"], times="1s", chips=1, limit=reported,
            recalibrate=dp.Recalibration(data, samples=measured),
        ).close()  # fmt: skip


def test_perfect_devices_are_recalibrated_too(net: nn.Module) -> None:
    inputs = labelled(100, 5).inputs
    assert isinstance(inputs, Tensor)
    shifted = TensorData("shifted", 3 + 4 * inputs, labelled(100, 5).targets)
    record = dp.evaluate(
        net, labelled(300, 4), presets=["ideal"], times="1s", chips=1, recalibrate=dp.Recalibration(shifted)
    )
    values = record.cells().set_index("preset")["value"]
    assert values["ideal-analog"] == values["ideal"] != values["digital"]


def test_inputs_alone_are_enough(net: nn.Module) -> None:
    inputs, targets = torch.cat(batches()), torch.zeros(64, dtype=torch.int64)
    reported = torch.cat(batches(seed=2)), targets
    results = []
    for given in (inputs, (inputs, targets)):
        recalibration = dp.Recalibration(given, when="time")
        record = dp.evaluate(
            net, reported, presets="gaussian:0.1", times="1s", chips=3, recalibrate=recalibration, calibration=given,
            periphery="standard",
        )  # fmt: skip
        results.append(record.to_pandas()["value"].tolist())
        record.close()
    assert results[0] == results[1]
