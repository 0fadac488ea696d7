"""Evaluation: deployments, trials, the evaluator that measures them, and the plans that ask for trials."""

from driftproof._old_paths import old_names
from driftproof.evaluation._backends import TilesNetwork
from driftproof.evaluation._deployment import Deployment
from driftproof.evaluation._evaluator import Evaluator
from driftproof.evaluation._executor import ask, run
from driftproof.evaluation._folded import FoldedNetwork
from driftproof.evaluation._metrics import Metric
from driftproof.evaluation._processes import Processes
from driftproof.evaluation._ray_cluster import RayCluster
from driftproof.evaluation._recalibration import Recalibration
from driftproof.evaluation._trial import Trial

__all__ = [
    "Deployment",
    "Evaluator",
    "FoldedNetwork",
    "Metric",
    "Processes",
    "RayCluster",
    "Recalibration",
    "TilesNetwork",
    "Trial",
    "ask",
    "run",
]

__getattr__ = old_names(__name__)
