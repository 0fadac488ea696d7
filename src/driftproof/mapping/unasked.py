"""What multiplies digitally although nobody asked for it, in a sentence."""

from __future__ import annotations

from driftproof.mapping.network import LayerEntry, Mapping

SHOWN = 4


def unasked_text(mapping: Mapping) -> str:
    """Return a sentence about the weights that multiply digitally unasked; empty if there are none.

    It names the layers, why they are digital, their share of the multiply-accumulates, and what to do. ``evaluate``,
    ``train`` and ``convert`` give it as a warning.

    >>> from torch import nn
    >>> from driftproof.mapping import map_model
    >>> unasked_text(map_model(nn.Linear(3, 2)))
    ''
    """
    left = [entry for entry in mapping.layers if entry.unasked]
    if not left:
        return ""
    listed = [f"{entry.name or '(root)'} ({entry.kind}): {entry.reason}" for entry in left[:SHOWN]]
    if len(left) > SHOWN:
        listed.append(f"and {len(left) - SHOWN} more")
    weights = "weight that multiplies stays" if len(left) == 1 else "weights that multiply stay"
    names = ",".join(f"!{entry.name}" for entry in left[:SHOWN] if entry.name)
    on_purpose = f'keep them digital on purpose (where="{names}")' if names else "keep them digital on purpose (where=)"
    return (
        f"{len(left)} {weights} digital although nobody asked for it, {_share(mapping, left)}: {'; '.join(listed)}. "
        f"Change the network so that an array can compute these products, or {on_purpose}; all_analog=True refuses "
        "such a network"
    )


def _share(mapping: Mapping, left: list[LayerEntry]) -> str:
    total = sum(entry.macs_per_input or 0 for entry in mapping.layers)
    digital = sum(entry.macs_per_input or 0 for entry in left)
    if not digital:
        return "with a share of the multiply-accumulates that is not known"
    at_least = "at least " if any(entry.macs_per_input is None for entry in left) else ""
    return f"with {at_least}{100 * digital / total:.1f} % of the multiply-accumulates"
