"""``driftproof train``: as a user starts it, from weights to a network that holds better on chips."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import driftproof as dp
from driftproof._cli.train import _tell_early
from driftproof.data import digits
from driftproof.training._log import Row
from driftproof.training._loop import Training
from driftproof.zoo import trained_digits_cnn

Cli = Callable[..., tuple[int, str, str]]

WORDS = ("train", "digits-cnn", "--data", "digits-train", "--batch-size", 50, "--lr", 0.02)


def test_a_noise_trained_network_holds_better(cli: Cli, tmp_path: Path) -> None:
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


def test_the_same_command_goes_on_and_another_is_refused(cli: Cli, tmp_path: Path) -> None:
    words = (*WORDS, "--method", "sam", "--rho", 0.05, "--epochs", 1, "--limit", 200, "--out", tmp_path)
    assert cli(*words)[0] == 0
    written = (tmp_path / "last.safetensors").read_bytes()
    assert cli(*words)[0] == 0
    assert (tmp_path / "last.safetensors").read_bytes() == written
    code, _, err = cli(*words, "--clip-norm", 1)
    assert code == 2
    assert "gradient clipping was 'none', now '1'" in err


def test_the_strength_is_chosen_and_told(cli: Cli, tmp_path: Path) -> None:
    words = ("--preset", "gaussian:0.2", "--strength", "auto", "--auto-epochs", 1, "--epochs", 1, "--limit", 300)
    code, out, _ = cli(*WORDS, *words, "--validation-chips", 1, "--out", tmp_path)
    assert code == 0
    assert "strength 1: validation" in out
    assert "strength 1.5: validation" in out


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (("--method", "rwp"), "--method rwp .*--preset"),
        (("--method", "swam", "--preset", "gaussian:0.1"), "swam.* plain, rwp"),
        (("--method", "sam", "--strength", "2"), "sam takes no strength"),
        (("--preset", "pcm-nandakumar-2019"), r"pcm-nandakumar-2019.* --time.* 1h\.\.1y"),
        (
            ("--preset", "gaussian:0.1", "--strength", "quadratic:to=2", "--schedule", "linear"),
            "linear .*two schedules",
        ),
        (("--preset", "gaussian:0.1", "--strength", "0"), "zero throughout"),
        (("--preset", "gaussian:0.1", "--strength", "sampled:0,1", "--schedule", "linear"), "linear .*two schedules"),
        (("--method", "plain", "--strength", "auto"), "--strength auto .*plain draws none"),
        (("--method", "noise-injection", "--preset", "gaussian:0.1", "--strength", "auto"), "injection draws none"),
        (("--method", "rpw", "--schedule", "linear"), "did you mean rwp"),
        (("--method", "plain", "--schedule", "linear"), "--schedule .*plain has none"),
        (("--method", "plain", "--diagnose-every", "5"), "--diagnose-every .*plain has none"),
        (("--method", "plain", "--metric", "f1"), "--metric .*validation on chips.* --preset"),
        (("--method", "plain", "--validation-limit", "9"), "--validation-limit .*validation on chips.* --preset"),
        (("--method", "plain", "--clip-per", "layer"), "--clip-per .*--clip-weights"),
        (("--method", "plain", "--auto-epochs", "2"), "--auto-epochs .*--strength auto"),
        (("--method", "sam", "--preset", "pcm-nandakumar-2019"), r"pcm-nandakumar-2019.* --time.* 1h\.\.1y"),
        (("--method", "plain", "--loss", "mse"), r"outputs have shape \[50, 10\], targets \[50\]"),
        (("--method", "plain", "--clip-norm", "-1"), "wanted a number above 0"),
        (("--method", "sam", "--time", "1d"), "--time .*device.* --preset"),
    ],
)
def test_what_cannot_be_is_explained(cli: Cli, words: tuple[str, ...], facts: str, tmp_path: Path) -> None:
    code, _, err = cli(*WORDS, *words, "--epochs", 1, "--out", tmp_path)
    assert code == 2
    assert re.search(facts, " ".join(err.split()))


def test_measured_chips_are_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "device.toml").write_text(
        'name = "mine"\n[conductance]\nencoding = "pair"\ng_min_us = 0.0\ng_max_us = 9.0\n'
    )
    (tmp_path / "fc.csv").write_text("out,in,g_plus_us,g_minus_us\n0,0,8.5,0.5\n")
    for more in ((), ("--time", "1d")):
        code, _, err = cli(*WORDS, "--preset", f"measured:{tmp_path}", *more, "--out", tmp_path / "out")
        assert code == 2
        assert re.search("--preset measured: .*few chips by heart; fit a preset", " ".join(err.split()))


def settings(folder: Path) -> dict[str, Any]:
    written: dict[str, Any] = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    return written


def test_a_run_validated_otherwise_is_another_one(cli: Cli, tmp_path: Path) -> None:
    words = (*WORDS, "--method", "plain", "--epochs", 1, "--limit", 200, "--validation-chips", 1, "--out", tmp_path)
    assert cli(*words, "--preset", "gaussian:0.1")[0] == 0
    for other in (
        ("--preset", "gaussian:0.2"),
        ("--preset", "gaussian:0.1", "--validation-limit", 9),
        ("--preset", "gaussian:0.1", "--metric", "top5"),
        ("--preset", "gaussian:0.1", "--validation-data", "digits"),
    ):
        code, _, err = cli(*words, *other)
        assert code == 2
        assert "validation's" in err


def test_without_a_device_all_samples_are_trained_on_and_with_one_a_random_tenth_is_not(
    cli: Cli, tmp_path: Path
) -> None:
    words = (*WORDS, "--method", "plain", "--epochs", 1, "--limit", 200)
    assert cli(*words, "--out", tmp_path / "alone")[0] == 0
    assert settings(tmp_path / "alone")["samples"] == 200
    code, out, _ = cli(*words, "--preset", "gaussian:0.1", "--validation-chips", 1, "--out", tmp_path / "device")
    assert code == 0
    assert settings(tmp_path / "device")["samples"] == 180
    assert "20 samples of digits-train, a random share (seed 0), held out" in out


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (("--method", "asam", "--schedule", "linear"), "strength", "linear:to=0.5"),
        (("--method", "multi-step-sam", "--schedule", "quadratic"), "strength", "quadratic:to=0.05"),
        (("--method", "multi-step-sam", "--rho", "0.2"), "strength", "linear:to=0.2"),
        (("--method", "sam", "--rho", "0.2", "--schedule", "cosine"), "strength", "cosine:to=0.2"),
        (("--preset", "gaussian:0.1", "--schedule", "linear", "--strength", "1e-1"), "strength", "linear:to=0.1"),
        (
            ("--method", "sam-rwp", "--preset", "gaussian:0.1", "--schedule", "linear"),
            "noise strength",
            "linear:to=1",
        ),
        (("--method", "noise-injection", "--clip-weights", 3), "weight clipping", "3 sigma of the layer"),
        (("--method", "sam", "--clip-weights", 3), "weight clipping", "3 sigma of the column"),
        (("--method", "noise-injection", "--strength", 2), "strength", "2"),
    ],
)
def test_options_come_to_what_they_say(cli: Cli, words: tuple[str, ...], key: str, value: str, tmp_path: Path) -> None:
    few = ("--epochs", 1, "--limit", 100, "--out", tmp_path)
    assert cli(*WORDS, *words, *few, *(("--validation-chips", 1) if "--preset" in words else ()))[0] == 0
    assert settings(tmp_path)[key] == value


def test_a_single_process_with_a_rank_of_its_own_writes_and_speaks(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As an array job of a scheduler has it: RANK is set, but nobody else is there."""
    monkeypatch.setenv("RANK", "3")
    words = ("train", "digits-cnn", "--data", "digits-train", "--method", "plain", "--limit", 200, "--epochs", 1)
    code, out, _ = cli(*words, "--out", tmp_path)
    assert code == 0
    assert "weights:" in out
    assert (tmp_path / "last.safetensors").exists()
    assert (tmp_path / "log.csv").exists()


