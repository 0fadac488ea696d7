"""A stage of the periphery: one effect between an array and its ADC, in one file of its own.

A new stage is a class in a file, and one line that imports it (in :mod:`driftproof.periphery`, or in your own program).
A periphery file then has it as a table, and both backends put it where it belongs::

    [[stages]]
    stage = "column-gain"
    sigma = 0.02
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar, get_args

from pydantic import BeforeValidator, SerializeAsAny
from torch import Tensor

from driftproof.errors import did_you_mean
from driftproof.periphery.base import Settings
from driftproof.periphery.sums import Sums


class Stage(Settings):
    """What happens to an array's sums before they are converted.

    A subclass has its tag, ``stage: Literal["column-gain"] = "column-gain"``, its numbers as fields, the effect as
    :meth:`apply`, and its words as ``__str__``; a class that lacks one of them cannot be made.

    ::

        class Offset(Stage):
            stage: Literal["offset"] = "offset"
            size: float

            def apply(self, sums: Sums) -> Tensor:
                return sums.values + self.size * sums.along(sums.fixed("offset"))

            def __str__(self) -> str:
                return f"offset {self.size:g}"
    """

    kinds: ClassVar[dict[str, type[Stage]]] = {}
    stage: str

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Make the stage known by its tag; refuse a class that is incomplete."""
        tags = get_args(cls.model_fields["stage"].annotation)
        missing = [] if len(tags) == 1 else ['stage: Literal["its-tag"] = "its-tag"']
        missing += [name for name in ("apply", "__str__") if getattr(cls, name) is getattr(Stage, name)]
        if missing:
            raise TypeError(f"stage {cls.__name__} lacks {', '.join(missing)}")
        known = cls.kinds.get(tags[0], cls)
        # the same class once more, as a notebook's cell that runs again or a file under two names makes it, is fine
        places = [{kind.__module__, kind.apply.__code__.co_filename} for kind in (known, cls)]
        if known.__qualname__ != cls.__qualname__ or not places[0] & places[1]:
            raise TypeError(f"stage {cls.__name__}: {known.__name__} is called {tags[0]!r} already")
        cls.kinds[tags[0]] = cls

    @abstractmethod
    def apply(self, sums: Sums) -> Tensor:
        """Return the sums after this stage, in the shape of ``sums.values``; those may be written to."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the stage as a table shows it."""


def _pick(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    tag = value.get("stage")
    if tag not in Stage.kinds:
        known = ", ".join(sorted(Stage.kinds)) or "none"
        raise ValueError(
            f"there is no stage {tag!r}{did_you_mean(str(tag), Stage.kinds)}; there are: {known}. A stage is a "
            "class of its own (driftproof.periphery.Stage): import its file before the periphery is loaded"
        )
    return Stage.kinds[tag](**value)


AnyStage = Annotated[SerializeAsAny[Stage], BeforeValidator(_pick)]
"""A stage, or the table of one in a periphery file."""
