"""Every law that is shipped: what a preset says stays what it is, and everything about it is told."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from driftproof._devices import program
from driftproof._errors import DriftproofError
from driftproof._presets import DevicePreset, SavedMix, SavedPreset, load_preset, preset_folder, preset_names
from driftproof._presets.described import changes_in_time
from driftproof.laws._curve import Piece
from driftproof.laws._law import Law
from driftproof.laws._programming import SaturatingInTime
from driftproof.laws._words import FAMILIES, in_words
from driftproof.plans import evaluate

# records know their presets by these: a change that is not meant to make other devices leaves them
SHA256 = {
    "gaussian": "422d1c24db38f575f06469d7914493287fe9446cc88bb5dfcbdabf9e803622c2",
    "gaussian-layer": "f6508ccd2442015502e491b19d2a3009c69f912b7f3ad1821e038b458b2c73ec",
    "gaussian-multiplicative": "b33e25e4ada1934bc39ebd78bce69b445e0f23b51b990af003d33cff6d76b489",
    "ideal": "891aa500fc3dff2c54a8a463324d4614dfc250da28296abfde05f3cba886070b",
    "levels": "71fa855ee33f6073fdc4aa2c196e98a10a333f65f5845b4680ac46c5baff01d9",
    "pcm-foundation-2025": "b15b09b9e7e375f1a0920b86aaadffad9f72c4ccb5da1f2404deabb97487cdc7",
    "pcm-hermes-1": "25f48c2981835427c356f3c3e2df840eee57b4f15cd30fe40c8c2a6b4be9380f",
    "pcm-hermes-2": "677430425496dde12eac284ffc87c3be79bcc71f209db12e1da67dc7e0fb607f",
    "pcm-joshi-2020": "6cfaf1cde7c644e8e42ed4c61fe4dde06ea2c57193ff506c9403146bc1fba8b3",
    "pcm-nandakumar-2019": "e3d08b283f3549e608c1c922f37ed7cb4849c85036205727ed73c373764c7cb7",
    "reram-cmo-02pct": "d5941c09f0a40eb8f928e0e807eb00054d4567489db779193fddc06f859bcb11",
    "reram-cmo-02pct-digital-reference": "c3cca7ded3894fc4a044120fa6b73db74882e5163935e49fd400c02d5c21dc8c",
    "reram-cmo-2pct-digital-reference": "bca42a899e20c40dceba097c19a97cabe19af6dede0b2dfdcd2d84037e2ac3c7",
    "reram-cmo-2pct": "2e2bc46835970090f19127ace5b817fdd138b85303281252a9199cdd1397ef98",
    "reram-milo-2021": "20f332f60518b894689e703822f4c60034c9bd8ada6857e99bbe33c55829336a",
    "reram-wan-2022": "9366a2e5693e876c52de86dac896a3403276176c28e75fadf5d2baf4c4ceeaaf",
    "reram-wan-2022-crosssim": "a1923061fc3c73c0b2a3849f38d582237eacb9d0c07ac191848d5982fea8bf41",
    "sonos-agrawal-2022": "a472ddae8273406595bb31f3d7ba797e2e7a6459af4cd1ced9a76a5fcf9387d4",
    "uniform": "7fe0f92065bab97d04057aab1b0e282387eeffdf23a338da97777482c4e63167",
}
DOCS = Path(__file__).parents[2] / "docs" / "device_laws.md"


def shipped() -> Iterator[tuple[str, type[Law]]]:
    """(table of a preset, law) of the laws in the package; tests define others."""
    for table, family in FAMILIES.items():
        for law in family.members.values():
            if law.__module__.startswith("driftproof."):
                yield table, law


LAWS = list(shipped())
NAMES = [f"{table}.{law.tag()}" for table, law in LAWS]


def test_no_preset_has_become_another_one() -> None:
    assert {name: load_preset(name).sha256 for name in preset_names()} == SHA256


def test_the_laws_are_all_there() -> None:
    tags: dict[str, set[str]] = {}
    for table, law in LAWS:
        tags.setdefault(table, set()).add(law.tag())
    assert tags == {
        "conductance": {"weight", "pair", "offset"},
        "programming": {
            *("none", "gaussian", "uniform", "weight-curve"),
            *("polynomial", "polynomial-in-time", "saturating-in-time"),
        },
        "drift": {"power", "log-relaxation"},
        "read": {"one-over-f", "log10-g", "saturating"},
    }


@pytest.mark.parametrize("name", preset_names())
def test_every_law_of_a_preset_is_told_in_words(name: str) -> None:
    preset = load_preset(name)
    said = in_words(preset.definition())
    tables = {"conductance", "programming", "drift", "read", "stuck", "levels", "variation"}
    assert said.keys() == {table for table in tables if getattr(preset, table) is not None}
    for sentence in said.values():
        assert re.fullmatch(r"[A-Z].{20,}\.", sentence)
        assert not re.search(r"None|\bnan\b|  |[+-] -\d|\{", sentence)


def test_words_of_a_record_of_another_version_are_left_out() -> None:
    definition = load_preset("pcm-nandakumar-2019").definition()
    unknown = definition | {"drift": {"law": "of-tomorrow", "x": 1}, "levels": {"many": 3}}
    assert in_words(unknown).keys() == {"conductance", "programming", "read"}
    assert in_words({"name": "measured:mine", "family": "measured"}) == {}


@pytest.mark.parametrize("name", preset_names())
def test_a_device_that_is_said_to_change_changes_and_no_other(name: str) -> None:
    preset = load_preset(name)
    array = program(preset, torch.linspace(-1, 1, 64).view(8, 8).contiguous(), seed=0, chip=0, layer="fc")
    first, last = (array.net(t_s, read_noise=False) for t_s in (preset.validity.t_s[0], 1e9))
    assert torch.equal(first, last) != preset.changes_in_time


def test_laws_leave_their_arguments_as_they_are() -> None:
    """Blocks of kept numbers go into the formulas: one that writes into them changes the chip."""
    for name in preset_names():
        preset = load_preset(name)
        g, life = torch.linspace(0, 20, 50), torch.linspace(0.01, 0.1, 50)
        before = g.clone(), life.clone()
        if preset.drift is not None:
            preset.drift.after(g, life, 1e5)
        if preset.read is not None:
            preset.read.sigma_us(g, life, 1e5)
        if preset.conductance.has_devices:
            assert preset.validity.g_us is not None
            preset.programming.moments(g, preset.validity.g_us, 1e5)
        else:
            preset.programming.programmed(life, g)
        assert torch.equal(g, before[0]), name
        assert torch.equal(life, before[1]), name


@pytest.mark.parametrize(("table", "law"), LAWS, ids=NAMES)
def test_every_law_and_every_key_is_documented(table: str, law: type[Law]) -> None:
    text = DOCS.read_text(encoding="utf-8")
    row = next(
        line for line in text.splitlines() if line.startswith(f"| `{law.tag()}` |") and table in section(text, line)
    )
    for key in law.model_fields:
        assert key == law.tag_key or f"`{key}`" in row, key


def section(text: str, line: str) -> str:
    """The last heading before a line."""
    return text[: text.index(line)].rpartition("\n## ")[2].partition("\n")[0]


def test_every_key_of_a_curve_is_documented() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert all(f"`{key}`" in text for key in Piece.model_fields)


def test_the_first_time_for_ever() -> None:
    preset: DevicePreset = load_preset("sonos-agrawal-2022")
    law = preset.programming.without_time()
    target = torch.linspace(0, 16, 30)
    for t_s in (0.0, 1e9):
        for ours, wanted in zip(
            law.moments(target, (0, 16), t_s), preset.programming.moments(target, (0, 16), 0.0), strict=True
        ):
            assert torch.equal(ours, wanted)
    assert not law.changes_in_time
    assert law.steps_until(math.inf) == ()


def test_how_often_read_noise_is_new_is_read_under_its_old_word() -> None:
    now = load_preset("sonos-agrawal-2022")
    definition = now.definition()
    assert definition["read"]["new_every"] == "mvm"
    definition["read"]["new_every"] = "product"
    assert DevicePreset.model_validate(definition) == now


# SONOS before the key spread_at existed, when the spread was that of the target current
SONOS_AT_TARGET = "bd4de348c41bb54585bb3821da01954d9cfd0277f922a52a7dfeccb9be049cf5"


def sonos_of_then() -> dict[str, Any]:
    """The definition that an earlier version stored of SONOS."""
    definition = load_preset("sonos-agrawal-2022").definition()
    del definition["programming"]["spread_at"]
    return definition


def test_a_stored_sonos_chip_keeps_the_law_and_the_hash_that_it_had() -> None:
    saved = SavedPreset.model_validate({"sha256": SONOS_AT_TARGET, "preset": sonos_of_then()})
    law = saved.preset.programming
    assert isinstance(law, SaturatingInTime)
    assert law.spread_at == "target"
    assert saved.preset.sha256 == SONOS_AT_TARGET != load_preset("sonos-agrawal-2022").sha256
    mixed = {"sha256": "", "name": "mix", "default": sonos_of_then(), "layers": [["fc", sonos_of_then()]]}
    assert {part.sha256 for part in (SavedMix.model_validate(mixed).default,)} == {SONOS_AT_TARGET}
    assert SavedMix.model_validate(mixed).layers[0][1].sha256 == SONOS_AT_TARGET


def test_what_a_record_stored_of_sonos_is_told_in_words() -> None:
    assert "at the target current" in in_words(sonos_of_then())["programming"]
    assert "at the current after the shift" in in_words(load_preset("sonos-agrawal-2022").definition())["programming"]
    assert changes_in_time(sonos_of_then(), {})


def test_a_preset_file_says_at_which_current_the_spread_is(tmp_path: Path) -> None:
    shipped = (preset_folder() / "sonos-agrawal-2022.toml").read_text(encoding="utf-8")
    without_key = "".join(line for line in shipped.splitlines(keepends=True) if not line.startswith("spread_at"))
    (tmp_path / "mine.toml").write_text(without_key, encoding="utf-8")
    with pytest.raises(DriftproofError, match=r"missing key programming\.spread_at"):
        load_preset(tmp_path / "mine.toml")


def test_a_record_of_the_old_sonos_is_not_continued_with_the_new_one(tmp_path: Path) -> None:
    old = SavedPreset.model_validate({"sha256": SONOS_AT_TARGET, "preset": sonos_of_then()}).preset
    data = (torch.zeros(4, 3), torch.zeros(4).long())
    network = torch.nn.Linear(3, 2)
    evaluate(network, data, presets=[old], times=["1d"], chips=1, out=tmp_path / "out").close()
    with pytest.raises(DriftproofError, match="'sonos-agrawal-2022' with other numbers"):
        evaluate(network, data, presets=["sonos-agrawal-2022"], times=["1d"], chips=1, out=tmp_path / "out")
