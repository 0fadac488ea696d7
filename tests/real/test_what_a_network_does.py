"""Networks that write into inputs, see a batch as a whole, remember, draw, or differentiate: right, or refused by name.

The right value is always the network's own: it is measured on what it answers by hand, so that 100 % or 0 is right.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof import _behaviour
from driftproof.analysis import loss_surface
from driftproof.evaluation import FoldedNetwork
from driftproof.evaluation._backends import BackendName
from real.networks import CLASSES, Chance, Lora, Membrane, Rows, Steps

BACKENDS: tuple[BackendName, ...] = ("folded", "tiles")
PERFECT = {"digital", "ideal", "ideal-analog"}


class Of(nn.Module):
    """A function of a network with two layers, and of its inputs."""

    def __init__(self, function: Callable[..., Any], wide: int = 12) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(6, wide), nn.Linear(wide, CLASSES)
        self.norm = nn.BatchNorm1d(wide, track_running_stats=False)
        self.function = function
        self.kept: Any = None
        self.eval()

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.function(self, *inputs, **named)

    def layers(self, x: Tensor) -> Tensor:
        y: Tensor = self.b(torch.tanh(self.a(x)))
        return y


def inputs(number: int = 50) -> Tensor:
    source = torch.Generator().manual_seed(1)
    return 3 * torch.randn(number, 6, generator=source) + torch.linspace(-2, 2, number)[:, None]


def values(network: nn.Module, data: Any, backend: BackendName, **options: Any) -> dict[str, float]:
    """Return the value of each row under perfect devices."""
    record = dp.evaluate(
        network, data, presets="ideal", times="1s", chips=1, backend=backend, progress=False, **options
    )
    cells = record.cells()
    return dict(zip(cells["preset"], cells["value"], strict=True))


def answers(network: Callable[[Tensor], Tensor], x: Tensor, batch_size: int = 250) -> Tensor:
    with torch.no_grad():
        return torch.cat([network(part.clone()).argmax(1) for part in torch.split(x, batch_size)])


# --- networks that write into their inputs ---


def normalises(net: Of, x: Tensor) -> Tensor:
    x -= 1.0
    x /= 2.0
    return net.layers(x)


def clamps_far_values(net: Of, x: Tensor) -> Tensor:
    """Nothing in the first samples is that far."""
    return net.layers(x.clamp_(-9.0, 5.0).mul_(1.0 + (x > 4.9)))


def through_an_alias(net: Of, x: Tensor) -> Tensor:
    x.data[:, 0].neg_()
    return net.layers(x)


def by_numpy(net: Of, x: Tensor) -> Tensor:
    x.detach().numpy()[:, 1] *= -1.0
    return net.layers(x)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("function", [normalises, clamps_far_values, through_an_alias, by_numpy])
def test_inputs_that_are_written_into(function: Callable[..., Any], backend: BackendName) -> None:
    network, x = Of(function), inputs()
    before = x.clone()
    y = answers(network, x)
    assert torch.equal(x, before)
    assert values(network, (x, y), backend, batch_size=20) == dict.fromkeys(PERFECT, 100.0)
    assert torch.equal(x, before)
    assert dp.ChipValidation(data=(x, y), preset="ideal", chips=1)(network) == 100.0
    mapping = dp.map_model(network, example=x)
    folded = FoldedNetwork(network, mapping, x)
    folded.load_exact()
    assert torch.equal(folded(x).argmax(1), y)
    assert torch.equal(folded(x).argmax(1), y)
    assert torch.equal(x, before)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mask_by_name_is_written_into(backend: BackendName) -> None:
    def function(net: Of, x: Tensor, mask: Tensor) -> dict[str, Tensor]:
        mask.masked_fill_(mask > 0.7, 0.0)
        return {"logits": net.layers(x * mask), "loss": torch.zeros(())}

    network, x = Of(function), inputs()
    mask = torch.rand(50, 6, generator=torch.Generator().manual_seed(2))
    before = mask.clone()
    with torch.no_grad():
        y = network(x, mask.clone())["logits"].argmax(1)
    assert values(network, ({"x": x, "mask": mask}, y), backend) == dict.fromkeys(PERFECT, 100.0)
    assert torch.equal(mask, before)


# --- networks whose samples see each other ---


def centred(net: Of, x: Tensor) -> Tensor:
    h = net.a(x)
    y: Tensor = net.b(torch.relu(h - h.mean(0)))
    return y


def of_the_batch(net: Of, x: Tensor) -> Tensor:
    y: Tensor = net.b(torch.relu(net.norm(net.a(x))))
    return y


def quantised(net: Of, x: Tensor) -> Tensor:
    h = torch.relu(net.a(x))
    step = h.max() / 7
    y: Tensor = net.b((h / step).round() * step)
    return y


def ranked(net: Of, x: Tensor) -> Tensor:
    return net.layers(x.argsort(0).argsort(0).to(x.dtype) / len(x))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("network", [Rows, *(lambda f=f: Of(f) for f in (centred, of_the_batch, quantised, ranked))])
def test_samples_that_see_each_other(
    network: Callable[[], nn.Module], backend: BackendName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_behaviour, "CACHE_BYTES", 1)  # the folded backend would compute 8 samples at a time
    torch.manual_seed(0)
    net, x = network().eval(), inputs()
    y = answers(net, x, 20)
    assert (answers(net, x, 8) != y).any(), "the test needs a network whose batches matter"
    with pytest.warns(dp.DriftproofWarning, match=r"see each other.*batch_size \(20\)"):
        assert values(net, (x, y), backend, batch_size=20) == dict.fromkeys(PERFECT, 100.0)


def test_some_samples_of_a_batch_that_sees_itself_are_refused() -> None:
    evaluator = dp.Evaluator(Of(centred), (inputs(), torch.zeros(50, dtype=torch.int64)))
    trial = dp.Trial(dp.Deployment(device="gaussian:0.1"))
    with pytest.warns(dp.DriftproofWarning, match="see each other"):
        outcome = evaluator(trial)
    assert outcome.per_sample is not None
    with pytest.raises(dp.DriftproofError, match="some samples have other outputs"):
        evaluator(trial, samples=[1, 2])


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_of_one_size_only(backend: BackendName) -> None:
    network = Of(lambda net, x: net.layers(x.view(20, 6)))
    x = inputs(60)
    with pytest.warns(dp.DriftproofWarning, match="batches of some sizes only"):
        assert values(network, (x, answers(network, x, 20)), backend, batch_size=20)["ideal"] == 100.0
    analog = dp.convert(network, "ideal", example=x[:20])
    assert torch.allclose(dp.program(analog).model(x[:20]), network(x[:20]), atol=1e-5)
    with pytest.raises(dp.DriftproofError, match=r"does not take inputs float32 \[8, 6\]"):
        dp.evaluate(network, (x, torch.zeros(60)), presets="ideal", batch_size=30, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "make",
    [
        lambda net, x: net.layers(x),
        lambda net, x: (net.layers(x), None, {"hidden": net.a(x)}),
        lambda net, x: net.layers(x.double().float()),
        lambda net, x: {"logits": net.layers(x), "loss": net.layers(x).mean()},
    ],
    ids=["plain", "a tuple with None", "converts", "a loss of the batch"],
)
def test_no_warning_for_networks_of_single_samples(make: Callable[..., Any], backend: BackendName) -> None:
    network, x = Of(make), inputs()
    with torch.no_grad():
        y = Of(lambda net, x: net.layers(x))(x).argmax(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", dp.DriftproofWarning)
        assert values(network, (x, y), backend)["digital"] == 100.0


# --- outputs whose axis 0 is not the samples ---


def rate_accuracy(outputs: Tensor, targets: Tensor) -> float:
    return 100.0 * float((outputs.sum(0).argmax(1) == targets).float().mean())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("steps", [3, 5, 8, 50])
@pytest.mark.parametrize("batch_size", [8, 50])
def test_time_first_is_refused_before_anything_is_measured(
    steps: int, backend: BackendName, batch_size: int, tmp_path: Any
) -> None:
    network, data = Steps(steps), (inputs(), torch.zeros(50, dtype=torch.int64))
    with pytest.raises(dp.DriftproofError, match=r"axis 0 must count the samples.*Wrap the network"):
        values(network, data, backend, metric=rate_accuracy, batch_size=batch_size, out=tmp_path / "record")
    assert not (tmp_path / "record").exists()
    with pytest.raises(dp.DriftproofError, match="axis 0 must count the samples"):
        dp.ChipValidation(data=data, preset="ideal", metric=rate_accuracy)(network)


@pytest.mark.parametrize("backend", BACKENDS)
def test_time_first_is_right_when_wrapped_as_the_message_says(backend: BackendName) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Steps()

        def forward(self, x: Tensor) -> Tensor:
            outputs: Tensor = self.inner(x)
            return outputs.transpose(0, 1)

    def accuracy_over_steps(outputs: Tensor, targets: Tensor) -> float:
        return 100.0 * float((outputs.sum(1).argmax(1) == targets).float().mean())

    torch.manual_seed(0)
    network, x = Wrapped().eval(), inputs()
    with torch.no_grad():
        y = network(x).sum(1).argmax(1)
    row = values(network, (x, y), backend, metric=accuracy_over_steps, batch_size=20)
    assert row == dict.fromkeys(PERFECT, 100.0)


def test_a_conversion_does_not_care_where_the_samples_are() -> None:
    torch.manual_seed(0)
    network, x = Steps().eval(), inputs(8)
    chip = dp.program(dp.convert(network, "ideal", example=x))
    assert torch.allclose(chip.model(x), network(x), atol=1e-5)
    folded = FoldedNetwork(network, dp.map_model(network, example=x), x)
    folded.load_exact()
    assert torch.allclose(folded(inputs()), network(inputs()), atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda net, x: net.layers(x).mean(), r"\[\] for 8 samples"),
        (lambda net, x: net.layers(x).flatten(), r"\[32\] for 8 samples"),
        (lambda net, x: net.layers(x)[net.layers(x)[:, 0] > 0], r"for \d samples: axis 0 must count"),
        (lambda net, x: [net.layers(x)[i, : 1 + i % 3] for i in range(len(x))], "a list of 8 parts for 8 samples"),
    ],
    ids=["one number", "flat", "some samples", "a list"],
)
def test_other_outputs_that_are_not_one_a_sample(function: Callable[..., Any], told: str, backend: BackendName) -> None:
    with pytest.raises(dp.DriftproofError, match=told):
        values(Of(function), (inputs(), torch.zeros(50)), backend, metric=rate_accuracy)


# --- networks that are no function of their inputs ---


def remembers_the_first(net: Of, x: Tensor) -> Tensor:
    if net.kept is None:
        net.kept = x.mean(0)
    return net.layers(x - net.kept)


def counts_calls(net: Of, x: Tensor) -> Tensor:
    net.kept = (net.kept or 0) + 1
    outputs: Tensor = net.layers(x) * net.kept
    return outputs


def in_eval_mode_too(net: Of, x: Tensor) -> Tensor:
    return net.layers(nn.functional.dropout(x, 0.2))


def noisy(net: Of, x: Tensor) -> Tensor:
    return net.layers(x) + 1e-3 * torch.randn(len(x), 1)


MEMORY = "keeps something between calls"
CHANCE = "random in eval mode"
NO_FUNCTIONS = [
    (Membrane, MEMORY),
    (lambda: Of(remembers_the_first), MEMORY),
    (lambda: Of(counts_calls), MEMORY),
    (Chance, CHANCE),
    (lambda: Of(in_eval_mode_too), CHANCE),
    (lambda: Of(noisy), CHANCE),
]


@pytest.mark.parametrize(("make", "why"), NO_FUNCTIONS)
def test_memory_and_chance_are_refused_by_name(make: Callable[[], nn.Module], why: str) -> None:
    data = (inputs(48), torch.zeros(48, dtype=torch.int64))
    for backend in BACKENDS:
        for batch_size in (8, 48, 30):
            with pytest.raises(dp.DriftproofError, match=why):
                values(make().eval(), data, backend, batch_size=batch_size)
    validate = dp.ChipValidation(data=data, preset="gaussian:0.1", chips=1)
    calls: list[Callable[[], object]] = [
        lambda: validate(make()),
        lambda: dp.convert(make(), "ideal", example=data[0][:4]),
        lambda: dp.to_aihwkit(make(), example=data[0]),
        lambda: FoldedNetwork(make().eval(), dp.map_model(make().eval(), example=data[0]), data[0]),
        lambda: loss_surface(make(), data, "gaussian:0.1", points=3),
    ]
    for call in calls[: 5 if why == CHANCE else 4]:  # a batch of one sample shows no first batch
        with pytest.raises(dp.DriftproofError, match=why):
            call()


@pytest.mark.parametrize(("function", "why"), [(counts_calls, MEMORY), (in_eval_mode_too, CHANCE), (noisy, CHANCE)])
def test_a_training_that_validates_refuses_them_by_name(function: Callable[..., Any], why: str) -> None:
    data = (inputs(48), torch.zeros(48, dtype=torch.int64))
    validate = dp.ChipValidation(data=data, preset="gaussian:0.1", chips=1)
    with pytest.raises(dp.DriftproofError, match=why):
        dp.train(Of(function), data, epochs=1, batch_size=48, validate=validate, progress=False)


def test_a_membrane_of_another_batch_is_named() -> None:
    network = Membrane()
    network(inputs(30)).sum().backward()
    for call in (
        lambda: values(network, (inputs(), torch.zeros(50, dtype=torch.int64)), "tiles"),
        lambda: dp.convert(network, "ideal", example=inputs(8)),
    ):
        with pytest.raises(dp.DriftproofError, match=r"keeps potential \[30, 16\] between calls.*reset it"):
            call()


@pytest.mark.parametrize("backend", BACKENDS)
def test_networks_that_reset_themselves_are_right(backend: BackendName) -> None:
    def resets(net: Of, x: Tensor) -> Tensor:
        net.kept = torch.zeros(())
        spikes = torch.zeros(())
        for _ in range(5):
            net.kept = net.kept + net.a(x)
            fired = (net.kept > 1).float()
            net.kept, spikes = net.kept - fired, spikes + fired
        y: Tensor = net.b(spikes)
        return y

    def caches(net: Of, x: Tensor) -> Tensor:
        if net.kept is None:
            net.kept = torch.linspace(0, 1, 6)
        return net.layers(x + net.kept)

    for function in (resets, caches):
        network, x = Of(function), inputs()
        y = answers(network, x)
        network(x[:7]).sum().backward()  # it has been trained on another batch
        assert values(network, (x, y), backend, batch_size=20) == dict.fromkeys(PERFECT, 100.0)


# --- networks that differentiate, and layers with an eval mode of their own ---


def gradient(net: Of, x: Tensor) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(net.layers(x).square().sum(), x, create_graph=net.training)
    outputs: Tensor = slope[:, :CLASSES]
    return outputs


def tangent(net: Of, x: Tensor) -> Tensor:
    out: Tensor = torch.func.jvp(net.layers, (x,), (torch.ones_like(x),))[1]
    return out


@pytest.mark.parametrize(("function", "backend"), [(gradient, "folded"), (gradient, "tiles"), (tangent, "folded")])
def test_networks_that_differentiate(function: Callable[..., Any], backend: BackendName) -> None:
    network, x = Of(function), inputs()
    y = network(x).detach()
    with torch.no_grad():
        assert torch.equal(network(x), y)
    row = values(network, (x, y), backend, metric="mse")
    assert row["digital"] < 1e-12
    assert row["ideal"] == row["ideal-analog"] < 1e-10
    if function is gradient:  # aihwkit's layers do not take part in torch.func
        chip = dp.program(dp.convert(network, "ideal", example=x))
        assert torch.allclose(chip.model(x), y, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_that_merge_are_evaluated_as_they_merge(backend: BackendName) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(Lora(6, 12), nn.ReLU(), Lora(12, CLASSES)).train()
    x, before = inputs(), {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        y = network(x)
    assert values(network, (x, y), backend, metric="mse")["ideal"] < 1e-10
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training


# --- code that a user attached to torch's own layers ---


def hooked(network: nn.Sequential) -> None:
    network[0].register_forward_hook(lambda module, args, output: output.abs() * 2 - 1)


def hooked_before(network: nn.Sequential) -> None:
    network[2].register_forward_pre_hook(lambda module, args: (args[0].square(),))


def patched(network: nn.Sequential) -> None:
    layer = network[0]
    vars(layer)["forward"] = lambda x: torch.tanh(nn.functional.linear(x, layer.weight))  # type: ignore[arg-type]


def wrapped(network: nn.Sequential) -> None:
    before = network[2].forward
    vars(network[2])["forward"] = lambda x: before(x).sin()


def hooked_as_a_whole(network: nn.Sequential) -> None:
    network.register_forward_hook(lambda module, args, output: output.square())


@pytest.mark.filterwarnings("ignore::driftproof.DriftproofWarning")  # without an example, a layer stays digital
@pytest.mark.parametrize("change", [hooked, hooked_before, patched, wrapped, hooked_as_a_whole])
def test_code_that_is_attached_to_layers_runs_on_tiles_too(change: Callable[[nn.Sequential], None]) -> None:
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, CLASSES)).eval(), inputs()
    change(network)
    with torch.no_grad():
        y = network(x)
    for backend in BACKENDS:
        assert values(network, (x, y), backend, metric="mse")["ideal"] < 1e-9
    for example in (x, None):
        chip = dp.program(dp.convert(network, "ideal", example=example))
        assert torch.allclose(chip.model(x), y, atol=1e-4)
    if change is not hooked_as_a_whole:
        assert len(dp.to_aihwkit(network, example=x).digital) == 1


# --- what the checks cost ---


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_checks_together_cost_five_passes(backend: BackendName) -> None:
    calls: list[int] = []

    def counting(net: Of, x: Tensor) -> Tensor:
        calls.append(len(x))
        return net.layers(x)

    data = (inputs(48), torch.zeros(48, dtype=torch.int64))
    values(Of(counting), data, backend, batch_size=48)
    measured = calls.index(48)
    assert len(calls[:measured]) <= 5
    checks = [number for number in calls if number != 48]
    assert calls.count(48) == 3  # digital, ideal-analog, ideal
    assert sum(checks) <= 5 * 8
