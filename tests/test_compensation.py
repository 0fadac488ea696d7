"""The drift compensation: its estimator, by hand and against an independent figure."""

from __future__ import annotations

import pytest
import torch

from driftproof.chip import Chip
from driftproof.compensation import check_compensation, factor, least_squares, mean_magnitude
from driftproof.errors import DriftproofError
from driftproof.mapping import Mapping, TileSize, map_weight
from driftproof.presets import load_preset

YEAR = 31536000.0


def test_means_over_tiles_and_columns_by_hand() -> None:
    mapped = map_weight("fc", torch.ones(3, 4), TileSize(2, 2))
    net = torch.tensor([[1.0, -3.0, 5.0, 7.0], [2.0, 2.0, 0.0, 0.0], [-4.0, 4.0, 1.0, 1.0]])
    assert mean_magnitude(mapped, net, "column").tolist() == [[2.0, 2.0, 4.0], [6.0, 0.0, 1.0]]
    # tiles: rows 0-1 and 2-3, columns 0-1 and 2
    assert mean_magnitude(mapped, net, "tile").tolist() == [[2.0, 2.0, 4.0], [3.0, 3.0, 1.0]]


def test_a_dead_tile_is_left_alone() -> None:
    assert factor(torch.tensor([3.0, 0.0]), torch.tensor([1.5, 0.0])).tolist() == [2.0, 1.0]


def chip(compensation, weight, preset="pcm-nandakumar-2019", changes=None, **keys):
    mapped = map_weight("fc", weight)
    mapping = Mapping(TileSize(), (), {"fc": mapped})
    return Chip(mapping, load_preset(preset, changes), seed=0, chip=0, compensation=compensation, **keys)


def test_pcm_at_one_year_on_a_gaussian_tile_is_the_independent_figure() -> None:
    # 2.01 by mean |G+ - G-|; the sum of both conductances would give 2.04, least squares 1.94
    weight = torch.randn(512, 512, generator=torch.Generator().manual_seed(0))
    alpha = chip("tile", weight).read("fc", YEAR).alpha
    assert alpha.unique().numel() == 1
    assert float(alpha[0, 0]) == pytest.approx(2.01, abs=0.015)


def test_exact_compensation_is_the_least_squares_factor() -> None:
    weight = torch.randn(512, 512, generator=torch.Generator().manual_seed(0))
    exact = chip("exact", weight)
    alpha, net, target = exact.read("fc", YEAR).alpha, exact.arrays["fc"].net(YEAR), exact.arrays["fc"].target
    assert float(alpha[0, 0]) == pytest.approx(1.94, abs=0.015)
    # no other factor brings the array nearer to its targets
    best = float((float(alpha[0, 0]) * net - target).square().sum())
    for other in (0.99, 1.01):
        assert float((other * float(alpha[0, 0]) * net - target).square().sum()) > best
    dead = torch.zeros(3, 3)
    assert chip("exact", dead, preset="ideal").read("fc", YEAR).alpha.unique().tolist() == [1.0]


def test_exact_compensation_is_per_tile() -> None:
    mapped = map_weight("fc", torch.ones(2, 4), TileSize(2, 1))
    net = torch.tensor([[0.5, 0.5, 0.25, 0.25], [1.0, 1.0, 2.0, 2.0]])
    assert least_squares(mapped, mapped.target, net).tolist() == [[2.0, 1.0], [4.0, 0.5]]


@pytest.mark.parametrize("compensation", ["tile", "column"])
def test_a_common_decay_is_removed(compensation: str) -> None:
    quiet = {
        "drift.nu_mean.per_ln_r": 0,
        "drift.nu_sd.per_ln_r": 0,
        "drift.nu_sd.constant": 0,
        "drift.nu_sd.min": 0,
        "read.q.scale": 0,
    }
    weight = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    drifting = chip(compensation, weight, changes=quiet)
    torch.testing.assert_close(drifting.weight("fc", YEAR), drifting.weight("fc", 0.0), rtol=2e-6, atol=1e-7)
    left = chip("none", weight, changes=quiet)
    assert float(left.weight("fc", YEAR).abs().mean()) < 0.6 * float(left.weight("fc", 0.0).abs().mean())


def test_columns_are_compensated_one_by_one() -> None:
    weight = torch.randn(6, 400, generator=torch.Generator().manual_seed(0))
    alpha = chip("column", weight).read("fc", YEAR).alpha
    assert alpha.unique().numel() == 6
    per_tile = chip("tile", weight).read("fc", YEAR).alpha
    assert float(alpha.mean()) == pytest.approx(float(per_tile[0, 0]), rel=0.05)


def test_no_compensation_is_a_factor_of_one() -> None:
    assert chip("none", torch.ones(2, 2)).read("fc", YEAR).alpha.tolist() == [[1.0, 1.0]]


def test_unknown_compensation() -> None:
    with pytest.raises(DriftproofError, match="did you mean column"):
        check_compensation("columns")
