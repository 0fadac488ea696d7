"""Two devices per weight, or several times two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from driftproof.laws._encoding.encoding import Bank, Conductances
from driftproof.laws._table import Positive, Tensor

if TYPE_CHECKING:
    from driftproof.laws._encoding.encoding import Encoding

Fill = Literal["equal", "least-first", "most-first", "max-fill"]
"""How a weight is shared out among its pairs.

With F = Σ fⱼ, a weight w has the size R = |w| F, and the pairs' shares sᵢ of their range add up to it, R = Σ fᵢ sᵢ.

- ``equal``: Every pair has the weight's share, sᵢ = |w|.
- ``least-first``: Pairs are filled one after another, the least significant first:
  sᵢ = min(1, max(0, (R − Σ fⱼ of the pairs before)/fᵢ)). aihwkit's ``NPairConductanceConverter`` does this for a list
  that ascends.
- ``most-first``: The same, with the most significant pair first.
- ``max-fill``: From the most significant pair to the least, a pair is used only if the less significant ones together
  cannot hold the rest R' of the weight, and then it holds as much as it can: sᵢ = min(1, R'/fᵢ) if R' > Σ fⱼ of the
  pairs after it, else 0. (M. Le Gallo et al., "Precision of bit slicing with in-memory computing based on analog
  phase-change memory crossbars", Neuromorphic Computing and Engineering 2, 014009, 2022, without its error correction;
  the formula is that of its author L. Ciric's code.)

Pairs of equal significance are filled in the order of the list.
"""

FILLED = {
    "least-first": "the least significant pair is filled first",
    "most-first": "the most significant pair is filled first",
    "max-fill": "a pair is used only where the less significant ones cannot hold the weight, and is then filled first",
}


class PairEncoding(Conductances):
    """A weight is a pair of devices, w = (G⁺ − G⁻)/(g_max − g_min), with the unused one at g_min; or several pairs.

    With ``significance`` (f₁, f₂, …) there is one pair per entry, and w = Σ fᵢ (Gᵢ⁺ − Gᵢ⁻) / (Σ fᵢ (g_max − g_min)).
    ``fill`` determines how the weight is shared out among them (:data:`Fill`).
    """

    encoding: Literal["pair"]
    significance: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0,)
    fill: Fill = "equal"

    @model_validator(mode="after")
    def _has_something_to_fill(self) -> PairEncoding:
        if self.fill != "equal" and len(self.significance) == 1:
            raise ValueError(
                f'fill = "{self.fill}" shares a weight out among several pairs, and there is one: leave it out, or '
                "give significance one entry per pair"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_the_default(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out ``fill`` at its default: definitions and hashes of before stay as they are."""
        values: dict[str, Any] = handler(self)
        return {key: value for key, value in values.items() if key != "fill" or value != "equal"}

    def banks(self) -> tuple[Bank, ...]:
        """Return the two devices of every pair.

        >>> [bank.mark for bank in PairEncoding(encoding="pair", g_min_us=0.0, g_max_us=25.0).banks()]
        ['+', '-']
        """
        factors = [factor / sum(self.significance) for factor in self.significance]
        numbers = ["", *map(str, range(2, len(factors) + 1))]
        return tuple(
            Bank(f"{'+' if sign > 0 else '-'}{number}", sign, sign * factor, pair)
            for pair, (number, factor) in enumerate(zip(numbers, factors, strict=True))
            for sign in (1.0, -1.0)
        )

    def share(self, bank: Bank, w: Tensor) -> Tensor:
        """Return the pair's share of max(0, w) for positive devices, and of max(0, −w) for negative ones.

        >>> import torch
        >>> three = PairEncoding(
        ...     encoding="pair", g_min_us=0.0, g_max_us=25.0, significance=(4.0, 2.0, 1.0), fill="least-first"
        ... )
        >>> [float(three.share(bank, torch.tensor([2 / 7]))) for bank in three.banks() if bank.sign > 0]
        [0.0, 0.5, 1.0]
        """
        size = w.clamp(min=0) if bank.sign > 0 else w.neg().clamp_(min=0)
        return size if self.fill == "equal" else self._filled(size, bank.pair)

    def _filled(self, size: Tensor, pair: int) -> Tensor:
        """Return one pair's share of its range, [n], for sizes |w| of weights, which are overwritten."""
        f = self.significance
        order = sorted(range(len(f)), key=lambda i: f[i], reverse=self.fill != "least-first")
        place, rest = order.index(pair), size.mul_(sum(f))
        if self.fill != "max-fill":
            return rest.sub_(sum(f[i] for i in order[:place])).div_(f[pair]).clamp_(0, 1)
        for number, i in enumerate(order[: place + 1]):
            after = sum(f[j] for j in order[number + 1 :])
            share = rest.div(f[i]).clamp_(0, 1).mul_(rest.gt(after))
            rest = rest.sub_(share, alpha=f[i])
        return share

    def weight_at(self, share: Tensor) -> Tensor:
        """Return the share: the positive device carries the weight.

        Raises:
            ValueError: If pairs are not filled equally; see :meth:`plain`.
        """
        if self.fill != "equal":
            raise ValueError(f'fill = "{self.fill}": no weight gives a pair some shares; use plain()')
        return share

    def plain(self) -> Encoding:
        """Return the encoding whose pairs are filled equally."""
        return self if self.fill == "equal" else self.model_copy(update={"fill": "equal"})

    @property
    def file_columns(self) -> tuple[str, ...]:
        """The columns of the two devices of one pair in files of conductances; empty with several pairs."""
        return ("g_plus_us", "g_minus_us") if len(self.significance) == 1 else ()

    def words(self) -> str:
        """Return a sentence about how a weight is stored in the array."""
        span = f"{self.g_min_us:g} to {self.g_max_us:g} µS"
        if len(self.significance) == 1:
            return (
                f"A weight is the difference of two devices of {span}, w = (G+ - G-)/(g_max - g_min); the one that is "
                "not used is at g_min."
            )
        factors = ", ".join(f"{factor:g}" for factor in self.significance)
        filled = f"; {FILLED[self.fill]}" if self.fill in FILLED else ""
        return (
            f"A weight is the sum of {len(self.significance)} pairs of devices of {span}, which count {factors}: "
            f"w = sum of f (G+ - G-) / (sum of f (g_max - g_min)){filled}."
        )
