"""The figures show every point, layer and cause, and say on what they were measured."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from driftproof._drawing import render
from driftproof.data import digits
from driftproof.data._parts import halves
from driftproof.evaluation import Deployment, Evaluator
from driftproof.plans import causes, choose_digital_layers, sensitivity
from driftproof.plans._causes import CAUSES
from driftproof.plans._figures import draw_causes, draw_curve, draw_layers
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
