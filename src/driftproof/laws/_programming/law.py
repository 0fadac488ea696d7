"""Base class of the programming laws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, get_args

from pydantic import BeforeValidator, SerializeAsAny

from driftproof.laws._law import Law
from driftproof.laws._table import Tensor

Target = Literal["devices", "weights"]
"""The quantity that a law acts on: the conductances of devices, or the net weight."""
Kept = Literal["nothing", "conductance", "xi"]
"""The result of programming that a device (or a weight) keeps for life.

- ``nothing``: Programming has no random part.
- ``conductance``: The device keeps its programmed conductance.
- ``xi``: The device keeps a standard normal number, and each reading computes the conductance from it. This is for
  laws whose standard deviation changes with time, and for laws of the net weight.
"""


class ProgrammingLaw(Law):
    """Base class of the programming laws: how far a programmed device or net weight is from its target.

    A law of devices defines :meth:`moments`, a law of net weights defines :meth:`programmed`; a law can define both.

    Attributes:
        acts_on: The quantities that the law can act on.
        keeps: The number that a device or a weight keeps for life.
        is_normal: Whether a law of the net weight gives a w' that is normal with mean w, and a standard deviation that
            does not depend on ξ.
    """

    family = "programming law"
    acts_on: ClassVar[tuple[Target, ...]]
    keeps: ClassVar[Kept] = "xi"
    is_normal: ClassVar[bool] = False

    if TYPE_CHECKING:
        law: str

    @classmethod
    def _missing(cls) -> list[str]:
        acts_on: tuple[Target, ...] = getattr(cls, "acts_on", ())
        changes = cls.changes_in_time is not Law.changes_in_time
        faults = {
            f"no acts_on (some of {', '.join(get_args(Target))})": not acts_on,
            "no moments(), as it acts on devices": "devices" in acts_on and cls.moments is ProgrammingLaw.moments,
            "no programmed(), as it acts on weights": "weights" in acts_on
            and cls.programmed is ProgrammingLaw.programmed,
            "a change in time, which net weights do not have": changes and "weights" in acts_on,
            "no plot of its change in time (shift)": changes and "shift" not in getattr(cls, "plots", ("shift",)),
            "no without_time(), as it changes in time": changes and cls.without_time is ProgrammingLaw.without_time,
        }
        return super()._missing() + [text for text, is_so in faults.items() if is_so]

    @property
    def declares_noise(self) -> bool:
        """Whether the law makes some weight differ from its target."""
        return True

    # --- devices ---

    def moments(self, target_us: Tensor, fitted_us: tuple[float, float], t_s: float) -> tuple[Tensor, Tensor]:
        """Return the mean and the standard deviation σ of the conductances at a time, in µS, before clipping at zero.

        The conductance is G = max(0, mean + σ ξ). The mean may be ``target_us`` itself; σ is a new tensor.

        Args:
            target_us: Targets in µS, [n]. They must not be changed.
            fitted_us: Range for which the law was fitted, ``validity.g_us``.
            t_s: Seconds after the first read.
        """
        raise NotImplementedError(f'programming.law "{self.law}" acts on {" and ".join(self.acts_on)}')

    @property
    def times_s(self) -> tuple[float, ...]:
        """The times of a law that is a table in time, in s; empty for other laws."""
        return ()

    def steps_until(self, t_s: float) -> tuple[float, ...]:
        """Return the times at which a device has taken random steps up to ``t_s``; empty if it takes none.

        Each step widens σ with a new ξ. The last time is ``t_s`` itself, part of the way to the next time of the
        table, or the table's last time.
        """
        return ()

    def without_time(self) -> Self:
        """Return the law that holds its earliest state at all times."""
        return self

    def spreads_us(self, r: float, g_us: float) -> list[float]:
        """Return σ of one target in µS, at each time of the law; empty for a law that needs no check.

        Args:
            r: The target's share of the range for which the law was fitted, 0 to 1.
            g_us: The target in µS.
        """
        return []

    def check(self, fitted_us: tuple[float, float]) -> None:
        """Raise ValueError for an impossible σ at one of 101 targets in the range for which the law was fitted."""
        low, high = fitted_us
        for step in range(101):
            r = step / 100
            self.check_spreads(r, self.spreads_us(r, low + r * (high - low)))

    def check_spreads(self, r: float, spreads_us: list[float]) -> None:
        """Raise ValueError for an impossible σ of one target; ``spreads_us`` is from :meth:`spreads_us`."""
        if spreads_us and min(spreads_us) < 0:
            raise ValueError(
                f"programming.sigma_us: the standard deviation is {min(spreads_us):.3g} µS at r = {r}; "
                "it must not be negative for r in [0, 1]"
            )

    # --- net weights ---

    def programmed(self, w: Tensor, xi: Tensor) -> Tensor:
        """Return the programmed weights w' [n] as a new tensor. The arguments are not changed.

        Args:
            w: Weights [n], relative to the largest one of the column (or layer), in [−1, 1].
            xi: Standard normal numbers [n], which the weights keep for life.
        """
        raise NotImplementedError(f'programming.law "{self.law}" acts on {" and ".join(self.acts_on)}')


Programming = Annotated[SerializeAsAny[ProgrammingLaw], BeforeValidator(ProgrammingLaw.chosen)]
"""A programming law as a field of a preset."""