def test_a_network_is_trained_for_what_it_is_evaluated_on(
    cli: Cli, tmp_path: Path, converter: Callable[[int], Path]
) -> None:
    """The device's changes and the compensation are in the noise and the validation, the periphery in the latter."""
    device = ("--preset", "pcm-nandakumar-2019", "--time", "1y", "--validation-chips", 1)
    words = (*WORDS, *device, "--epochs", 1, "--limit", 600)
    weights, settings = {}, {}
    choices = {
        "plain": (),
        "bare": ("--compensation", "none"),
        "changed": ("--set", "drift.t0_s=30"),
        "converted": ("--periphery", converter(2)),
        "static": ("--periphery", "standard", "--calibration-data", "digits"),
        "read": ("--read-outs", "duration_s=1s,pause_s=1y"),
    }
    for name, more in choices.items():
        code, out, err = cli(*words, *more, "--out", tmp_path / name)
        assert code == 0, err
        assert "best: epoch 1" in out
        weights[name] = (tmp_path / name / "last.safetensors").read_bytes()
        settings[name] = json.loads((tmp_path / name / "settings.json").read_text())
    alike = {name: weights[name] == weights["plain"] for name in choices}
    # what is in the noise is trained with, what is only in the validation is not
    assert alike == {name: name not in ("bare", "changed") for name in choices}
    texts = {name: str(of) for name, of in settings.items()}
    assert "(none)" in texts["bare"]
    assert "t0_s=30" in texts["changed"]
    assert re.search(r"periphery\W+adc2, [0-9a-f]{16}", texts["converted"])
    assert re.search("standard, [0-9a-f]{16}, ranges measured on 597 inputs", texts["static"])
    assert "periphery" not in texts["plain"]  # a training of an earlier version goes on
    assert "pause_s=31536000" in texts["read"]


