"""``driftproof train``: as a user starts it, from weights to a network that holds better on chips."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

WORDS = ("train", "digits-cnn", "--data", "digits-train", "--batch-size", 50, "--lr", 0.02)


def test_a_noise_trained_network_holds_better(cli, tmp_path: Path) -> None:
    """gaussian:0.2, 8 chips: 90.6 % plain, 97 to 98 % trained; the margin of 3 points is several standard errors."""
    noise = ("--preset", "gaussian:0.2", "--strength", 1.3, "--schedule", "quadratic", "--clip-weights", 2)
    code, out, _ = cli(
        *WORDS, *noise, "--distil", 0.3, "--epochs", 10, "--validation-chips", 2, "--out", tmp_path / "a"
    )
    assert code == 0
    assert "best: epoch" in out
    assert "held out of this training" in out
    values = {}
    for name, weights in {"plain": (), "trained": ("--weights", tmp_path / "a" / "best.safetensors")}.items():
        words = ("--data", "digits", "--preset", "gaussian:0.2", "--times", "1s", "--chips", 8)
        assert cli("evaluate", "digits-cnn", *weights, *words, "--out", tmp_path / name)[0] == 0
        with (tmp_path / name / "summary.csv").open(encoding="utf-8") as file:
            means = [float(row["mean"]) for row in csv.DictReader(file) if row["preset"] == "gaussian:0.2"]
        values[name] = means[0]
    assert values["trained"] > values["plain"] + 3


def test_the_same_command_goes_on_and_another_is_refused(cli, tmp_path: Path) -> None:
    words = (*WORDS, "--method", "sam", "--rho", 0.05, "--epochs", 1, "--limit", 200, "--out", tmp_path)
    assert cli(*words)[0] == 0
    written = (tmp_path / "last.safetensors").read_bytes()
    assert cli(*words)[0] == 0
    assert (tmp_path / "last.safetensors").read_bytes() == written
    code, _, err = cli(*words, "--clip-norm", 1)
    assert code == 2
    assert "gradient clipping was 'none', now '1'" in err


def test_the_strength_is_chosen_and_told(cli, tmp_path: Path) -> None:
    words = ("--preset", "gaussian:0.2", "--strength", "auto", "--auto-epochs", 1, "--epochs", 1, "--limit", 300)
    code, out, _ = cli(*WORDS, *words, "--validation-chips", 1, "--out", tmp_path)
    assert code == 0
    assert "strength 1: validation" in out
    assert "strength 1.5: validation" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--method", "rwp"), "say which with --preset"),
        (("--method", "swam", "--preset", "gaussian:0.1"), "there are plain, rwp"),
        (("--method", "sam", "--strength", "2"), "method sam takes no strength"),
        (("--preset", "pcm-nandakumar-2019"), "say when"),
        (("--preset", "gaussian:0.1", "--strength", "quadratic:to=2", "--schedule", "linear"), "two schedules"),
        (("--preset", "gaussian:0.1", "--strength", "0"), "zero throughout"),
        (("--method", "plain", "--strength", "auto"), "give it a --preset"),
        (("--method", "sam", "--time", "1d"), "--time is of a device"),
    ],
)
def test_what_cannot_be_is_explained(cli, words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    code, _, err = cli(*WORDS, *words, "--epochs", 1, "--out", tmp_path)
    assert code == 2
    assert message in " ".join(err.split())
