"""What the demo measures: one network on one device, as five curves and the gains between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from driftproof._defaults import COMPENSATION

NETWORK: Final = "digits-resnet"
DEVICE: Final = "pcm-hermes-2"
TIMES: Final = "1s,10min,1h,1d,1y"
"""The device's range of validity ends at one year."""
KEEP: Final = 90.0
"""The threshold, in percent."""
PLAIN, TRAINED = "plain", "noise-trained"


@dataclass(frozen=True)
class Curve:
    """A network, and what is corrected on its chips.

    Attributes:
        network: ``plain`` or ``noise-trained``.
        corrected: What is corrected, as one word of the label.
        compensation: Drift compensation.
        recalibrated: Whether BatchNorm statistics are re-estimated on the chips at every time.
    """

    network: str
    corrected: str
    compensation: str = COMPENSATION
    recalibrated: bool = False

    @property
    def label(self) -> str:
        """Name of the curve in the report."""
        return f"{self.network}, {self.corrected}"

    @property
    def folder(self) -> str:
        """Name of the folder of the curve's record."""
        return f"{self.network}-{self.corrected}"


UNCOMPENSATED = Curve(PLAIN, "uncompensated", compensation="none")
COMPENSATED = Curve(PLAIN, "compensated"), Curve(TRAINED, "compensated")
RECALIBRATED = tuple(Curve(network, "recalibrated", recalibrated=True) for network in (PLAIN, TRAINED))
CURVES = (UNCOMPENSATED, *COMPENSATED, *RECALIBRATED)
GROUPS = {
    "no compensation": (UNCOMPENSATED,),
    "drift compensated": COMPENSATED,
    "drift compensated, and BatchNorm recalibrated on unlabelled images": RECALIBRATED,
}
"""Headings of the table → its rows."""
GAINS = {
    "compensation": (UNCOMPENSATED, COMPENSATED[0]),
    "noise training": COMPENSATED,
    "noise training with recalibration": RECALIBRATED,
}
"""What the second curve of a pair has that the first one has not."""
