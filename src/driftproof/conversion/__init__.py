"""Model → aihwkit tiles, with driftproof's own device noise behind aihwkit's interface."""

from driftproof.conversion.health import Health, check_installation
from driftproof.conversion.verbs import AnalogModel, ProgrammedChip, convert, convert_mapped, program

__all__ = [
    # The two verbs and what they return
    "AnalogModel",
    "ProgrammedChip",
    "convert",
    "convert_mapped",
    "program",
    # Is the installation sound?
    "Health",
    "check_installation",
]
