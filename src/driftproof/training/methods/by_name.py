"""Methods by the names that the command line takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from driftproof.errors import DriftproofError, did_you_mean
from driftproof.training.methods.adaptive_rwp import AdaptiveRWP
from driftproof.training.methods.gsam import GSAM
from driftproof.training.methods.looksam import LookSAM
from driftproof.training.methods.method import Method
from driftproof.training.methods.mixed_rwp import MixedRWP
from driftproof.training.methods.noise_injection import NoiseInjection
from driftproof.training.methods.plain import Plain
from driftproof.training.methods.rwp import RWP
from driftproof.training.methods.sam import ASAM, SAM, MultiStepSAM
from driftproof.training.methods.sam_rwp import SAMRWP
from driftproof.training.methods.two_point import TwoPointRWP
from driftproof.training.noise import NoiseLike
from driftproof.training.schedules import Schedule

# name → (how it is made, whether it takes a noise and a strength, whether it takes a rho)
METHODS: dict[str, tuple[Callable[..., Method], bool, bool]] = {
    "plain": (Plain, False, False),
    "rwp": (RWP, True, False),
    "two-point-rwp": (TwoPointRWP, True, False),
    "m-rwp": (MixedRWP, True, False),
    "arwp": (AdaptiveRWP, True, False),
    "sam": (SAM, False, True),
    "multi-step-sam": (MultiStepSAM, False, True),
    "asam": (ASAM, False, True),
    "gsam": (GSAM, False, True),
    "looksam": (LookSAM, False, True),
    "sam-rwp": (SAMRWP, True, True),
    "noise-injection": (NoiseInjection, False, False),
}


def make_method(
    name: str,
    *,
    noise: NoiseLike | None = None,
    strength: float | Schedule | str | None = None,
    rho: float | Schedule | str | None = None,
    **options: Any,
) -> Method:
    """Return a method by its name.

    Args:
        name: a key of :data:`METHODS`.
        noise: what random methods draw.
        strength: of the noise.
        rho: of the ascent.
        options: of the method.

    Raises:
        DriftproofError: an unknown name; a noise, strength or rho that the method does not take, or lacks.

    >>> make_method("sam", rho=0.1).describe()["strength"]
    '0.1'
    """
    if name not in METHODS:
        raise DriftproofError(f"method {name!r}{did_you_mean(name, METHODS)}: there are {', '.join(METHODS)}")
    make, random, ascends = METHODS[name]
    if random and noise is None:
        raise DriftproofError(f"method {name} draws a device's noise: say which, such as pcm-nandakumar-2019@1y")
    if not random and (noise is not None or strength is not None):
        others = ", ".join(key for key, (_, takes, _) in METHODS.items() if takes)
        raise DriftproofError(f"method {name} takes no noise and no strength of it; {others} do")
    if not ascends and rho is not None:
        others = ", ".join(key for key, (*_, takes) in METHODS.items() if takes)
        raise DriftproofError(f"method {name} takes no rho; {others} do")
    given = {"noise": noise, "strength": strength, "rho": rho}
    return make(**{key: value for key, value in given.items() if value is not None}, **options)
