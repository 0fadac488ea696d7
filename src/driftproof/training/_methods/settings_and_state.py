"""What a method is set to, as text for a log, and what it remembers, to resume a stopped run."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from driftproof._errors import DriftproofError
from driftproof._mapping import TileSize
from driftproof.training._clipping import ClipWeights
from driftproof.training._norms import NormPolicy
from driftproof.training._schedules import Schedule
from driftproof.training._weights import OnTiles


class SettingsAndState(ABC):
    """The part of a method that describes it and remembers its past."""

    name: str = ""
    strength: Schedule
    norms: NormPolicy
    clip: ClipWeights | None
    on_tiles: OnTiles
    seed: int
    updates: int
    described: ClassVar[tuple[str, ...]] = ()
    """Attributes that :meth:`describe` lists, in addition to those of the class above."""
    remembered: ClassVar[tuple[str, ...]] = ()
    """Attributes that change during training and belong to the state, in addition to those of the class above."""

    @abstractmethod
    def schedules(self) -> list[Schedule]:
        """Return the schedules of all perturbations."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the method, with which a stopped run can be resumed."""
        remembered = {name: copy.copy(getattr(self, name)) for name in self._declared("remembered")}
        schedules = [schedule.state_dict() for schedule in self.schedules()]
        return {"method": self.name, "updates": self.updates, "schedules": schedules} | remembered

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state of a method of the same settings.

        Raises:
            DriftproofError: The state of another method.
        """
        if state.get("method") != self.name:
            raise DriftproofError(f"this is the state of a method {state.get('method')!r}; this one is {self.name}")
        self.updates = state["updates"]
        for schedule, its_state in zip(self.schedules(), state["schedules"], strict=True):
            schedule.load_state_dict(its_state)
        for name in self._declared("remembered"):
            setattr(self, name, copy.deepcopy(state[name]))

    def describe(self) -> dict[str, str]:
        """Return the settings as text, for a log."""
        tiles = self.on_tiles
        tile = tiles.tile or TileSize()
        values = {name.replace("_", " "): getattr(self, name) for name in self._declared("described")}
        return {
            "method": self.name,
            "strength": str(self.strength),
            "norms": self.norms,
            "tiles": f"{tile.rows}x{tile.columns}, weights relative to the {tiles.scale}"
            + ("" if tiles.clip is None else f", clipped at percentile {tiles.clip:g}"),
            "weight clipping": "none" if self.clip is None else str(self.clip),
            "seed": str(self.seed),
        } | {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in values.items()}

    @classmethod
    def _declared(cls, table: str) -> list[str]:
        """Return the names that ``described`` or ``remembered`` lists, those of the highest class first."""
        return [name for kind in reversed(cls.__mro__) for name in vars(kind).get(table, ())]
