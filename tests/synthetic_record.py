"""Records without a network: cells from a small made-up law, everything else as an evaluation would write it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from driftproof._record import (
    DIGITAL,
    DIGITAL_CELL,
    IDEAL_ANALOG,
    CellKey,
    Conditions,
    Configuration,
    Conversion,
    Layer,
    Outcome,
    PresetEntry,
    Record,
    Run,
    Series,
    Subject,
    config_id,
)

TIMES = (0.0, 1.0, 3600.0, 86_400.0, 30 * 86_400.0, 365 * 86_400.0)

LAYERS = (
    Layer(name="conv1", kind="Conv2d", shape=(16, 3, 3, 3), weights=432, tiles=1, mvms_per_input=1024, analog=True),
    Layer(name="bn1", kind="BatchNorm2d", shape=(16,), weights=16, tiles=0, mvms_per_input=None, analog=False,
          reason="normalisation stays digital"),
    Layer(name="fc", kind="Linear", shape=(10, 64), weights=640, tiles=1, mvms_per_input=1, analog=True),
)  # fmt: skip


def subject(**changes: Any) -> Subject:
    facts = {
        "model": "resnet20",
        "model_hash": "0123456789abcdef",
        "data": "cifar10",
        "data_hash": "fedcba9876543210",
        "n_samples": 10_000,
        "metric": "accuracy",
        "numerics": 1,
    }
    return Subject(**(facts | changes))


def conversion(**changes: Any) -> Conversion:
    facts: dict[str, Any] = {"tile_rows": 512, "tile_cols": 512, "layers": LAYERS}
    return Conversion(**(facts | changes))


def conditions(**changes: Any) -> Conditions:
    facts: dict[str, Any] = {
        "backend": "folded",
        "torch_device": "cpu",
        "tile_rows": 512,
        "tile_cols": 512,
        "scale": "column",
        "analog": ("conv1", "fc"),
        "compensation": "tile",
        "seed": 0,
    }
    return Conditions(**(facts | changes))


def series(entry: PresetEntry | str, **changes: Any) -> Series:
    sha256 = entry if isinstance(entry, str) else entry.sha256
    return Series(device_sha256=sha256, conditions=conditions(**changes))


def configuration(made: Conditions, **changes: Any) -> Configuration:
    facts: dict[str, Any] = {
        "backend": made.backend,
        "periphery": "ideal",
        "compensation": made.compensation,
        "device": made.torch_device,
        "seed": made.seed,
        "conversion": made.conversion_id,
    }
    return Configuration(**(facts | changes))


def run(**changes: Any) -> Run:
    facts = {
        "started": "2026-01-02T03:04:05Z",
        "command": "driftproof evaluate resnet20 --data cifar10 --preset pcm --out out",
        "versions": {"driftproof": "0.1.0", "torch": "2.13.0"},
        "commit": "abcdef0",
        "dirty": True,
        "machine": {"cpu": "some CPU", "cores": "2", "threads": "2", "os": "Linux", "python": "3.12.1"},
        "batch_size": 250,
    }
    return Run(**(facts | changes))


def preset(name: str, valid_s: tuple[float, float] = (0.0, 1e8), **changes: Any) -> PresetEntry:
    definition = {
        "name": name,
        "family": "PCM",
        "version": 1,
        "summary": f"What {name} is.",
        "source": {"title": "A paper", "authors": "A. Author", "year": 2019, "doi": "10.1109/X.2019.1",
                   "where": "figure 2", "fitted_by": "its authors"},
        "conductance": {"encoding": "pair", "g_min_us": 0.0, "g_max_us": 25.0},
        "programming": {"law": "polynomial", "sigma_us": [0.26, 1.96, -1.17]},
        "drift": {"law": "power", "t0_s": 20.0, "nu_mean": {"min": 0.049, "max": 0.1}},
        "validity": {"g_us": [0.0, 25.0], "t_s": list(valid_s)},
        "assumptions": [{"text": "t = 0 is the first read."}],
    }  # fmt: skip
    return PresetEntry(name=name, sha256=f"hash of {name}", definition=definition | changes)


def key_of(record: Record, made: Conditions) -> str:
    """Return the id of the configuration that shows conditions in a record."""
    assert record.subject is not None
    return config_id(record.subject, made)


def outcome(value: float, total: int = 10_000, **changes: Any) -> Outcome:
    return Outcome(**({"value": value, "total": total, "seconds": 0.5} | changes))


def begin(
    record: Record,
    label: str = "",
    digital: float = 91.73,
    shown: dict[str, Any] | None = None,
    decided: dict[str, Any] | None = None,
    layers: dict[str, Any] | None = None,
    **about: Any,
) -> tuple[Conditions, int]:
    """Claim a record, show a configuration with its rows without devices; return its conditions and a run.

    Args:
        record: to write to.
        label: of the configuration.
        digital: value of the rows without devices.
        shown: changes of how the configuration is shown.
        decided: changes of the conditions.
        layers: changes of the conversion.
        about: changes of the subject.
    """
    record.claim(subject(**about))
    made = conditions(**(decided or {}))
    record.add_conversion(made.conversion_id, conversion(**(layers or {})))
    key = key_of(record, made)
    record.add_configuration(key, configuration(made, label=label, **(shown or {})))
    number = record.start_run(run())
    ideal = Series(device_sha256="ideal", conditions=conditions(**((decided or {}) | {"compensation": "none"})))
    record.show(key, DIGITAL, record.add_series(Series()))
    record.show(key, IDEAL_ANALOG, record.add_series(ideal))
    total = subject(**about).n_samples
    for cell in (DIGITAL_CELL, CellKey(ideal.id)):
        if record.outcome(cell) is None:
            record.add(cell, outcome(digital, total), number)
    return made, number


def fill(record: Record, made: Conditions, number: int, entry: PresetEntry, values: dict[float, list[float]]) -> Series:
    """Add cells {t_s: [value of chip 0, of chip 1, ...]}; validity follows from the preset."""
    record.add_preset(entry)
    whole = Series(device_sha256=entry.sha256, conditions=made)
    record.show(key_of(record, made), entry.name, record.add_series(whole))
    low, high = entry.definition["validity"]["t_s"]
    total = record.subject.n_samples if record.subject else 0
    for t_s, chips in values.items():
        for chip, value in enumerate(chips):
            found = outcome(value, total, in_validity=low <= t_s <= high)
            record.add(CellKey(whole.id, chip, t_s), found, number)
    return whole


def drifting(
    seed: int, chips: int, loss: float, per_decade: float, times: tuple[float, ...] = TIMES
) -> dict[float, list[float]]:
    """Accuracies that fall with log time, each chip by its own factor, with a long lower tail."""
    generator = np.random.default_rng(seed)
    factors = generator.lognormal(0.0, 0.45, chips)
    return {
        t: [float(v) for v in np.clip(91.7 - factors * (loss + per_decade * np.log10(1 + t)), 0, 100).round(2)]
        for t in times
    }


def large_record(folder: Path | None, chips: int = 25, label: str = "", better: float = 1.0, **about: Any) -> Record:
    """Four presets, six times: one holds, one falls below, one is valid for a day only, one never reaches it."""
    record = Record.create_or_open(folder)
    key, number = begin(record, label, **about)
    short = preset("oxide-short-2021", valid_s=(0.0, 86_400.0))
    flat = preset("gaussian:0.05", drift={}, programming={"law": "gaussian", "sigma": 0.05}, family="model")
    fill(record, key, number, preset("pcm-nandakumar-2019"), drifting(1, chips, 0.4 * better, 0.19 * better))
    fill(record, key, number, preset("reram-wan-2022", family="ReRAM"), drifting(2, chips, 2.4 * better, 0.35 * better))
    fill(record, key, number, short, drifting(3, chips, 0.2 * better, 0.12 * better))
    fill(record, key, number, flat, drifting(4, chips, 0.5 * better, 0.0))
    return record
