"""Where a text in a figure covers least of what is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from driftproof._drawing import letters_in


def free_place(
    axes: Axes,
    text: str,
    point: tuple[float, float],
    drawn: Sequence[tuple[Sequence[float], Sequence[float]]],
) -> tuple[float, float]:
    """Return the lower left corner of a text that covers least of what is drawn, as near to a point as possible.

    Args:
        axes: The axes, with their limits.
        text: The text.
        point: The point in data coordinates.
        drawn: Lines, each the x and the y of its points in data coordinates.

    Returns:
        The corner in shares of the axes.
    """
    box = axes.get_window_extent()
    width = max(map(len, text.splitlines())) / letters_in(box.width, axes)
    height = 2.1 * len(text.splitlines()) / letters_in(box.height, axes)
    # every line as a hundred dots
    at = [np.interp(np.linspace(0, len(x) - 1, 100), range(len(x)), values) for x, y in drawn for values in (x, y)]
    to_share = axes.transScale + axes.transLimits
    dots: npt.NDArray[np.float64] = to_share.transform(np.column_stack([np.concatenate(at[i::2]) for i in (0, 1)]))
    goal = to_share.transform(point)
    best, place = math.inf, (0.0, 0.0)
    for x in np.linspace(0.02, max(0.02, 0.98 - width), 15):
        for y in np.linspace(0.03, max(0.03, 0.97 - height), 15):
            middle = np.array([x + width / 2, y + height / 2])
            inside = np.all(np.abs(dots - middle) <= np.array([width / 2 + 0.015, height / 2 + 0.02]), axis=1)
            near = np.all(np.abs(goal - middle) <= np.array([width / 2 + 0.05, height / 2 + 0.06]))
            cost = 100 * (float(inside.sum()) + 20 * float(near)) + float(np.hypot(*(middle - goal)))
            if cost < best:
                best, place = cost, (float(x), float(y))
    return place
