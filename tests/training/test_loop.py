"""The loop: a stopped run goes on as if it had not stopped, the best epoch is kept, and wrong use is loud."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler, TensorDataset

import driftproof as dp
from driftproof._errors import DriftproofError
from driftproof._mapping import MappingOptions
from driftproof.data import TensorData
from driftproof.data._adapters import as_data
from driftproof.data._parts import held_out
from driftproof.training import Distillation, train
from driftproof.training._log import COLUMNS
from driftproof.training._methods import Method
from driftproof.training._methods.by_name import METHODS, make_method
from driftproof.training._schedules import Adaptive
from driftproof.training._settings import Settings
from training.small import NAMES


class Small(nn.Module):
    """A convolution, a BatchNorm, dropout and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(4 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [N, 3] of images [N, 1, 4, 4]."""
        return self.fc(self.drop(torch.relu(self.norm(self.conv(x)))).flatten(1))  # type: ignore[no-any-return]


@pytest.fixture
def network() -> Small:
    torch.manual_seed(0)
    return Small()


@pytest.fixture
def data() -> TensorData:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(48, 1, 4, 4, generator=generator)
    return TensorData("noise", images, images.flatten(1)[:, :3].argmax(1))


def method_of(name: str, **options: Any) -> Method:
    named = METHODS[name]
    return make_method(
        name,
        noise="pcm-nandakumar-2019@1d" if named.noise else None,
        strength="quadratic:to=2" if named.noise else None,
        rho=0.1 if named.rho else None,
        **options,
    )


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_run_that_goes_on_equals_one_that_never_stopped(
    name: str, precision: str, network: Small, data: TensorData, tmp_path: Path
) -> None:
    given = {key: value.clone() for key, value in network.state_dict().items()}
    settings = Settings(epochs=3, batch_size=16, lr=0.05, augment="crop-flip:1", precision=precision)  # type: ignore[arg-type]
    values: Iterator[float | None] = iter([1.0, 5.0, 3.0])

    class Stop(Exception):
        pass

    def validate(_: nn.Module) -> float:
        torch.rand(3)  # whatever it draws is not the training's
        value = next(values)
        if value is None:
            raise Stop
        return value

    whole = train(network, data, method=method_of(name), settings=settings, validate=validate, out=tmp_path / "whole")
    assert whole.best_epoch == 2

    values = iter([1.0, None, 5.0, 3.0])  # stopped in the second epoch, after its updates
    with pytest.raises(Stop):
        train(network, data, method=method_of(name), settings=settings, validate=validate, out=tmp_path / "parts")
    parts = train(network, data, method=method_of(name), settings=settings, validate=validate, out=tmp_path / "parts")
    assert same(whole.model, parts.model)
    assert parts.best_epoch == 2
    for row, again in zip(whole.rows, parts.rows, strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == {k: v for k, v in again.items() if k != "seconds"}
    for file in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes()
    assert all(torch.equal(value, given[key]) for key, value in network.state_dict().items()), "the given one changed"


def test_an_adaptive_strength_goes_on(network: Small, data: TensorData, tmp_path: Path) -> None:
    settings = Settings(epochs=2, batch_size=16)

    def run(out: Path, stop: bool = False) -> Any:
        def validate(_: nn.Module) -> float:
            if stop:
                raise KeyboardInterrupt
            return 1.0

        method = dp.RWP(noise="gaussian:0.1", strength=Adaptive(to=1.0, collapse=0.9, memory=2))
        return train(network, data, method=method, settings=settings, validate=validate, out=out)

    whole = run(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", stop=True)
    assert same(whole.model, run(tmp_path / "b").model)


def test_a_finished_run_is_returned_again(network: Small, data: TensorData, tmp_path: Path) -> None:
    first = train(network, data, epochs=1, batch_size=16, out=tmp_path)
    written = (tmp_path / "state.pt").stat().st_mtime_ns
    again = train(network, data, epochs=1, batch_size=16, out=tmp_path)
    assert same(first.model, again.model)
    assert (tmp_path / "state.pt").stat().st_mtime_ns == written


def test_the_folder_keeps_one_training(network: Small, data: TensorData, tmp_path: Path) -> None:
    train(network, data, epochs=1, batch_size=16, out=tmp_path)
    with pytest.raises(DriftproofError, match=r"learning rate was .0\.01., now .0\.02.*Choose another folder"):
        train(network, data, epochs=1, batch_size=16, lr=0.02, out=tmp_path)
    with pytest.raises(DriftproofError, match="fingerprint"):
        train(network, data.head(32), epochs=1, batch_size=16, out=tmp_path)
    (tmp_path / "state.pt").write_bytes(b"not a state")
    with pytest.raises(DriftproofError, match=r"state\.pt: not a state of a training"):
        train(network, data, epochs=1, batch_size=16, out=tmp_path)


def test_the_log_is_live_and_whole(network: Small, data: TensorData, tmp_path: Path) -> None:
    seen: list[int] = []

    def watch(row: dict[str, Any]) -> None:
        with (tmp_path / "log.csv").open(encoding="utf-8") as file:
            written = list(csv.DictReader(file))
        assert tuple(written[0]) == COLUMNS
        assert int(written[-1]["updates"]) == row["updates"]
        seen.append(row["updates"])

    method = dp.RWP(noise="gaussian:0.1", strength=2.0, diagnose_every=1)
    train(network, data, method=method, epochs=2, batch_size=16, log_every=1, out=tmp_path, on_row=watch)
    assert seen == [1, 2, 3, 4, 5, 6]
    with (tmp_path / "log.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # sigma 0.1, strength 2: the error of 4 x 9 + 3 x 64 weights has this spread within 5 of its standard deviations
    assert all(0.14 < float(row["noise"]) < 0.26 for row in rows)
    assert all(float(row["gradient_sharpness"]) > 0 for row in rows)
    settings = json.loads((tmp_path / "settings.json").read_text(encoding="utf-8"))
    assert settings["noise"] == "gaussian:0.1"
    assert settings["made"]["versions"]["torch"]


def test_micro_batches_are_one_update(data: TensorData) -> None:
    """Without norms, dropout or noise, two micro-batches give what one batch gives."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3))
    one = train(network, data, epochs=2, batch_size=16).model
    two = train(network, data, epochs=2, batch_size=16, micro_batches=2).model
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_random_transforms_are_drawn_anew_at_every_epoch(network: Small) -> None:
    drawn: list[float] = []

    class Noisy(Dataset[Any]):
        def __len__(self) -> int:
            return 32

        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            image = torch.randn(1, 4, 4)
            drawn.append(float(image.sum()))
            return image, index % 3

    train(network, Noisy(), epochs=2, batch_size=16, validate=None)
    assert len(set(drawn[-64:])) == 64


def test_the_callers_random_state_is_not_moved(network: Small, data: TensorData) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = train(network, data, epochs=1, batch_size=16)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(6)
    assert same(first.model, train(network, data, epochs=1, batch_size=16).model)


def test_norms_are_recalibrated_with_clean_weights(network: Small, data: TensorData) -> None:
    method = dp.RWP(noise="gaussian:0.5", norms="recalibrate")
    trained = train(network, data, method=method, epochs=1, batch_size=16, lr=1e-9).model
    assert isinstance(trained, Small)
    with torch.no_grad():
        activations = trained.conv(data.inputs)
    torch.testing.assert_close(trained.norm.running_mean, activations.mean((0, 2, 3)), atol=1e-5, rtol=1e-4)


def test_distillation_learns_from_the_starting_network(network: Small, data: TensorData) -> None:
    """With all of the loss distilled and no noise, the network that it starts from is already the optimum."""
    network.drop.p = 0.0
    network.eval()
    method = dp.Plain(norms="frozen")
    taught = train(
        network, data, method=method, epochs=2, batch_size=16, lr=0.1, weight_decay=0.0, distil=Distillation(weight=1.0)
    )
    for before, after in zip(network.parameters(), taught.model.parameters(), strict=True):
        torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-3)
    assert abs(float(taught.rows[0]["loss"] or 0)) < 1e-5


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(
    network: Small, data: TensorData, tmp_path: Path
) -> None:
    losses = iter([1.0] * 4 + [float("nan")])

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, targets) * next(losses)

    with pytest.raises(
        DriftproofError, match=r"epoch 2, update 2: the loss .* is nan.*last good checkpoint is .*epoch 1"
    ):
        train(network, data, epochs=2, batch_size=16, loss=loss, out=tmp_path)
    kept = Small()
    from driftproof.zoo._weights import load_weights

    load_weights(kept, tmp_path / "last.safetensors")
    assert all(bool(torch.isfinite(value).all()) for value in kept.state_dict().values())


