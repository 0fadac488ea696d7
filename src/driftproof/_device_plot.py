"""The plots of a device's card, one at a time, for papers."""

from __future__ import annotations

from typing import Literal

from matplotlib.axes import Axes

from driftproof._device_card import device_card
from driftproof._drawing import COLUMN, axes_of
from driftproof._errors import DriftproofError, check_choice
from driftproof._keywords import checks_keywords
from driftproof._presets import DevicePreset, load_preset
from driftproof._reporting.card_figures import PANELS, draw_panel


@checks_keywords
def plot_device(
    preset: DevicePreset | str,
    ax: Axes | None = None,
    *,
    of: Literal["programming", "drift", "conductance", "weights"] = "conductance",
    width: float = COLUMN,
) -> Axes:
    """Plot what a device does, as its card shows it, and return the axes.

    Statistics are those of devices that the sampler draws from the preset's laws. Times outside the range of validity
    are dashed on grey.

    Args:
        preset: The device, or the name of its preset.
        ax: Axes to draw into, with your own settings of matplotlib (default: a new figure with letters of 8 points).
        of: ``programming`` (the spread of programmed conductances against their target), ``drift`` (the drift exponent
            against the target, or shift and spread over time), ``conductance`` (the courses of five targets over time,
            such as their relaxation), or ``weights`` (the errors of a tile's weights at three times).
        width: Width of a new figure in inches.

    Raises:
        DriftproofError: ``of`` is another word, or there is no such preset, or it is a mix of devices.

    >>> plot_device("pcm-nandakumar-2019", of="drift").get_ylabel()
    'ν  (mean ± sd of devices)'
    """
    check_choice("of", of, PANELS)
    device = load_preset(preset) if isinstance(preset, str) else preset
    if not isinstance(device, DevicePreset):
        raise DriftproofError(f"{device!r} is not one device: wanted a preset, or the name of one")
    card = device_card(device)
    with axes_of(ax, width) as axes:
        draw_panel(axes, card, of)
    return axes
