"""Loops that step by themselves get a method's gradient: the recipes of the README, equal to the plain loop."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import driftproof as dp
from driftproof._errors import DriftproofError
from training.small import NAMES, method_of

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
X = torch.randn(48, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
BATCHES = [(X[start : start + 8], Y[start : start + 8]) for start in range(0, 48, 8)]
CLIPPING = ("noise-injection",)


class Net(nn.Module):
    """A network as Hugging Face's: a dict of the loss and the logits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3))

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.layers(x)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def sgd(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)


def closure(network: nn.Module, batch: tuple[Tensor, Tensor]) -> Callable[[], Tensor]:
    return lambda: network(*batch)["loss"]


def plain_loop(method: Any, network: nn.Module, batches: Any = BATCHES) -> dict[str, Tensor]:
    """Train by ``step``, the loop to compare with."""
    network.train()
    optimizer = sgd(network)
    for batch in batches:
        method.step(closure(network, batch), network, optimizer)
    return network.state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def prepared(name: str) -> Any:
    method = method_of(name)
    method.begin(20)
    return method


def recipe(word: str) -> dict[str, Any]:
    """Run the block of the README that has a word in it, and return its names."""
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL) if word in block]
    names: dict[str, Any] = {"__name__": "recipe"}
    exec(compile(code, "README.md", "exec", dont_inherit=True), names)
    return names


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CLIPPING])
def test_the_gradient_and_a_step_of_the_loop_are_the_methods_step(name: str) -> None:
    wanted, network, method = plain_loop(prepared(name), Net()), Net().train(), prepared(name)
    optimizer = sgd(network)
    for batch in BATCHES:
        method.gradient(closure(network, batch), network)
        optimizer.step()
        optimizer.zero_grad()
    assert same(wanted, network.state_dict())
    assert method.updates == len(BATCHES)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CLIPPING])
def test_parts_of_an_update_are_its_micro_batches(name: str) -> None:
    """Each closure of a list is a micro-batch of ``step``; a loop that accumulates gives them one by one."""
    methods, networks = (prepared(name), prepared(name)), (Net().train(), Net().train())
    optimizers = [sgd(network) for network in networks]
    for one, other in zip(BATCHES[::2], BATCHES[1::2], strict=True):
        pair = [closure(networks[0], batch) for batch in (one, other)]
        shards = [part for part in pair for _ in range(methods[0].closures_per_update)]
        methods[0].step(shards, networks[0], optimizers[0])
        for part, batch in enumerate((one, other)):
            methods[1].gradient(closure(networks[1], batch), networks[1], part=part, parts=2)
        optimizers[1].step()
        optimizers[1].zero_grad()
    # sums of two shares may be rounded once more
    for name_, value in networks[0].state_dict().items():
        torch.testing.assert_close(value, networks[1].state_dict()[name_], rtol=1e-5, atol=1e-6)
    assert methods[0].updates == methods[1].updates == 3


@pytest.mark.parametrize("name", ["plain", "rwp", "arwp"])
def test_perturbed_weights_and_a_backward_pass_are_the_methods_step(name: str) -> None:
    wanted, network, method = plain_loop(prepared(name), Net()), Net().train(), prepared(name)
    optimizer = sgd(network)
    for batch in BATCHES:
        before = copy.deepcopy([p.detach() for p in network.parameters()])
        with method.perturbed(network):
            network(*batch)["loss"].backward()
        assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
        optimizer.step()
        optimizer.zero_grad()
    assert same(wanted, network.state_dict())


@pytest.mark.parametrize("name", ["sam", "m-rwp", "two-point-rwp", "sam-rwp", "noise-injection"])
def test_what_one_pass_cannot_do_is_refused_by_name(name: str) -> None:
    network, method = Net().train(), prepared(name)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(DriftproofError, match=r"several passes|weight clipping"), method.perturbed(network):
        network(*BATCHES[0])
    assert all(torch.equal(before[n], v) for n, v in network.state_dict().items() if "running" not in n)
    assert method.updates == 0


