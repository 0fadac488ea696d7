"""A law that lacks a part cannot be made, whatever its family, and the message says what it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, get_args

import pytest

from driftproof.laws import DriftLaw, Encoding, ProgrammingLaw, ReadLaw
from driftproof.laws._drift import PowerDrift
from driftproof.laws._law import Law, Plot
from driftproof.laws._read.law import NewEvery


def said(law: Any) -> str:
    return "What it does."


def formula(law: Any, *arguments: Any) -> Any:
    raise AssertionError("never called")


UNIT = property(formula)
PARTS: dict[Any, dict[str, Any]] = {
    DriftLaw: {"words": said, "plots": ("shift",), "after": formula},
    ProgrammingLaw: {"words": said, "plots": ("spread",), "acts_on": ("devices",), "moments": formula},
    ReadLaw: {"words": said, "plots": ("courses",), "sigma_us": formula},
    Encoding: {
        "words": said,
        "banks": formula,
        "share": formula,
        "weight_at": formula,
        "unit": UNIT,
        "ends": UNIT,
        "has_devices": False,
    },
}
CLASS_VARIABLES = {"plots", "acts_on", "keeps", "has_devices"}


@pytest.fixture(autouse=True)
def _no_law_stays() -> Iterator[None]:
    before = {family: dict(family.members) for family in PARTS}
    yield
    for family, members in before.items():
        family.members.clear()
        family.members.update(members)


def made(family: Any, parts: dict[str, Any], tag: str = "of-a-test", keys: dict[str, Any] | None = None) -> Any:
    annotations: dict[str, Any] = {name: ClassVar[Any] for name in parts if name in CLASS_VARIABLES}
    if tag:
        annotations[family.tag_key] = Literal[tag]
    if family is ReadLaw and keys is None:
        annotations["new_every"] = NewEvery
    return type(family)("Mine", (family,), {"__module__": __name__, "__annotations__": annotations, **parts})


@pytest.mark.parametrize("family", PARTS, ids=lambda family: family.__name__)
def test_a_whole_law_is_registered(family: type[Law]) -> None:
    law = made(family, PARTS[family])
    assert law.tag() == "of-a-test"
    assert family.members["of-a-test"] is law


@pytest.mark.parametrize(
    ("family", "part"),
    [(family, part) for family, parts in PARTS.items() for part in parts],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_without_a_part_it_cannot_be_made(family: type[Law], part: str) -> None:
    parts = {name: value for name, value in PARTS[family].items() if name != part}
    with pytest.raises(TypeError, match=rf"^{family.family} Mine is not complete: it has no {part}\b"):
        made(family, parts)
    assert "of-a-test" not in family.members


@pytest.mark.parametrize("family", PARTS, ids=lambda family: family.__name__)
def test_without_a_tag_it_cannot_be_made(family: type[Law]) -> None:
    with pytest.raises(TypeError, match=rf"Mine is not complete: it has no tag \({family.tag_key}: Literal"):
        made(family, PARTS[family], tag="")


@pytest.mark.parametrize("family", PARTS, ids=lambda family: family.__name__)
def test_a_taken_tag_is_refused(family: type[Law]) -> None:
    tag, law = next(iter(family.members.items()))
    with pytest.raises(TypeError, match=rf"Mine: {law.__name__} has the tag '{tag}' already"):
        made(family, PARTS[family], tag=tag)
    assert family.members[tag] is law


def test_two_families_may_use_one_tag() -> None:
    made(DriftLaw, PARTS[DriftLaw], tag="saturating")
    assert DriftLaw.members["saturating"] is not ReadLaw.members["saturating"]


def test_the_same_class_again_replaces_itself() -> None:
    """A notebook's cell is run twice, a file is loaded twice."""
    first, second = made(DriftLaw, PARTS[DriftLaw]), made(DriftLaw, PARTS[DriftLaw])
    assert first is not second
    assert DriftLaw.members["of-a-test"] is second


def test_unknown_plots_are_refused() -> None:
    with pytest.raises(TypeError, match="the unknown plot 'pie'"):
        made(DriftLaw, PARTS[DriftLaw] | {"plots": ("shift", "pie")})


@pytest.mark.parametrize("plots", [(), ("spread in time",), ("courses",)])
def test_drift_shows_what_changes(plots: tuple[str, ...]) -> None:
    """So a card never says that there is no drift law."""
    assert set(plots) <= set(get_args(Plot))
    with pytest.raises(TypeError, match=r"no plot of its change \(exponent or shift\)"):
        made(DriftLaw, PARTS[DriftLaw] | {"plots": plots})


def test_a_programming_law_that_changes_in_time_shows_it_and_can_be_stopped() -> None:
    changing = PARTS[ProgrammingLaw] | {"changes_in_time": property(formula)}
    with pytest.raises(TypeError, match=r"no plot of its change in time \(shift\); no without_time\(\)"):
        made(ProgrammingLaw, changing)
    made(ProgrammingLaw, changing | {"plots": ("spread", "shift"), "without_time": formula})
    weights = {"acts_on": ("weights",), "programmed": formula, "plots": ("shift",), "without_time": formula}
    with pytest.raises(TypeError, match="a change in time, which net weights do not have"):
        made(ProgrammingLaw, changing | weights, tag="another")


def test_a_programming_law_has_the_formula_of_what_it_acts_on() -> None:
    with pytest.raises(TypeError, match=r"no programmed\(\), as it acts on weights"):
        made(ProgrammingLaw, PARTS[ProgrammingLaw] | {"acts_on": ("devices", "weights")})


def test_read_noise_says_how_often_it_is_new() -> None:
    with pytest.raises(TypeError, match="no key new_every"):
        made(ReadLaw, PARTS[ReadLaw], keys={})


def test_a_law_with_what_a_device_keeps_of_its_own_is_given_targets() -> None:
    assert PowerDrift.needs_target
    assert not made(DriftLaw, PARTS[DriftLaw]).needs_target
    assert made(DriftLaw, PARTS[DriftLaw] | {"life": formula}, tag="another").needs_target
