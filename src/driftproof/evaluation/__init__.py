"""One core for every result: a deployment, its trials, an evaluator that measures them, plans that ask for them."""

from driftproof.evaluation.backends import Backend, BackendName
from driftproof.evaluation.deployment import Deployment
from driftproof.evaluation.evaluator import Evaluator
from driftproof.evaluation.executor import Executor, Plan, Request, Serial, ask, run
from driftproof.evaluation.folded import FoldedNetwork
from driftproof.evaluation.metrics import METRICS, Function, Metric, as_metric
from driftproof.evaluation.recalibration import Recalibration
from driftproof.evaluation.trial import NETWORK_ITSELF, Trial

__all__ = [
    # What is measured
    "NETWORK_ITSELF",
    "Deployment",
    "Recalibration",
    "Trial",
    # What measures it
    "Evaluator",
    "METRICS",
    "Function",
    "Metric",
    "as_metric",
    # What asks for it
    "Executor",
    "Plan",
    "Request",
    "Serial",
    "ask",
    "run",
    # Backends
    "Backend",
    "BackendName",
    "FoldedNetwork",
]
