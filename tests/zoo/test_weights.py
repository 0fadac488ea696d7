from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from driftproof._errors import DriftproofError
from driftproof.zoo import save_weights
from driftproof.zoo._weights import load_weights

State = dict[str, Tensor]


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def state() -> State:
    """Return weights that differ from any fresh model's."""
    return {name: torch.rand_like(value) if value.is_floating_point() else value + 5
            for name, value in net().state_dict().items()}  # fmt: skip


def copied(model: nn.Module) -> State:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def refused(content: Any, path: Path, message: str) -> None:
    """Assert that a file with this content is refused, and that the model stays as it was."""
    torch.save(content, path)
    model = net()
    before = copied(model)
    with pytest.raises(DriftproofError, match=message):
        load_weights(model, path)
    assert same(copied(model), before)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th", ".PT"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_are_stripped(suffix: str, prefix: str, tmp_path: Path) -> None:
    saved, model = state(), net()
    path = tmp_path / f"w{suffix}"
    torch.save({prefix + name: value for name, value in saved.items()}, path)
    weight = model[0].weight
    load_weights(model, path)
    assert same(copied(model), saved)
    assert model[0].weight is weight  # in place: an optimizer that holds it goes on


@pytest.mark.parametrize("wrap", [
    lambda s: {"state_dict": s, "best_prec1": 91.7},
    lambda s: {"model": s, "epoch": 3},
    lambda s: {"model": {"state_dict": s}},
])  # fmt: skip
def test_wrapping_is_undone(wrap: Any, tmp_path: Path) -> None:
    saved, model = state(), net()
    torch.save(wrap(saved), tmp_path / "w.pt")
    load_weights(model, tmp_path / "w.pt")
    assert same(copied(model), saved)


def test_model_and_file_may_both_be_wrapped(tmp_path: Path) -> None:
    saved, model = state(), net()
    wrapper = nn.DataParallel(model)
    torch.save({f"_orig_mod.{name}": value for name, value in saved.items()}, tmp_path / "w.pt")
    load_weights(wrapper, tmp_path / "w.pt")
    assert same(copied(model), saved)


def test_partly_compiled(tmp_path: Path) -> None:
    saved, model = state(), net()
    torch.save({name.replace("0.", "0._orig_mod."): value for name, value in saved.items()}, tmp_path / "w.pt")
    load_weights(model, tmp_path / "w.pt")
    assert same(copied(model), saved)


def test_safetensors_round_trip(tmp_path: Path) -> None:
    first, second = net(), net()
    save_weights(first, tmp_path / "w.safetensors")
    load_weights(second, tmp_path / "w.safetensors")
    assert same(copied(first), copied(second))


