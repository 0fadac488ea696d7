"""Variation that devices have in common: from wafer to wafer, from die to die, from column to column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from driftproof.laws._table import NotNegative, Table

QUANTITIES = {
    "g_max_sd": "of g_max (a factor on all conductances)",
    "mean_error_sd_us": "of the mean programming error, in µS",
    "nu_sd": "of the mean drift exponent nu",
}


class Spread(Table):
    """The spread of one level: what all devices of a die, a wafer or a column have in common.

    Each quantity is normally distributed with mean 0, and it stays the same for the life of a chip.

    Attributes:
        g_max_sd: Relative standard deviation of g_max. The conductances of all devices are multiplied by one factor.
        mean_error_sd_us: Standard deviation of the mean programming error in µS, which is added to the conductances of
            all devices.
        nu_sd: Standard deviation of the mean drift exponent, which is added to the ν of all devices.
        source: Source of the numbers.
        assumption: The assumption behind them, if they have no source.
    """

    g_max_sd: NotNegative = 0.0
    mean_error_sd_us: NotNegative = 0.0
    nu_sd: NotNegative = 0.0
    source: str = ""
    assumption: str = ""

    @model_validator(mode="after")
    def _has_an_origin(self) -> Self:
        if bool(self.source.strip()) == bool(self.assumption.strip()):
            raise ValueError('give either source = "where the numbers are from" or assumption = "why they are assumed"')
        return self

    @property
    def spreads(self) -> tuple[float, float, float]:
        """The three standard deviations: of g_max, of the mean error, of ν."""
        return self.g_max_sd, self.mean_error_sd_us, self.nu_sd

    def words(self) -> str:
        """Return the standard deviations in words, and where they are from."""
        sizes = [f"{getattr(self, key):g} {text}" for key, text in QUANTITIES.items() if getattr(self, key)]
        origin = f"source: {self.source}" if self.source else f"assumption: {self.assumption}"
        return f"{', '.join(sizes) or 'none'} ({origin.rstrip('.')})"


class WaferSpread(Spread):
    """The spread from wafer to wafer.

    Attributes:
        dies_per_wafer: Number of chips of one wafer. Chip n belongs to wafer n // ``dies_per_wafer``.
    """

    dies_per_wafer: Annotated[int, Field(ge=1)]


class Variation(Table):
    """Variation that is common to all devices of a wafer, a die (a chip) or a column of a tile.

    The deviations of the levels add up. With δ of g_max, ε of the mean error and Δ of ν, a device that would be
    programmed to max(0, m + σ ξ) is programmed to max(0, 1 + δ) · max(0, m + ε + σ ξ), and its drift exponent is
    max(0, ν + Δ). The devices of a die or a wafer have them in common in all layers. Each column of a tile has its own,
    and so have the column of its negative devices, those of further pairs, and that of its reference devices: each is a
    bit line of its own. Stuck devices stay where they are.
    """

    die: Spread | None = None
    wafer: WaferSpread | None = None
    column: Spread | None = None

    @model_validator(mode="after")
    def _has_a_level(self) -> Self:
        if not any(True for _ in self.levels()):
            raise ValueError("wanted at least one of the tables die, wafer and column")
        return self

    def levels(self) -> Iterator[tuple[str, Spread]]:
        """Yield the levels that are given, and their spreads."""
        for name in ("wafer", "die", "column"):
            if (spread := getattr(self, name)) is not None:
                yield name, spread

    @property
    def is_none(self) -> bool:
        """Whether all standard deviations are zero."""
        return not any(any(spread.spreads) for _, spread in self.levels())

    @property
    def moves_exponents(self) -> bool:
        """Whether drift exponents differ."""
        return any(spread.nu_sd for _, spread in self.levels())

    def wafer_of(self, chip: int) -> int:
        """Return the number of a chip's wafer; the chip's own number without a table ``wafer``."""
        return chip if self.wafer is None else chip // self.wafer.dies_per_wafer

    def numbers(self) -> dict[str, Any]:
        """Return everything but the texts as plain values."""
        texts = {"source", "assumption"}
        return {name: spread.model_dump(mode="json", exclude=texts) for name, spread in self.levels()}

    def without_exponents(self) -> Variation | None:
        """Return the variation of programmed conductances only; None if there is none."""
        kept = {
            name: spread.model_copy(update={"nu_sd": 0.0})
            for name, spread in self.levels()
            if spread.g_max_sd or spread.mean_error_sd_us
        }
        return Variation(**kept) if kept else None

    def one_die_per_wafer(self) -> Variation:
        """Return the same variation with every chip from a wafer of its own."""
        if self.wafer is None:
            return self
        return self.model_copy(update={"wafer": self.wafer.model_copy(update={"dies_per_wafer": 1})})

    def words(self) -> str:
        """Return a sentence about what devices have in common."""
        parts = [f"per {name}: {spread.words()}" for name, spread in self.levels()]
        wafer = "" if self.wafer is None else f"; {self.wafer.dies_per_wafer} chips are of one wafer"
        return (
            "Devices have normally distributed deviations in common, with standard deviations "
            f"{'; '.join(parts)}{wafer}."
        )
