"""The panels in which the help of a command shows its options, and the short flags."""

from __future__ import annotations

from typing import Final

NETWORK: Final = "Network and data"
DEVICE: Final = "Devices and times"
MAPPING: Final = "Mapping onto tiles"
PERIPHERY: Final = "Periphery, compensation and calibration"
STATISTICS: Final = "Chips and statistics"
METHOD: Final = "Training method"
TRAINING: Final = "Training"
VALIDATION: Final = "Validation"
SEARCH: Final = "Search for digital layers"
COMPUTATION: Final = "Computation"
OUTPUT: Final = "Output"

ORDER: Final = (
    NETWORK,
    DEVICE,
    METHOD,
    TRAINING,
    VALIDATION,
    SEARCH,
    PERIPHERY,
    MAPPING,
    STATISTICS,
    COMPUTATION,
    OUTPUT,
)
"""The panels from top to bottom."""
SHORT: Final = {"out": "-o", "quiet": "-q"}
"""Options with a short flag."""
