"""Base class of the drift laws."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, SerializeAsAny

from driftproof.laws._law import Law
from driftproof.laws._table import Tensor


class DriftLaw(Law):
    """Base class of the drift laws: how a programmed conductance changes with time.

    The plots of a drift law include ``exponent`` or ``shift``. With ``exponent``, the number that a device keeps for
    life is its drift exponent ν.

    Attributes:
        needs_target: Whether the number that a device keeps for life depends on its target, that is, whether the law
            defines :meth:`life`.
    """

    family = "drift law"
    needs_target: ClassVar[bool] = False

    if TYPE_CHECKING:
        law: str

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Set ``needs_target`` and register the law."""
        cls.needs_target = cls.life is not DriftLaw.life
        super().__pydantic_init_subclass__(**kwargs)

    @classmethod
    def _missing(cls) -> list[str]:
        shown = {"exponent", "shift"} & set(getattr(cls, "plots", ("shift",)))
        return super()._missing() + ([] if shown else ["no plot of its change (exponent or shift)"])

    @property
    def changes_in_time(self) -> bool:
        """True: a drift law depends on the time."""
        return True

    @property
    def first_read_s(self) -> float | None:
        """Time from the last programming pulse to t = 0, the first read, in s; None if the law does not have one."""
        return None

    def life(self, r_target: Tensor, xi: Tensor) -> Tensor:
        """Return the number that each device keeps for life, [n]; by default the ξ that it drew.

        Args:
            r_target: Target, divided by the upper end of ``validity.g_us``, [n].
            xi: Standard normal numbers [n]. The method may overwrite them.
        """
        return xi

    @abstractmethod
    def after(self, g_us: Tensor, life: Tensor, t_s: float) -> Tensor:
        """Return the conductances in µS at a time, [n], as a new tensor. The arguments are not changed.

        Args:
            g_us: Programmed conductances in µS, [n].
            life: Numbers that :meth:`life` returned, [n].
            t_s: Seconds after the first read; at 0 nothing has changed.
        """


Drift = Annotated[SerializeAsAny[DriftLaw], BeforeValidator(DriftLaw.chosen)]
"""A drift law as a field of a preset."""
