"""The figures show every point, layer and cause, and say on what they were measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from driftproof._drawing import render
from driftproof._errors import DriftproofError
from driftproof.data import digits
from driftproof.data._parts import halves
from driftproof.evaluation import Deployment, Evaluator
from driftproof.plans import causes, choose_digital_layers, sensitivity
from driftproof.plans._causes import CAUSES
from driftproof.plans._figures import (
    draw_causes,
    draw_curve,
    draw_layers,
    plot_causes,
    plot_curve,
    plot_layers,
)
from driftproof.plans._free_place import free_place
from driftproof.plans._mixed_deployment import MixedDeployment
from driftproof.zoo import trained_digits_cnn

FIRST, SECOND = halves(digits().head(200))
ON_FIRST, ON_SECOND = (Evaluator(trained_digits_cnn(), half) for half in (FIRST, SECOND))


def curve(chips: int, report_chips: int) -> MixedDeployment:
    noisy = Deployment(device="gaussian:0.4")
    return choose_digital_layers(ON_SECOND, ON_FIRST, noisy, "1s", target=92, chips=chips, report_chips=report_chips)


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


@pytest.fixture(scope="module")
def found() -> MixedDeployment:
    return curve(chips=2, report_chips=3)


def test_the_curve_has_every_point_and_the_chosen_one(found: MixedDeployment) -> None:
    figure = draw_curve(found)
    line = max(figure.axes[0].lines, key=lambda line: line.get_linewidth())
    assert sorted(np.asarray(line.get_xdata())) == sorted(point.analog_macs for point in found.points)
    assert sorted(np.asarray(line.get_ydata())) == sorted(point.report.mean for point in found.points)
    shown = texts(figure)
    assert f"chosen: {len(found.chosen.digital)} digital layer" in shown
    assert "target 92.0 %" in shown
    assert "3 chips" in shown
    assert "100 samples" in shown


def test_causes_are_bars_as_long_as_their_drops() -> None:
    why = causes(ON_FIRST, Deployment(device="pcm-hermes-1"), "10y", chips=2)
    figure = draw_causes(why)
    widths = [bar.get_width() for bar in figure.axes[0].patches if isinstance(bar, Rectangle)]
    assert widths == pytest.approx([*(cause.drop.mean for cause in why.causes), why.total.mean])
    shown = texts(figure)
    assert all(cause in shown for cause in CAUSES)
    assert "outside its range of validity" in shown


@pytest.mark.parametrize("chips", [1, 3])
def test_layers_stand_in_order_with_one_chip_too(chips: int) -> None:
    each = sensitivity(ON_FIRST, Deployment(device="gaussian:0.3"), "1s", chips=chips)
    figure = draw_layers(each)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["conv1", "conv2", "fc1", "fc2"]
    assert render(draw_layers, each)[1].startswith(b"\x89PNG")


def test_one_chip_is_drawn_without_intervals() -> None:
    one = curve(chips=1, report_chips=1)
    assert render(draw_curve, one)[0].startswith(b"<?xml")
    assert "interval" not in one.verdict()


def test_the_same_result_gives_the_same_bytes(found: MixedDeployment) -> None:
    assert render(draw_curve, found) == render(draw_curve, found)


def test_the_text_at_the_chosen_point_covers_no_curve(found: MixedDeployment) -> None:
    for figure in (draw_curve(found), plot_curve(found).get_figure(root=True)):
        assert isinstance(figure, Figure)
        figure.canvas.draw()
        axes = figure.axes[0]
        (text,) = (one for one in axes.texts if one.get_text().startswith("chosen"))
        box = text.get_window_extent()
        for line in axes.lines:
            if len(np.asarray(line.get_xdata())) > 1:  # points, the ring among them, are on the curve
                dense = line.get_transform().transform_path(line.get_path()).interpolated(200)
                assert not box.count_contains(dense.vertices), line
    axes = Figure(figsize=(8, 6)).subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    across = [([0.0, 1.0], [0.9, 0.1]), ([0.6, 0.6], [0.0, 1.0])]
    x, y = free_place(axes, "chosen: 3 layers,\n90 %", (0.6, 0.42), across)
    assert (x + 0.05, y) < (0.6, 0.9 - 0.8 * x)  # left of the one and below the other


def test_numbers_stand_beyond_the_end_of_their_bars() -> None:
    why = causes(ON_FIRST, Deployment(device="pcm-hermes-1"), "10y", chips=3)
    turned = replace(why, causes=tuple(replace(cause, drop=cause.drop.times(-1)) for cause in why.causes))
    for found in (why, turned):
        axes = plot_causes(found)
        axes.get_figure(root=True).canvas.draw()  # type: ignore[union-attr]
        drops = [*(cause.drop for cause in found.causes), found.total]
        bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
        for bar, text, drop in zip(bars, axes.texts, drops, strict=True):
            low, high = (0.0, 0.0) if np.isnan(drop.interval[0]) else drop.interval
            ends = axes.transData.transform([(min(low, drop.mean, 0), 0), (max(high, drop.mean, 0), 0)])[:, 0]
            box = text.get_window_extent()
            assert box.x1 < ends[0] if drop.mean < 0 else box.x0 > ends[1], (bar, text)


def test_one_side_of_the_layers_is_drawn_into_axes() -> None:
    each = sensitivity(ON_FIRST, Deployment(device="gaussian:0.3"), "1s", chips=2)
    for of in ("drop", "gain"):
        axes = plot_layers(each, of=of)
        (dots,) = (np.asarray(line.get_xdata()) for line in axes.lines if line.get_marker() == "o")
        assert dots.tolist() == [getattr(layer, of).mean for layer in each.layers]
    with pytest.raises(DriftproofError, match=r"of 'drops' \(did you mean drop\?\): there are drop, gain"):
        plot_layers(each, of="drops")  # type: ignore[arg-type]
