"""Files that were changed at random are read, or refused with a sentence: nothing else is raised, and nothing hangs.

Each mutation is drawn from its own seed, so that one that fails can be repeated alone.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import driftproof as dp
from driftproof._conversion import load
from driftproof.fitting import read_measurements
from driftproof.measured import load_measured
from driftproof.periphery import load_periphery, write_periphery
from driftproof.zoo._weights import load_weights, save_weights

LONGEST_S = 5
TOKENS = [
    b"nan",
    b"inf",
    b"-1",
    b"1e999",
    b"null",
    b"{}",
    b"[]",
    b"true",
    b'""',
    b"\x00",
    b"\xff",
    b"0" * 50,
    b"[[[[",
    b"=",
]


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Return a file with one to four changes."""
    made = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(made) + 1)
        match draw.randrange(7):
            case 0 if made:
                made[min(place, len(made) - 1)] ^= 1 << draw.randrange(8)
            case 1:
                del made[place:]
            case 2:
                del made[place : place + draw.randrange(1, 40)]
            case 3:
                made[place:place] = draw.randbytes(draw.randrange(1, 20))
            case 4:
                token = draw.choice(TOKENS)
                made[place : place + draw.choice([0, len(token)])] = token
            case 5:
                other = draw.randrange(len(made) + 1)
                made[place:place] = made[other : other + draw.randrange(1, 200)]
            case _:
                digits = [at for at, byte in enumerate(made) if chr(byte).isdigit()]
                if digits:
                    made[draw.choice(digits)] = ord(draw.choice("0123456789-.eE"))
    return bytes(made)


