"""The number of threads follows from the cost of a network, and is said; ``--threads`` and the environment decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from driftproof import DriftproofError
from driftproof._cli.threads import CHOSEN_OUTSIDE, threads_for

type Cli = Callable[..., tuple[int, str, str]]
SMALL = (SimpleNamespace(macs_per_input=400_000), SimpleNamespace(macs_per_input=None))
LARGE = (SimpleNamespace(macs_per_input=41_000_000),)
UNKNOWN = (SimpleNamespace(macs_per_input=None),)


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    for name in CHOSEN_OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("layers", "asked", "wanted", "said"),
    [
        (SMALL, None, 1, True),
        (SMALL, 2, 2, False),
        (LARGE, None, 2, False),
        (LARGE, 1, 1, False),
        (UNKNOWN, None, 2, False),
    ],
)
def test_a_small_network_has_one_thread(
    two_threads: None, capsys: pytest.CaptureFixture[str], layers: Any, asked: int | None, wanted: int, said: bool
) -> None:
    with threads_for(layers, 250, asked):
        assert torch.get_num_threads() == wanted
    assert torch.get_num_threads() == 2
    assert ("threads: 1 of 2" in " ".join(capsys.readouterr().err.split())) == said


def test_what_the_environment_says_counts(two_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with threads_for(SMALL, 250):  # type: ignore[arg-type]
        assert torch.get_num_threads() == 2


def test_no_threads_are_refused() -> None:
    with pytest.raises(DriftproofError, match="--threads 0: wanted at least 1"), threads_for((), 250, 0):
        pass


@pytest.mark.usefixtures("no_pages")
def test_commands_say_it_and_write_it_down(two_threads: None, cli: Cli, tmp_path: Path, network: str) -> None:
    words: tuple[object, ...] = (network, "--data", "digits", "--limit", 40, "--preset", "gaussian:0.2")
    code, _, err = cli("evaluate", *words, "--chips", 1, "--times", "1s", "--out", tmp_path / "a")
    assert (code, "threads: 1 of 2, because the network is small (" in err) == (0, True)
    assert "threads = 1\n" in (tmp_path / "a" / "run.toml").read_text()
    code, _, err = cli("evaluate", *words, "--chips", 1, "--times", "1s", "--out", tmp_path / "b", "--threads", 2)
    assert (code, "threads" in err) == (0, False)
    assert "threads = 2\n" in (tmp_path / "b" / "run.toml").read_text()
    assert cli("evaluate", *words, "--chips", 1, "--times", "1s", "--out", tmp_path / "q", "-q") == (0, "", "")
    words = (network, "--data", "digits-train", "--limit", 64, "--epochs", 1, "--batch-size", 16, "--method", "plain")
    code, _, err = cli("train", *words, "--out", tmp_path / "c")
    assert (code, "threads: 1 of 2" in err) == (0, True)
    assert torch.get_num_threads() == 2
