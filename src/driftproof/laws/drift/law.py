"""What time does to a programmed conductance: what all drift laws have."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, SerializeAsAny

from driftproof.laws.law import Law

if TYPE_CHECKING:
    from torch import Tensor


class DriftLaw(Law):
    """What time does to a programmed conductance.

    A drift law shows what changes: its plots have ``exponent`` (then what devices keep for life is their ν) or
    ``shift`` in them.

    Attributes:
        needs_target: whether what a device keeps for life depends on its target: whether the law has :meth:`life`.
    """

    family: ClassVar[str] = "drift law"
    needs_target: ClassVar[bool] = False

    if TYPE_CHECKING:
        law: str

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Note what the law needs, and register it."""
        cls.needs_target = cls.life is not DriftLaw.life
        super().__pydantic_init_subclass__(**kwargs)

    @classmethod
    def _missing(cls) -> list[str]:
        shown = {"exponent", "shift"} & set(getattr(cls, "plots", ("shift",)))
        return super()._missing() + ([] if shown else ["no plot of its change (exponent or shift)"])

    @property
    def changes_in_time(self) -> bool:
        """True: that is what it is for."""
        return True

    def life(self, r_target: Tensor, xi: Tensor) -> Tensor:
        """Return what each device keeps for life: by default the ξ that it drew.

        Args:
            r_target: [n], target / high, high the upper end of ``validity.g_us``.
            xi: [n], standard normal; may be written over.
        """
        return xi

    @abstractmethod
    def after(self, g_us: Tensor, life: Tensor, t_s: float) -> Tensor:
        """Return the conductances in µS at a time, [n]: a new tensor, the arguments stay as they are.

        Args:
            g_us: [n], as programmed, in µS.
            life: [n], what :meth:`life` returned.
            t_s: seconds after programming; at 0 nothing has changed.
        """


Drift = Annotated[SerializeAsAny[DriftLaw], BeforeValidator(DriftLaw.chosen)]
"""A drift law as a field of a preset."""
