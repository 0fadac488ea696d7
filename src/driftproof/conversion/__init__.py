"""Model → aihwkit tiles, with driftproof's own device noise behind aihwkit's interface."""

from driftproof.conversion.health import Health, check_installation
from driftproof.conversion.verbs import AnalogModel, ProgrammedChip, convert, program

__all__ = [
    # The two verbs and what they return
    "AnalogModel",
    "ProgrammedChip",
    "convert",
    "program",
    # Is the installation sound?
    "Health",
    "check_installation",
]
