"""What programming does to a target: what all programming laws have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, get_args

from pydantic import BeforeValidator, SerializeAsAny

from driftproof.laws.law import Law

if TYPE_CHECKING:
    from torch import Tensor

Target = Literal["devices", "weights"]
"""What a law acts on: the conductances of devices, or the net weight."""
Kept = Literal["nothing", "conductance", "xi"]
"""What a device (or a weight) keeps for life of its programming.

- ``nothing``: it has no random part.
- ``conductance``: it is programmed once, and its conductance is kept.
- ``xi``: a standard normal number is kept, and what it comes to is computed at every reading: of laws whose spread
  changes in time, and of laws of the net weight.
"""

_FORMULAS = {"devices": "moments", "weights": "programmed"}


class ProgrammingLaw(Law):
    """What programming does to a target: of devices (:meth:`moments`), of net weights (:meth:`programmed`), or of both.

    Attributes:
        acts_on: what it can act on; it has the formula for each.
        keeps: what is kept for life.
        is_normal: of a law of the net weight: whether w' is normal around w, with any spread that does not depend on ξ.
    """

    family: ClassVar[str] = "programming law"
    acts_on: ClassVar[tuple[Target, ...]]
    keeps: ClassVar[Kept] = "xi"
    is_normal: ClassVar[bool] = False

    if TYPE_CHECKING:
        law: str

    @classmethod
    def _missing(cls) -> list[str]:
        found, acts_on = super()._missing(), getattr(cls, "acts_on", ())
        if not acts_on:
            found.append(f"no acts_on (some of {', '.join(get_args(Target))})")
        for target in acts_on:
            formula = _FORMULAS[target]
            if getattr(cls, formula) is getattr(ProgrammingLaw, formula):
                found.append(f"no {formula}(), as it acts on {target}")
        if cls.changes_in_time is not Law.changes_in_time:
            if "weights" in acts_on:
                found.append("a change in time, which net weights do not have")
            if "shift" not in getattr(cls, "plots", ("shift",)):
                found.append("no plot of its change in time (shift)")
            if cls.without_time is ProgrammingLaw.without_time:
                found.append("no without_time(), as it changes in time")
        return found

    @property
    def declares_noise(self) -> bool:
        """Whether some weight is meant to differ from its target."""
        return True

    # --- devices ---

    def moments(self, target_us: Tensor, fitted_us: tuple[float, float], t_s: float) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation in µS of what targets become by a time, before G is clipped at zero.

        G = max(0, mean + σ ξ). The mean may be ``target_us`` itself, σ is a new tensor.

        Args:
            target_us: [n], in µS; not to be written to.
            fitted_us: the range for which the law was fitted, ``validity.g_us``.
            t_s: seconds after programming.
        """
        raise NotImplementedError(f'programming.law "{self.law}" acts on {" and ".join(self.acts_on)}')

    @property
    def times_s(self) -> tuple[float, ...]:
        """The times at which something is known, in s, of a law that is a table in time."""
        return ()

    def steps_until(self, t_s: float) -> tuple[float, ...]:
        """Return the times by which a device has taken its random steps by ``t_s``, if it takes any after the first.

        From one of these times to the next, σ grows by a step with a ξ of its own. The last one is ``t_s`` itself, a
        step on the way, until there are no more.
        """
        return ()

    def without_time(self) -> Self:
        """Return the law that holds its earliest state for ever."""
        return self

    def spreads_us(self, r: float, g_us: float) -> list[float]:
        """Return the declared spread of one target in µS, at each of the law's times; nothing if it cannot be wrong.

        Args:
            r: the target's share of the range for which the law was fitted.
            g_us: the same in µS.
        """
        return []

    def check(self, fitted_us: tuple[float, float]) -> None:
        """Raise ValueError for numbers that cannot be, at 101 targets in the range for which the law was fitted."""
        low, high = fitted_us
        for step in range(101):
            r = step / 100
            self.check_spreads(r, self.spreads_us(r, low + r * (high - low)))

    def check_spreads(self, r: float, spreads_us: list[float]) -> None:
        """Raise ValueError for the spreads of one target, as :meth:`spreads_us` returns them."""
        if spreads_us and min(spreads_us) < 0:
            raise ValueError(
                f"programming.sigma_us: the spread is {min(spreads_us):.3g} µS at r = {r}: "
                "it must not be negative for r in [0, 1]"
            )

    # --- net weights ---

    def programmed(self, w: Tensor, xi: Tensor) -> Tensor:
        """Return the programmed weights w', [n]: a new tensor, the arguments stay as they are.

        Args:
            w: [n], relative to the largest weight of the column (or layer), in [−1, 1].
            xi: [n], standard normal, kept for life.
        """
        raise NotImplementedError(f'programming.law "{self.law}" acts on {" and ".join(self.acts_on)}')


Programming = Annotated[SerializeAsAny[ProgrammingLaw], BeforeValidator(ProgrammingLaw.chosen)]
"""A programming law as a field of a preset."""
