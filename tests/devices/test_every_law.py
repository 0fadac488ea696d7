"""Every kind of law through everything that a preset goes through: card, tables, switching off, deriving, changing.

Which kinds there are, and which keys they have, is read off the schema of a preset: a new kind of law is in here by
itself, and wants a preset that uses it, among the shipped ones or in MADE.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from rich.console import Console

from devices.sampled import DAY, YEAR, programmed, targets
from driftproof._cli.card import card_tables
from driftproof._device_card import device_card
from driftproof._errors import DriftproofError
from driftproof._presets import DevicePreset, Law, load_preset, parse_changes, preset_names, without
from driftproof.laws import DriftLaw, Encoding, ProgrammingLaw, ReadLaw

# kinds, and keys, that no shipped preset has
MADE = {
    "stuck": 'extends = "pcm-nandakumar-2019"\n[stuck]\nat_g_min = 0.1\nat_g_max = 0.1\nat_random = 0.2\n'
    "[levels]\ncount = 9\n[conductance]\nsignificance = [2.0, 1.0]\n[read]\nnew_every = 'product'\n",
    "filled": 'extends = "pcm-nandakumar-2019"\n[conductance]\nsignificance = [1.0, 4.0]\nfill = "max-fill"\n',
    "varied": 'extends = "pcm-nandakumar-2019"\n[variation.die]\ng_max_sd = 0.05\nsource = "x"\n'
    "[variation.wafer]\ndies_per_wafer = 4\nmean_error_sd_us = 0.2\nassumption = 'x'\n"
    "[variation.column]\nnu_sd = 0.005\nsource = 'x'\n",
    "points": 'extends = "pcm-nandakumar-2019"\n[drift]\nnu_mean = { at_r = [0.1, 0.9], values = [0.1, 0.03] }\n',
    "constant": 'extends = "reram-cmo-2pct"\n[conductance]\nreference = "constant"\n[stuck]\nat_random = 0.2\n',
    "increments": 'extends = "sonos-agrawal-2022"\n'
    '[programming]\ntime_correlation = "increments"\nspread_at = "target"\n',
}
NAMES = [*preset_names(), *MADE]
# as programmed, and between all times of the tables that there are
TIMES = (0.0, 0.5, 1.0, 3600.0, *(day * DAY for day in (0.5, 1.0, 1.5, 2.5, 3.5, 4.5, 5.0)), YEAR)
TARGET = targets(20, 200)
# numbers that a preset lists and that its laws never come to: what they say lies outside what clips them
SILENT = {
    "pcm-hermes-1": {"drift.nu_mean.0.min", "read.q.0.min"},
    "pcm-hermes-2": {"drift.nu_mean.0.min"},
}


def path(name: str, folder: Path) -> str | Path:
    """What to load a preset by: its name, or a file in a folder."""
    if name not in MADE:
        return name
    file = folder / f"{name}.toml"
    file.write_text(f'name = "{name}"\n{MADE[name]}')
    return file


@pytest.fixture
def preset(request: pytest.FixtureRequest, tmp_path: Path) -> DevicePreset:
    return load_preset(path(request.param, tmp_path))


each_preset = pytest.mark.parametrize("preset", NAMES, indirect=True)


# --- which kinds of law there are ---


def tables_of(schema: dict[str, Any], place: Any) -> Iterator[dict[str, Any]]:
    """The tables that one place of a schema may hold, and those within them."""
    if isinstance(place, list):
        for part in place:
            yield from tables_of(schema, part)
    elif isinstance(place, dict):
        reference = place.get("$ref")
        if isinstance(reference, str):
            table = schema["$defs"][reference.rsplit("/", 1)[-1]]
            yield table
            yield from tables_of(schema, list(table.get("properties", {}).values()))
        yield from tables_of(schema, [place[key] for key in ("anyOf", "oneOf", "allOf", "items") if key in place])


# Any: families are abstract classes
FAMILIES: dict[str, Any] = {"conductance": Encoding, "programming": ProgrammingLaw, "drift": DriftLaw, "read": ReadLaw}


def schemas(table: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(tag, schema) of every kind of law that one table of a preset may hold, other tests' own laws left out."""
    if table not in FAMILIES:
        whole = DevicePreset.model_json_schema()
        yield "", {**next(tables_of(whole, whole["properties"][table])), "$defs": whole["$defs"]}
        return
    for tag, law in FAMILIES[table].choices().items():
        if law.__module__.startswith("driftproof."):
            yield tag, law.model_json_schema()


