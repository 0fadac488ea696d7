"""driftproof: what a trained network does on analog in-memory hardware, chip after chip, year after year.

The public names stand in ``__init__.pyi``. Each loads what it needs when it is first used: a report needs no torch, and
the backend ``folded`` needs no aihwkit.
"""

import sys
from itertools import pairwise

if ("-m", "driftproof") in pairwise(sys.orig_argv) or "".join(sys.argv[:1]).endswith(("/driftproof", "driftproof.exe")):
    from driftproof._start import be_quiet

    be_quiet()  # this process is the command line

import lazy_loader

from driftproof import _old_paths

_old_paths.install()
_get, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
_get_either = _old_paths.or_old_module(_get)


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # slow, and seldom wanted

        return version("driftproof")
    return _get_either(name)
