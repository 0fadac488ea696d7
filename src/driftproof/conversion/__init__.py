"""Model → aihwkit tiles, with driftproof's own device noise behind aihwkit's interface."""

from driftproof.conversion.analog_model import AnalogModel, ProgrammedChip
from driftproof.conversion.export_aihwkit import AihwkitNetwork, to_aihwkit
from driftproof.conversion.health import Health, check_installation
from driftproof.conversion.loading import load
from driftproof.conversion.saving import save
from driftproof.conversion.verbs import convert, convert_mapped, program

__all__ = [
    # The two verbs and what they return
    "AnalogModel",
    "ProgrammedChip",
    "convert",
    "convert_mapped",
    "program",
    # Into files and back
    "load",
    "save",
    # Going on with aihwkit alone
    "AihwkitNetwork",
    "to_aihwkit",
    # Is the installation sound?
    "Health",
    "check_installation",
]
