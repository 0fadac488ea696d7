"""Base class of the laws of read noise."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BeforeValidator, SerializeAsAny

from driftproof.laws._law import Law
from driftproof.laws._table import Tensor

# "read-out": one draw at every read-out, the same for all MVMs of it; two read-outs at one time share its slow part.
# "mvm": a new draw in every matrix-vector multiplication (MVM).
NewEvery = Annotated[
    Literal["read-out", "mvm"], BeforeValidator(lambda value: "mvm" if value == "product" else value)  # its old name
]
NEW_EVERY: Final = "read-out"

NEW = {"read-out": "new at every read-out", "mvm": "new in every matrix-vector multiplication"}
"""How often the noise is new, in words."""


class ReadLaw(Law):
    """Base class of the laws of read noise: σ ξ is added to a conductance, and the sum is clipped at zero.

    The key ``new_every`` of its table, of type :data:`NewEvery`, tells how often ξ is new.
    """

    family = "read noise"

    if TYPE_CHECKING:
        law: str
        new_every: NewEvery

    @classmethod
    def _missing(cls) -> list[str]:
        missing = [] if "new_every" in cls.model_fields else ["no key new_every (how often the noise is new)"]
        return super()._missing() + missing

    @abstractmethod
    def sigma_us(self, g_us: Tensor, r_programmed: Tensor, t_s: float) -> Tensor:
        """Return the standard deviation of the read noise in µS, [n], as a new tensor.

        Args:
            g_us: G(t) in µS, [n].
            r_programmed: Programmed G, divided by the upper end of ``validity.g_us``, [n].
            t_s: Seconds after the first read.
        """

    def fast_share(self, t_s: float, period_s: float) -> float:
        """Return the share of the variance at a time that lies at frequencies above 1/``period_s``, from 0 to 1.

        Read-outs of one time have the other part in common. The default is 1: a law without a spectrum has noise that
        is new at every read-out.

        Args:
            t_s: Seconds after the first read.
            period_s: A period in s, above 0.
        """
        return 1.0


def share_above(frequency_hz: float, low_hz: float, high_hz: float) -> float:
    """Return the share of 1/f noise between ``low_hz`` and ``high_hz`` that lies above a frequency.

    >>> round(share_above(1.0, low_hz=1 / 21, high_hz=1 / 5e-7), 3)
    0.827
    """
    if frequency_hz <= low_hz:
        return 1.0
    if frequency_hz >= high_hz:
        return 0.0
    return math.log(high_hz / frequency_hz) / math.log(high_hz / low_hz)


Read = Annotated[SerializeAsAny[ReadLaw], BeforeValidator(ReadLaw.chosen)]
"""A law of read noise as a field of a preset."""