@pytest.mark.parametrize(("bad", "kept"), [(1, "is nan$"), (2, r"last good checkpoint is .*epoch 1\)$")])
def test_a_validation_that_is_no_number_is_told_with_its_epoch(
    bad: int, kept: str, network: Small, data: TensorData, tmp_path: Path
) -> None:
    seen = []

    def validate(model: nn.Module) -> float:
        seen.append(1)
        return float("nan") if len(seen) == bad else 1.0

    with pytest.raises(DriftproofError, match=rf"epoch {bad}: .*validation.* is nan") as raised:
        train(network, data, epochs=2, batch_size=16, validate=validate, out=tmp_path)
    assert re.search(kept, str(raised.value))
    assert (tmp_path / "last.safetensors").exists() == (bad == 2)


def test_mean_squares_want_targets_of_the_outputs_shape(data: TensorData) -> None:
    """Targets [N] against outputs [N, 1] would be broadcast to all pairs: nothing would be learnt."""
    torch.manual_seed(0)
    network, inputs = nn.Linear(3, 1), torch.randn(64, 3)
    with pytest.raises(DriftproofError, match=r"outputs.*\[16, 1\].*targets.*\[16\].*targets\[:, None\]"):
        train(network, (inputs, inputs.sum(1)), epochs=1, batch_size=16, loss="mse")
    trained = train(network, (inputs, inputs.sum(1, keepdim=True)), epochs=40, batch_size=16, loss="mse", lr=0.05)
    with torch.no_grad():
        assert float((trained.model(inputs) - inputs.sum(1, keepdim=True)).square().mean()) < 0.01


