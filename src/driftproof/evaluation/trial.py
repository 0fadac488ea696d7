"""A trial: one chip of a deployment at one time, with some layers digital or none."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from driftproof.errors import DriftproofError
from driftproof.evaluation.checks import whole_number
from driftproof.evaluation.deployment import Deployment
from driftproof.keywords import ChecksKeywords
from driftproof.times import format_time


@dataclass(frozen=True)
class Trial(ChecksKeywords):
    """One cell: what is measured does not depend on any other trial, or on what was measured before.

    Attributes:
        deployment: the device and all conditions; None for the digital network, which has neither chip nor time.
        chip: number of the chip, from 0.
        t_s: time after programming in s.
        digital: names of the layers that are kept digital, beside those that the deployment's mapping leaves digital.

    Raises:
        DriftproofError: a chip or a time below 0; layers that are no collection of names; a chip, a time or layers of
            the digital network.

    >>> trial = Trial(Deployment(device="pcm-nandakumar-2019"), chip=3, t_s=3600.0)
    >>> str(trial), str(NETWORK_ITSELF)
    ('pcm-nandakumar-2019, chip 3, 1 h', 'digital')
    """

    deployment: Deployment | None
    chip: int = 0
    t_s: float = 0.0
    digital: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what is no trial."""
        object.__setattr__(self, "chip", whole_number("trial: chip", self.chip))
        object.__setattr__(self, "t_s", _seconds(self.t_s))
        if self.chip < 0 or not (math.isfinite(self.t_s) and self.t_s >= 0):
            raise DriftproofError(f"trial: wanted chip >= 0 and t_s >= 0, got chip {self.chip} and t_s {self.t_s}")
        if isinstance(self.digital, str) or not isinstance(self.digital, Collection):
            raise DriftproofError(
                f"digital layers came as a {type(self.digital).__name__}, {self.digital!r}; wanted their names in a "
                "list or a set"
            )
        if not all(isinstance(name, str) for name in self.digital):
            raise DriftproofError(f"digital layers {sorted(map(str, self.digital))}: wanted their names, as texts")
        object.__setattr__(self, "digital", frozenset(self.digital))
        if self.deployment is None and (self.chip, self.t_s, self.digital) != (0, 0.0, frozenset()):
            raise DriftproofError("the digital network has no chip, no time and no layers to choose: Trial(None)")

    def definition(self) -> dict[str, Any]:
        """Return the trial as plain JSON values, its deployment by id."""
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


def _seconds(t_s: float) -> float:
    try:
        return float(t_s)
    except (TypeError, ValueError):
        raise DriftproofError(f"trial: t_s = {t_s!r}, wanted seconds after programming as a number") from None


NETWORK_ITSELF = Trial(None)
"""The digital network: what every chip is compared with."""
