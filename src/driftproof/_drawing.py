"""The look of figures, and figures as files. The same record gives the same bytes."""

from __future__ import annotations

import io
import os
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from driftproof._errors import DriftproofError, did_you_mean
from driftproof._files import make_folder, write_atomically

# Okabe and Ito's colours, which suit all kinds of colour vision, without the yellow that is hard to see on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
INK = "#333333"
SOFT = "#777777"
GRID = "#e6e6e6"

COLUMN = 3.5
"""Width in inches of one column of a journal (89 mm), the default of figures for papers."""
FULL = 7.16
"""Width in inches of a journal's page with two columns."""
FIGURE_FORMATS = ("pdf", "svg", "png")
PAPER_DPI = 300

# Any: matplotlib types its settings by name, which differ between versions.
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.0,
    # A dollar sign in a preset's name is text.
    "text.parse_math": False,
    "svg.hashsalt": "driftproof",
    "svg.fonttype": "path",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.axisbelow": True,
    "savefig.dpi": 150,
}
# For the size at which a figure is printed: letters of 8 points, and text that stays text (TrueType in PDF).
_PAPER: Any = {
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "savefig.dpi": PAPER_DPI,
}


def render[Content](draw: Callable[[Content], Figure], content: Content) -> tuple[bytes, bytes]:
    """Return a figure as SVG and PNG, independent of the user's matplotlib settings and of the date."""
    with _settings():
        figure = draw(content)
        return _save(figure, "svg"), _save(figure, "png")


def render_svg[Content](draw: Callable[[Content], Figure], content: Content) -> bytes:
    """Return a figure as the SVG of :func:`render`."""
    with _settings():
        return _save(draw(content), "svg")


def render_small[Content](
    draw: Callable[[Content], Figure], content: Content, form: Literal["svg", "png"] = "svg", mark: str = ""
) -> bytes:
    """Return a figure as SVG or PNG, with a mark of the program that wrote it.

    The SVG has a third of the size of that of :func:`render`: letters are text instead of outlines, and coordinates
    have two decimals.
    """
    with _settings({"svg.fonttype": "none"}):
        image = _save(draw(content), form, mark or None)
    if form == "png":
        return image
    image = re.sub(rb' d="[^"]*"', lambda path: re.sub(rb"(\.\d\d)\d+", rb"\1", path[0]), image)
    return image.replace(b"<svg ", f"<!-- {mark} -->\n<svg ".encode(), 1) if mark else image


def render_paper[Content](draw: Callable[[Content], Figure], content: Content) -> dict[str, bytes]:
    """Return a figure for a paper by format: PDF, SVG with text as text, and PNG of 300 dpi, of the figure's width."""
    with paper():
        figure = draw(content)
        return {form: _exactly(figure, form) for form in FIGURE_FORMATS}


def save_figure(figure: Axes | Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure, or the figure of some axes, for a paper, and return its path.

    The file has the width of the figure. Text is text (TrueType in PDF), a PNG has 300 dpi, and neither the date nor
    the version of matplotlib is in it, so that the same record gives the same bytes.

    Args:
        figure: A figure, or axes such as :func:`plot_over_time` returns.
        path: A file that ends in ``.pdf``, ``.svg`` or ``.png``.

    Raises:
        DriftproofError: the file has another ending, or is a folder.

    >>> import tempfile
    >>> from matplotlib.figure import Figure
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_figure(Figure(figsize=(3.5, 2)), f"{folder}/empty.pdf").name
    'empty.pdf'
    """
    form = Path(path).suffix.lower().removeprefix(".")
    if form not in FIGURE_FORMATS:
        wanted = ", ".join(f".{known}" for known in FIGURE_FORMATS)
        raise DriftproofError(f"{path}: wanted a file that ends in {wanted}{did_you_mean(form, FIGURE_FORMATS)}")
    if Path(path).is_dir():
        raise DriftproofError(f"{path} is a folder, wanted a file")
    whole = figure.get_figure(root=True) if isinstance(figure, Axes) else figure
    assert isinstance(whole, Figure)
    with paper():
        content = _exactly(whole, form)
    make_folder(Path(path).parent)
    return write_atomically(Path(path), content)


def paper() -> Any:
    """Return a context in which figures have the look of a paper, whatever the user's matplotlib settings are."""
    return _settings(_PAPER)


def new_figure(**settings: Any) -> Figure:
    """Return a figure of pyplot, which notebooks show."""
    from matplotlib import pyplot  # a report needs no pyplot

    return pyplot.figure(**settings)


@contextmanager
def axes_of(ax: Axes | None, width: float, height: float | None = None) -> Iterator[Axes]:
    """Yield the user's axes, or those of a new figure in a context with the look of a paper.

    Args:
        ax: The user's axes.
        width: Width of a new figure in inches.
        height: Its height (default: flatter where it is wide).
    """
    if ax is not None:
        yield ax
        return
    with paper():
        high = min(0.77 * width, 2.2 + 0.15 * width) if height is None else height
        figure = new_figure(figsize=(width, high), layout="constrained")
        axes = figure.subplots()
        yield axes
        if legend := axes.get_legend():  # one of many rows does not make the axes smaller
            figure.set_figheight(high + max(0.0, legend.get_window_extent().height / figure.dpi - 0.35))


def magnified() -> float:
    """Return the size of letters relative to that of a report's page; widths of lines and markers go with it."""
    return float(matplotlib.rcParams["font.size"]) / 10


def letter_size(relative: float = 1) -> float:
    """Return the size of letters in points, relative to the usual one."""
    return relative * float(matplotlib.rcParams["font.size"])


def letters_in(pixels: float, axes: Axes) -> float:
    """Return about how many letters of the usual size stand side by side in a number of the figure's pixels."""
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    return 72 * pixels / figure.dpi / (0.6 * float(matplotlib.rcParams["font.size"]))


def wrapped(text: str, letters: int) -> str:
    """Return a text in lines of at most so many letters."""
    return "\n".join(textwrap.wrap(text, max(8, letters))) or text


@contextmanager
def _settings(more: Mapping[str, Any] | None = None) -> Iterator[None]:
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE | dict(more or {}))
        yield


_NOTHING_ELSE: dict[str, Any] = {
    "svg": dict.fromkeys(("Date", "Creator", "Format", "Type")),
    "pdf": dict.fromkeys(("CreationDate", "Creator", "Producer")),
    "png": {"Software": None},
}


def _save(figure: Figure, form: Literal["svg", "png"], software: str | None = None) -> bytes:
    file = io.BytesIO()
    metadata = {"Software": software} if form == "png" else _NOTHING_ELSE[form]
    figure.savefig(file, format=form, bbox_inches="tight", pad_inches=0.1, metadata=metadata)
    return file.getvalue()


def _exactly(figure: Figure, form: str) -> bytes:
    """Return a figure in a format, with the very width that it has."""
    file = io.BytesIO()
    figure.savefig(file, format=form, dpi=PAPER_DPI, metadata=_NOTHING_ELSE[form])
    return file.getvalue()
