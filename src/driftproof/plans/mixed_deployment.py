"""The curve of a metric against the analog share, and the deployment that was chosen on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from driftproof.plans.greedy import Kind
from driftproof.plans.measure import Setting
from driftproof.plans.per_chip import PerChip
from driftproof.record import Quantity
from driftproof.times import format_time

ROUNDING = 1e-9  # a mean over chips that is the target but for its last bit reaches it


@dataclass(frozen=True, kw_only=True)
class Point:
    """One set of digital layers.

    Attributes:
        digital: their names, in the order in which they became digital.
        kind: how it came about: ``start``, ``digital``, ``back`` or ``rest``
            (:class:`driftproof.plans.greedy.Step`).
        layer: which one changed.
        analog_macs: share of the multiply-accumulates that is analog, in percent.
        analog_weights: share of the weights that is analog, in percent.
        selection: the metric on the samples and chips of the search.
        report: the metric on the other samples, on other chips.
    """

    digital: tuple[str, ...]
    kind: Kind
    layer: str
    analog_macs: float
    analog_weights: float
    selection: PerChip
    report: PerChip


@dataclass(frozen=True, kw_only=True)
class MixedDeployment:
    """What a search for digital layers found.

    Attributes:
        setting: device, time and what else it was measured on.
        quantity: of the metric.
        target: what the mean over chips should keep.
        margin: by how much the search had to be better.
        choose_data: name of the samples of the search.
        choose_samples: how many.
        report_data: name of the samples of the report.
        report_samples: how many.
        choose_digital: the metric of the network itself on the samples of the search.
        report_digital: the same on those of the report.
        layers: names of all layers that can be analog.
        points: the curve, from all analog to all digital.
        searched: how many sets of layers were measured on the samples of the search.
    """

    setting: Setting
    quantity: Quantity
    target: float
    margin: float
    choose_data: str
    choose_samples: int
    report_data: str
    report_samples: int
    choose_digital: float
    report_digital: float
    layers: tuple[str, ...]
    points: tuple[Point, ...]
    searched: int

    @property
    def chosen(self) -> Point:
        """The search's answer: chosen without a look at the report."""
        return [point for point in self.points if point.kind != "rest"][-1]

    @property
    def holds(self) -> bool:
        """Whether the mean of the chosen point reaches the target in the report too."""
        return self.reaches(self.chosen)

    def reaches(self, point: Point) -> bool:
        """Whether a point's mean reaches the target in the report."""
        return self.quantity.sign * (point.report.mean - self.target) >= -ROUNDING

    @property
    def first_in_report(self) -> Point | None:
        """The point with the most analog multiply-accumulates that reaches the target in the report, None if none does.

        It is read off the report itself, and therefore a little too good where :attr:`chosen` is not.
        """
        reached = [point for point in self.points if self.reaches(point)]
        return max(reached, key=lambda point: point.analog_macs) if reached else None

    def verdict(self) -> str:
        """Return the answer in two sentences."""
        said, point, start = self.quantity.said, self.chosen, self.points[0]
        chips, when = len(point.report), format_time(self.setting.t_s)
        low, high = point.report.within(self.quantity.ends)
        within = "" if low != low else f" (95 % interval {self.quantity.number(low)} to {self.quantity.number(high)})"
        where = f"on {chips} other chip{'s' if chips != 1 else ''} and {self.report_samples:,} other samples"
        if not point.digital:
            first = (
                f"All analog, {self.setting.device} at {when} keeps {said(self.target)} on the samples of the search."
            )
            return f"{first} It has {said(point.report.mean)}{within} {where}: {self._against()}."
        count = len(point.digital)
        share = 100 - point.analog_macs
        first = (
            f"{count} digital layer{'s' if count != 1 else ''} of {len(self.layers)} "
            f"({', '.join(name or '(root)' for name in point.digital)}), {share:.1f} % of the multiply-accumulates and "
            f"{100 - point.analog_weights:.1f} % of the weights, bring {self.setting.device} at {when} from "
            f"{said(start.selection.mean)} to {said(point.selection.mean)} on the chips and samples of the search."
        )
        return (
            f"{first} From {said(start.report.mean)} to {said(point.report.mean)}{within} {where}: {self._against()}."
        )

    def _against(self) -> str:
        said = self.quantity.said
        kept = (
            "the target holds" if self.holds else "BELOW the target" if self.quantity.sign > 0 else "ABOVE the target"
        )
        more = "" if self.holds else "; ask for a margin, or more chips and samples to choose on"
        return f"{kept} ({said(self.target)}; digital {said(self.report_digital)}){more}"

    def table(self) -> pd.DataFrame:
        """Return one row per point: shares in percent, values with 95 % intervals, which is chosen, the layers."""
        rows: list[dict[str, Any]] = [
            {
                "digital_layers": len(point.digital),
                "kind": point.kind,
                "layer": point.layer or ("" if point.kind == "start" else "(root)"),
                "analog_macs": point.analog_macs,
                "analog_weights": point.analog_weights,
                **point.selection.columns("selection", self.quantity.ends),
                **point.report.columns("report", self.quantity.ends),
                "chosen": point is self.chosen,
                "digital": " ".join(name or "(root)" for name in point.digital),
            }
            for point in self.points
        ]
        return pd.DataFrame(rows)
