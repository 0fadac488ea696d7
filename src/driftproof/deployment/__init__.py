"""Which layers should be analog: what each costs, what the drop is made of, and the fewest that must be digital."""

from driftproof.data import halves, part, shared_samples
from driftproof.deployment.causes import CAUSES, Cause, Causes, causes, devices_by_cause
from driftproof.deployment.cells import Cell, Cells
from driftproof.deployment.conditions import Conditions, Setting
from driftproof.deployment.mixed_deployment import MixedDeployment, Point
from driftproof.deployment.mixed_network import MixedNetwork
from driftproof.deployment.per_chip import PerChip
from driftproof.deployment.search import choose_digital_layers
from driftproof.deployment.sensitivity import DEFAULT_CHIPS, LayerSensitivity, Sensitivity, sensitivity

__all__ = [
    # The three questions
    "causes",
    "choose_digital_layers",
    "sensitivity",
    # Their answers
    "CAUSES",
    "Cause",
    "Causes",
    "LayerSensitivity",
    "MixedDeployment",
    "PerChip",
    "Point",
    "Sensitivity",
    "Setting",
    # How they are measured
    "DEFAULT_CHIPS",
    "Cell",
    "Cells",
    "Conditions",
    "MixedNetwork",
    "devices_by_cause",
    # Samples to choose on, and others
    "halves",
    "part",
    "shared_samples",
]