def test_changes_without_a_device_are_refused(cli: Cli, tmp_path: Path) -> None:
    for flag, value in (("--set", "drift.t0_s=3"), ("--periphery", "standard"), ("--compensation", "none")):
        code, _, err = cli(*WORDS, "--method", "plain", flag, value, "--out", tmp_path / "x")
        assert code == 2
        assert f"{flag} belongs to the validation on chips: name their device with --preset" in " ".join(err.split())


def test_the_share_of_distillation_is_a_number_in_python(tmp_path: Path) -> None:
    model, data = trained_digits_cnn(), digits("train").head(64)
    with_number, with_object = (
        dp.train(model, data, epochs=1, batch_size=32, lr=0.1, distil=distil)
        for distil in (0.5, dp.Distillation(weight=0.5))
    )
    assert with_number.rows[-1]["loss"] == with_object.rows[-1]["loss"]
    with pytest.raises(dp.DriftproofError, match=r"1\.5"):
        dp.train(model, data, epochs=1, distil=1.5)


def test_a_best_epoch_with_little_noise_is_told() -> None:
    told: list[str] = []
    epochs = (1, 2, 3)
    rows: tuple[Row, ...] = tuple({"epoch": n, "strength": n / 2 - 0.4, "updates": n} for n in epochs)
    for best in epochs:
        result = Training(model=trained_digits_cnn(), rows=rows, best_epoch=best, best=1.0, out=None)
        _tell_early(result, told.append)
    assert [text.partition(";")[0] for text in told] == ["epoch 1 was trained with noise of strength 0.1"]
    assert "up to 1.1, were no better" in told[0]


def test_the_batch_size_of_a_loader_is_taken_and_told(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch.utils.data import DataLoader, TensorDataset\nfrom driftproof.data import digits\n"
        "def train_set():\n    d = digits('train').head(80)\n"
        "    return DataLoader(TensorDataset(d.inputs, d.targets), batch_size=40, shuffle=True)\n"
    )
    words = ("train", "digits-cnn", "--data", f"{file}:train_set", "--method", "sam", "--epochs", 1)
    code, out, _ = cli(*words, "--out", tmp_path / "a")
    assert code == 0
    assert "updates take 40 samples, as the DataLoader of --data does" in out
    assert '"batch size": "40"' in (tmp_path / "a" / "settings.json").read_text(encoding="utf-8")
    code, out, _ = cli(*words, "--batch-size", 16, "--out", tmp_path / "b")
    assert (code, "updates take" in out) == (0, False)
    assert '"batch size": "16"' in (tmp_path / "b" / "settings.json").read_text(encoding="utf-8")
