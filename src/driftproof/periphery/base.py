"""Frozen settings that say what is wrong with them, and the types of their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from driftproof.errors import DriftproofError, did_you_mean

Text = Annotated[str, Field(min_length=1)]
# codes of more than 24 bits are not exact in float32
Bits = Annotated[int, Field(strict=True, ge=2, le=24)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)]


class Settings(BaseModel):
    """Settings that never change; an unknown or impossible one is a :class:`~driftproof.errors.DriftproofError`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    if not TYPE_CHECKING:  # type checkers take the fields' own signature

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise DriftproofError(_explain(type(self), error)) from None


def _explain(kind: type[BaseModel], error: ValidationError) -> str:
    """Return one line per fault: the settings, the key, what was wanted and what came."""
    lines = []
    for fault in error.errors():
        # pydantic puts the tag of a discriminated union into the place; it is no key of the settings
        key = ".".join(str(part) for part in fault["loc"] if part not in ("static", "dynamic"))
        place = f"{kind.__name__}: {key}" if key else kind.__name__
        if fault["type"] == "extra_forbidden":
            hint = did_you_mean(key, kind.model_fields)
            lines.append(f"{kind.__name__}: unknown key {key}{hint}")
        elif fault["type"] == "missing":
            lines.append(f"{kind.__name__}: missing key {key}")
        elif fault["type"] in ("value_error", "assertion_error"):
            lines.append(f"{place}: {fault['msg'].removeprefix('Value error, ')}")
        else:
            lines.append(f"{place}: {fault['msg']}, got {fault['input']!r}")
    return "\n".join(lines)
