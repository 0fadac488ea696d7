"""The search for digital layers: what it finds, where it looks, and where it says that it cannot."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from driftproof._chip import Chip
from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._mapping import map_model
from driftproof._presets import load_preset
from driftproof._record import DIGITAL, Record
from driftproof.data import digits
from driftproof.data._parts import halves
from driftproof.evaluation import Deployment, Evaluator, Metric
from driftproof.evaluation._trial import NETWORK_ITSELF
from driftproof.measured import save_conductances
from driftproof.plans import choose_digital_layers
from driftproof.plans._mixed_deployment import MixedDeployment
from driftproof.zoo import trained_digits_cnn
from plans.tensors import images, labels

FIRST, SECOND = halves(digits().head(300))
MODEL = trained_digits_cnn()
ON_SECOND = Evaluator(MODEL, SECOND)
ON_FIRST = ON_SECOND.on(FIRST)
NOISY_FC1 = "ideal,fc1=gaussian:0.8"


def search(
    device: str = NOISY_FC1,
    target: float | str = 99.0,
    evaluator: Evaluator = ON_SECOND,
    report_evaluator: Evaluator = ON_FIRST,
    **settings: Any,
) -> MixedDeployment:
    settings = {"chips": 2, "report_chips": 3} | settings
    return choose_digital_layers(
        evaluator, report_evaluator, Deployment(device=device), "1s", target=target, **settings
    )


def chips_of(record: Record) -> set[int]:
    """Return the chips in a record, but for where all layers are digital."""
    return {key.chip for key, _, _ in record.outcomes() if key.series != DIGITAL and len(key.digital) < 4}


def test_the_only_noisy_layer_is_what_must_be_digital() -> None:
    found = search()
    assert found.chosen.digital == ("fc1",)
    assert found.points[0].selection.mean < 98
    assert found.chosen.selection.mean == found.points[-1].selection.mean == found.choose_digital
    assert found.holds
    assert found.first_in_report is found.chosen
    assert "1 digital layer of 4 (fc1), 9.7 % of the multiply-accumulates and 85.9 % of the weights" in found.verdict()
    assert "the target holds" in found.verdict()


def test_the_curve_goes_from_all_analog_to_all_digital() -> None:
    found = search("gaussian:0.4", 95.0)
    assert found.points[0].analog_macs == 100
    assert found.points[-1].analog_macs == found.points[-1].analog_weights == 0
    assert found.points[-1].report.values == (found.report_digital,) * 3
    assert found.chosen.selection.mean >= 95
    sizes = [len(point.digital) for point in found.points if point.kind != "back"]
    assert sizes == sorted(sizes)
    table = found.table()
    assert table["chosen"].sum() == 1
    assert table.loc[table["chosen"], "digital"].item() == " ".join(found.chosen.digital)
    assert len(table) == len(found.points)


def test_the_report_has_other_chips_and_other_samples_in_a_record_of_its_own(tmp_path: Path) -> None:
    with Record.create_or_open(tmp_path / "chosen") as record, Record.create_or_open(tmp_path / "reported") as report:
        found = search("gaussian:0.4", 95.0, record=record, report_record=report)
    for folder, data, chips in (("chosen", SECOND, {0, 1}), ("reported", FIRST, {2, 3, 4})):
        with Record.open(tmp_path / folder) as held:
            assert held.subject is not None
            assert held.subject.data_hash == data.fingerprint()
            assert chips_of(held) == chips
    with Record.open(tmp_path / "reported") as held:
        values = {(key.digital, key.chip): outcome.value for key, outcome, _ in held.outcomes()}
        for point in found.points[:-1]:
            digital = tuple(sorted(point.digital))
            assert point.report.values == tuple(values[digital, chip] for chip in (2, 3, 4))
        assert set(held.cells()["preset"]) == {"digital", "gaussian:0.4"}


def test_one_record_for_both_data_is_refused() -> None:
    with Record.create_or_open(None) as record, pytest.raises(DriftproofError, match="about something else"):
        search("gaussian:0.4", 95.0, record=record, report_record=record)


def test_a_margin_asks_for_more_on_the_samples_of_the_search() -> None:
    exact, careful = search("gaussian:0.4", 95.0), search("gaussian:0.4", 95.0, margin=3.0)
    assert careful.chosen.selection.mean >= 98
    assert careful.chosen.analog_macs <= exact.chosen.analog_macs
    assert careful.chosen.digital != exact.chosen.digital


def test_nothing_is_made_digital_if_the_chip_keeps_the_target() -> None:
    found = search("ideal", 99.0)
    assert found.chosen.digital == ()
    assert found.verdict().startswith("All analog, ideal at 1 s keeps 99.0 %")


def test_a_target_above_the_digital_network_is_refused_before_any_chip() -> None:
    with Record.create_or_open(None) as record:
        with pytest.raises(DriftproofError, match=r"target = 100.5: wanted a value of accuracy in %, from 0 to 100"):
            search(target=100.5, record=record)
        with pytest.raises(DriftproofError, match=r"with a margin of 5 cannot be reached"):
            search(target=96.0, margin=5.0, record=record)
        assert {key.series for key, _, _ in record.outcomes()} == {DIGITAL}


def test_a_target_that_is_the_digital_accuracy_is_warned_of() -> None:
    digital = ON_SECOND(NETWORK_ITSELF).value
    with pytest.warns(DriftproofWarning, match="is what the digital network itself has on .*ask for less"):
        assert search("ideal", digital, ON_SECOND, ON_SECOND.on(digits("train").head(50)), chips=1).chosen.digital == ()


def test_shared_samples_are_warned_of() -> None:
    with pytest.warns(DriftproofWarning, match="10 of the 150 samples that are reported on are among those"):
        search("ideal", 90.0, Evaluator(MODEL, digits().head(10)), chips=1, report_chips=1)


def test_a_report_on_which_the_network_itself_misses_the_target_is_warned_of() -> None:
    spoilt = images(FIRST).clone()
    spoilt[:100] = 0
    with pytest.warns(DriftproofWarning, match="cannot be reached there, whatever is digital"):
        found = search("ideal", 95.0, report_evaluator=ON_SECOND.on((spoilt, labels(FIRST))), chips=1, report_chips=1)
    assert not found.holds
    assert found.first_in_report is None
    assert "BELOW the target (95.0 %" in found.verdict()


def test_without_overlap_there_is_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search("ideal", 90.0)


def test_lower_can_be_better() -> None:
    wrong = Metric.of(
        lambda y, t: 100 * float((y.argmax(1) != t).double().mean()), name="error", higher_is_better=False, percent=True
    )
    evaluator = Evaluator(MODEL, SECOND, wrong)
    both = (evaluator, evaluator.on(FIRST))
    found, same = search(NOISY_FC1, "1%", *both), search(target=99.0)
    assert found.chosen.digital == same.chosen.digital == ("fc1",)
    assert found.holds
    with pytest.raises(DriftproofError, match="cannot be reached"):
        search(NOISY_FC1, "0.1%", *both, margin=0.2)


def test_a_mean_that_is_the_target_but_for_its_last_bit_reaches_it() -> None:
    found = search("ideal", 99.0)
    mean = found.chosen.report.mean
    assert search("ideal", mean + 1e-12).holds
    assert not replace(found, target=mean + 1e-6).holds


def test_more_chips_than_were_measured_are_refused_before_the_search(tmp_path: Path) -> None:
    mapping = map_model(MODEL, example=images(FIRST)[:1])
    for number in range(3):
        chip = Chip(mapping, load_preset("pcm-nandakumar-2019"), seed=0, chip=number)
        save_conductances(chip, tmp_path / f"chip{number}", "1s,1d", name="mine")
    (tmp_path / "device.toml").write_text((tmp_path / "chip0" / "device.toml").read_text())
    for number in range(3):
        (tmp_path / f"chip{number}" / "device.toml").unlink()
    with Record.create_or_open(None) as record:
        with pytest.raises(DriftproofError, match=r"has 3 measured chips.* 5 "):
            search(f"measured:{tmp_path}", 90.0, record=record)
        assert record.subject is None
    assert search(f"measured:{tmp_path}", 90.0, report_chips=1).holds


def test_impossible_requests_are_refused() -> None:
    impossible: list[dict[str, Any]] = [{"chips": 0}, {"report_chips": 0}, {"breadth": 0}]
    for settings in [*impossible, {"margin": -1.0}, {"target": float("nan")}]:
        with pytest.raises(DriftproofError, match="wanted"):
            search(**settings)