@pytest.mark.parametrize("clip_norm", [0.0, -1.0, float("nan"), float("inf")])
def test_a_gradient_is_not_clipped_to_what_is_no_norm(clip_norm: float, network: Small, data: TensorData) -> None:
    with pytest.raises(DriftproofError, match=r"gradient clipping at norm .* wanted a number above 0"):
        train(network, data, epochs=1, batch_size=16, clip_norm=clip_norm)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with pytest.raises(DriftproofError, match="gradient clipping at norm"):
        dp.Plain().step(lambda: network(data.inputs).square().mean(), network, optimizer, clip_norm=clip_norm)
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in before.items())


def test_another_validation_is_another_run(network: Small, data: TensorData, tmp_path: Path) -> None:
    """The best epoch of two validations would be the best of neither."""

    def train_with(validate: Any, **more: Any) -> None:
        train(network, data, epochs=1, batch_size=16, validate=validate, out=tmp_path, **more)

    def chips(**more: Any) -> dp.ChipValidation:
        given: dict[str, Any] = {"data": data.head(8), "preset": "gaussian:0.1", "chips": 1} | more
        return dp.ChipValidation(**given)

    train_with(chips())
    train_with(chips())
    for other in (
        chips(preset="gaussian:0.2"),
        chips(times=["1y"]),
        chips(chips=2),
        chips(seed=1),
        chips(metric="top5"),
        chips(data=data.head(9)),
        chips(compensation="none"),
        chips(mapping=MappingOptions(scale="layer")),
        chips(mapping=MappingOptions(clip=99.0)),
        chips(mapping=MappingOptions(where="conv")),
        None,
        lambda _: 1.0,
    ):
        with pytest.raises(DriftproofError, match=r"validation.* was"):
            train_with(other)
    with pytest.raises(DriftproofError, match=r"validation's best .*'highest'.*'lowest'"):
        train_with(chips(), higher_is_better=False)


