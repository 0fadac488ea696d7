"""A stage of the periphery: one effect between an array and its ADC, in its own file.

To add a stage, write a class in a file, and import that file (in :mod:`driftproof.periphery` or in your program).
A periphery file can then have it as a table, and both backends apply it::

    [[stages]]
    stage = "column-gain"
    sigma = 0.02
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny
from torch import Tensor

from driftproof.laws._tagged import Tagged
from driftproof.periphery._base import Settings
from driftproof.periphery._sums import Sums


class Stage(Tagged, Settings):
    """An effect on an array's sums before they are converted.

    A subclass has its tag, ``stage: Literal["column-gain"] = "column-gain"``, its numbers as fields, the effect as
    :meth:`apply`, and its words as ``__str__``. A class that lacks one of them cannot be defined.

    ::

        class Offset(Stage):
            stage: Literal["offset"] = "offset"
            size: float

            def apply(self, sums: Sums) -> Tensor:
                return sums.values + self.size * sums.along(sums.fixed("offset"))

            def __str__(self) -> str:
                return f"offset {self.size:g}"
    """

    family = "stage"
    tag_key = "stage"
    hint = ". A stage is a subclass of driftproof.periphery.Stage: import its file before the periphery is loaded"
    stage: str

    @abstractmethod
    def apply(self, sums: Sums) -> Tensor:
        """Return the sums after this stage, in the shape of ``sums.values``, which the stage may overwrite."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the stage as a table shows it."""


AnyStage = Annotated[SerializeAsAny[Stage], BeforeValidator(Stage.chosen)]
"""A stage, or the table of one in a periphery file."""
