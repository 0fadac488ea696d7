"""The loss around trained weights along the errors of chips, and a bound on the error on new samples."""

from driftproof._old_paths import old_names
from driftproof.analysis._bound import pac_bayes_bound
from driftproof.analysis._measured_bound import measure_bound
from driftproof.analysis._surface import loss_surface

__all__ = ["loss_surface", "measure_bound", "pac_bayes_bound"]

__getattr__ = old_names(__name__)
