"""The drift compensation: its estimator, by hand and against an independent figure."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from driftproof._chip import Chip
from driftproof._compensation import (
    Compensation,
    ExactCompensation,
    MeanCompensation,
    as_compensation,
    factor,
    least_squares,
    mean_magnitude,
)
from driftproof._errors import DriftproofError
from driftproof._mapping import Mapping, TileSize, map_weight
from driftproof._presets import load_preset

YEAR = 31536000.0


def test_means_over_tiles_and_columns_by_hand() -> None:
    mapped = map_weight("fc", torch.ones(3, 4), TileSize(2, 2))
    net = torch.tensor([[1.0, -3.0, 5.0, 7.0], [2.0, 2.0, 0.0, 0.0], [-4.0, 4.0, 1.0, 1.0]])
    assert mean_magnitude(mapped, net, "column").tolist() == [[2.0, 2.0, 4.0], [6.0, 0.0, 1.0]]
    # tiles: rows 0-1 and 2-3, columns 0-1 and 2
    assert mean_magnitude(mapped, net, "tile").tolist() == [[2.0, 2.0, 4.0], [3.0, 3.0, 1.0]]


def test_a_dead_tile_is_left_alone() -> None:
    assert factor(torch.tensor([3.0, 0.0]), torch.tensor([1.5, 0.0])).tolist() == [2.0, 1.0]


def chip(
    compensation: str | Compensation,
    weight: torch.Tensor,
    preset: str = "pcm-nandakumar-2019",
    changes: dict[str, int] | None = None,
) -> Chip:
    mapped = map_weight("fc", weight)
    mapping = Mapping(TileSize(), (), {"fc": mapped})
    return Chip(mapping, load_preset(preset, changes), seed=0, chip=0, compensation=compensation)


def test_pcm_at_one_year_on_a_gaussian_tile_is_the_independent_figure() -> None:
    # 2.01 by mean |G+ - G-|; the sum of both conductances would give 2.04, least squares 1.94
    weight = torch.randn(512, 512, generator=torch.Generator().manual_seed(0))
    alpha = chip("tile", weight).read("fc", YEAR).alpha
    assert torch.unique(alpha).numel() == 1
    assert float(alpha[0, 0]) == pytest.approx(2.01, abs=0.015)


def test_exact_compensation_is_the_least_squares_factor() -> None:
    weight = torch.randn(512, 512, generator=torch.Generator().manual_seed(0))
    exact = chip("exact", weight)
    alpha, target = exact.read("fc", YEAR).alpha, exact.arrays["fc"].target
    net = exact.arrays["fc"].net(YEAR, read_out=exact.read_outs.calibration)
    assert float(alpha[0, 0]) == pytest.approx(1.94, abs=0.015)
    # no other factor brings the array nearer to its targets
    best = float((float(alpha[0, 0]) * net - target).square().sum())
    for other in (0.99, 1.01):
        assert float((other * float(alpha[0, 0]) * net - target).square().sum()) > best
    dead = torch.zeros(3, 3)
    assert torch.unique(chip("exact", dead, preset="ideal").read("fc", YEAR).alpha).tolist() == [1.0]


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
    assert torch.unique(alpha).numel() == 6
    per_tile = chip("tile", weight).read("fc", YEAR).alpha
    assert float(alpha.mean()) == pytest.approx(float(per_tile[0, 0]), rel=0.05)


def test_no_compensation_is_a_factor_of_one() -> None:
    assert chip("none", torch.ones(2, 2)).read("fc", YEAR).alpha.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("columns", "did you mean column"),
        ("tile:reference=20", "did you mean reference_s"),
        ("tile:per=column", "of reference_s, every_s"),
        ("none:every_s=1", "it has no parameters"),
        ("exact:per=layer", "per 'layer': wanted tile or column"),
        ("column:every_s=1d,every_s=2d", "each once"),
        ("tile:", "got ''"),
        ("tile:every_s=soon", "wanted seconds"),
    ],
)
def test_what_is_no_compensation(text: str, message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        as_compensation(text)


@pytest.mark.parametrize(
    "text", ["none", "tile", "column", "exact", "column:reference_s=20,every_s=86400", "exact:per=column,every_s=0.5"]
)
def test_the_text_of_a_compensation_says_all_of_it(text: str) -> None:
    assert str(as_compensation(text)) == text
    assert as_compensation(as_compensation(text)) == as_compensation(text)
    assert as_compensation("tile:every_s=31536001.25") == as_compensation(
        str(as_compensation("tile:every_s=31536001.25"))
    )


WEIGHT = torch.randn(64, 64, generator=torch.Generator().manual_seed(1))


def test_a_later_reference_compensates_what_comes_after_it() -> None:
    drifted, usual = chip("column:reference_s=1d", WEIGHT), chip("column", WEIGHT)
    array = usual.arrays["fc"]
    assert torch.equal(drifted.read("fc", 3600.0).alpha, torch.ones(1, 64))
    later = array.net(YEAR, read_out=usual.read_outs.calibration)
    wanted = array.net(86400.0, read_noise=False).abs().mean(dim=1) / later.abs().mean(dim=1)
    torch.testing.assert_close(drifted.read("fc", YEAR).alpha[0], wanted)
    assert bool((usual.read("fc", YEAR).alpha > drifted.read("fc", YEAR).alpha).all())


@pytest.mark.parametrize("kind", ["tile", "exact"])
def test_a_factor_is_kept_until_it_is_measured_again(kind: str) -> None:
    rare, usual = chip(f"{kind}:every_s=1d", WEIGHT), chip(kind, WEIGHT)
    at = {t: rare.read("fc", t * 86400.0).alpha for t in (0.5, 1.0, 1.9, 2.0)}
    assert torch.equal(at[1.0], usual.read("fc", 86400.0).alpha)
    assert torch.equal(at[1.9], at[1.0])
    assert torch.equal(at[2.0], usual.read("fc", 2 * 86400.0).alpha)
    first = torch.ones(1, 64) if kind == "tile" else usual.read("fc", 0.0).alpha
    assert torch.equal(at[0.5], first)


def test_exact_per_column_is_least_squares_column_by_column() -> None:
    per = chip("exact:per=column", WEIGHT)
    net, target = per.arrays["fc"].net(YEAR, read_out=per.read_outs.calibration), per.arrays["fc"].target
    wanted = (net * target).sum(dim=1) / net.square().sum(dim=1)
    torch.testing.assert_close(per.read("fc", YEAR).alpha[0], wanted)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MeanCompensation(per="columns"),  # type: ignore[arg-type]
        lambda: MeanCompensation(every_s=-5.0),
        lambda: MeanCompensation(reference_s=float("nan")),
        lambda: ExactCompensation(every_s="1d"),  # type: ignore[arg-type]
        lambda: as_compensation(3),  # type: ignore[arg-type]
    ],
)
def test_nonsense_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(DriftproofError, match="compensation"):
        make()


@pytest.mark.parametrize(("every_s", "t_s"), [(0.1, 0.3), (0.2, 0.6), (1080.0, 8.7 * 3600), (6.0, 246.0)])
def test_multiples_are_found_in_spite_of_rounding(every_s: float, t_s: float) -> None:
    rare, usual = chip(MeanCompensation(every_s=every_s), WEIGHT), chip("tile", WEIGHT)
    assert torch.equal(rare.read("fc", t_s).alpha, usual.read("fc", t_s).alpha)


def test_at_the_reference_itself_only_read_noise_is_left_to_compensate() -> None:
    drifted = chip("tile:reference_s=1d", WEIGHT).read("fc", 86400.0).alpha
    assert float(drifted[0, 0]) != 1.0
    assert float(drifted[0, 0]) == pytest.approx(1.0, abs=0.02)
