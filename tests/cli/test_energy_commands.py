"""Energy-based learning from the command line: train by name, validate without a device, evaluate on devices."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.main import get_command

import driftproof as dp
from driftproof._cli.app import app
from driftproof._cli.run_file import STUDY
from driftproof.data import digits, part
from driftproof.data._parts import held_out
from driftproof.training._methods.by_name import METHODS
from driftproof.zoo import load_model

Cli = Callable[..., tuple[int, str, str]]

SEVEN = ("p-ep", "n-ep", "c-ep", "p-cpl", "n-cpl", "c-cpl", "cl")
MODEL = "hopfield-dense:64-32-10,iterations=10,gain=0.7"
DATA = ("--data", "digits-train", "--batch-size", 16)
QUICK = ("--lr", 0.05, "--optimizer", "momentum", "--weight-decay", 0, "--warm-up", 0, "--perturbed-iterations", 8)
ONE = (*DATA, "--limit", 64, "--epochs", 1)


def settings(folder: Path) -> dict[str, Any]:
    written: dict[str, Any] = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    return written


def accuracy(weights: Path, data: Any) -> float:
    with torch.no_grad():
        outputs = load_model(MODEL, weights).model(data.inputs)
    return float((outputs.argmax(1) == data.targets).float().mean() * 100)


@pytest.mark.parametrize("method", SEVEN)
def test_each_method_learns_the_digits(cli: Cli, tmp_path: Path, method: str) -> None:
    """Three epochs with seed 0 give 92 to 95 % of the test digits, 10 % is chance."""
    code, _, err = cli("train", MODEL, *DATA, *QUICK, "--method", method, "--epochs", 3, "--out", tmp_path)
    assert code == 0, err
    assert settings(tmp_path)["method"] == method
    assert settings(tmp_path)["loss"] == "squared-error"
    assert accuracy(tmp_path / "last.safetensors", digits()) > 85


def test_a_trained_network_is_evaluated_on_two_devices_over_a_year_in_one_report(cli: Cli, tmp_path: Path) -> None:
    words = ("--validation-share", 0.1, "--epochs", 3, "--method", "c-ep", "--beta", 0.2, "--out", tmp_path / "x")
    code, out, err = cli("train", MODEL, *DATA, *QUICK, *words)
    assert code == 0, err
    assert "on 120 samples of digits-train, a random share (seed 0), held out of this training" in out
    devices = ("--preset", "pcm-nandakumar-2019", "--preset", "reram-wan-2022", "--times", "1s,1y", "--chips", 2)
    weights = ("--weights", tmp_path / "x" / "best.safetensors")
    code, _, err = cli("evaluate", MODEL, *weights, "--data", "digits", *devices, "--out", tmp_path / "report")
    assert code == 0, err
    assert (tmp_path / "report" / "index.html").is_file()
    with (tmp_path / "report" / "summary.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["preset"] for row in rows} >= {"pcm-nandakumar-2019", "reram-wan-2022"}
    assert all(float(row["mean"]) > 60 for row in rows)


def test_backpropagation_through_the_relaxation_is_the_method_plain(cli: Cli, tmp_path: Path) -> None:
    words = ("--lr", 0.05, "--optimizer", "momentum", "--warm-up", 0, "--epochs", 3)
    code, _, err = cli("train", MODEL, *DATA, *words, "--method", "plain", "--out", tmp_path)
    assert code == 0, err
    assert settings(tmp_path)["loss"] == "squared-error"
    assert accuracy(tmp_path / "last.safetensors", digits()) > 85


def test_options_reach_the_method_and_the_settings(cli: Cli, tmp_path: Path) -> None:
    words = ("--method", "c-ep", "--beta", 0.1, "--perturbed-iterations", 4, "--start", "zero", "--lr", "0.05,0.02")
    rates = ("--lr-schedule", "exponential:0.99", "--warm-up", 0.1, "--optimizer", "plain-sgd")
    assert cli("train", MODEL, *ONE, *words, *rates, "--out", tmp_path)[0] == 0
    found = settings(tmp_path)
    assert (found["beta"], found["perturbed iterations"], found["start"]) == ("0.1", "4", "zero")
    assert (found["learning rate"], found["optimizer"]) == ("0.05, 0.02", "plain-sgd")
    assert found["learning-rate schedule"] == "exponential:0.99, warm-up 0.1"


def test_beta_is_also_that_of_arwp(cli: Cli, tmp_path: Path) -> None:
    words = ("--method", "arwp", "--beta", 0.5, "--preset", "gaussian:0.05", "--validation-chips", 1)
    assert cli("train", "digits-cnn", *ONE, *words, "--out", tmp_path)[0] == 0
    assert settings(tmp_path)["beta"] == "0.5"


def test_the_help_states_the_defaults_of_beta_and_the_phases() -> None:
    texts = option_texts()
    for name, default in {"c-ep": "0.25", "arwp": "0.99"}.items():
        keywords = {"noise": "gaussian:0.1"} if name == "arwp" else {}
        assert METHODS[name].make(**keywords).describe()["beta"] == default
        assert re.search(rf"\b{default}\b", texts["beta"])
    energy = METHODS["c-ep"].make().describe()
    assert f"Default: {energy['perturbed iterations']}." in texts["perturbed_iterations"]
    assert f"Default: {energy['start']}." in texts["start"]


def option_texts() -> dict[str, str]:
    command = get_command(app).commands["train"]  # type: ignore[attr-defined]
    return {parameter.name: parameter.help or "" for parameter in command.params if hasattr(parameter, "help")}


def test_without_them_the_method_has_its_own_defaults(cli: Cli, tmp_path: Path) -> None:
    assert cli("train", MODEL, *ONE, "--method", "p-cpl", "--out", tmp_path)[0] == 0
    named = METHODS["p-cpl"].make().describe()
    assert {key: settings(tmp_path)[key] for key in named} == named


def test_the_noise_of_a_preset_is_trained_with(cli: Cli, tmp_path: Path) -> None:
    words = ("--method", "c-ep", "--preset", "gaussian:0.05", "--validation-chips", 1, "--strength", 2)
    assert cli("train", MODEL, *ONE, *words, "--out", tmp_path)[0] == 0
    assert settings(tmp_path)["noise"].startswith("gaussian:0.05")
    assert settings(tmp_path)["strength"] == "2"
    assert settings(tmp_path)["validation"] == "ChipValidation"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--method", "plain", "--beta", 0.1), r"--beta: method plain takes none; arwp, p-ep, .*, c-cpl do"),
        (("--method", "cl", "--beta", 0.1), r"--beta: method cl takes none; arwp, p-ep"),
        (("--method", "sam", "--start", "zero"), r"--start: method sam takes none; .*, c-cpl, cl do"),
        (("--method", "sam", "--perturbed-iterations", 3), r"--perturbed-iterations: method sam takes none"),
        (("--method", "c-ep", "--norms", "clean"), r"--norms: method c-ep takes none; plain, rwp"),
        (("--method", "c-ep", "--diagnose-every", 5), r"--diagnose-every examines gradients of a loss; c-ep has none"),
        (("--method", "c-ep", "--beta", 0), r"beta 0.0, wanted a number above 0"),
        (("--method", "c-ep", "--start", "last"), r"start 'last'; wanted previous or zero"),
        (("--method", "c-epp"), r"did you mean c-ep\?"),
        (("--method", "c-ep", "--strength", 2), r"a strength, or a schedule of it, came without a noise"),
        (("--method", "c-ep", "--strength", "auto"), r"--strength auto scales a device's noise"),
        (("--method", "c-ep", "--time", "1d"), r"--time is the time of a device"),
        (("--method", "c-ep", "--lr", "0.1,0.1,0.1"), r"lr has 3 numbers, and the .* 2 layers .*edges.0, edges.1"),
        (("--method", "c-ep", "--lr", "fast"), r"--lr 'fast': wanted a number, or one for each layer"),
        (("--method", "c-ep", "--loss", "cross-entropy"), r"minimises the squared error"),
        (("--method", "c-ep", "--metric", "top5"), r"--metric belongs to a validation: .* --validation-share or"),
        (("--method", "c-ep", "--validation-limit", 5), r"--validation-limit belongs to a validation"),
        (("--method", "c-ep", "--validation-share", 1), r"--validation-share 1: wanted a share between 0 and 1"),
        (("--method", "c-ep", "--validation-share", 0.1, "--validation-data", "digits-train"), r"give one"),
        (("--method", "c-ep", "--validation-share", 0.1, "--validation-chips", 2), r"belongs to the validation on"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(cli: Cli, tmp_path: Path, words: tuple[object, ...], message: str) -> None:
    code, _, err = cli("train", MODEL, *ONE, *words, "--out", tmp_path)
    assert code == 2
    assert re.search(message, " ".join(err.split())), err


def test_an_energy_based_method_refuses_another_network(cli: Cli, tmp_path: Path) -> None:
    code, _, err = cli("train", "digits-cnn", *ONE, "--method", "c-ep", "--out", tmp_path)
    assert code == 2
    assert "method c-ep trains Hopfield networks" in err


# --- validation without a device ---


def test_the_best_epoch_on_held_out_samples_is_kept(cli: Cli, tmp_path: Path) -> None:
    """At a rate that is too high the last epoch is not the best one."""
    words = ("--method", "c-ep", "--epochs", 4, "--lr", 0.5, "--lr-schedule", "constant", "--optimizer", "momentum")
    code, out, err = cli("train", MODEL, *DATA, *words, "--validation-share", 0.2, "--limit", 400, "--out", tmp_path)
    assert code == 0, err
    with (tmp_path / "log.csv").open(encoding="utf-8") as file:
        values = [float(row["validation"]) for row in csv.DictReader(file) if row["validation"]]
    assert len(values) == 4
    assert max(values) > values[-1], "the test needs a training that gets worse"
    held, rest = held_out(digits("train").head(400), 0.2)
    assert accuracy(tmp_path / "best.safetensors", held) == pytest.approx(max(values))
    assert accuracy(tmp_path / "last.safetensors", held) == pytest.approx(values[-1])
    assert f"validation {max(values):.2f} on 80 samples of {held.name}" in out
    found = settings(tmp_path)
    assert (found["samples"], found["fingerprint"]) == (320, rest.fingerprint())
    assert found["validation"] == "DigitalValidation"
    assert found["validation's data"].startswith(f"{held.name}, 80 samples")


def test_validation_on_given_samples_leaves_all_for_training(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from driftproof.data import digits, part\ndef last(): return part(digits('train'), slice(900, 1200))\n"
    )
    words = ("--validation-data", f"{file}:last", "--validation-limit", 50, "--metric", "top5")
    code, out, err = cli("train", MODEL, *ONE, "--method", "plain", *words, "--out", tmp_path / "x")
    assert code == 0, err
    assert "on 50 samples of mine.py:last" in out
    assert settings(tmp_path / "x")["samples"] == 64
    assert settings(tmp_path / "x")["validation's metric"] == "top5"
    inputs, targets = next(part(digits("train"), slice(900, 950)).batches(50))
    best = float(re.search(r"best: epoch 1, validation ([\d.]+)", out)[1])  # type: ignore[index]
    with torch.no_grad():
        top = load_model(MODEL, tmp_path / "x" / "best.safetensors").model(inputs).topk(5).indices
    assert best == pytest.approx(float((top == targets[:, None]).any(1).float().mean() * 100))


def test_without_a_wish_nothing_is_validated(cli: Cli, tmp_path: Path) -> None:
    assert cli("train", MODEL, *ONE, "--method", "c-ep", "--out", tmp_path)[0] == 0
    assert settings(tmp_path)["validation"] == "none"
    assert settings(tmp_path)["samples"] == 64
    assert not (tmp_path / "best.safetensors").exists()


def test_a_share_with_a_device_is_the_share_that_chips_are_validated_on(cli: Cli, tmp_path: Path) -> None:
    words = ("--method", "plain", "--preset", "gaussian:0.05", "--validation-chips", 1, "--validation-share", 0.25)
    code, out, _ = cli("train", MODEL, *ONE, *words, "--out", tmp_path)
    assert code == 0
    assert "16 samples of digits-train, a random share" in out
    assert settings(tmp_path)["samples"] == 48


# --- the settings of the study ---

NAMES = sorted(path.stem for path in STUDY.glob("*.toml"))


def test_there_are_settings_of_the_study() -> None:
    assert {"dense-mnist", "dchn-mnist", "dchn-svhn", "dchn-cifar10", "dchn-cifar10-best", "dchn-cifar100"} <= {*NAMES}
    for name in NAMES:
        text = (STUDY / f"{name}.toml").read_text(encoding="utf-8")
        assert re.search(r"Scellier, (Ernoult, Kendall & Kumar, )?.*(NeurIPS|ICML) 202\d", text, re.DOTALL)
        assert f"driftproof train --config study:{name} --data " in text


@pytest.mark.parametrize("name", NAMES)
def test_settings_of_the_study_train_a_small_network(cli: Cli, tmp_path: Path, name: str) -> None:
    """The file's model has as many layers as the file has learning rates; a smaller one is trained in its place."""
    import tomllib

    model = tomllib.loads((STUDY / f"{name}.toml").read_text(encoding="utf-8"))["model"]
    dense = model.startswith("hopfield-dense")
    small = "hopfield-dense:64-8-10,iterations=2" if dense else "dchn:2-2-2-2,image=1x16,iterations=2"
    assert load_model(model).model.__class__.__name__ == "HopfieldNetwork"
    assert len(load_model(model).model.edges) == (2 if dense else 5)  # type: ignore[arg-type]
    words = ("--data", "digits-train", "--limit", 32, "--batch-size", 16, "--epochs", 1, "--out", tmp_path)
    code, _, err = cli("train", "--config", f"study:{name}", small, *words)
    assert code == 0, err
    assert f"study:{name}: model {small} of the command line in place of {model}" in " ".join(err.split())
    found = settings(tmp_path)
    if name == "dense-mnist":
        assert (found["beta"], found["learning-rate schedule"]) == ("0.2", "exponential:0.99, warm-up 0")
        assert (found["optimizer"], found["learning rate"]) == ("plain-sgd", "0.05")
    elif name == "dchn-cifar10-best":
        assert (found["beta"], found["perturbed iterations"], found["learning rate"]) == ("0.1", "20", "0.03")
        assert (found["weight decay"], found["augmentation"]) == ("0.00025", "crop-flip:4")
    else:
        assert (found["beta"], found["perturbed iterations"]) == ("0.25", "15")
        assert found["learning rate"] == "0.0625, 0.0375, 0.025, 0.02, 0.0125"
        assert (found["optimizer"], found["weight decay"]) == ("momentum", "0.0003")
        wanted = {"dchn-svhn": "crop:4", "dchn-cifar10": "crop-flip:4", "dchn-cifar100": "crop-flip:4"}
        assert found["augmentation"] == wanted.get(name, "none")


