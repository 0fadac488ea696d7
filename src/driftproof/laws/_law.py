"""The parts that every law has: a tag, numbers, formulas, words and plots. A class that lacks one cannot be defined."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal, get_args

from driftproof.laws._tagged import Tagged

Plot = Literal["spread", "spread in time", "exponent", "shift", "courses"]
"""A plot on a device's card.

- ``spread``: Standard deviation of programmed devices, or of programmed weights, per target.
- ``spread in time``: The same at three times.
- ``exponent``: Mean and standard deviation of the drift exponent ν over devices, per target.
- ``shift``: Mean and standard deviation of one target's conductance over time.
- ``courses``: Conductances of several targets over time as they are read, with read noise.
"""


class Law(Tagged):
    """Base class of all laws of a device.

    Its subclasses are families: drift laws, programming laws, read noise and encodings. See :class:`Tagged
    <driftproof.laws._tagged.Tagged>` for how a law is registered.

    Formulas use tensor methods (``g.mul(…).exp_()``) or import torch inside the method, because presets are loaded
    where torch is not installed.

    Attributes:
        plots: The plots that the law adds to a device's card.
    """

    tag_key = "law"
    unfinished = True
    plots: ClassVar[tuple[Plot, ...]]

    @abstractmethod
    def words(self) -> str:
        """Return a plain sentence that describes the law with these numbers, its formula and its units."""

    @property
    def changes_in_time(self) -> bool:
        """Whether the law depends on the time since programming."""
        return False

    @classmethod
    def _missing(cls) -> list[str]:
        plots = getattr(cls, "plots", None)
        if plots is None:
            return [*super()._missing(), f"no plots (some of {', '.join(get_args(Plot))})"]
        return super()._missing() + [f"the unknown plot {plot!r}" for plot in plots if plot not in get_args(Plot)]
