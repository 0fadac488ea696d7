"""Base class of the laws of read noise."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BeforeValidator, SerializeAsAny

from driftproof.laws._law import Law
from driftproof.laws._table import Tensor

# "read-out": one draw at every read-out time, the same for all MVMs of that time (slow noise, 1/f).
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
            t_s: Seconds after programming.
        """


Read = Annotated[SerializeAsAny[ReadLaw], BeforeValidator(ReadLaw.chosen)]
"""A law of read noise as a field of a preset."""