def test_contrastive_learning_has_the_settings_of_the_others(cli: Cli, tmp_path: Path) -> None:
    small = "dchn:2-2-2-2,image=1x16,iterations=2"
    words = ("--method", "cl", "--data", "digits-train", "--limit", 32, "--batch-size", 16, "--epochs", 1)
    assert cli("train", "--config", "study:dchn-mnist", small, *words, "--out", tmp_path)[0] == 0
    assert settings(tmp_path)["method"] == "cl"


def test_a_run_of_the_study_repeats_itself(cli: Cli, tmp_path: Path) -> None:
    words = ("hopfield-dense:64-8-10,iterations=2", "--data", "digits-train", "--limit", 32, "--epochs", 1)
    assert cli("train", "--config", "study:dense-mnist", *words, "--out", tmp_path / "a")[0] == 0
    assert cli("train", "--config", tmp_path / "a" / "run.toml", "--out", tmp_path / "b")[0] == 0
    a, b = ((tmp_path / name / "last.safetensors").read_bytes() for name in "ab")
    assert a == b


def test_an_unknown_name_of_the_study(cli: Cli, tmp_path: Path) -> None:
    code, _, err = cli("train", "--config", "study:dens-mnist", "--data", "digits-train", "--out", tmp_path)
    assert code == 2
    assert "did you mean dense-mnist?" in err
    code, _, err = cli("evaluate", "--config", "study:dense-mnist")
    assert code == 2
    assert "it is of `driftproof train`, not of `driftproof evaluate`" in err


def test_the_digital_validation_is_a_number_in_python() -> None:
    from driftproof.plans._digital_validation import DigitalValidation

    validate = DigitalValidation(data=digits().head(50), metric="accuracy")
    model = load_model("digits-cnn").model
    inputs, targets = next(digits().batches(50))
    with torch.no_grad():
        right = (model(inputs).argmax(1) == targets).float().mean()
    assert validate(model) == pytest.approx(float(right * 100))
    with pytest.raises(dp.DriftproofError, match="metrc"):
        DigitalValidation(data=digits(), metrc="accuracy")  # type: ignore[call-arg]