def test_a_data_loader_decides_the_batch_size_unless_it_is_given(network: Small, data: TensorData) -> None:
    dataset = TensorDataset(data.inputs, data.targets)  # type: ignore[arg-type]  # one tensor

    def updates(loader: object, **more: Any) -> float:
        return train(network, loader, epochs=1, **more).rows[-1]["updates"]  # type: ignore[return-value]

    loaders = [
        DataLoader(dataset, batch_size=8, shuffle=True),
        DataLoader(dataset, batch_size=8, collate_fn=_stacked),
        DataLoader(dataset, batch_sampler=BatchSampler(SequentialSampler(dataset), 8, drop_last=False)),
    ]
    assert [updates(loader) for loader in loaders] == [6, 6, 6]
    assert [updates(loader, batch_size=16) for loader in loaders] == [3, 3, 3]
    # parts of the samples, as the samples that a validation leaves
    assert [updates(held_out(as_data(loader), 1 / 3)[1]) for loader in loaders] == [4, 4, 4]
    assert updates(as_data(loaders[0]).head(16)) == 2
    with pytest.raises(DriftproofError, match="a batch wants 128"):
        updates(data)


def _stacked(samples: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    inputs, targets = zip(*samples, strict=True)
    return torch.stack(inputs), torch.stack(targets)


def test_a_schedule_longer_than_the_run_is_refused(network: Small, data: TensorData) -> None:
    method = dp.RWP(noise="gaussian:0.1", strength=dp.ramp("linear", to=1.0, steps=7))
    with pytest.raises(DriftproofError, match="spans 7 updates, the run has 6"):
        train(network, data, method=method, epochs=2, batch_size=16)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs 0"),
        ({"epochs": 1, "lr": -1.0}, "lr > 0"),
        ({"epochs": 1, "optimizer": "sdg"}, "did you mean sgd"),
        ({"epochs": 1, "precision": "half"}, "float16"),
        ({"epochs": 1, "batch_size": 49}, "48 samples"),
        ({"epochs": 1, "batch_size": 15, "micro_batches": 2}, "multiple of 2"),
        ({"epochs": 1, "loss": "crossentropy"}, "did you mean cross-entropy"),
        ({"epochs": 1, "augment": "flip"}, "crop-flip"),
        ({"epochs": 1, "torch_device": "tpu"}, "cpu or cuda"),
    ],
)
def test_wrong_settings_say_what_was_wanted(
    wrong: dict[str, Any], message: str, network: Small, data: TensorData
) -> None:
    with pytest.raises(DriftproofError, match=message):
        train(network, data, **wrong)


def test_a_frozen_network_and_a_used_method_are_refused(network: Small, data: TensorData) -> None:
    method = dp.RWP(noise="gaussian:0.1")
    train(network, data, method=method, epochs=1, batch_size=16)
    with pytest.raises(DriftproofError, match="has made 3 updates already"):
        train(network, data, method=method, epochs=1, batch_size=16)
    with pytest.raises(DriftproofError, match="frozen"):
        train(network.requires_grad_(False), data, epochs=1, batch_size=16)


def test_a_method_by_name_takes_what_it_takes() -> None:
    with pytest.raises(DriftproofError, match="did you mean looksam"):
        make_method("looksma")
    with pytest.raises(DriftproofError, match="say which"):
        make_method("rwp")
    with pytest.raises(DriftproofError, match="takes no noise"):
        make_method("sam", noise="gaussian:0.1")
    with pytest.raises(DriftproofError, match="takes no rho"):
        make_method("rwp", noise="gaussian:0.1", rho=0.1)
    with pytest.raises(DriftproofError, match="noise-injection takes no noise"):
        make_method("noise-injection", noise="gaussian:0.1")
    made = make_method("noise-injection", strength="quadratic:to=2", clip=dp.ClipWeights(sigmas=2.5)).describe()
    assert (made["strength"], made["weight clipping"]) == ("quadratic:to=2", "2.5 sigma of the column")


def test_tensorboard_gets_what_the_log_gets(
    network: Small, data: TensorData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, float, int]] = []

    class SummaryWriter:
        def __init__(self, folder: str, purge_step: int | None) -> None:
            assert folder == str(tmp_path / "tensorboard")
            assert purge_step is None

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    rows = train(network, data, epochs=1, batch_size=16, log_every=1, validate=lambda _: 2.0, out=tmp_path).rows
    assert [(value, step) for name, value, step in written if name == "loss"] == [
        (row["loss"], row["updates"]) for row in rows
    ]
    assert ("validation", 2.0, 3) in written
