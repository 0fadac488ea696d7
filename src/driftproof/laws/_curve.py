"""A function of r in pieces, as a preset gives it by numbers.

r is relative to the range for which a law was fitted, ``validity.g_us`` = (low, high) in µS, and not to the part of it
that the weights are mapped to. For programming, r = (target − low)/(high − low). For drift and read noise, r = G/high.
For laws of the net weight, r = |w| / the column's maximum.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from driftproof.laws._table import Coefficients, Increasing, NotNegative, Number, Positive, Table, Tensor

UPPER_END = "the upper end of validity.g_us"
FORMS = (("polynomial",), ("per_ln_r", "constant"), ("scale", "exponent"), ("at_r", "values"))
"""The keys of each form that a piece can have."""


class Piece(Table):
    """One piece of a curve. Of several pieces, the first whose ``below_r`` is larger than r counts.

    A piece has one of four forms: ``polynomial`` Σ cᵢ rⁱ; ``per_ln_r`` · ln r + ``constant``; ``scale`` ·
    r^``exponent``; or ``values`` at the places ``at_r``, linear between them and constant outside. ``min`` and ``max``
    clip its values.
    """

    below_r: Positive | None = None
    polynomial: Coefficients | None = None
    per_ln_r: Number | None = None
    constant: Number | None = None
    scale: NotNegative | None = None
    exponent: Number | None = None
    at_r: Increasing | None = None
    values: Coefficients | None = None
    min: Number | None = None
    max: Number | None = None

    @model_validator(mode="after")
    def _is_one_form(self) -> Piece:
        given = [[key for key in form if getattr(self, key) is not None] for form in FORMS]
        if not any(keys == list(form) for keys, form in zip(given, FORMS, strict=True)) or sum(map(bool, given)) > 1:
            came = [key for keys in given for key in keys]
            wanted = "; ".join(" and ".join(form) for form in FORMS)
            raise ValueError(f"a piece is one of {wanted}; got {' and '.join(came) or 'none of them'}")
        if self.at_r is not None and self.values is not None and len(self.at_r) != len(self.values):
            raise ValueError(f"{len(self.at_r)} places in at_r but {len(self.values)} values")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min = {self.min} is above max = {self.max}")
        return self

    def unbounded_at_zero(self) -> str:
        """Return the missing key (``min`` or ``max``) if the piece goes to ±∞ at r = 0, else an empty text."""
        if (self.per_ln_r or 0) > 0 and self.min is None:
            return "min"
        return "max" if ((self.per_ln_r or 0) < 0 or (self.exponent or 0) < 0) and self.max is None else ""

    def wants_log(self) -> bool:
        """Whether its formula has ln r in it."""
        return self.at_r is None and self.polynomial is None

    def at(self, r: Tensor, log_r: Tensor | None) -> Tensor:
        """Return the piece's values at r [n], a new tensor; ``log_r`` is :func:`log` of r, which some forms need."""
        value = self._unclipped(r, log_r)
        return value.clamp_(self.min, self.max) if self.min is not None or self.max is not None else value

    def _unclipped(self, r: Tensor, log_r: Tensor | None) -> Tensor:
        if self.polynomial is not None:
            return polynomial(self.polynomial, r)
        if self.at_r is not None and self.values is not None:
            return _interpolated(self.at_r, self.values, r)
        assert log_r is not None
        if self.per_ln_r is not None and self.constant is not None:
            return log_r.mul(self.per_ln_r).add_(self.constant)
        if self.scale and self.exponent is not None:  # an exponential is twice as fast as a power
            return log_r.mul(self.exponent).exp_().mul_(self.scale)
        return r.new_zeros(r.shape)

    def words(self) -> str:
        """Return the formula as text, such as ``0.0127 r^-0.65 at most 0.2``."""
        if self.polynomial is not None:
            text = polynomial_text(self.polynomial, "r")
        elif self.constant is not None:
            text = f"{self.per_ln_r:g} ln r {signed(self.constant)}"
        elif self.exponent is not None:
            text = f"{self.scale:g} r^{self.exponent:g}"
        else:
            places = zip(self.at_r or (), self.values or (), strict=True)
            text = ", ".join(f"{value:g} at r = {place:g}" for place, value in places)
        if self.min is not None:
            text += f", at least {self.min:g}"
        return f"{text}, at most {self.max:g}" if self.max is not None else text


