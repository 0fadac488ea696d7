"""Which numbers are frozen: rows of a pairwise covering design, each read at three times after programming.

The levels are listed by name, and never asked of the package: a preset that is added later must not move the rows. The
rows follow from this file alone, so that a changed level, a new one too, gives a new design and new cells.
"""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass, fields
from functools import lru_cache

from golden.covering import Pair, covering

SEED = 1

DEVICES = {
    **{
        name: name
        for name in (
            *("gaussian", "gaussian-layer", "gaussian-multiplicative", "ideal", "levels", "pcm-foundation-2025"),
            *("pcm-hermes-1", "pcm-hermes-2", "pcm-joshi-2020", "pcm-nandakumar-2019", "reram-cmo-02pct"),
            *("reram-cmo-2pct", "reram-milo-2021", "reram-wan-2022", "reram-wan-2022-crosssim", "sonos-agrawal-2022"),
            *("uniform", "gaussian:0.1", "uniform:0.2", "levels:15"),
        )
    },
    "mix-pcm-reram": "pcm-nandakumar-2019,conv1=reram-milo-2021",
    "mix-gaussian-sonos-hermes": "gaussian:0.05,fc*=sonos-agrawal-2022,conv2=pcm-hermes-2",
    "mix-hermes-cmo-ideal": "pcm-hermes-1,fc2=ideal,conv*=reram-cmo-2pct",
    "measured": "measured:",
}
"""Name of a level → text of the device; a measured device's text ends with the folder that the test writes."""

COMPENSATIONS = {
    "none": "none",
    "tile": "tile",
    "column": "column",
    "exact": "exact",
    "tile-reference-60s": "tile:reference_s=60",
    "column-every-1d": "column:every_s=1d",
    "exact-column-every-1h": "exact:per=column,every_s=1h",
}

TIMES = {
    "early": ("1s", "1h", "1d"),
    "wide": ("1s", "30d", "10y"),
    "late": ("1h", "30d", "1y"),
    "mixed": ("1d", "1y", "10y"),
}

DIGITAL = {"0": (), "1": ("conv2",), "2": ("conv1", "fc1")}
"""How many layers are digital → which; both networks have layers of these names."""

PERIPHERIES = ("ideal", "standard", "dynamic", "mvm-noise", "static-weight-noise")
"""``ideal`` and ``standard`` come with the package; the others are in :mod:`golden.networks`."""

FACTORS = {
    "network": ("digits-cnn", "small-conv"),
    "device": tuple(DEVICES),
    "backend": ("folded", "tiles"),
    "compensation": tuple(COMPENSATIONS),
    "periphery": PERIPHERIES,
    "recalibration": ("never", "programming", "time"),
    "digital": tuple(DIGITAL),
    "mapping": ("whole", "split", "layer-clip"),
    "times": tuple(TIMES),
    "chip": ("0", "1"),
    "seed": ("0", "23"),
}

IMPOSSIBLE: dict[Pair, str] = {
    **{
        (("backend", "tiles"), ("digital", digital)): "digital layers are measured on the folded backend only"
        for digital in ("1", "2")
    },
    **{
        (("recalibration", when), ("digital", digital)): "digital layers are measured without recalibration only"
        for when in ("programming", "time")
        for digital in ("1", "2")
    },
}
"""Pairs that no row can have, and why: today's measurement of digital layers takes neither."""


@dataclass(frozen=True)
class Row:
    """One network on one device under one set of conditions; the levels of :data:`FACTORS` by name."""

    network: str
    device: str
    backend: str
    compensation: str
    periphery: str
    recalibration: str
    digital: str
    mapping: str
    times: str
    chip: str
    seed: str

    @property
    def id(self) -> str:
        """The row's name, which tells all its levels but the times; those are in its cells' names."""
        parts = asdict(self) | {
            "recalibration": f"recal-{self.recalibration}",
            "digital": f"digital-{self.digital}",
            "chip": f"chip{self.chip}",
            "seed": f"seed{self.seed}",
        }
        del parts["times"]
        return "/".join(parts.values())

    @property
    def ideal_id(self) -> str:
        """The name of the same row on perfect devices, which many rows share."""
        parts = (self.network, self.backend, self.periphery, f"recal-{self.recalibration}", self.mapping)
        return "/".join(("ideal-analog", *parts))

    @property
    def read_times(self) -> tuple[str, ...]:
        """The times after programming, as text."""
        return TIMES[self.times]

    def cell_id(self, time: str) -> str:
        """The name of one of its cells."""
        return f"{self.id}/{time}"

    def levels(self) -> dict[str, str]:
        """The row as the design has it."""
        return dict(zip((field.name for field in fields(self)), astuple(self), strict=True))


@lru_cache(maxsize=1)
def rows() -> tuple[Row, ...]:
    """Return the design, in the order of the rows' names."""
    return tuple(sorted((Row(**row) for row in covering(FACTORS, IMPOSSIBLE, SEED)), key=lambda row: row.id))
