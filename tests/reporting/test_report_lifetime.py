"""How long a mean stays on the good side, and the sentence about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from driftproof._device_choice import load_device
from driftproof._devices import Device
from driftproof._errors import DriftproofError
from driftproof._presets import load_preset, without
from driftproof._record import PresetEntry, Record
from driftproof._reporting.gather import gather
from driftproof._reporting.lifetime import Lifetime, default_keep, in_words, lifetime
from driftproof._reporting.verdict import Verdict, verdicts
from driftproof.evaluation._identity import preset_entries
from driftproof.measured import load_measured
from synthetic_record import begin, fill, key_of, preset

DAY = 86_400.0


def test_crossing_is_linear_in_the_logarithm_of_time() -> None:
    # 91 → 89 between 1 h and 100 h: 90 is half way, at the geometric mean, 10 h.
    found = lifetime([1.0, 3600.0, 360_000.0], [91.5, 91.0, 89.0], keep=90.0)
    assert found.kind == "crossed"
    assert found.t_s == pytest.approx(36_000.0)
    # A quarter of the way down lies a quarter of the decades on.
    assert lifetime([1.0, 1e4], [92.0, 84.0], keep=90.0).t_s == pytest.approx(10.0)


def test_from_time_zero_the_crossing_is_linear_in_time() -> None:
    assert lifetime([0.0, 100.0], [91.0, 87.0], keep=90.0) == Lifetime("crossed", 25.0)


def test_ends() -> None:
    assert lifetime([1.0, 2.0], [89.9, 95.0], keep=90.0) == Lifetime("below", 1.0)
    assert lifetime([1.0, 2.0], [95.0, 90.0], keep=90.0) == Lifetime("held", 2.0)
    # A later recovery does not count.
    assert lifetime([1.0, 100.0, 1e4], [91.0, 89.0, 95.0], keep=90.0).t_s == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("times_s", "values", "message"),
    [
        ([1.0, 2.0], [90.0], "2 times and 1 values.*one value for each time"),
        ([], [], "no times.*at least one"),
        ([1.0, 100.0, 10.0], [90.0, 89.0, 88.0], "the times 1, 100, 10 s.*ascending.*sort them"),
    ],
)
def test_a_curve_that_is_none_is_refused(times_s: list[float], values: list[float], message: str) -> None:
    with pytest.raises(DriftproofError, match=f"lifetime: .*{message}"):
        lifetime(times_s, values, keep=90.0)


def test_default_threshold_is_a_whole_percent_at_least_one_below() -> None:
    assert [default_keep(x) for x in (91.73, 91.0, 90.99, 0.4)] == [90.0, 90.0, 89.0, 0.0]


@pytest.mark.parametrize(
    ("t_s", "words"),
    [(40 * DAY, "40 days"), (3 * 3600.0, "3 hours"), (365 * DAY, "1 year"), (59.7, "1 minute"), (364.9 * DAY, "1 year"),
     (90.0, "1.5 minutes"), (0.0, "0 seconds"), (23.4 * 3600, "23 hours"), (3650 * DAY, "10 years")],
)  # fmt: skip
def test_words(t_s: float, words: str) -> None:
    assert in_words(t_s) == words


def sentence(
    values: dict[float, list[float]],
    keep: float | None = None,
    entry: PresetEntry | None = None,
    digital: float = 91.73,
) -> Verdict:
    with Record.create_or_open(None) as record:
        made, number = begin(record, digital=digital)
        fill(record, made, number, entry or preset("pcm", valid_s=(0.0, 1000 * DAY)), values)
        (found,) = verdicts(gather(record), key_of(record, made), keep)
    return found


ONE_CHIP = "; as a time has one chip only, this is not certain"
STEADY = "keeps 90 % accuracy (91.0 %); its noise does not change with time" + ONE_CHIP


def entry_of(device: Device) -> PresetEntry:
    return preset_entries(device)[-1]


def test_a_crossing_with_its_interval() -> None:
    # the half-width is 1.24: at 10 s the interval around 91 lies on both sides of 90, at 10,000 s it lies below
    values = {1.0: [91.5, 92.0, 92.5], 10.0: [90.5, 91.0, 91.5], 1e4: [87.5, 88.0, 88.5]}
    found = sentence(values)
    assert found.lifetime is not None
    assert found.lifetime.kind == "crossed"
    assert found.lifetime.t_s == pytest.approx(100.0)
    assert found.text == "keeps 90 % accuracy for about 1.7 minutes (95 % interval 1 s to 2.78 h)"
    assert found.loss == (
        "gains 0.3 points of accuracy at 1 s (95 % interval -1.0 to 1.5) and loses 3.7 points at 2.78 h (2.5 to 5.0)"
    )
    assert found.preliminary


def test_times_out_of_validity_never_count() -> None:
    short = preset("short", valid_s=(0.0, 10.0))
    found = sentence({1.0: [91.0], 10.0: [90.5], 1e6: [20.0]}, entry=short)
    assert found.lifetime == Lifetime("held", 10.0)
    assert "at least 10 seconds" in found.text
    never = sentence({100.0: [91.0]}, entry=short)
    assert never.lifetime is None
    assert "outside its range of validity" in never.text


def test_below_from_the_start_and_interval_open_at_both_ends() -> None:
    below = "is below 90 % from the first measured time, 1 s (80.0 %)"
    assert sentence({1.0: [80.0], 10.0: [79.0]}).text == below + ONE_CHIP
    wide = sentence({1.0: [91.0, 89.4], 1e4: [90.5, 89.3]})
    assert wide.text.startswith(
        "stays above 90 % on average for about 7.7 minutes (95 % interval below 1 s to above 2.78 h); whether it is "
        "above 90 % at 1 s is not decided by 2 chips"
    )


def test_a_given_threshold_and_a_preset_without_time() -> None:
    assert sentence({1.0: [80.0], 10.0: [79.0]}, keep=79.0).lifetime == Lifetime("held", 10.0)
    assert sentence({1.0: [91.0]}, entry=entry_of(load_preset("gaussian:0.05"))).text == STEADY
    assert "the only valid time measured" in sentence({1.0: [91.0]}).text


def of_device(device: Device, *times_s: float) -> str:
    """Return the sentence about a device, whose parts stand in the record, too."""
    with Record.create_or_open(None) as record:
        made, number = begin(record)
        for entry in preset_entries(device):
            record.add_preset(entry)
        fill(record, made, number, entry_of(device), {t_s: [91.0] for t_s in times_s})
        (found,) = verdicts(gather(record), key_of(record, made), None)
    return found.text


def test_a_mix_changes_in_time_if_one_of_its_devices_does() -> None:
    assert of_device(load_device("gaussian:0.1,fc=ideal"), 1.0, 3600.0) == STEADY
    for text in ("gaussian:0.1,fc=pcm-nandakumar-2019", "pcm-nandakumar-2019,fc=gaussian:0.1"):
        assert of_device(load_device(text), 1.0, 3600.0) == (
            "keeps 90 % accuracy for at least 1 hour, the last valid time measured (91.0 %)" + ONE_CHIP
        )


def test_a_table_with_one_time_left_does_not_change() -> None:
    assert of_device(without(load_preset("reram-wan-2022"), "drift"), 1.0, 3600.0) == STEADY


def test_nothing_is_said_of_times_at_which_chips_were_not_measured(tmp_path: Path) -> None:
    pair = 'name = "mine"\n[conductance]\nencoding = "pair"\ng_min_us = 0.0\ng_max_us = 20.0\n'
    for name, times_s in (("once", [60.0]), ("twice", [60.0, 3600.0])):
        (folder := tmp_path / name).mkdir()
        (folder / "device.toml").write_text(pair, encoding="utf-8")
        g = np.full((len(times_s), 1, 2), 20.0)
        np.savez(folder / "fc.npz", g_plus_us=g, g_minus_us=0 * g, t_s=np.array(times_s))
        found = of_device(load_measured(folder), *times_s)
        assert "does not change" not in found
        assert ("at 1 min, the only valid time" if name == "once" else "for at least 1 hour, the last") in found


@pytest.mark.parametrize(
    ("mean", "text"),
    [
        (89.98, "is below 90 % from the first measured time, 1 s (89.98 %)"),
        (89.996, "is below 90 % from the first measured time, 1 s (89.996 %)"),
        (90.0, "keeps 90 % accuracy at 1 s, the only valid time measured (90.0 %)"),
        (90.02, "keeps 90 % accuracy at 1 s, the only valid time measured (90.02 %)"),
        (89.9, "is below 90 % from the first measured time, 1 s (89.9 %)"),
    ],
)
def test_a_mean_beside_the_threshold_is_not_rounded_to_it(mean: float, text: str) -> None:
    assert sentence({1.0: [mean]}).text == text + ONE_CHIP
