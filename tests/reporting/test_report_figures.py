"""Figures of a report: what is drawn, where, and in words that do not overlap."""

from __future__ import annotations

import io
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

from driftproof._drawing import render
from driftproof._record import Record
from driftproof._reporting.chip_dots import chips
from driftproof._reporting.gather import Evidence, gather
from driftproof._reporting.over_time import over_time, spread
from driftproof._reporting.time_axis import TimeAxis
from synthetic_record import TIMES, begin, fill, large_record, preset


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    with large_record(None, chips=20) as record:
        return gather(record)


def test_figures_ignore_and_keep_the_users_settings(evidence: Evidence) -> None:
    plain = render(over_time, evidence)
    with matplotlib.rc_context({"lines.linewidth": 9.0, "axes.facecolor": "black", "font.size": 30}):
        assert render(over_time, evidence) == plain
        assert matplotlib.rcParams["lines.linewidth"] == 9.0
    image = Image.open(io.BytesIO(plain[1]))
    assert image.width > 900


def label_boxes(figure: Figure) -> list[Bbox]:
    figure.canvas.draw()
    return [text.get_window_extent() for text in figure.axes[0].texts]


def test_no_labels_overlap(evidence: Evidence) -> None:
    figure = over_time(evidence)
    boxes = label_boxes(figure)
    assert len(boxes) == 5
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_many_presets_at_one_height_still_have_their_own_labels() -> None:
    with Record.create_or_open(None) as record:
        made, number = begin(record)
        for i in range(6):
            fill(
                record,
                made,
                number,
                preset(f"pcm [drift.t0_s={i}, read.q_scale={i}]"),
                {1.0: [91.0], 10.0: [90.9, 70.0]},
            )
        figure = over_time(gather(record))
    boxes = sorted(label_boxes(figure), key=lambda box: box.y0)
    assert len(boxes) == 7
    assert all(upper.y0 > lower.y1 for lower, upper in pairwise(boxes))


def test_the_mean_line_runs_through_the_means_and_dashes_outside_validity(evidence: Evidence) -> None:
    axes = over_time(evidence).axes[0]
    rows = evidence.series(next(iter(evidence.names)), "oxide-short-2021")
    means = rows["mean"].tolist()
    lines = [(np.asarray(line.get_ydata()).tolist(), line) for line in axes.lines]
    drawn = {tuple(values): line.get_linestyle() for values, line in lines if len(values) == 2 and values[0] in means}
    expected = ["-", "-", "-", "--", "--"]
    assert [drawn[pair] for pair in pairwise(means)] == expected
    hollow = [line.get_markerfacecolor() == "white" for values, line in lines if values in [[m] for m in means]]
    assert hollow == [False] * 4 + [True] * 2


def test_every_chip_is_a_dot_at_the_last_valid_time(evidence: Evidence) -> None:
    axes = chips(evidence).axes[0]
    dots = [np.asarray(line.get_xdata()) for line in axes.lines if line.get_marker() == "o"]
    key = next(iter(evidence.names))
    wanted = [("pcm-nandakumar-2019", TIMES[-1]), ("reram-wan-2022", TIMES[-1]), ("oxide-short-2021", 86_400.0),
              ("gaussian:0.05", TIMES[-1])]  # fmt: skip
    for shown, (name, t_s) in zip(dots, wanted, strict=True):
        assert shown.tolist() == sorted(evidence.chips(key, name, t_s))


@pytest.mark.parametrize("times", [(0.0,), (5.0,), (0.0, 1e-3), (1.0, 10 * 365 * 86_400.0)])
def test_any_times_can_be_drawn(times: tuple[float, ...]) -> None:
    with Record.create_or_open(None) as record:
        made, number = begin(record)
        fill(record, made, number, preset("pcm"), {t: [90.0, 91.0] for t in times})
        found = gather(record)
    for draw in (over_time, chips):
        svg, png = render(draw, found)
        assert svg.startswith(b"<?xml")
        assert png.startswith(b"\x89PNG")


def test_ticks_are_words_within_the_measured_times() -> None:
    assert list(TimeAxis(TIMES).ticks().values()) == ["0 s", "1 s", "1 min", "1 h", "1 d", "30 d", "1 y"]
    assert list(TimeAxis([20.0, 7000.0]).ticks().values()) == ["1 min", "1 h"]
    assert list(TimeAxis([20.0, 50.0]).ticks().values()) == ["20 s", "50 s"]
    assert TimeAxis([0.0, 1.0]).place([0.0])[0] < TimeAxis([0.0, 1.0]).place([1.0])[0]


def test_more_presets_than_colours_get_a_panel_each() -> None:
    with Record.create_or_open(None) as record:
        made, number = begin(record)
        for i in range(7):
            fill(record, made, number, preset(f"p{i}"), {1.0: [91.0, 90.0], 10.0: [90.9, 70.0]})
        figure = over_time(gather(record))
    assert [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()] == [f"p{i}" for i in range(7)]


def test_labels_stay_apart_and_inside() -> None:
    # Two want the top edge, two the foot; nothing else moves.
    assert spread([10.0, 10.0, 5.0, 0.0, 0.0], [2.0] * 5, low=0.0, high=10.0) == [9.0, 7.0, 5.0, 3.0, 1.0]
    assert spread([8.0, 5.0], [2.0, 2.0], low=0.0, high=10.0) == [8.0, 5.0]
    # Sizes differ: centres are half of one and half of the other apart.
    assert spread([5.0, 5.0], [4.0, 2.0], low=0.0, high=10.0) == [6.5, 3.5]
