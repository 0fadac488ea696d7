"""What a metric's values are, and that records hold it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from driftproof._errors import DriftproofError
from driftproof._record import QUANTITIES, Quantity, Record, Subject, config_id, quantity_of
from synthetic_record import begin, conditions, subject

LOWER = Quantity(name="mae", higher_is_better=False, lowest=0)


def test_units_ends_and_good_ends() -> None:
    assert {name for name, quantity in QUANTITIES.items() if not quantity.higher_is_better} == {"perplexity", "mse"}
    assert quantity_of("f1").ends == (0, 100)
    assert quantity_of("perplexity").ends == (1, math.inf)
    assert Quantity(name="bleu").ends == (-math.inf, math.inf)
    assert [quantity_of("top5").label, LOWER.label] == ["top-5 accuracy in %", "mae"]


@pytest.mark.parametrize(
    ("name", "value", "said", "number"),
    [
        ("accuracy", 91.735, "91.7 %", "91.73"),
        ("accuracy", -0.001, "-0.0 %", "0.00"),
        ("perplexity", 59.7, "59.70", "59.70"),
        ("perplexity", 12345.6, "1.235e+04", "1.235e+04"),
        ("perplexity", 1234.0, "1234", "1234"),
        ("mse", 0.00123, "0.001230", "0.001230"),
    ],
)
def test_values_in_sentences_and_tables(name: str, value: float, said: str, number: str) -> None:
    assert (quantity_of(name).said(value), quantity_of(name).number(value)) == (said, number)


@pytest.mark.parametrize(
    ("name", "gap", "beside", "text"),
    [
        ("accuracy", 1.234, 90.0, "1.23"),
        ("perplexity", 4e-7, 59.7, "0.00"),
        ("perplexity", 1.234, 103.1, "1.2"),
        ("mse", 0.00048, 0.02178, "0.00048"),
        ("mse", 0.5, 0.0, "0.5000"),
        ("perplexity", 1e20, 1e20, "1.000e+20"),
    ],
)
def test_differences_have_the_decimals_of_what_they_stand_beside(
    name: str, gap: float, beside: float, text: str
) -> None:
    assert quantity_of(name).difference(gap, beside) == text


def test_the_good_end_of_a_metric_decides_what_a_configuration_is() -> None:
    higher = LOWER.model_copy(update={"higher_is_better": True})
    one, other = (config_id(subject(metric="mae", own_metric=own), conditions()) for own in (LOWER, higher))
    assert one != other


def test_a_record_knows_what_its_values_are(tmp_path: Path) -> None:
    with Record.create_or_open(tmp_path) as record:
        record.claim(subject(metric="mae", own_metric=LOWER))
    with Record.open(tmp_path) as record:
        assert isinstance(record.subject, Subject)
        assert record.subject.quantity == LOWER
    assert subject().quantity == QUANTITIES["accuracy"]
    with pytest.raises(DriftproofError, match=r"unknown metric 'perplexty' \(did you mean perplexity\?\)"):
        _ = subject(metric="perplexty").quantity


def test_another_metric_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with Record.create_or_open(tmp_path) as record:
        begin(record)
        with pytest.raises(DriftproofError, match=r"metric: 'accuracy' in the record, 'f1' now.*another --out"):
            record.claim(subject(metric="f1"))
