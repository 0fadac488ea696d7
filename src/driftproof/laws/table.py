"""One table of a file, and the kinds of numbers that may stand in it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Coefficients = Annotated[tuple[Number, ...], Field(min_length=1)]


def _increasing(values: tuple[float, ...]) -> tuple[float, ...]:
    if list(values) != sorted(set(values)):
        raise ValueError(f"the values must increase, got {list(values)}")
    return values


Increasing = Annotated[tuple[NotNegative, ...], Field(min_length=1), AfterValidator(_increasing)]


class Table(BaseModel):
    """One table of a preset file; unknown keys are errors, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")
