"""What devices compute from the formulas of their laws, checked for what a law of a user may do wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from driftproof._devices.read_outs import ReadOut
from driftproof._devices.variation import of_part
from driftproof._errors import DriftproofError
from driftproof.laws._encoding import Bank
from driftproof.laws._law import Law

if TYPE_CHECKING:
    from driftproof._devices.device import DeviceLaws


@dataclass(frozen=True)
class Common:
    """What devices of a bank have in common in their programmed conductances: one number per device [n], or one [1].

    Attributes:
        gain: Factor on conductances.
        error_us: Mean programming error in µS.
    """

    gain: Tensor
    error_us: Tensor

    def part(self, part: slice) -> Common:
        """Return the numbers of one block of devices."""
        return Common(of_part(self.gain, part), of_part(self.error_us, part))

    def scaled(self, g_us: Tensor) -> Tensor:
        """Return conductances in µS times the factor; they are overwritten."""
        return g_us.mul_(self.gain)


def target_us(laws: DeviceLaws, bank: Bank, target: Tensor) -> Tensor:
    """Return the target conductances in µS of one block of a bank's devices."""
    share = laws.conductance.share(bank, target)
    return laws.conductance.target(share if laws.levels is None else laws.levels.rounded(share, 0.0))


def programmed_us(
    laws: DeviceLaws,
    target: Tensor,
    t_s: float,
    xi: Tensor,
    steps: Sequence[Tensor] = (),
    times: Sequence[float] = (),
    common: Common | None = None,
) -> Tensor:
    """Return programmed conductances in µS of one block, from the ξ that its devices keep and their later steps.

    ``common`` is what devices of the block have in common.
    """
    law, fitted = laws.programming, laws.validity.g_us
    assert fitted is not None  # every preset that has devices has it
    if not steps:
        mean, sigma = law.moments(target, fitted, t_s)
        checked(law, "moments", mean, target, new=False)
        checked(law, "moments", sigma, target)
        if common is not None:
            return common.scaled(torch.addcmul(mean + common.error_us, sigma, xi, out=sigma).clamp_(min=0))
        return torch.addcmul(mean, sigma, xi, out=sigma).clamp_(min=0)
    _, before = law.moments(target, fitted, law.times_s[0])
    moved = before * xi
    for step, time in zip(steps, times, strict=True):
        mean, sigma = law.moments(target, fitted, time)
        moved.addcmul_(step_sigma(before, sigma), step)
        before = sigma
    if common is not None:
        return common.scaled(moved.add_(mean).add_(common.error_us).clamp_(min=0))
    return moved.add_(mean).clamp_(min=0)


def fast_share(laws: DeviceLaws, t_s: float, read_out: ReadOut) -> float:
    """Return the share of the read noise's variance that two read-outs of one time do not have in common."""
    read = laws.read
    assert read is not None
    share = read.fast_share(t_s, read_out.period_s) if read_out.period_s > 0 else 0.0
    if not 0 <= share <= 1:
        raise DriftproofError(
            f"{read.family} {type(read).__name__}: fast_share gave {share!r} at t = {t_s:g} s for a period of "
            f"{read_out.period_s:g} s; wanted a share from 0 to 1"
        )
    return share


def mvm_share(laws: DeviceLaws, t_s: float, read_out: ReadOut) -> float:
    """Return the share of the read noise's variance that is new in every MVM."""
    read = laws.read
    if read is None:
        return 0.0
    if read.new_every == "mvm":
        return 1.0
    return fast_share(laws, t_s, read_out) if read_out.fast == "mvm" else 0.0


def checked(law: Law, method: str, values: Tensor, given: Tensor, new: bool = True) -> Tensor:
    """Return the values of a formula.

    Raises:
        DriftproofError: If they have another shape than the argument, or, where they must be ``new``, its memory.
    """
    if values.shape != given.shape:
        raise DriftproofError(
            f"{law.family} {type(law).__name__}: {method} gave {list(values.shape)} for {list(given.shape)} devices; "
            "wanted one number for each"
        )
    if new and values.data_ptr() == given.data_ptr() and values.numel():
        raise DriftproofError(
            f"{law.family} {type(law).__name__}: {method} gave its argument back, or wrote into it; wanted a new "
            "tensor (g.mul(…), not g.mul_(…); g.clone() where nothing changes)"
        )
    return values


def step_sigma(before: Tensor, after: Tensor) -> Tensor:
    """Return σ in µS of an independent step that widens the standard deviation from ``before`` to ``after``."""
    return after.square().sub_(before.square()).clamp_(min=0).sqrt_()