def _pieces(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


def _cover(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """Return the pieces; raise ValueError unless they follow one another and the last one has no end."""
    inner = [piece.below_r or 0.0 for piece in pieces[:-1]]
    if 0.0 in inner or pieces[-1].below_r is not None or inner != sorted(set(inner)):
        raise ValueError("every piece but the last wants a below_r, and they must increase")
    if missing := pieces[0].unbounded_at_zero():
        raise ValueError(
            f"the curve has no finite value at r = 0, where devices that hold zero are: give it a {missing}"
        )
    return pieces


Curve = Annotated[tuple[Piece, ...], BeforeValidator(_pieces), Field(min_length=1), AfterValidator(_cover)]


def curve_values(pieces: tuple[Piece, ...], r: Tensor, log_r: Tensor | None = None) -> Tensor:
    """Return the values of a curve at r [n], a new tensor; ``log_r`` is :func:`log` of r, if the caller has it.

    >>> import torch
    >>> rising = (Piece(below_r=0.5, polynomial=(0.0, 2.0)), Piece(polynomial=(1.0,)))
    >>> curve_values(rising, torch.tensor([0.0, 0.25, 0.5, 1.0]))
    tensor([0.0000, 0.5000, 1.0000, 1.0000])
    """
    if log_r is None and any(piece.wants_log() for piece in pieces):
        log_r = log(r)
    value = pieces[-1].at(r, log_r)
    for piece in reversed(pieces[:-1]):
        # lerp is exact at the weights 0 and 1, and ten times as fast as where
        value.lerp_(piece.at(r, log_r), r.clone().lt_(piece.below_r or 0.0))
    return value


def polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """Return Σ cᵢ xⁱ, by Horner's rule: [n], a new tensor."""
    if len(coefficients) == 1:
        return x.new_full(x.shape, coefficients[0])
    total = x.mul(coefficients[-1]).add_(coefficients[-2])
    for coefficient in reversed(coefficients[:-2]):
        total.mul_(x).add_(coefficient)
    return total


def log(r: Tensor) -> Tensor:
    """Return ln r, and ln 10⁻³⁰ at r = 0: curves are clipped there, and ln 0 takes ten times as long."""
    return r.clamp(min=1e-30).log_()


def _interpolated(places: tuple[float, ...], values: tuple[float, ...], r: Tensor) -> Tensor:
    """Return values that are linear between the places and constant outside, as a sum of ramps."""
    value = r.new_full(r.shape, values[0])
    for a, b, low, high in zip(places, places[1:], values, values[1:], strict=False):
        value.add_(((r - a) / (b - a)).clamp_(0, 1).mul_(high - low))
    return value


# --- as text ---


def curve_text(pieces: tuple[Piece, ...]) -> str:
    """Return a curve as text, piece by piece."""
    return "; ".join(
        piece.words() + (f" below r = {piece.below_r:g}" if piece.below_r is not None else "") for piece in pieces
    )


def polynomial_text(coefficients: tuple[float, ...], x: str) -> str:
    """Return Σ cᵢ xⁱ as text.

    >>> polynomial_text((0.26, 1.97, -1.17), "r")
    '0.26 + 1.97 r - 1.17 r^2'
    """
    powers = ["", f" {x}", *(f" {x}^{power}" for power in range(2, len(coefficients)))]
    first, *others = (f"{c:g}" if i == 0 else f"{signed(c)}{powers[i]}" for i, c in enumerate(coefficients))
    return " ".join((first, *others))


def signed(value: float) -> str:
    """Return a number with its sign in front, as a further term of a sum: ``- 0.5``."""
    return f"{'-' if value < 0 else '+'} {abs(value):g}"
