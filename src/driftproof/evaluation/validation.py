"""How good a network is on chips, as one number: what a training asks after every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from driftproof.chip import Chip
from driftproof.compensation import Compensation
from driftproof.data import Data, as_data, hold
from driftproof.device_choice import Device, load_device
from driftproof.errors import DriftproofError
from driftproof.evaluation.folded import FoldedNetwork
from driftproof.evaluation.metrics import DEFAULT_METRIC, Function, Metric, as_metric
from driftproof.evaluation.score import score
from driftproof.inputs import to_device
from driftproof.mapping import Scale, TileSize, Where, map_model
from driftproof.times import parse_times

FIRST_CHIP = 1000  # an evaluation counts its chips from 0: none of them is validated on


@dataclass(kw_only=True)
class ChipValidation:
    """The mean metric over a few chips and times, always the same ones; chips that no evaluation reports on.

    Attributes:
        data: samples to validate on: neither trained nor reported on.
        preset: the device.
        times: after programming; the mean over them counts.
        chips: how many.
        metric: as of an evaluation.
        compensation: of the drift.
        where: which layers are on tiles.
        tile: largest crossbar.
        scale: weights relative to their column or layer.
        clip: percentile of the weights that takes the largest one's place.
        seed: of the chips.
        batch_size: samples per forward pass.

    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> validate = ChipValidation(data=digits().head(100), preset="pcm-nandakumar-2019", times=["1y"], chips=2)
    >>> 50 < validate(trained_digits_cnn()) <= 100
    True
    """

    data: Data | Any
    preset: Device | str
    times: str | Sequence[str | float] = ("1d",)
    chips: int = 5
    metric: str | Metric | Function = DEFAULT_METRIC
    compensation: str | Compensation = "tile"
    where: Where | None = None
    tile: TileSize | None = None
    scale: Scale = "column"
    clip: float | None = None
    seed: int = 0
    batch_size: int = 250
    _chip: Chip | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Read the data, and see that all of it is possible."""
        if self.chips < 1:
            raise DriftproofError(f"validation on {self.chips} chips: wanted at least 1")
        self.data = hold(as_data(self.data))
        self.preset = load_device(self.preset) if isinstance(self.preset, str) else self.preset
        self.times = parse_times(self.times)
        self.metric = as_metric(self.metric)

    @property
    def higher_is_better(self) -> bool:
        """Whether more of the metric is better."""
        assert isinstance(self.metric, Metric)
        return self.metric.quantity.sign > 0

    def __call__(self, model: nn.Module) -> float:
        """Return the mean over chips and times."""
        values = self.each(model)
        return sum(values) / len(values)

    def each(self, model: nn.Module) -> list[float]:
        """Return the metric of every chip at every time."""
        assert isinstance(self.data, Data)
        assert not isinstance(self.preset, str)
        assert isinstance(self.metric, Metric)
        where = next(model.parameters()).device
        example = to_device(next(iter(self.data.batches(min(8, len(self.data)))))[0], where)
        mapping = map_model(model, self.tile, example, where=self.where, scale=self.scale, clip=self.clip)
        network, values = FoldedNetwork(model, mapping, example), []
        for number in range(FIRST_CHIP, FIRST_CHIP + self.chips):
            self._chip = Chip(
                mapping,
                self.preset,
                seed=self.seed,
                chip=number,
                compensation=self.compensation,
                memory=self._chip,
            )
            for t_s in self.times:
                assert isinstance(t_s, float)
                with torch.no_grad():
                    network.load(self._chip, t_s)
                what = f"validation, {self.preset.name} chip {number}"
                values.append(score(self.metric, network, self.data, self.batch_size, where, what))
        return values

    def __str__(self) -> str:
        assert not isinstance(self.preset, str)
        return f"{self.preset.name}, {self.chips} chips"

    def describe(self) -> dict[str, str]:
        """Return all that the number depends on, as text: two validations of one description can be compared."""
        assert isinstance(self.data, Data)
        assert not isinstance(self.preset, str)
        assert isinstance(self.metric, Metric)
        where = self.where if isinstance(self.where, str | None) else "given in Python"
        tile = self.tile or TileSize()
        return {
            "device": f"{self.preset.name}, {self.preset.sha256[:16]}",
            "times": ", ".join(f"{t_s:g} s" for t_s in self.times if isinstance(t_s, float)),
            "chips": f"{self.chips} of seed {self.seed}",
            "metric": self.metric.name,
            "data": f"{self.data.name}, {len(self.data)} samples, {self.data.fingerprint()}",
            "compensation": str(self.compensation),
            "tiles": f"{tile.rows}x{tile.columns}, weights relative to the {self.scale}, clip {self.clip}",
            "analog layers": where or "all",
        }