@contextmanager
def in_time() -> Iterator[None]:
    """Fail if the block takes longer than a few seconds."""

    def late(*_: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def survives(read: Callable[[], object], what: str) -> bool:
    """Return whether something is read; fail if anything but DriftproofError is raised."""
    try:
        with in_time(), warnings.catch_warnings():
            warnings.simplefilter("ignore", dp.DriftproofWarning)
            read()
    except dp.DriftproofError:
        return False
    except BaseException as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    return True


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()


def write_record(folder: Path) -> Path:
    data = torch.randn(20, 4), torch.arange(20) % 2
    dp.evaluate(network(), data, presets=["gaussian:0.1"], times="1s", chips=2, out=folder, progress=False)
    return folder / "record.sqlite"


def read_record(path: Path) -> None:
    with dp.Record.open(path) as record:
        record.cells(), record.runs(), list(record.outcomes())
        dp.summarise(record)


def write_preset(folder: Path) -> Path:
    path = folder / "mine.toml"
    path.write_bytes((Path(__file__).parents[2] / "device_presets" / "pcm-hermes-1.toml").read_bytes())
    return path


def write_chip(folder: Path) -> Path:
    analog = dp.convert(network(), "pcm-nandakumar-2019", example=torch.randn(4, 4))
    dp.save(dp.program(analog), folder / "chip")
    return folder / "chip" / "converted.json"


def write_measured(folder: Path) -> Path:
    chip = folder / "chips" / "chip0"
    chip.mkdir(parents=True)
    (folder / "chips" / "device.toml").write_text(
        'name = "mine"\n[conductance]\nencoding = "pair"\ng_min_us = 0.0\ng_max_us = 20.0\n'
    )
    np.savez(chip / "fc.npz", g_plus_us=np.full((2, 3), 20.0), g_minus_us=np.zeros((2, 3)))
    return chip / "fc.npz"


def write_csv(folder: Path) -> Path:
    path = folder / "measured.csv"
    rows = [f"{n}{t:g},{t},{s},{t * (0.9 + n / 99)}" for n in range(12) for t in (5.0, 10.0) for s in (1, 10)]
    path.write_text("\n".join(["device,g_target_us,t_s,g_us", *rows]) + "\n")
    return path


def write_weights(folder: Path) -> Path:
    path = folder / "weights.safetensors"
    save_weights(network(), path)
    return path


def write_pickle(folder: Path) -> Path:
    path = folder / "weights.pt"
    torch.save(network().state_dict(), path)
    return path


def write_toml_periphery(folder: Path) -> Path:
    write_periphery(load_periphery("standard"), folder / "periphery.toml")
    return folder / "periphery.toml"


# name: (write it, read it, mutations in the suite)
KINDS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object], int]] = {
    "record": (write_record, read_record, 700),
    "preset": (write_preset, dp.load_preset, 500),
    "periphery": (write_toml_periphery, load_periphery, 500),
    "saved chip, form": (write_chip, lambda path: load(path.parent, network()), 300),
    "saved chip, tensors": (
        lambda folder: write_chip(folder).with_name("weights.safetensors"),
        lambda path: load(path.parent, network()),
        200,
    ),
    "measured npz": (write_measured, lambda path: load_measured(path.parents[1]), 400),
    "measured csv": (write_csv, read_measurements, 500),
    "weights": (write_weights, lambda path: load_weights(network(), path), 400),
    "weights, pickled": (write_pickle, lambda path: load_weights(network(), path), 300),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_file_is_read_or_refused(kind: str, tmp_path: Path, pytestconfig: Any) -> None:
    write, read, count = KINDS[kind]
    path = write(tmp_path)
    whole = path.read_bytes()
    assert survives(lambda: read(path), "the file itself")
    read_anyway = 0
    for seed in range(count):
        path.write_bytes(mutated(whole, random.Random(f"{kind} {seed}")))
        read_anyway += survives(lambda: read(path), f"mutation {seed} of {kind}")
    assert read_anyway < count, "the mutations change nothing"


def cells_of(path: Path) -> list[tuple[str, str, int]]:
    with sqlite3.connect(path) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = []
        for table in tables:
            if not table.startswith("sqlite"):
                columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
                rows = [row for (row,) in connection.execute(f"SELECT rowid FROM {table}")]
                found += [(table, column, row) for column in columns for row in rows]
    return found


VALUES: list[Any] = [
    None,
    "",
    "x",
    b"\x00\xff",
    -1,
    0,
    2**62,
    float("inf"),
    float("nan"),
    1e308,
    "null",
    "[]",
    "{}",
    "{",
]


def changed_text(text: str, draw: random.Random) -> str:
    """Return JSON with a value of another kind, or with a key more or less."""
    tokens = ["null", "-1", '"x"', "[]", "{}", "NaN", "1e999", "true", '{"unknown": 1}']
    places = [at for at, letter in enumerate(text) if letter in ":,["]
    if not places:
        return text + draw.choice(tokens)
    at = draw.choice(places) + 1
    end = min((text.find(mark, at) for mark in ",}]" if text.find(mark, at) > 0), default=len(text))
    return text[:at] + draw.choice(tokens) + text[end:]


def test_an_edited_record_is_read_or_refused_and_its_whole_rows_are_exported(tmp_path: Path) -> None:
    path = write_record(tmp_path)
    whole, places = path.read_bytes(), cells_of(path)
    refused = exported = 0
    for seed in range(500):
        draw = random.Random(seed)
        path.write_bytes(whole)
        table, column, row = draw.choice(places)
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA foreign_keys = OFF")
            (value,) = connection.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (row,)).fetchone()
            edited = (
                changed_text(value, draw) if isinstance(value, str) and draw.random() < 0.5 else draw.choice(VALUES)
            )
            try:
                if draw.random() < 0.1:
                    connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))
                else:
                    connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (edited, row))
            except sqlite3.IntegrityError:
                continue
        connection.close()
        what = f"{table}.{column} = {edited!r} (seed {seed})"
        if survives(lambda: read_record(path), what):
            continue
        refused += 1

        def read_whole() -> None:
            with dp.Record.open(path, leave_out_damaged=True) as record:
                record.cells(), list(record.outcomes())

        exported += survives(read_whole, what)
    assert refused > 100
    assert exported > 50
