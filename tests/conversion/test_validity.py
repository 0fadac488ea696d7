"""Chips that keep to their device's range of validity: 1 s to 2 days for ReRAM of the NeuRRAM chip."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

import driftproof as dp
from driftproof._conversion.saved_form import Saved
from driftproof._errors import DriftproofError

OUTSIDE = r"within_validity: reram-wan-2022 .*1 s to 2 d.* {}.*drift"


@pytest.mark.parametrize("keyword", ["within_validity", "strict"])
def test_times_out_of_validity_are_refused_and_the_chip_stays(keyword: str) -> None:
    layer, x, options = nn.Linear(8, 4), torch.ones(1, 8), cast("dict[str, Any]", {keyword: True})
    chip = dp.program(dp.convert(layer, "reram-wan-2022", **options))
    for _ in range(2):
        with pytest.raises(DriftproofError, match=OUTSIDE.format("0 s")):
            chip.model(x)
        with pytest.raises(DriftproofError, match=OUTSIDE.format("1 y")):
            chip.drift("1y")
    before = chip.drift("1d").model(x)
    with pytest.raises(DriftproofError, match=OUTSIDE.format("3 d")):
        chip.drift("3d")
    assert chip.t_s == 86_400.0
    assert torch.equal(chip.model(x), before)
    free = dp.program(dp.convert(layer, "reram-wan-2022"))
    assert torch.equal(free.drift("1d").model(x), before)
    assert free.drift("1y").t_s > 1e7


def test_a_device_that_is_valid_from_the_start_computes_at_once() -> None:
    analog = dp.convert(nn.Linear(8, 4), "pcm-nandakumar-2019", within_validity=True)
    chip = dp.program(analog)
    assert (analog.within_validity, chip.within_validity) == (True, True)
    if chip.chip.preset.in_validity(0.0):
        chip.model(torch.ones(1, 8))
    with pytest.raises(DriftproofError, match=r"within_validity: pcm-nandakumar-2019.*10 y"):
        chip.drift("10y")


def test_it_is_kept_in_files(tmp_path: Path) -> None:
    layer = nn.Linear(8, 4)
    analog = dp.convert(layer, "reram-wan-2022", within_validity=True)
    chip = dp.program(analog, chip=2)
    again = dp.load(dp.save(analog, tmp_path / "analog"), layer)
    still = dp.load(dp.save(chip, tmp_path / "still"), layer)
    moved = dp.load(dp.save(chip.drift("1d"), tmp_path / "moved"), layer)
    assert isinstance(again, dp.AnalogModel)
    assert isinstance(still, dp.ProgrammedChip)
    assert isinstance(moved, dp.ProgrammedChip)
    assert again.within_validity
    assert moved.t_s == 86_400.0
    for other in (dp.program(again), still, moved):
        with pytest.raises(DriftproofError, match=OUTSIDE.format("1 y")):
            other.drift("1y")
    with pytest.raises(DriftproofError, match=OUTSIDE.format("0 s")):
        still.model(torch.ones(1, 8))
    assert torch.equal(moved.model(torch.ones(1, 8)), chip.model(torch.ones(1, 8)))
    free = dp.save(dp.convert(layer, "reram-wan-2022"), tmp_path / "free")
    assert "within_validity" not in (free / "converted.json").read_text()
    assert Saved.model_validate_json((tmp_path / "moved" / "converted.json").read_text()).within_validity