def kinds() -> dict[tuple[str, str], set[str]]:
    """(table of a preset, its tag, empty if it has none) → the keys of that kind of law, within curves too."""
    found = {}
    for table in ("conductance", *get_args(Law)):
        for tag, schema in schemas(table):
            within = [schema, *tables_of(schema, list(schema.get("properties", {}).values()))]
            found[table, tag] = {key for part in within for key in part.get("properties", {})} - {"law", "encoding"}
    return found


def tag(preset: DevicePreset, table: str) -> str | None:
    """The kind of law that a preset has in a table, None if it does not have the table."""
    law = getattr(preset, table)
    return None if law is None else str(getattr(law, "law", getattr(law, "encoding", "")))


def test_every_kind_of_law_and_every_key_is_in_some_preset(tmp_path: Path) -> None:
    used: dict[tuple[str, str], set[str]] = {}
    for name in NAMES:
        preset = load_preset(path(name, tmp_path))
        for table, given in preset.definition().items():
            kind = tag(preset, table) if table in ("conductance", *get_args(Law)) else None
            if kind is not None:
                # programming = none, or the net weight, may have no keys
                keys = set(re.findall(r'"([a-z0-9_]+)":', json.dumps(given))) - {"law", "encoding"}
                used[table, kind] = used.get((table, kind), set()) | keys
    found = kinds()
    assert {("conductance", "pair"), ("drift", "power"), ("read", "saturating"), ("levels", "")} <= found.keys()
    assert "at_r" in found["drift", "power"]
    assert used.keys() == found.keys()
    every = {key for keys in found.values() for key in keys}
    assert {key for keys in used.values() for key in keys} == every, "a key that no preset here has: add one to MADE"


def fingerprint(preset: DevicePreset, read_noise: bool = True) -> list[torch.Tensor]:
    """What a preset's devices are at several times: they change if any number that matters does."""
    array = programmed(preset, TARGET)
    found = [array.net(t_s, read_noise) for t_s in TIMES]
    noises = [array.mvm_read_noise(t_s) for t_s in TIMES] if read_noise else []
    return [*found, *(noise.weights for noise in noises if noise)]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# --- cards ---


@each_preset
def test_a_card_has_numbers_and_its_tables_fit_in_80_columns(preset: DevicePreset) -> None:
    card = device_card(preset)
    console = Console(width=80, emoji=False, highlight=False)
    with console.capture() as captured:
        for table in card_tables(card):
            console.print(table)
    text = captured.get()
    assert f"{card.courses[-1].target:g}" in text
    for line in text.splitlines():
        assert len(line) <= 80
        assert "…" not in line
    moves = not same(*([net] for net in fingerprint(preset, read_noise=False)[2:4]))
    assert moves == bool(card.exponent or card.shift), "a card shows how a device changes in time, if it does"


# --- switching off ---


def switched_off(preset: DevicePreset, law: Law) -> DevicePreset:
    """A preset without one law; without drift too, where that and programming are one table."""
    if law == "programming" and hasattr(preset.programming, "t_s"):
        with pytest.raises(DriftproofError, match="drift included"):
            without(preset, law)
        return without(preset, law, "drift")
    return without(preset, law)


