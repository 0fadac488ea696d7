"""Heads of another size, and checkpoints of Lightning and of training scripts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof.zoo import load_model, save_weights
from driftproof.zoo._weights import load_weights


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


def same(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(a, b) for a, b in zip(*(state.values() for state in states), strict=True))


class Settings:
    """A hyper-parameter of a user's class, whose unpickling would run code."""

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this code came from the file",))


def test_a_fine_tuned_head_is_loaded_into_a_network_of_its_size(tmp_path: Path) -> None:
    small = load_model("torchvision:squeezenet1_1:num_classes=7")
    assert small.name == "torchvision:squeezenet1_1:num_classes=7"
    path = tmp_path / "tuned.safetensors"
    save_weights(small.model, path)
    again = load_model("torchvision:squeezenet1_1:num_classes=7", path)
    assert again.trained
    assert all(torch.equal(a, b) for a, b in zip(small.model.parameters(), again.model.parameters(), strict=True))
    with pytest.raises(
        DriftproofError, match=r"head of 7 outputs, the model one of 1000: torchvision:NAME:num_classes=7"
    ):
        load_model("torchvision:squeezenet1_1", path)


def test_heads_of_timm(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    model = load_model("timm:test_vit:num_classes=5").model
    assert model(torch.zeros(1, 3, 160, 160)).shape == (1, 5)
    save_weights(model, tmp_path / "w.safetensors")
    with pytest.raises(DriftproofError, match=r"timm:NAME:num_classes=5 make such a model"):
        load_model("timm:test_vit", tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("torchvision:resnet18:num_classes=ten", "num_classes=ten: wanted a whole number above 0"),
        ("torchvision:resnet18:num_classes=0", "wanted a whole number above 0"),
        ("torchvision:resnet18:classes=10", "no model 'resnet18:classes=10'"),
        ("torchvision:raft_small:num_classes=10", "torchvision raised TypeError"),
    ],
)
def test_wrong_heads_are_refused(spec: str, message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        load_model(spec)


def test_another_width_is_no_other_head(tmp_path: Path) -> None:
    save_weights(nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)), tmp_path / "w.safetensors")
    with pytest.raises(DriftproofError, match=r"the same number of classes\?$"):
        load_weights(net(), tmp_path / "w.safetensors")


def checkpoint(model: nn.Module, prefix: str, **more: Any) -> dict[str, Any]:
    state = {f"{prefix}{name}": value for name, value in model.state_dict().items()}
    return {"epoch": 3, "state_dict": state | more, "optimizer_states": [{}], "pytorch-lightning_version": "2.5"}


@pytest.mark.parametrize("prefix", ["model.", "net.", "wrapped.inner."])
def test_checkpoints_of_lightning_are_read_and_the_prefix_is_said(prefix: str, tmp_path: Path) -> None:
    model, target = net(), net()
    torch.save(checkpoint(model, prefix), tmp_path / "last.ckpt")
    with pytest.warns(DriftproofWarning, match=rf"last.ckpt: the prefix '{prefix}' of its names is taken off$"):
        load_weights(target, tmp_path / "last.ckpt")
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), target.state_dict().values(), strict=True)
    )


def test_names_without_a_prefix_are_taken_as_they_are(tmp_path: Path) -> None:
    model, target = net(), net()
    torch.save(checkpoint(model, ""), tmp_path / "last.ckpt")
    torch.save(checkpoint(model, ""), tmp_path / "best.pth.tar")
    for name in ("last.ckpt", "best.pth.tar"):
        target = net()
        load_weights(target, tmp_path / name)
        assert same(target, model)


def test_other_parts_of_a_checkpoint_are_named(tmp_path: Path) -> None:
    torch.save(checkpoint(net(), "model.", **{"criterion.weight": torch.ones(3)}), tmp_path / "last.ckpt")
    with pytest.warns(DriftproofWarning, match=r"taken off; not used: criterion\.weight$"):
        load_weights(net(), tmp_path / "last.ckpt")


def test_two_parts_that_fit_are_a_choice_of_the_user(tmp_path: Path) -> None:
    both = checkpoint(net(), "model.")
    both["state_dict"] |= {f"teacher.{name}": value for name, value in net().state_dict().items()}
    torch.save(both, tmp_path / "last.ckpt")
    with pytest.raises(DriftproofError, match=r"2 parts of it have this network's names: model\., teacher\."):
        load_weights(net(), tmp_path / "last.ckpt")


def test_hyper_parameters_are_ignored_and_none_of_their_code_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, target = net(), net()
    content = checkpoint(model, "model.")
    content["hyper_parameters"] = {"args": argparse.Namespace(lr=0.1), "own": Settings(depth=3), "path": Path("here")}
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.warns(DriftproofWarning, match="prefix"):
        load_weights(target, tmp_path / "last.ckpt")
    assert same(target, model)
    assert not capsys.readouterr().out
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(DriftproofError, match="not a file of plain weights"):
        load_weights(target, tmp_path / "last.pt")


def test_objects_among_the_weights_are_refused(tmp_path: Path) -> None:
    torch.save(checkpoint(net(), "model.", own=Settings()), tmp_path / "last.ckpt")
    with pytest.raises(DriftproofError, match=r"entries that are not tensors: own"):
        load_weights(net(), tmp_path / "last.ckpt")


def test_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    torch.save(checkpoint(net(), "model."), tmp_path / "whole.ckpt")
    content = (tmp_path / "whole.ckpt").read_bytes()
    for number, part in enumerate((b"", content[: len(content) // 2], b"weights")):
        (tmp_path / f"{number}.ckpt").write_bytes(part)
        with pytest.raises(DriftproofError, match=f"weights .*{number}.ckpt"):
            load_weights(net(), tmp_path / f"{number}.ckpt")


def test_analog_checkpoints_of_lightning_name_the_way_out(tmp_path: Path) -> None:
    pytest.importorskip("aihwkit")
    from aihwkit.nn.conversion import convert_to_analog
    from aihwkit.simulator.configs import InferenceRPUConfig

    torch.save(checkpoint(convert_to_analog(net(), InferenceRPUConfig()), "model."), tmp_path / "last.ckpt")
    with pytest.raises(DriftproofError, match=r"from_aihwkit\(FILE, network\)"):
        load_weights(net(), tmp_path / "last.ckpt")
