"""The laws of devices, one file each. A file has a preset's numbers, the formula, words and plots; it needs no torch.

To add a law, write a file in its family's folder and import it in that folder's ``__init__``. A law of your own can be
in any file: import it before you load a preset that names it. The base class of a family (:class:`DriftLaw`,
:class:`Encoding`, :class:`ProgrammingLaw` or :class:`ReadLaw`) lists the parts that a law must have.
"""

from driftproof._old_paths import old_names
from driftproof.laws._curve import Curve
from driftproof.laws._drift import DriftLaw
from driftproof.laws._encoding import Encoding
from driftproof.laws._law import Plot
from driftproof.laws._programming import ProgrammingLaw
from driftproof.laws._read import ReadLaw
from driftproof.laws._table import Positive

__all__ = ["Curve", "DriftLaw", "Encoding", "Plot", "Positive", "ProgrammingLaw", "ReadLaw"]

__getattr__ = old_names(__name__)
