"""Networks on aihwkit tiles, with driftproof's device noise behind the interface of aihwkit's noise models."""

from driftproof._conversion.analog_model import AnalogModel, ProgrammedChip
from driftproof._conversion.export_aihwkit import to_aihwkit
from driftproof._conversion.health import check_installation, is_aihwkit_installed
from driftproof._conversion.loading import load
from driftproof._conversion.saving import save
from driftproof._conversion.verbs import convert, convert_mapped, program
