"""The warning about weights of matrix multiplications that stay digital although ``where`` does not exclude them."""

from __future__ import annotations

from driftproof._mapping.entry import LayerEntry
from driftproof._mapping.network import Mapping

SHOWN = 4


def unasked_text(mapping: Mapping) -> str:
    """Return a warning about weights that stay digital although ``where`` does not exclude them, or an empty text.

    It names the layers, the reasons, their share of the multiply-accumulates, and the remedies. ``evaluate``, ``train``
    and ``convert`` show it.

    >>> from torch import nn
    >>> from driftproof._mapping import map_model
    >>> unasked_text(map_model(nn.Linear(3, 2)))
    ''
    """
    left = [entry for entry in mapping.layers if entry.unasked]
    if not left:
        return ""
    listed = [str(entry) for entry in left[:SHOWN]]
    if len(left) > SHOWN:
        listed.append(f"and {len(left) - SHOWN} more")
    are_used, stay, them = ("weight that is", "stays", "it") if len(left) == 1 else ("weights that are", "stay", "them")
    names = ",".join(f"!{entry.name}" for entry in left[:SHOWN] if entry.name)
    on_purpose = f'keep them digital on purpose (where="{names}")' if names else "keep them digital on purpose (where=)"
    return (
        f"{len(left)} {are_used} used in a matrix multiplication {stay} digital although where= does not exclude "
        f"{them}, {_share(mapping, left)}: {'; '.join(listed)}. Change the network so that an array can "
        f"compute these products, or {on_purpose}; all_analog=True refuses such a network"
    )


def _share(mapping: Mapping, left: list[LayerEntry]) -> str:
    total = sum(entry.macs_per_input or 0 for entry in mapping.layers)
    digital = sum(entry.macs_per_input or 0 for entry in left)
    if not digital:
        return "with a share of the multiply-accumulates that is not known"
    at_least = "at least " if any(entry.macs_per_input is None for entry in left) else ""
    return f"with {at_least}{100 * digital / total:.1f} % of the multiply-accumulates"