def test_a_failure_inside_leaves_clean_weights_and_no_update() -> None:
    network, method = Net().train(), prepared("rwp")
    before = copy.deepcopy(network.state_dict())

    def fails() -> None:
        with method.perturbed(network):
            network(*BATCHES[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert torch.equal(before["layers.0.weight"], network.layers[0].weight)
    assert method.updates == 0
    with pytest.raises(DriftproofError, match=r"part 1 of 2 came; part 0 was wanted"):
        method.gradient(closure(network, BATCHES[0]), network, part=1, parts=2)
    with pytest.raises(DriftproofError, match="did not call the network"), prepared("rwp").perturbed(network):
        pass


def test_a_step_leaves_no_gradients() -> None:
    network, method = Net().train(), prepared("rwp")
    optimizer = sgd(network)
    method.step(closure(network, BATCHES[0]), network, optimizer)
    after = copy.deepcopy(network.state_dict())
    optimizer.step()  # as a trainer around does
    assert same(after, network.state_dict())


@pytest.mark.parametrize("name", ["rwp", "sam"])
def test_hugging_faces_trainer(name: str, tmp_path: Path) -> None:
    transformers, seen = pytest.importorskip("transformers"), []
    pytest.importorskip("accelerate")
    robust = recipe("RobustTrainer")["RobustTrainer"]

    class Noting(robust):  # type: ignore[misc, valid-type]
        def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
            seen.append((inputs["x"].clone(), inputs["labels"].clone()))
            return super().training_step(model, inputs, num_items_in_batch)  # type: ignore[no-any-return]

    rows = [{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)]
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=8,
        num_train_epochs=1,
        max_grad_norm=0,
        report_to="none",
        use_cpu=True,
        save_strategy="no",
        disable_tqdm=True,
        logging_strategy="no",
    )
    network, method = Net(), prepared(name)
    optimizer = sgd(network)
    constant = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    trainer = Noting(model=network, args=arguments, train_dataset=rows, optimizers=(optimizer, constant))
    trainer.method = method
    trainer.train()
    assert method.updates == len(seen) == 6
    assert same(plain_loop(prepared(name), Net(), seen), network.state_dict())


@pytest.mark.parametrize("name", ["rwp", "sam"])
def test_accelerate(name: str) -> None:
    accelerate = pytest.importorskip("accelerate")
    network, method = Net().train(), prepared(name)
    wrapped, optimizer = accelerate.Accelerator(cpu=True).prepare(network, sgd(network))
    for batch in BATCHES:
        method.gradient(closure(wrapped, batch), wrapped)
        optimizer.step()
        optimizer.zero_grad()
    assert same(plain_loop(prepared(name), Net()), network.state_dict())


@pytest.mark.parametrize("name", ["rwp", "sam"])
def test_lightning(name: str) -> None:
    lightning = pytest.importorskip("lightning")
    network, method = Net(), prepared(name)
    manual = name == "sam"  # several passes

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.network, self.automatic_optimization = network, not manual

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return sgd(self)

        def training_step(self, batch: Any, _: int) -> Tensor | None:
            if not manual:
                return self.network(*batch)["loss"]  # type: ignore[no-any-return]
            method.gradient(closure(self.network, batch), self.network)
            self.optimizers().step()
            self.optimizers().zero_grad()
            return None

    callbacks = [] if manual else [recipe("class Perturb")["Perturb"](method, network)]
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
    )
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=8)
    trainer.fit(Module(), loader)
    assert same(plain_loop(prepared(name), Net()), network.state_dict())


def test_asam_without_eta_leaves_weights_at_zero_out_of_the_ascent() -> None:
    def top(eta: float) -> Tensor:
        method, weights = dp.ASAM(rho=0.5, eta=eta), {"w": torch.tensor([0.0, 2.0])}
        return method.direction({"w": torch.tensor([3.0, 1.0])}, weights)["w"]

    assert torch.equal(top(0.0), torch.tensor([0.0, 4.0]))
    torch.testing.assert_close(top(0.01), torch.tensor([3e-4, 2.01**2]))
    with pytest.raises(DriftproofError, match=r"eta -1"):
        dp.ASAM(eta=-1)
    assert "eta" not in dp.ASAM().describe()
    assert dp.ASAM(eta=0).describe()["eta"] == "0"
