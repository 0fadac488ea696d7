"""A trial: one chip of a deployment at one time. Some of its layers may be digital."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from driftproof._errors import DriftproofError, whole_number
from driftproof._keywords import ChecksKeywords
from driftproof.evaluation._deployment import Deployment
from driftproof.times import format_time


@dataclass(frozen=True)
class Trial(ChecksKeywords):
    """One cell of a record. Its outcome does not depend on any other trial.

    Attributes:
        deployment: The device and all conditions. None means the digital network, which has neither chip nor time.
        chip: Number of the chip, from 0.
        t_s: Time after the first read in s.
        digital: Names of layers to keep digital, in addition to those that the deployment's mapping keeps digital.

    Raises:
        DriftproofError: The chip or the time is below 0; ``digital`` is not a collection of names; the digital network
            comes with a chip, a time or layers.

    >>> trial = Trial(Deployment(device="pcm-nandakumar-2019"), chip=3, t_s=3600.0)
    >>> str(trial), str(NETWORK_ITSELF)
    ('pcm-nandakumar-2019, chip 3, 1 h', 'digital')
    """

    deployment: Deployment | None
    chip: int = 0
    t_s: float = 0.0
    digital: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Check the values. Convert them to Python's numbers and to a frozenset."""
        names = self.digital
        if isinstance(names, str) or not isinstance(names, Collection) or not all(isinstance(x, str) for x in names):
            raise DriftproofError(
                f"digital layers came as a {type(names).__name__}, {names!r}; wanted their names, as texts in a list "
                "or a set"
            )
        try:
            t_s = float(self.t_s)
        except (TypeError, ValueError):
            raise DriftproofError(
                f"trial: t_s = {self.t_s!r}, wanted seconds after the first read as a number"
            ) from None
        vars(self).update(chip=whole_number("trial: chip", self.chip), t_s=t_s, digital=frozenset(names))
        if self.chip < 0 or not (math.isfinite(t_s) and t_s >= 0):
            raise DriftproofError(f"trial: wanted chip >= 0 and t_s >= 0, got chip {self.chip} and t_s {t_s}")
        if self.deployment is None and (self.chip, t_s, self.digital) != (0, 0.0, frozenset()):
            raise DriftproofError("the digital network has no chip, no time and no layers to choose: Trial(None)")

    def definition(self) -> dict[str, Any]:
        """Return the trial as plain JSON values, with the id of its deployment."""
        return {
            "deployment": None if self.deployment is None else self.deployment.id,
            "chip": self.chip,
            "t_s": self.t_s,
            "digital": sorted(self.digital),
        }

    def __str__(self) -> str:
        if self.deployment is None:
            return "digital"
        layers = f", {len(self.digital)} digital layers" if self.digital else ""
        return f"{self.deployment.device.name}, chip {self.chip}, {format_time(self.t_s)}{layers}"


NETWORK_ITSELF = Trial(None)
"""The digital network, with which every chip is compared."""
