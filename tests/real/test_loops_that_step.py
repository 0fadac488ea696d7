"""Loops that step by themselves get a method's gradient: the recipes of docs/training.md, equal to the plain loop."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import driftproof as dp
from driftproof._errors import DriftproofError
from driftproof.training._methods.by_name import make_method
from real.trainers import Hooks
from real.trainers import Trainer as SmallTrainer
from training.small import NAMES, method_of

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
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

    def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.layers(x)
        return {"logits": logits} if labels is None else {"loss": F.cross_entropy(logits, labels), "logits": logits}


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
    """Run the block of the page that has a word in it, and return its names."""
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL) if word in block]
    names: dict[str, Any] = {"__name__": "recipe"}
    exec(compile(code, "training.md", "exec", dont_inherit=True), names)
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
    assert torch.equal(before["layers.0.weight"], network.layers.get_parameter("0.weight"))
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


def in_double(batches: Any = BATCHES) -> list[tuple[Tensor, Tensor]]:
    return [(x.double(), y) for x, y in batches]


@pytest.mark.parametrize("clip_norm", [None, 0.3])
@pytest.mark.parametrize("accumulate", [1, 2, 4])  # of six batches: the last update of four has two
@pytest.mark.parametrize("name", ["plain", "rwp", "two-point-rwp", "sam", "asam", "m-rwp", "sam-rwp"])
def test_a_trainer_that_calls_training_step(name: str, accumulate: int, clip_norm: float | None) -> None:
    class Robust(SmallTrainer):
        def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            return robust_method.gradient(lambda: self.loss(batch), self.network)  # type: ignore[no-any-return]

    robust_method, method, batches = prepared(name), prepared(name), in_double()
    network, reference = Net().double(), Net().double().train()
    Robust(network, sgd(network), accumulate, clip_norm).train(batches)
    optimizer = sgd(reference)
    for start in range(0, len(batches), accumulate):
        update = batches[start : start + accumulate]
        closures = [closure(reference, batch) for batch in update for _ in range(method.closures_per_update)]
        method.step(closures, reference, optimizer, clip_norm=clip_norm)
    for key, value in reference.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[key], rtol=1e-10, atol=1e-12)
    assert robust_method.updates == method.updates == -(-len(batches) // accumulate)
    if accumulate == 1:
        assert same(reference.state_dict(), network.state_dict())


@pytest.mark.parametrize("name", ["plain", "rwp", "arwp"])
def test_a_trainer_that_calls_hooks(name: str) -> None:
    network, method = Net(), prepared(name)
    trainer = Hooks(network, sgd(network))
    block = recipe("class Perturb")["ExitStack"]()
    trainer.before = lambda: block.enter_context(method.perturbed(network))
    trainer.after_backward = block.close
    trainer.train(BATCHES)
    assert same(plain_loop(prepared(name), Net()), network.state_dict())
    assert method.updates == len(BATCHES)


@pytest.mark.parametrize("name", ["plain", "rwp", "sam", "gsam", "looksam", "arwp", "m-rwp"])
def test_a_step_inside_a_trainers_step_is_not_made_twice(name: str) -> None:
    class Robust(SmallTrainer):
        def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            return method.step(lambda: self.loss(batch), self.network, self.optimizer)  # type: ignore[no-any-return]

    network, method = Net(), prepared(name)
    Robust(network, sgd(network)).train(BATCHES)
    assert same(plain_loop(prepared(name), Net()), network.state_dict())


def hugging_face(
    tmp_path: Path, method: Any, seen: list[tuple[Tensor, Tensor]], make: Any = sgd, **settings: Any
) -> dict[str, Tensor]:
    """Train with the recipe, or with the Trainer itself if there is no method; return the weights."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    robust = transformers.Trainer if method is None else recipe("RobustTrainer")["RobustTrainer"]

    class Noting(robust):  # type: ignore[misc, valid-type]
        def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
            seen.append((inputs["x"].clone(), inputs["labels"].clone()))
            return super().training_step(model, inputs, num_items_in_batch)  # type: ignore[no-any-return]

    rows = [{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)]
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=8,
        num_train_epochs=1,
        report_to="none",
        use_cpu=True,
        save_strategy="no",
        disable_tqdm=True,
        logging_strategy="no",
        **{"max_grad_norm": 0} | settings,
    )
    network = Net()
    network.config = SimpleNamespace(problem_type=None)  # type: ignore[assignment]  # wanted for the smoothing of labels
    optimizer = make(network)
    constant = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    trainer = Noting(model=network, args=arguments, train_dataset=rows, optimizers=(optimizer, constant))
    trainer.method = method
    trainer.train()
    return network.state_dict()


