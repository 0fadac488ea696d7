"""What is added at every read: what all laws of read noise have."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import BeforeValidator, SerializeAsAny

from driftproof.laws.law import Law

if TYPE_CHECKING:
    from torch import Tensor

# "read-out": one draw at every read-out time, the same for all MVMs of that time (slow noise, 1/f).
# "product": a draw of its own in every matrix-vector multiplication.
NewEvery = Literal["read-out", "product"]
NEW_EVERY: Final = "read-out"

NEW = {"read-out": "new at every read-out", "product": "new in every matrix-vector multiplication"}
"""The same in words."""


class ReadLaw(Law):
    """Read noise: σ ξ is added to a conductance, then it is clipped at zero.

    Its table says how often ξ is new, by a key ``new_every`` of type :data:`NewEvery`.
    """

    family: ClassVar[str] = "read noise"

    if TYPE_CHECKING:
        law: str
        new_every: NewEvery

    @classmethod
    def _missing(cls) -> list[str]:
        known = "new_every" in cls.model_fields
        return super()._missing() + ([] if known else ["no key new_every (how often the noise is new)"])

    @abstractmethod
    def sigma_us(self, g_us: Tensor, r_programmed: Tensor, t_s: float) -> Tensor:
        """Return the standard deviation of the read noise in µS, [n]: a new tensor.

        Args:
            g_us: [n], G(t) in µS.
            r_programmed: [n], G as programmed / high, high the upper end of ``validity.g_us``.
            t_s: seconds after programming.
        """


Read = Annotated[SerializeAsAny[ReadLaw], BeforeValidator(ReadLaw.chosen)]
"""A law of read noise as a field of a preset."""