def test_tied_weights_round_trip(tmp_path: Path) -> None:
    first, second = (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)) for _ in range(2))
    first[1].weight = first[0].weight
    save_weights(first, tmp_path / "w.safetensors")
    load_weights(second, tmp_path / "w.safetensors")
    assert torch.equal(second.get_parameter("1.weight"), first.get_parameter("0.weight"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_the_models(dtype: torch.dtype, tmp_path: Path) -> None:
    saved = {name: value.to(dtype) if value.is_floating_point() else value for name, value in state().items()}
    torch.save(saved, tmp_path / "w.pt")
    model = net()
    load_weights(model, tmp_path / "w.pt")
    assert model[0].weight.dtype == torch.float32
    assert torch.equal(model.get_parameter("0.weight"), saved["0.weight"].float())


def test_old_files_without_counters_load(tmp_path: Path) -> None:
    saved = {name: value for name, value in state().items() if "num_batches" not in name}
    torch.save(saved, tmp_path / "w.pt")
    model = net()
    load_weights(model, tmp_path / "w.pt")
    assert torch.equal(model.get_buffer("1.running_var"), saved["1.running_var"])
    assert model[1].num_batches_tracked == 0


def test_keys_and_shapes_that_do_not_fit(tmp_path: Path) -> None:
    saved = state()
    del saved["0.weight"], saved["1.running_mean"]
    saved["fc.weight"] = torch.zeros(1)
    saved["3.weight"] = torch.zeros(10, 8)
    message = (
        r"do not fit Sequential.*2 missing: 0.weight, 1.running_mean. "
        r"1 unexpected: fc.weight. 1 other shapes: 3.weight \(file \[10, 8\], model \[3, 8\]\)"
    )
    refused(saved, tmp_path / "w.pt", message)


def test_long_lists_are_cut_and_counted(tmp_path: Path) -> None:
    saved = state() | {f"extra{i}": torch.zeros(1) for i in range(20)}
    refused(saved, tmp_path / "w.pt", r"20 unexpected: extra0, .*extra7 and 12 more\.")


def test_values_that_cannot_be_meant(tmp_path: Path) -> None:
    refused(state() | {"3.bias": torch.tensor([0, 1, 2])}, tmp_path / "a.pt",
            r"other kinds of number: 3.bias \(file torch.int64, model torch.float32\)")  # fmt: skip
    refused(state() | {"3.bias": torch.tensor([0, torch.nan, 2])}, tmp_path / "b.pt", r"1 NaN, or too large.*3.bias")
    huge = torch.tensor([0, 1e300, 2], dtype=torch.float64)
    refused(state() | {"3.bias": huge}, tmp_path / "c.pt", r"1 NaN, or too large.*3.bias")


def test_more_than_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    refused(net(), path, r"Only plain tensors are loaded.*can run code.*torch.save\(model.state_dict\(\)")
    refused(state() | {"epoch": 3}, path, r"entries that are not tensors: epoch \(int\); wanted names → tensors")
    refused({"net": state()}, path, r"not tensors: net \(dict\)")
    refused([torch.zeros(2)], path, r"a list came; wanted names → tensors")
    refused({}, path, r"has no entries")
    refused({"model": state(), "module.x": torch.zeros(1)} | {"model": {}}, path, r"has no entries")
    refused({"a": torch.zeros(1), "module.a": torch.zeros(1)}, path, r"two tensors are called 'a'")


def test_a_pickle_that_runs_code_does_not_run(tmp_path: Path) -> None:
    target = tmp_path / "ran"

    class Nasty:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (target,))

    path = tmp_path / "w.pt"
    path.write_bytes(pickle.dumps(Nasty(), protocol=2))
    with pytest.raises(DriftproofError, match="not a file of plain weights"):
        load_weights(net(), path)
    assert not target.exists()


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("keep", [0, 10, 200])
def test_cut_files(name: str, keep: int, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "w.pt":
        torch.save(state(), path)
    else:
        save_weights(net(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DriftproofError, match=re.escape(str(path))):
        load_weights(net(), path)


def test_paths(tmp_path: Path) -> None:
    with pytest.raises(DriftproofError, match="no such file"):
        load_weights(net(), tmp_path / "absent.pt")
    (tmp_path / "w.safetensor").touch()
    with pytest.raises(DriftproofError, match=r"'.safetensor' \(did you mean .safetensors\?\); wanted one of .pt"):
        load_weights(net(), tmp_path / "w.safetensor")
    with pytest.raises(DriftproofError, match=r"suffix '.pt'; wanted .safetensors"):
        save_weights(net(), tmp_path / "w.pt")
    with pytest.raises(DriftproofError, match="no folder"):
        save_weights(net(), tmp_path / "absent" / "w.safetensors")


def test_a_hook_that_refuses_half_way(tmp_path: Path) -> None:
    class Stubborn(nn.Linear):
        def _load_from_state_dict(self, *args: Any) -> None:
            raise KeyError("no")

    model = nn.Sequential(nn.Linear(2, 2), Stubborn(2, 2))
    before = copied(model)
    torch.save({name: value + 1 for name, value in before.items()}, tmp_path / "w.pt")
    with pytest.raises(DriftproofError, match="the model refused them"):
        load_weights(model, tmp_path / "w.pt")
    assert same(copied(model), before)
