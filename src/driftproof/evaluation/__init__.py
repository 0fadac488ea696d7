"""Presets × chips × times → cells of a record, on one of two backends."""

from driftproof.evaluation.backends import Backend, BackendName
from driftproof.evaluation.folded import FoldedNetwork
from driftproof.evaluation.metrics import DEFAULT_METRIC, METRICS, Metric, as_metric
from driftproof.evaluation.recalibration import Recalibration
from driftproof.evaluation.run import DEFAULT_BATCH_SIZE, DEFAULT_CHIPS, DEFAULT_TIMES, evaluate
from driftproof.evaluation.validation import ChipValidation

__all__ = [
    # The verb and its defaults
    "DEFAULT_BATCH_SIZE",
    "DEFAULT_CHIPS",
    "DEFAULT_METRIC",
    "DEFAULT_TIMES",
    "Recalibration",
    "evaluate",
    # A training's question
    "ChipValidation",
    # What is measured
    "METRICS",
    "Metric",
    "as_metric",
    # Backends
    "Backend",
    "BackendName",
    "FoldedNetwork",
]
