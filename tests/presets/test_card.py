from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from driftproof._presets.card import VERSION, Card, known_card


def content(**changes: Any) -> dict[str, Any]:
    course = {"target": 0.0, "mean": [0.1, 0.2], "low": [0.0, 0.0], "high": [0.3, 0.4]}
    facts = {
        "unit": "µS",
        "valid_s": [0.0, 10.0],
        "targets": [0.0, 12.5, 25.0],
        "spreads": [{"t_s": 0.0, "sigma": [0.1, 0.2, 0.3]}],
        "times_s": [1.0, 100.0],
        "read_noise": True,
        "courses": [course],
        "limit": 5.0,
        "errors": [{"t_s": 1.0, "half": 1.0, "normal": 2.0, "shares": [50.0, 50.0]}],
    }
    return facts | changes


def test_a_card_knows_its_range_of_validity() -> None:
    card = Card.model_validate(content())
    assert [card.in_validity(t_s) for t_s in (0.0, 10.0, 10.1)] == [True, True, False]
    assert card.version == VERSION


@pytest.mark.parametrize(
    "wrong",
    [
        {"spreads": [{"t_s": 0.0, "sigma": [0.1, 0.2]}]},
        {"exponent": {"mean": [0.05], "sd": [0.01]}},
        {"shift": {"target": 1.0, "mean": [0.1], "sd": [0.1]}},
        {"courses": [{"target": 0.0, "mean": [0.1, 0.2], "low": [0.0, 0.0], "high": [0.3]}]},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_rows_of_another_length_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"a row has \d numbers, wanted \d"):
        Card.model_validate(content(**wrong))


@pytest.mark.parametrize("wrong", [{"unit": "mS"}, {"pictures": []}, {"limit": float("nan")}, {"errors": []}])
def test_what_a_card_must_not_hold(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Card.model_validate(content(**wrong))


def test_cards_of_another_version_are_no_cards() -> None:
    assert known_card({"version": VERSION + 1}) is None
    card = Card.model_validate(content())
    assert known_card(card) is card
    assert known_card(card.model_dump(mode="json")) == card.model_dump(mode="json")
    assert known_card(None) is None
