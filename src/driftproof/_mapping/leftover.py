"""The rows of a mapping for products that no weight of a layer is in: they are digital, and they count."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from driftproof._calls.others import Rest
from driftproof._calls.watch import Watched
from driftproof._mapping.entry import LayerEntry
from driftproof._shares import ACTIVATIONS

KERNELS = "(made of inputs)"
HIDDEN = "(hidden code)"
THREADS = "(other threads)"
ELSEWHERE = "(tensors kept elsewhere)"
SHOWN = 3

_FIXED = (
    "inputs are multiplied by a tensor that is no parameter: register it as an nn.Parameter (requires_grad=False), "
    "then it goes on tiles"
)
_VECTOR = "inputs are multiplied by a vector: make it a matrix of one row, then it goes on tiles"


def leftover_entries(watched: Watched | None, parameters: Collection[str]) -> Iterator[LayerEntry]:
    """Yield the rows for products that no weight of a layer is in.

    Args:
        watched: What was seen of the network; None if it was not watched.
        parameters: Names of its parameters.
    """
    if watched is None:
        return
    left, samples = watched.left, watched.samples
    for name, rest in left.fixed.items():
        reason = _VECTOR if name in parameters else _FIXED
        yield _row(name or ELSEWHERE, rest, samples, reason, shape=rest.shape)
    if left.kernels.macs:
        reason = "kernels that the network makes of its inputs: an array holds numbers that stay"
        yield _row(KERNELS, left.kernels, samples, reason)
    if left.hidden.macs:
        yield _row(
            HIDDEN, left.hidden, samples, "code that cannot be watched, such as TorchScript; give Python modules"
        )
    for name, rest in left.foreign.items():
        reason = "torch does not tell what it multiplies; write it with functions of torch"
        yield _row(name, rest, samples, reason, unasked=rest.takes_weights)
    if left.threads:
        rest = Rest(math.nan, {"code in another thread"}, left.threads)
        yield _row(THREADS, rest, samples, "another thread than the one that calls the network: it is not watched")
    if left.activations.macs:
        reason = "products of activations with activations, such as attention's: an array holds numbers that stay"
        yield _row(ACTIVATIONS, left.activations, samples, reason, unasked=False)


def _row(
    name: str, rest: Rest, samples: int, reason: str, *, shape: tuple[int, ...] = (), unasked: bool = True
) -> LayerEntry:
    places = sorted(path or "(root)" for path in rest.modules)
    more = f" and {len(places) - SHOWN} more modules" if len(places) > SHOWN else ""
    where = f" (in {', '.join(places[:SHOWN])}{more})" if places else ""
    return LayerEntry(
        name=name,
        kind=", ".join(sorted(rest.functions)),
        shape=shape,
        weights=0,
        tiles=0,
        analog=False,
        reason=f"{reason}{where}",
        macs_per_input=None if math.isnan(rest.macs) else round(rest.macs / samples),
        unasked=unasked,
    )
