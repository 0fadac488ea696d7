"""What presets say about their results: sources, caveats, conditions, t = 0, and the other presets of one device."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from driftproof._errors import DriftproofError
from driftproof._presets import load_preset, preset_names
from driftproof._presets.notes import caveat_texts, notes_of, other_presets
from driftproof.laws._words import condition, first_read_s, time_zero

ALL_DEVICES = Path(__file__).parents[2] / "experiments" / "all_devices" / "summary.csv"
LINKED = [name for name in preset_names() if load_preset(name).variants]


def test_presets_of_one_device_name_each_other() -> None:
    pairs = {(name, other.preset) for name in preset_names() for other in load_preset(name).variants}
    one_way = {frozenset(pair) for pair in pairs}
    assert one_way == {
        frozenset(pair)
        for pair in (
            ("pcm-nandakumar-2019", "pcm-joshi-2020"),
            ("pcm-hermes-1", "pcm-hermes-2"),
            ("reram-wan-2022", "reram-wan-2022-crosssim"),
            ("reram-cmo-2pct", "reram-cmo-2pct-digital-reference"),
            ("reram-cmo-02pct", "reram-cmo-02pct-digital-reference"),
            ("reram-cmo-2pct", "reram-cmo-02pct"),
        )
    }
    # the digital reference of 2 % leads to that of 0.2 % by way of its own reference column
    assert {pair[::-1] for pair in pairs} == pairs


@pytest.mark.parametrize("name", LINKED)
def test_results_of_variants_are_those_of_the_tracked_experiment(name: str) -> None:
    """If this fails after a new run of experiments/all_devices, change the numbers in the preset's file."""
    with ALL_DEVICES.open() as file:
        means = {(row["preset"], float(row["t_s"])): float(row["mean"]) for row in csv.DictReader(file)}
    for variant in load_preset(name).variants:
        assert variant.measured is not None
        assert variant.measured.percent.keys() == {name, variant.preset}
        for preset, percent in variant.measured.percent.items():
            assert f"{means[preset, variant.measured.t_s]:.1f}" == f"{percent:.1f}"
            assert load_preset(preset).in_validity(variant.measured.t_s)


def test_the_two_fits_of_wans_figure_differ_by_more_than_the_interval() -> None:
    (other,) = other_presets(load_preset("reram-wan-2022").definition())
    assert other.name == "reram-wan-2022-crosssim"
    assert "another fit of the same figure" in other.what
    assert "at 1 s: 89.4 % on reram-wan-2022, 87.6 % on reram-wan-2022-crosssim" in other.results
    assert "24 chips" in other.results


@pytest.mark.parametrize("name", [name for name in preset_names() if "cmo" in name])
def test_a_cmo_preset_states_its_reference(name: str) -> None:
    preset = load_preset(name)
    digital = "digital-reference" in name
    assert condition(preset.definition()) == ("digital reference" if digital else "drifting reference column")
    assert ("digital number as the reference" if digital else "reference column that drifts too") in preset.summary
    assert any("State the reference with every result" in text for text in caveat_texts(preset.definition()))
    assert preset.source.title.startswith("All-in-One Analog AI Accelerator:")
    assert "version 3" in preset.source.venue
    assert "10 times (at 1 s) and 3 times (at 10 years)" in preset.source.where
    assert any("about 1 %" in one.text and "w_noise = 0.01" in one.text for one in preset.assumptions)


def test_the_two_references_of_cmo_are_one_device_otherwise() -> None:
    for share, percent in (("2pct", "13.0"), ("02pct", "12.8")):
        column, digital = (load_preset(f"reram-cmo-{share}{end}").definition() for end in ("", "-digital-reference"))
        assert column["conductance"] == digital["conductance"] | {"reference": "column"}
        for table in ("programming", "drift", "read", "validity", "source", "assumptions"):
            assert column[table] == digital[table]
        assert f"{percent} % on reram-cmo" in other_presets(column)[0].results


def test_a_changed_reference_changes_the_condition(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'extends = "reram-cmo-2pct"\nname = "mine"\n[conductance]\nreference = "constant"\n'
    )
    assert condition(load_preset(tmp_path / "mine.toml").definition()) == "digital reference"
    assert condition(load_preset("pcm-nandakumar-2019").definition()) == condition({}) == ""


def test_hermes_has_the_caveats_of_its_source_and_of_its_statistics() -> None:
    worse, shift = caveat_texts(load_preset("pcm-hermes-2").definition())
    assert "drift of this model is worse than the drift that was measured on the chip" in worse
    assert "from 39.9 % to 88 % at 1 year" in shift
    assert "--recalibrate time" in shift
    assert all("worse than" not in text for text in caveat_texts(load_preset("pcm-hermes-1").definition()))


def test_sources_are_the_right_papers() -> None:
    milo = load_preset("reram-milo-2021")
    assert milo.source.doi == "10.1109/IRPS46558.2021.9405119"
    assert "Optimized programming algorithms" in milo.source.title
    assert "Fig. 4, algorithm IGVVA-100" in milo.source.where
    assert any("nonlinearity" in one.text and "left out" in one.text for one in milo.assumptions)
    foundation = load_preset("pcm-foundation-2025")
    assert "were evaluated on" in foundation.summary
    assert any("trained with Gaussian noise of 3 %" in one.text for one in foundation.assumptions)
    wan = load_preset("reram-wan-2022")
    assert any("about 1 %" in one.text and "w_noise = 0.01" in one.text for one in wan.assumptions)


def test_t_0_is_the_first_read() -> None:
    t0_s = {name: first_read_s(load_preset(name).definition()) for name in preset_names()}
    assert {name: t for name, t in t0_s.items() if t is not None} == {
        "pcm-nandakumar-2019": 20.0,
        "pcm-hermes-1": 200.0,
        "pcm-hermes-2": 300.0,
    }
    for name in preset_names():
        preset = load_preset(name)
        said = time_zero(preset.definition())
        assert said.startswith("t = 0 is the first read") != preset.of_no_device
        if t0_s[name]:
            assert f"{t0_s[name]:g} s (t0) after the last programming pulse" in said
            assert any(
                f"t0 = {t0_s[name]:g} s after the last programming pulse" in one.text for one in preset.assumptions
            )
    assert time_zero({"name": "measured chips"}) == ""


def test_notes_of_an_older_definition_are_those_of_the_shipped_preset_of_the_same_numbers() -> None:
    preset = load_preset("pcm-hermes-2")
    old = {key: value for key, value in preset.definition().items() if key not in ("caveats", "variants")}
    assert caveat_texts(notes_of(preset.name, preset.sha256, old)) == caveat_texts(preset.definition())
    assert notes_of(preset.name, "of other numbers", old) == {}
    assert notes_of("mine", preset.sha256, old) == {}
    assert notes_of(preset.name, preset.sha256, old | {"caveats": []}) == {"caveats": []}


def test_texts_do_not_change_the_hash_of_a_preset(tmp_path: Path) -> None:
    base = load_preset("reram-wan-2022")
    (tmp_path / "mine.toml").write_text(
        'extends = "reram-wan-2022"\nsummary = "Mine."\ncaveats = [{ text = "Mine." }]\nvariants = []\n'
    )
    mine = load_preset(tmp_path / "mine.toml")
    assert mine.sha256 == base.sha256
    assert mine.variants == ()
    (tmp_path / "bad.toml").write_text('extends = "reram-wan-2022"\n[[variants]]\npreset = "x"\nwaht = "y"\n')
    with pytest.raises(DriftproofError, match="waht"):
        load_preset(tmp_path / "bad.toml")
