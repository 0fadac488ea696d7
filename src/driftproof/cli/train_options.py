"""Options of ``driftproof train`` that belong together: one that nothing would come of is refused."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

from driftproof.errors import DriftproofError

if TYPE_CHECKING:
    from driftproof.training.methods.by_name import Named


def check_options(given: Set[str], method: str, named: Named, auto: bool) -> None:
    """Raise DriftproofError if an option was given that nothing would come of, or one is missing.

    Args:
        given: names of the options that were given.
        method: of the training.
        named: what it takes.
        auto: whether the strength is to be chosen.
    """
    if named.noise and "preset" not in given:
        raise DriftproofError(f"--method {method} trains with a device's noise: say which with --preset")
    if auto and not named.noise:
        raise DriftproofError(f"--strength auto is of a device's noise; --method {method} draws none")
    validation = {"validation_data", "validation_limit", "validation_chips", "metric"}
    for names, idle, why in (
        ({"time"}, "preset" not in given, "is of a device: say which with --preset"),
        (validation, "preset" not in given, "is of the validation on chips: say on which with --preset"),
        ({"clip_per"}, "clip_weights" not in given, "is of weight clipping: say where with --clip-weights"),
        ({"auto_epochs"}, not auto, "is of --strength auto"),
        ({"diagnose_every"}, method == "plain", "is of a perturbation; plain has none"),
        ({"schedule"}, not (named.strength or named.rho), f"is of a perturbation; {method} has none"),
    ):
        if idle and names & given:
            raise DriftproofError(f"--{min(names & given).replace('_', '-')} {why}")