@each_preset
@pytest.mark.parametrize("law", get_args(Law))
def test_a_law_that_is_switched_off_has_no_effect_and_the_others_stay(preset: DevicePreset, law: Law) -> None:
    bare = switched_off(preset, law)
    kept, left = preset.definition(), bare.definition()
    for table in get_args(Law):
        if law == "drift" and table == "variation":
            continue  # exponents do not vary where there are none
        if table != law and not (law in ("programming", "drift") and table in ("programming", "drift")):
            assert left.get(table) == kept.get(table)
    assert left["conductance"] == kept["conductance"]
    if law == "programming":
        assert bare.programming.law == "none"
        exact = without(bare, "drift", "read", "stuck", "levels", "variation")
        torch.testing.assert_close(programmed(exact, TARGET).net(YEAR), TARGET, rtol=0, atol=2e-6)
    elif law == "drift":
        # for ever what it is when it has been programmed
        first = fingerprint(preset, read_noise=False)[0]
        assert all(torch.equal(first, other) for other in fingerprint(bare, read_noise=False))
    elif law == "read":
        assert same(fingerprint(bare), fingerprint(preset, read_noise=False))
    else:
        assert getattr(bare, law) is None
    # what has no such law is itself, and what has it is another device
    assert same(fingerprint(bare), fingerprint(preset)) == (bare is preset)
    assert bare is not preset or tag(preset, law) in (None, "none")


@each_preset
def test_without_levels_and_faults_devices_are_where_the_law_puts_them(preset: DevicePreset) -> None:
    quiet = without(preset, "programming", "drift", "read", "stuck", "variation")
    exact = without(quiet, "levels")
    torch.testing.assert_close(programmed(exact, TARGET).net(1.0), TARGET, rtol=0, atol=2e-6)
    if preset.levels is not None:
        rounded = programmed(quiet, TARGET).net(1.0)
        assert torch.unique(rounded).numel() <= 2 * preset.levels.count
    if preset.stuck is not None:
        whole, healthy = (programmed(kind, TARGET).conductances(DAY) for kind in (preset, without(preset, "stuck")))
        shares = preset.stuck.at_g_min + preset.stuck.at_g_max + preset.stuck.at_random
        for faulty, sound in zip(whole, healthy, strict=True):
            assert float((faulty != sound).float().mean()) == pytest.approx(shares, abs=0.04)


# --- deriving and changing ---


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + " }"
    return "[" + ", ".join(map(toml, value)) + "]" if isinstance(value, list) else json.dumps(value)


