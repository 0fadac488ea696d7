"""Figures for papers: they take records, return Axes, have a column's width, and hide nothing."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.transforms import Bbox
from PIL import Image

from driftproof import DriftproofError
from driftproof._drawing import render
from driftproof._record import Record
from driftproof._reporting import compare, report, summarise
from driftproof._reporting.gather import gather
from driftproof._reporting.over_time import over_time
from driftproof._reporting.value_axis import COMPRESSED, split_of
from driftproof.figures import plot_chips, plot_differences, plot_over_time, save_figure
from synthetic_record import begin, fill, large_record, preset

DAY = 86_400.0


@pytest.fixture(scope="module")
def large() -> Iterator[Record]:
    with large_record(None) as record:
        yield record


@pytest.fixture(scope="module")
def collapsed() -> Iterator[Record]:
    """Three converters on three devices, of which one collapses."""
    with Record.create_or_open(None) as record:
        for tile, (label, loss) in enumerate({"ideal": 0.0, "8-bit": 1.0, "6-bit": 3.0}.items()):
            made, number = begin(record, label, digital=92.6, decided={"tile_rows": 64 * 2**tile})
            for name, means in (("sonos", (92, 91)), ("pcm", (91, 88)), ("bad", (91, 10))):
                values = {
                    t: [m - (loss if m > 10 else 0) + 0.1 * chip for chip in range(-10, 11)]
                    for t, m in zip((1.0, DAY), means, strict=True)
                }
                fill(record, made, number, preset(name), values)
        yield record


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    pyplot.close("all")


def names(axes: Axes) -> list[str]:
    legend = axes.get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def means(axes: Axes, colour: str) -> list[float]:
    """Return the heights of the markers of a colour, in the order in which they were drawn."""
    points = [line for line in axes.lines if line.get_color() == colour and len(np.asarray(line.get_xdata())) == 1]
    return [float(np.asarray(line.get_ydata())[0]) for line in points]


def overlaps(boxes: list[Bbox]) -> list[tuple[int, int]]:
    return [(i, j) for i in range(len(boxes)) for j in range(i) if boxes[i].overlaps(boxes[j])]


def test_lines_run_through_the_means_in_the_order_that_was_asked_for(large: Record) -> None:
    asked = ["reram-wan-2022", "gaussian:0.05"]
    axes = plot_over_time(large, presets=asked, labels={"reram-wan-2022": "ReRAM"})
    assert names(axes) == ["ReRAM", "gaussian:0.05", "digital 91.7 %"]
    table = summarise(large).set_index("preset")["mean"]
    for name, colour in zip(asked, ("#0072B2", "#D55E00"), strict=True):
        assert means(axes, colour) == table[name].tolist()


def test_the_drop_with_its_interval(large: Record) -> None:
    axes = plot_over_time(large, presets=["pcm-nandakumar-2019"], of="drop", band="these")
    rows = summarise(large)
    rows = rows[rows["preset"] == "pcm-nandakumar-2019"]
    assert means(axes, "#0072B2") == rows["drop"].tolist()
    edges = np.concatenate([np.asarray(path.vertices) for area in axes.collections for path in area.get_paths()])
    for end in ("low", "high"):
        assert np.isin(rows[f"drop_ci95_{end}"], edges[:, 1]).all()
    assert axes.get_ylabel() == "drop of accuracy in points"


def test_chips_are_dots_at_the_time_that_was_asked_for(large: Record) -> None:
    axes = plot_chips(large, time="1d", presets=["pcm-nandakumar-2019"])
    (dots,) = (np.asarray(line.get_xdata()) for line in axes.lines if line.get_marker() == "o")
    cells = large.cells()
    of = cells[(cells["preset"] == "pcm-nandakumar-2019") & (cells["t_s"] == DAY)]
    assert dots.tolist() == sorted(of["value"])
    assert " at 1 d " in axes.get_xlabel()


def test_differences_are_those_of_compare(large: Record) -> None:
    axes = plot_differences(large, against="reram-wan-2022", labels={"gaussian:0.05": "Gauss"})
    table = compare(large, against="reram-wan-2022")
    groups = table.groupby("b", sort=False)
    assert names(axes) == ["pcm-nandakumar-2019", "oxide-short-2021", "Gauss"]
    assert axes.get_ylabel().endswith("from reram-wan-2022")
    bars = [area for area in axes.collections if isinstance(area, LineCollection)]
    for (_, rows), bar, colour in zip(groups, bars, ("#0072B2", "#D55E00", "#009E73"), strict=True):
        assert means(axes, colour) == rows["difference"].tolist()
        ends = [[float(y) for y in np.asarray(segment)[:, 1]] for segment in bar.get_segments()]
        assert ends == rows[["ci95_low", "ci95_high"]].to_numpy().tolist()


def test_several_records_and_paths_are_taken_and_axes_are_returned(tmp_path: Path) -> None:
    for name, better in (("plain", 1.0), ("robust", 0.5)):
        large_record(tmp_path / name, chips=3, label=name, better=better, model_hash=name).close()
    figure, panels = pyplot.subplots(1, 3, figsize=(12, 4))
    both = [tmp_path / "plain", tmp_path / "robust" / "record.sqlite"]
    plots: list[Callable[..., Axes]] = [plot_over_time, plot_chips, plot_differences]
    for plot, panel in zip(plots, panels, strict=True):
        assert plot(both, panel) is panel
    assert len(figure.axes) == 3
    one = plot_over_time(tmp_path / "plain", presets=["reram-wan-2022"], width=7.16)
    assert one.get_figure(root=True).get_figwidth() == 7.16  # type: ignore[union-attr]
    assert names(plot_over_time(both, configurations=["robust", "plain"], presets=["reram-wan-2022"]))[:2] == [
        "robust",
        "plain",
    ]


def test_a_users_axes_keep_the_users_settings(large: Record) -> None:
    with matplotlib.rc_context({"font.size": 17.0}):
        _, mine = pyplot.subplots(figsize=(9, 6))
        plot_over_time(large, mine)
        assert mine.xaxis.label.get_fontsize() == 17.0
        assert matplotlib.rcParams["font.size"] == 17.0
        assert plot_over_time(large).xaxis.label.get_fontsize() == 8.0


def test_mistakes_are_said(large: Record) -> None:
    with pytest.raises(DriftproofError, match=r"no preset 'reram-wan' \(did you mean reram-wan-2022\?\)"):
        plot_over_time(large, presets=["reram-wan"])
    with pytest.raises(DriftproofError, match="labels: nothing is called 'PCM'"):
        plot_chips(large, labels={"PCM": "pcm-nandakumar-2019"})
    with pytest.raises(DriftproofError, match="labels: nothing that is compared is called 'PCM'"):
        plot_differences(large, labels={"PCM": "pcm-nandakumar-2019"})
    with pytest.raises(DriftproofError, match="no chip to draw at 2d; there are chips at 0 s, 1 s, 1 h"):
        plot_chips(large, time="2d")
    with pytest.raises(DriftproofError, match="band 'new samples': there are chips, these, new, none"):
        plot_over_time(large, band="new samples")  # type: ignore[arg-type]
    with pytest.raises(DriftproofError, match="band 'new': these records have no outcomes of single samples"):
        plot_over_time(large, band="new")
    with pytest.raises(DriftproofError, match=r"figure\.gif: wanted a file that ends in \.pdf, \.svg, \.png"):
        save_figure(plot_over_time(large), "figure.gif")


def test_a_collapsed_series_does_not_squeeze_the_others(collapsed: Record) -> None:
    figure = over_time(gather(collapsed))
    axes = figure.axes[0]
    assert COMPRESSED in axes.get_ylabel()
    _, height = axes.transAxes.inverted().transform(axes.transData.transform([(1, 92.0), (1, 84.9)])).T
    assert height[0] - height[1] > 0.5  # 7 of the 83 points; on a linear axis they have 0.09 of it
    below = axes.transAxes.inverted().transform(axes.transData.transform((1, 9.0)))[1]
    assert 0 <= below < 0.2  # and nothing is cut off
    low, high = axes.get_ylim()
    assert low <= 9.0
    assert high >= 92.6
    with Record.create_or_open(None) as record:
        made, number = begin(record)
        for name, end in (("a", 85.0), ("b", 60.0)):
            fill(record, made, number, preset(name), {1.0: [91.0, 91.2], DAY: [end, end + 0.2]})
        assert over_time(gather(record)).axes[0].get_yscale() == "linear"


def test_the_second_scale_is_a_continuous_map_with_an_inverse() -> None:
    for sign in (1, -1):
        series = [sign * np.array(values) for values in ([91.0, 90.0], [91.0, 89.0], [91.0, 10.0])]
        split = split_of(series, [sign * 92.0], sign, (-1e9, 1e9))
        assert split is not None
        forward, inverse = split.functions
        x = sign * np.linspace(0, 100, 1001)
        assert np.allclose(inverse(forward(x)), x)
        assert (np.diff(forward(x)) * sign > 0).all()
        fine, coarse = (abs(float(np.diff(forward(sign * np.array(at)))[0])) for at in ([90.0, 91.0], [20.0, 21.0]))
        assert fine > 20 * coarse
        assert sign * split.edge < 89.0


def test_texts_do_not_collide_at_a_columns_width(large: Record, collapsed: Record) -> None:
    for record in (large, collapsed):
        axes = plot_over_time(record, presets=gather(record).measured_presets[:3])
        figure = axes.get_figure(root=True)
        figure.canvas.draw()  # type: ignore[union-attr]
        for axis in (axes.xaxis, axes.yaxis):
            labels = [tick.label1 for tick in axis.get_major_ticks() if tick.label1.get_text()]
            assert len(labels) >= 3
            assert not overlaps([label.get_window_extent() for label in labels])
        legend = axes.get_legend()
        assert legend is not None
        assert legend.get_window_extent().y0 >= axes.get_window_extent().y1  # no data behind it
        inside = Bbox.from_extents(0, 0, *figure.canvas.get_width_height())  # type: ignore[union-attr]
        for text in [*legend.get_texts(), axes.yaxis.label, axes.xaxis.label]:
            box = text.get_window_extent()
            assert inside.x0 <= box.x0 <= box.x1 <= inside.x1 + 1, text.get_text()
            assert inside.y0 <= box.y0 <= box.y1 <= inside.y1 + 1, text.get_text()


def test_a_report_has_figures_for_papers(large: Record, tmp_path: Path) -> None:
    report(large, tmp_path)
    for name in ("accuracy_over_time", "chips"):
        png = Image.open(tmp_path / f"{name}.png")
        assert png.width == 1050  # 3.5 in at 300 dpi
        assert round(png.info["dpi"][0]) == 300
        svg = (tmp_path / f"{name}.svg").read_text()
        assert ">pcm-nandakumar-2019" in svg  # letters are text
        assert 'width="252pt"' in svg
        pdf = (tmp_path / f"{name}.pdf").read_bytes()
        assert pdf.startswith(b"%PDF")
        assert b"/Type3" not in pdf  # which journals refuse
        box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", pdf)
        assert box is not None
        assert float(box[1]) == 252


def test_panels_are_as_wide_as_a_page(collapsed: Record, tmp_path: Path) -> None:
    report(collapsed, tmp_path)
    assert Image.open(tmp_path / "accuracy_over_time.png").width == 2148


BYTES = """
import hashlib, sys, time
from driftproof.figures import plot_chips, plot_over_time, save_figure
for plot in (plot_over_time, plot_chips):
    for form in ("pdf", "svg", "png"):
        path = save_figure(plot(sys.argv[1]), f"{sys.argv[2]}/x.{form}")
        print(form, hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_the_same_record_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    large_record(tmp_path / "record", chips=5).close()
    said = [
        subprocess.run(
            [sys.executable, "-c", BYTES, str(tmp_path / "record"), str(tmp_path)],
            env=os.environ | {"PYTHONHASHSEED": seed, "SOURCE_DATE_EPOCH": epoch, "MPLBACKEND": "agg"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, epoch in (("1", "1000000000"), ("2", "1700000000"))
    ]
    assert said[0].count("\n") == 6
    assert said[0] == said[1]


def test_presets_stand_in_the_order_of_the_record(large: Record) -> None:
    order = ["pcm-nandakumar-2019", "reram-wan-2022", "oxide-short-2021", "gaussian:0.05"]
    assert gather(large).measured_presets == order
    assert list(dict.fromkeys(summarise(large)["preset"])) == ["digital", "ideal-analog", *order]
    assert Image.open(io.BytesIO(render(over_time, gather(large))[1])).width > 900
