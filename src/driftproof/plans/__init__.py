"""What is asked of an evaluator: values over time and chips, layers, causes, the fewest digital layers, validation."""

from driftproof.plans.causes import CAUSES, Cause, Causes, causes, devices_by_cause
from driftproof.plans.evaluate import evaluate, evaluate_deployments
from driftproof.plans.measure import Setting
from driftproof.plans.mixed_deployment import MixedDeployment, Point
from driftproof.plans.per_chip import PerChip
from driftproof.plans.search import choose_digital_layers
from driftproof.plans.sensitivity import LayerSensitivity, Sensitivity, sensitivity
from driftproof.plans.validation import ChipValidation

__all__ = [
    # The questions
    "ChipValidation",
    "causes",
    "choose_digital_layers",
    "evaluate",
    "evaluate_deployments",
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
    "devices_by_cause",
]