@pytest.mark.parametrize("clip_norm", [0, 0.3])
@pytest.mark.parametrize("name", ["rwp", "sam", "gsam"])
def test_hugging_faces_trainer(name: str, clip_norm: float, tmp_path: Path) -> None:
    method, seen = prepared(name), list[tuple[Tensor, Tensor]]()
    weights = hugging_face(tmp_path, method, seen, max_grad_norm=clip_norm)
    assert method.updates == len(seen) == 6
    network, reference = Net().train(), prepared(name)
    optimizer = sgd(network)
    for batch in seen:
        reference.step(closure(network, batch), network, optimizer, clip_norm=clip_norm or None)
    assert same(network.state_dict(), weights)


@pytest.mark.parametrize("name", ["plain", "rwp", "sam"])
def test_hugging_faces_trainer_and_bert(name: str, tmp_path: Path) -> None:
    """The Trainer gives its networks the number of labels, too, as a tensor without an axis."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    robust, ids = recipe("RobustTrainer")["RobustTrainer"], torch.randint(1, 60, (32, 12))
    rows = [{"input_ids": row, "attention_mask": torch.ones_like(row), "labels": row[0] % 3} for row in ids]
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = transformers.BertConfig(**sizes, **without, vocab_size=60, max_position_embeddings=20, num_labels=3)
    seen: list[dict[str, Tensor]] = []

    def bert() -> nn.Module:
        torch.manual_seed(1)
        return transformers.BertForSequenceClassification(config).train()  # type: ignore[no-any-return]

    class Noting(robust):  # type: ignore[misc, valid-type]
        def training_step(self, model: nn.Module, inputs: Any, *more: Any) -> Tensor:
            seen.append(dict(inputs))
            return super().training_step(model, inputs, *more)  # type: ignore[no-any-return]

    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=8,
        num_train_epochs=1,
        report_to="none",
        use_cpu=True,
        save_strategy="no",
        disable_tqdm=True,
        logging_strategy="no",
        max_grad_norm=1.0,
    )
    network, reference, method, plain = bert(), bert(), prepared(name), prepared(name)
    optimizers = [fused(network), fused(reference)]
    constant = torch.optim.lr_scheduler.ConstantLR(optimizers[0], factor=1.0)
    trainer = Noting(model=network, args=arguments, train_dataset=rows, optimizers=(optimizers[0], constant))
    trainer.method = method
    trainer.train()
    for batch in seen:
        plain.step(lambda batch=batch: reference(**batch).loss, reference, optimizers[1], clip_norm=1.0)
    assert method.updates == plain.updates == 4
    assert same(reference.state_dict(), network.state_dict())


def fused(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(network.parameters(), lr=0.01, fused=True)  # the Trainer's own choice


@pytest.mark.parametrize("make", [sgd, fused])
@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_hugging_faces_trainer_with_the_recipe_is_itself(accumulate: int, make: Any, tmp_path: Path) -> None:
    settings = {"gradient_accumulation_steps": accumulate, "label_smoothing_factor": 0.1, "max_grad_norm": 0.3}
    method = prepared("plain")
    one = hugging_face(tmp_path, None, [], make, **settings)
    assert same(one, hugging_face(tmp_path, method, [], make, **settings))
    assert method.updates == -(-6 // accumulate)


def test_hugging_faces_trainer_accumulates_and_smooths_labels_in_several_passes(tmp_path: Path) -> None:
    seen, method = list[tuple[Tensor, Tensor]](), prepared("sam")
    settings = {"gradient_accumulation_steps": 2, "label_smoothing_factor": 0.1}
    weights = hugging_face(tmp_path, method, seen, **settings)
    network, reference = Net().train(), prepared("sam")
    optimizer = sgd(network)

    def smoothed(batch: tuple[Tensor, Tensor]) -> Callable[[], Tensor]:
        return lambda: F.cross_entropy(network(batch[0])["logits"], batch[1], label_smoothing=0.1)

    for pair in zip(seen[::2], seen[1::2], strict=True):
        reference.step([smoothed(batch) for batch in pair], network, optimizer)
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, weights[key], rtol=1e-4, atol=1e-5)  # sums in another order
    assert method.updates == 3


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
def test_accelerate_accumulates(name: str) -> None:
    accelerate = pytest.importorskip("accelerate")
    accelerate.state.GradientState._reset_state()
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    network, method = Net().train(), prepared(name)
    wrapped, optimizer = accelerator.prepare(network, sgd(network))
    for batch in BATCHES:
        with accelerator.accumulate(wrapped):
            method.gradient(lambda batch=batch: wrapped(*batch)["loss"] / 2, wrapped)
            optimizer.step()
            optimizer.zero_grad()
    accelerate.state.GradientState._reset_state()
    reference, stepped = prepared(name), Net().train()
    optimizer = sgd(stepped)
    for pair in zip(BATCHES[::2], BATCHES[1::2], strict=True):
        reference.step([closure(stepped, batch) for batch in pair], stepped, optimizer)
    assert method.updates == 3
    for key, value in stepped.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[key], rtol=1e-5, atol=1e-6)


def lightning_trained(network: nn.Module, method: Any, manual: bool, fails_at: int = -1, **settings: Any) -> None:
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.network, self.automatic_optimization = network, not manual

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return sgd(self)

        def training_step(self, batch: Any, number: int) -> Tensor | None:
            if number == fails_at:
                raise ZeroDivisionError
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
        **settings,
    )
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=8)
    trainer.fit(Module(), loader)


@pytest.mark.parametrize("name", ["rwp", "sam"])
def test_lightning(name: str) -> None:
    network, method = Net(), prepared(name)
    lightning_trained(network, method, manual=name == "sam")  # several passes
    assert same(plain_loop(prepared(name), Net()), network.state_dict())


def test_lightning_accumulates_and_clips() -> None:
    network, method = Net(), prepared("rwp")
    lightning_trained(network, method, manual=False, accumulate_grad_batches=2, gradient_clip_val=0.3)
    reference, stepped = prepared("rwp"), Net().train()
    optimizer = sgd(stepped)
    for pair in zip(BATCHES[::2], BATCHES[1::2], strict=True):
        reference.step([closure(stepped, batch) for batch in pair], stepped, optimizer, clip_norm=0.3)
    assert method.updates == 3
    for key, value in stepped.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[key], rtol=1e-5, atol=1e-6)


def test_a_failure_in_lightnings_loop_leaves_clean_weights() -> None:
    network, method = Net(), prepared("rwp")
    with pytest.raises(ZeroDivisionError):
        lightning_trained(network, method, manual=False, fails_at=3)
    wanted = plain_loop(prepared("rwp"), Net(), BATCHES[:3])
    assert same({key: value for key, value in wanted.items() if "weight" in key}, network.state_dict())


def test_asam_without_eta_leaves_weights_at_zero_out_of_the_ascent() -> None:
    def top(eta: float) -> Tensor:
        method, weights = dp.ASAM(rho=0.5, eta=eta), {"w": torch.tensor([0.0, 2.0])}
        return method.direction({"w": torch.tensor([3.0, 1.0])}, weights)["w"]

    assert torch.equal(top(0.0), torch.tensor([0.0, 4.0]))
    torch.testing.assert_close(top(0.01), torch.tensor([3e-4, 2.01**2]))
    with pytest.raises(DriftproofError, match=r"eta -1"):
        dp.ASAM(eta=-1)
    for wrong in (float("nan"), float("inf"), "0.1"):
        with pytest.raises(DriftproofError, match=r"eta .*: wanted a number of at least 0"):
            dp.ASAM(eta=wrong)  # type: ignore[arg-type]
    with pytest.raises(DriftproofError, match="method sam: eta is that of an adaptive ascent"):
        dp.SAM(eta=0.1)
    assert dp.SAM(adaptive=True, eta=0.1).eta == make_method("asam", eta=0.1).eta == 0.1  # type: ignore[attr-defined]
    assert "eta" not in dp.ASAM().describe()
    assert dp.ASAM(eta=0).describe()["eta"] == "0"
