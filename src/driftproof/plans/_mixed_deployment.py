"""The curve of a metric against the analog share, and the point that a search chose on it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from driftproof._record import Quantity
from driftproof.plans._greedy import Kind
from driftproof.plans._measure import Setting
from driftproof.plans._per_chip import PerChip
from driftproof.times import format_time

ROUNDING = 1e-9  # a mean over chips that differs from the target by rounding only reaches it


@dataclass(frozen=True, kw_only=True)
class Point:
    """One set of digital layers.

    Attributes:
        digital: Names of the digital layers, in the order in which they became digital.
        kind: The step that led to it: ``start``, ``digital``, ``back`` or ``rest``
            (:class:`driftproof.plans._greedy.Step`).
        layer: Name of the layer that this step changed.
        analog_macs: Share of the multiply-accumulates that is analog, in percent.
        analog_weights: Share of the weights that is analog, in percent.
        selection: Metric on the samples and chips of the search.
        report: Metric on the other samples, on other chips.
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
    """The result of a search for digital layers.

    Attributes:
        setting: Device, time and the rest of the hardware.
        quantity: Quantity of the metric.
        target: Metric that the mean over chips should keep.
        margin: Amount by which the search had to exceed the target.
        choose_data: Name of the samples of the search.
        choose_samples: Number of samples of the search.
        report_data: Name of the samples of the report.
        report_samples: Number of samples of the report.
        choose_digital: Metric of the digital network on the samples of the search.
        report_digital: Metric of the digital network on the samples of the report.
        layers: Names of all layers that can be analog.
        points: Points of the curve, from all analog to all digital.
        searched: Number of sets of layers that were measured on the samples of the search.
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
        """The point that the search chose. The report did not influence the choice."""
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
        """The point with the most analog multiply-accumulates that reaches the target in the report, or None.

        It is chosen on the report itself. Its value in the report is therefore a little too good, unlike that of
        :attr:`chosen`.
        """
        reached = [point for point in self.points if self.reaches(point)]
        return max(reached, key=lambda point: point.analog_macs) if reached else None

    def verdict(self) -> str:
        """Return the answer in two sentences."""
        said, point, start, count = self.quantity.said, self.chosen, self.points[0], len(self.chosen.digital)
        device, chips = f"{self.setting.device} at {format_time(self.setting.t_s)}", len(point.report)
        low, high = point.report.within(self.quantity.ends)
        within = "" if low != low else f" (95 % interval {self.quantity.number(low)} to {self.quantity.number(high)})"
        where = f"on {chips} other chip{'s' if chips != 1 else ''} and {self.report_samples:,} other samples"
        reported = f"{said(point.report.mean)}{within} {where}: {self._against_target()}."
        if not point.digital:
            return f"All analog, {device} keeps {said(self.target)} on the samples of the search. It has {reported}"
        return (
            f"{count} digital layer{'s' if count != 1 else ''} of {len(self.layers)} "
            f"({', '.join(name or '(root)' for name in point.digital)}), {100 - point.analog_macs:.1f} % of the "
            f"multiply-accumulates and {100 - point.analog_weights:.1f} % of the weights, bring {device} from "
            f"{said(start.selection.mean)} to {said(point.selection.mean)} on the chips and samples of the search. "
            f"From {said(start.report.mean)} to {reported}"
        )

    def _against_target(self) -> str:
        numbers = f"({self.quantity.said(self.target)}; digital {self.quantity.said(self.report_digital)})"
        if self.holds:
            return f"the target holds {numbers}"
        side = "BELOW" if self.quantity.sign > 0 else "ABOVE"
        return f"{side} the target {numbers}; ask for a margin, or more chips and samples to choose on"

    def table(self) -> pd.DataFrame:
        """Return one row per point: shares in percent, values with 95 % intervals, whether it is chosen, the layers."""
        return pd.DataFrame(
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
        )
