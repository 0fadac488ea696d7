"""Frozen settings that report what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from driftproof._errors import DriftproofError, explained
from driftproof.laws._table import Table


class Settings(Table):
    """Settings that never change. An unknown or impossible one raises :class:`~driftproof.DriftproofError`."""

    if not TYPE_CHECKING:  # type checkers take the fields' own signature

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                kind = type(self)
                text = explained(kind.__name__, error, kind.model_fields, tags=("static", "dynamic", "given"))
                raise DriftproofError(text) from None