def dotted(value: Any, prefix: str = "") -> dict[str, float]:
    """Numbers of nested tables and lists, by dotted key."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: number for name, inner in items for key, number in dotted(inner, f"{prefix}.{name}").items()}
    return {prefix.removeprefix("."): value} if isinstance(value, int | float) and not isinstance(value, bool) else {}


def elsewhere(value: float) -> tuple[float, ...]:
    """Numbers near a number, of which one is possible."""
    return (round(value) - 2,) if isinstance(value, int) else (value * 1.01, value * 0.99) if value else (0.01, 1e-6)


def changed_number(value: Any, by: int) -> Any:
    """The same value with its first number that is not zero changed, None if it has none."""
    if isinstance(value, bool | str):
        return None
    if isinstance(value, int | float):
        return elsewhere(value)[min(by, len(elsewhere(value)) - 1)] if value else None
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        other = changed_number(inner, by)
        if other is not None:
            copy = value.copy()
            copy[key] = other
            return copy
    return None


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_extends_it_changes_one_number_and_nothing_else(name: str, tmp_path: Path) -> None:
    base = load_preset(path(name, tmp_path))
    extended = f"{name}.toml" if name in MADE else name
    silent, before, tried = SILENT.get(name, set()), base.definition(), 0
    for table in ("conductance", *get_args(Law)):
        for key, value in before.get(table, {}).items():
            if changed_number(value, 0) is None:
                continue
            for by in (0, 1):  # a little more, or a little less where more is impossible
                number = changed_number(value, by)
                text = f'extends = "{extended}"\nname = "mine"\n[{table}]\n{key} = {toml(number)}\n'
                (tmp_path / "mine.toml").write_text(text)
                try:
                    mine = load_preset(tmp_path / "mine.toml")
                    break
                except DriftproofError:
                    assert by == 0, f"{table}.{key} of {name}"
            after = mine.definition()
            assert after[table].pop(key) == number
            expected = before | {"name": "mine", table: {k: v for k, v in before[table].items() if k != key}}
            assert after == expected
            assert mine.sha256 != base.sha256
            first = next(k for k, v in dotted(value, f"{table}.{key}").items() if v)
            if first not in silent and not (key == "significance" and len(value) == 1):
                assert not same(fingerprint(mine), fingerprint(base)), f"{table}.{key}"
            tried += 1
    assert tried or name == "ideal"


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_key_of_a_law_is_named_with_its_table(name: str, tmp_path: Path) -> None:
    base = load_preset(path(name, tmp_path))
    for table in ("conductance", *get_args(Law)):
        if tag(base, table) is None:
            continue
        extended = f"{name}.toml" if name in MADE else name
        (tmp_path / "mine.toml").write_text(f'extends = "{extended}"\nname = "mine"\n[{table}]\nsigma_in_us = 1\n')
        with pytest.raises(DriftproofError, match=rf"mine\.toml: unknown key {table}\.sigma_in_us"):
            load_preset(tmp_path / "mine.toml")


def listed(name: str | Path) -> list[str]:
    """The numbers that a preset says it has."""
    with pytest.raises(DriftproofError, match="its numbers are") as caught:
        load_preset(name, {"no.such.number": 1.0})
    return str(caught.value).split("its numbers are ")[1].split(", ")


@pytest.mark.parametrize("name", NAMES)
def test_every_number_can_be_set_and_matters(name: str, tmp_path: Path) -> None:
    what = path(name, tmp_path)
    base = load_preset(what)
    before, whole, silent = dotted(base.definition()), fingerprint(base), SILENT.get(name, set())
    keys = [key for key in listed(what) if key.split(".")[0] in ("conductance", "validity", *get_args(Law))]
    assert keys
    # laws of r, which is relative to the range for which they were fitted
    relative = getattr(base.programming, "variable", None) == "r"
    relative |= (tag(base, "drift"), tag(base, "read")) in (("power", "one-over-f"), ("power", None))
    for key in keys:
        # a curve of one piece is written without its place in the list
        shown = key if key in before else re.sub(r"^(\w+\.\w+)", r"\1.0", key)
        mine = None
        for number in elsewhere(before[shown]):
            try:
                mine = load_preset(what, parse_changes([f"{key}={number!r}"]))
                break
            except DriftproofError as error:
                why = str(error)
        if mine is None:
            # the laws were fitted from 0 µS, and the weights are mapped from there
            assert key == "validity.g_us.0", f"{key} of {name}: {why}"
            assert "inside validity.g_us" in why
            continue
        assert dotted(mine.definition())[shown] == number
        assert mine.sha256 != base.sha256
        assert f"{key}=" in mine.name
        says_nothing = key in silent or (key.startswith("validity") and not (relative and "g_us" in key))
        assert same(fingerprint(mine), whole) == says_nothing, f"{key} of {name}"
    assert silent <= set(keys)


# --- documentation ---

ROOT = Path(__file__).parents[2]


def undocumented() -> list[str]:
    """Tags and keys of laws that the page which has most of them (README, docs) does not have, as code."""
    wanted = {name for (_, kind), keys in kinds().items() for name in (kind, *keys) if name}
    pages = [page.read_text() for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))]
    missing = [
        [name for name in sorted(wanted) if not re.search(rf'[`"]{name}[`"]|\b{name} ?= ?', page)] for page in pages
    ]
    return min(missing, key=len)


def test_every_law_and_every_key_is_in_the_documentation() -> None:
    assert undocumented() == []
