"""One table of a file, and the kinds of values that it may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any  # laws are loaded where torch is not installed: they need the name for annotations only

Text = Annotated[str, Field(min_length=1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Coefficients = Annotated[tuple[Number, ...], Field(min_length=1)]


def increasing[T: tuple[float, ...]](values: T) -> T:
    """Return the values; raise ValueError unless each one is larger than the one before."""
    if list(values) != sorted(set(values)):
        raise ValueError(f"the values must increase, got {list(values)}")
    return values


Increasing = Annotated[tuple[NotNegative, ...], Field(min_length=1), AfterValidator(increasing)]


class Table(BaseModel):
    """One table of a file. An unknown key is an error, and values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Citation(Table):
    """A paper or a data sheet, and the place in it."""

    title: Text
    authors: str = ""
    venue: str = ""
    year: int | None = None
    doi: str = ""
    where: Text
