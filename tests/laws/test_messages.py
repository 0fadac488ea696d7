"""What is wrong with a law's table is told by keys that stand in the file."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import pytest

from driftproof._errors import DriftproofError
from driftproof._presets import load_preset
from driftproof.laws import DriftLaw, Plot
from driftproof.laws._table import Positive, Table
from driftproof.measured import load_measured


class Inner(Table):
    power: Positive


class Colliding(DriftLaw):
    """A law with keys that are called as other laws are."""

    plots: ClassVar[tuple[Plot, ...]] = ("shift",)

    law: Literal["colliding"]
    power: Positive
    gaussian: Inner
    saturating: tuple[Positive, ...]

    def after(self, g_us, life, t_s):  # type: ignore[no-untyped-def]
        return g_us.clone()

    def words(self) -> str:
        return "It stays."


def fault(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(f'extends = "pcm-nandakumar-2019"\nname = "mine"\n{text}')
    with pytest.raises(DriftproofError) as caught:
        load_preset(path)
    return str(caught.value).replace(f"{path}: ", "")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("power = -1.0\ngaussian = { power = 1.0 }\nsaturating = []", "drift.power: Input should be greater than 0"),
        ("power = 1.0\ngaussian = { power = -1.0 }\nsaturating = []", "drift.gaussian.power: Input should be greater"),
        ("power = 1.0\ngaussian = { }\nsaturating = []", "missing key drift.gaussian.power"),
        ("power = 1.0\ngaussian = { power = 1.0 }\nsaturating = [-1.0]", "drift.saturating.0: Input should be greater"),
        ("gaussian = { power = 1.0 }\nsaturating = []", "missing key drift.power"),
        ("power = 1.0\ngaussian = { power = 1.0, offset = 1 }\nsaturating = []", "unknown key drift.gaussian.offset"),
    ],
)
def test_a_key_that_is_called_as_a_law_is_named(tmp_path: Path, table: str, message: str) -> None:
    assert fault(tmp_path, f'[drift]\nlaw = "colliding"\n{table}').startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[drift]\nlaw = "powr"\n', "drift.law: there is no 'powr' (did you mean power?); wanted one of "),
        ("[drift]\nlaw = 3\n", "drift.law: there is no 3; wanted one of "),
        ("[drift]\nlaw = []\n", "drift.law: there is no []; wanted one of "),
        ('[read]\nlaw = "{x}"\n', "read.law: there is no '{x}'; wanted one of "),
        ('[conductance]\nencoding = "pairs"\n', "conductance.encoding: there is no 'pairs' (did you mean pair?); "),
        ('[programming]\nlaw = "polynomial"\nvariable = "r"\n', "missing key programming.sigma_us"),
    ],
)
def test_an_unknown_law_is_told_with_those_there_are(tmp_path: Path, text: str, message: str) -> None:
    assert fault(tmp_path, text).startswith(message)


def test_a_missing_law_is_told_with_those_there_are(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = (Path(__file__).parents[2] / "device_presets" / "pcm-nandakumar-2019.toml").read_text()
    path.write_text(text.replace('law = "power"\n', ""))
    with pytest.raises(DriftproofError, match=r"mine.toml: drift.law: missing; wanted one of .*power") as caught:
        load_preset(path)
    assert "got" not in str(caught.value)
    path.write_text(text[: text.index("[drift]")].replace("[source]", "drift = 3\n[source]"))
    with pytest.raises(DriftproofError, match=r"drift: wanted a table with the key law, got 3"):
        load_preset(path)


def test_all_faults_of_all_laws_come_at_once(tmp_path: Path) -> None:
    said = fault(tmp_path, '[drift]\nt0_s = -1.0\n[read]\nlaw = "one-over-g"\n[conductance]\ng_max_us = -1.0\n')
    for part in ("drift.t0_s: Input", "read.law: there is no 'one-over-g' (did you mean one-over-f?)", "g_max_us"):
        assert part in said


def test_law_and_encoding_must_fit(tmp_path: Path) -> None:
    said = fault(tmp_path, '[programming]\nlaw = "gaussian"\nsigma = 0.1\nrelative_to = "largest"\n')
    assert said == 'programming.law "gaussian" acts on the net weight: use encoding "weight"'
    said = fault(tmp_path, '[conductance]\nencoding = "weight"\n[drift]\n[read]\n')
    assert said == 'programming.law "polynomial" acts on devices: use encoding "offset" or "pair"'
    said = fault(tmp_path, '[conductance]\nencoding = "weight"\n[programming]\nlaw = "none"\n')
    assert said == 'drift, read and stuck act on devices: use encoding "offset" or "pair"'


def test_the_settings_of_measured_chips_name_their_keys(tmp_path: Path) -> None:
    settings = tmp_path / "device.toml"
    settings.write_text('name = "mine"\n[conductance]\nencoding = "weight"\n')
    with pytest.raises(
        DriftproofError, match=r"conductance.encoding: there is no 'weight'; wanted one of offset, pair"
    ):
        load_measured(tmp_path)
    settings.write_text('name = "mine"\n[conductance]\nencoding = "pair"\ng_min_us = 0.0\ng_max_us = -2.0\n')
    with pytest.raises(DriftproofError, match=r"device.toml: conductance.g_max_us: Input should be greater than 0"):
        load_measured(tmp_path)
