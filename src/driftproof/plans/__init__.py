"""Plans: evaluation over chips and times, sensitivity of layers, causes, mixed deployments, and validation."""

from driftproof._old_paths import old_names
from driftproof.plans._causes import causes
from driftproof.plans._evaluate import evaluate
from driftproof.plans._search import choose_digital_layers
from driftproof.plans._sensitivity import sensitivity
from driftproof.plans._validation import ChipValidation

__all__ = ["ChipValidation", "causes", "choose_digital_layers", "evaluate", "sensitivity"]

__getattr__ = old_names(__name__)
