"""Wrong use of energy-based learning is loud: it says what came, what was wanted and what to do."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._hopfield import Recording, Schedule
from driftproof.data import TensorData
from driftproof.energy import CenteredCpL, CenteredEP, ContrastiveLearning, NegativeEP, PositiveEP, dchn, hopfield_dense
from driftproof.training._methods.by_name import METHODS, make_method
from energy.reference import ALGORITHMS
from energy.small import batch_of, network_of, squared_error, states_of

GAUSSIAN = "gaussian:0.1"


def of_any(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose arguments the type checker does not look at."""
    return function


def run_of(method: Any, network: Any, closure: Any) -> Callable[[], Any]:
    """One update, which has to leave the weights as they are."""
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

    def run() -> None:
        try:
            method.step(closure, network, optimizer)
        finally:
            assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
            assert method.updates == 0

    return run


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CenteredEP(beta=0), "c-ep: beta 0, wanted a number above 0: with 0 both phases are the same"),
        (lambda: PositiveEP(beta=-0.1), r"p-ep: beta -0\.1, wanted a number above 0"),
        (lambda: CenteredCpL(beta=float("nan")), "c-cpl: beta nan, wanted a number above 0"),
        (lambda: PositiveEP(beta=float("inf")), "p-ep: beta inf, wanted a number above 0"),
        (lambda: CenteredEP(beta=1), r"c-ep: beta 1; at n = −β the energy has a minimum for β < 1 only"),
        (lambda: NegativeEP(beta=1.5), r"n-ep: beta 1\.5; at n = −β .* β < 1 only"),
        (lambda: CenteredEP(iterations=0), "c-ep: wanted at least one iteration of each phase, got 0 of the free"),
        (lambda: CenteredEP(perturbed_iterations=0), "got None of the free phase .* and 0 of a perturbed one"),
        (lambda: CenteredEP(start="last"), "c-ep: start 'last'; wanted previous or zero"),
        (
            lambda: PositiveEP(beta=1e3),
            r"p-ep: beta 1000\.0 holds the output all but at its target, which is the method cl",
        ),
        (lambda: CenteredCpL(beta=1.5), r"c-cpl: beta 1\.5 holds the output beyond its target"),
        (lambda: of_any(CenteredEP)(beta=None), "c-ep: beta None, wanted a number"),
        (lambda: of_any(CenteredEP)(perturbed_iterations=2.5), r"perturbed_iterations = 2\.5: wanted a whole number"),
        (lambda: of_any(hopfield_dense)([6, 5, 3], iterations=1.5), r"iterations = 1\.5: wanted a whole number"),
        (lambda: hopfield_dense([6, 5, 3], tolerance=float("inf")), "a tolerance above 0 or None, got 60 and inf"),
        (lambda: hopfield_dense([6, 5, 3], backpropagated=0), "backpropagated 0: wanted at least one iteration"),
        (lambda: hopfield_dense([6, 5, 3], iteration=3), "hopfield_dense.. .*iteration.*did you mean iterations"),
        (lambda: of_any(hopfield_dense)([6.0, 3]), r"sizes = 6\.0: wanted a whole number"),
        (lambda: of_any(dchn)([4], image=8), "image 8: wanted channels and size"),
        (
            lambda: hopfield_dense([6, 3]).set_feedback("second"),
            "feedback 'second': a network of one edge feeds nothing",
        ),
        (lambda: CenteredEP(strength=2.0), "c-ep: a strength, or a schedule of it, came without a noise"),
        (lambda: CenteredEP(noise=GAUSSIAN, strength=0), "c-ep: its strength is zero throughout"),
        (lambda: of_any(ContrastiveLearning)(beta=0.5), "beta"),
        (lambda: of_any(CenteredEP)(norms="perturbed"), "norms"),
        (lambda: of_any(CenteredEP)(betta=0.5), "betta.*did you mean beta"),
        (lambda: make_method("c-ep", rho=0.1), "c-ep takes no rho"),
        (lambda: make_method("cep"), "did you mean c-ep"),
        (lambda: hopfield_dense([6, 5, 3], iterations=0), "at least one iteration .* got 0 and None"),
        (lambda: hopfield_dense([6, 5, 3], tolerance=0.0), r"a tolerance above 0 or None, got 60 and 0\.0"),
        (lambda: of_any(hopfield_dense)([6, 3], order="synchron"), "order 'synchron' .did you mean synchronous"),
        (lambda: of_any(dchn)([4], pool="mean"), "pool 'mean' .*there are max, average"),
        (
            lambda: of_any(hopfield_dense([6, 3]).set_feedback)("none"),
            "feedback 'none': there are same, second, digital",
        ),
        (lambda: of_any(hopfield_dense([6, 3]).set_precision)("float64"), "precision 'float64' .*there are float32"),
        (lambda: hopfield_dense([6, 5, 3], gain=[0.5]), r"gains \[0\.5\]: wanted one for all, or one for each of 2"),
        (lambda: hopfield_dense([6, 3], gain=0), r"gains \[0\]: .*above 0 and finite"),
        (lambda: hopfield_dense([6, 3], gain=float("nan")), r"gains \[nan\]"),
        (lambda: dchn([4], image=(1, 8), gain=[0.5, -1.0]), r"gains \[0\.5, -1\.0\]"),
        (lambda: hopfield_dense([6]), r"sizes \[6\]: wanted those of input and output"),
        (lambda: hopfield_dense([6, 0, 3]), r"sizes \[6, 0, 3\]: .* at least 1"),
        (lambda: dchn([], image=(1, 8)), r"widths \[\] and 10 classes: wanted at least one layer"),
        (lambda: dchn([4, 0], image=(1, 8)), r"widths \[4, 0\]"),
        (lambda: dchn([4], image=(1, 8), classes=0), "0 classes"),
        (
            lambda: dchn([4, 4, 4], image=(1, 12)),
            "1 x 12 x 12: 3 poolings of 2 x 2 need a size that is a multiple of 8",
        ),
        (lambda: dchn([4], image=(0, 8)), "0 x 8 x 8: .* at least one channel"),
        (lambda: dp.energy.HopfieldNetwork([]), "at least one edge"),
    ],
)
def test_impossible_settings(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        make()


def test_beta_of_one_is_possible_where_the_energy_has_a_minimum() -> None:
    for name in ("p-ep", "p-cpl", "n-cpl", "c-cpl"):
        assert make_method(name, beta=1.0).describe()["beta"] == "1"


def test_all_seven_are_known_by_name() -> None:
    assert [name for name, named in METHODS.items() if named.make.__module__.startswith("driftproof.energy")] == list(
        ALGORITHMS
    )


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        ("dense 3", (4, 7), r"inputs have 7 numbers a sample \(\[7\]\), the network takes 6; .*hopfield-dense:7-"),
        ("dense 3", (4, 2, 2, 2), r"inputs have 8 numbers a sample \(\[2, 2, 2\]\)"),
        ("max", (4, 1, 8, 8), r"shape \[4, 1, 8, 8\]: the network takes images \[N, 2, 8, 8\], or smaller"),
        ("max", (4, 2, 7, 7), r"shape \[4, 2, 7, 7\]: .* as many zeros on each side"),
        ("max", (4, 2, 10, 10), r"shape \[4, 2, 10, 10\]"),
        ("max", (4, 2, 8, 6), r"shape \[4, 2, 8, 6\]"),
        ("max", (2, 8, 8), r"shape \[2, 8, 8\]"),
    ],
)
def test_inputs_of_another_shape(kind: str, shape: tuple[int, ...], message: str) -> None:
    network = network_of(kind)
    for graph in (True, False):
        with torch.set_grad_enabled(graph), pytest.raises(DriftproofError, match=message):
            network(torch.rand(shape, dtype=torch.float64))


def test_inputs_that_are_integers() -> None:
    with pytest.raises(DriftproofError, match=r"takes floating-point inputs, got torch\.int64"):
        network_of("dense 3")(torch.ones(4, 6, dtype=torch.int64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:0], r"shape \[0, 6\]: wanted a batch \[N, …\] of at least one sample"),
        (lambda x: x[0], r"shape \[6\]: .*inputs\[None\]"),
        (lambda x: x.float(), r"inputs are torch\.float32 and the weights torch\.float64"),
        (lambda x: x.index_fill(0, torch.tensor([1, 3]), float("nan")), r"2 of 5 samples .*\(the first is sample 1\)"),
    ],
)
def test_batches_that_are_none(change: Callable[[Tensor], Tensor], message: str) -> None:
    network, (x, _) = network_of("dense 3"), batch_of("dense 3")
    for graph in (True, False):
        with torch.set_grad_enabled(graph), pytest.raises(DriftproofError, match=message):
            network(change(x))


PRECISIONS = [
    (lambda network: network.bfloat16(), "trained in float32, bfloat16 came"),
    (lambda network: network.half(), "trained in float32, float16 came"),
    (lambda network: network.set_precision("bfloat16"), "multiplies in bfloat16, which is for inference"),
    (lambda network: network.set_feedback("second"), r"network\.set_feedback\('same'\)"),
    (lambda network: network.set_feedback("digital"), r"network\.set_feedback\('same'\)"),
]


@pytest.mark.filterwarnings("ignore:.*stay digital:driftproof.DriftproofWarning")
@pytest.mark.parametrize(("change", "message"), PRECISIONS)
@pytest.mark.parametrize("method", [CenteredEP, dp.Plain, lambda: dp.RWP(noise=GAUSSIAN), lambda: dp.SAM(rho=0.1)])
def test_networks_that_can_only_be_evaluated(method: Any, change: Any, message: str, tmp_path: Path) -> None:
    network = change(hopfield_dense([6, 5, 3], iterations=5))
    dtype = network.edge(0).weight.dtype
    data = TensorData("few", torch.rand(8, 6, dtype=dtype), torch.arange(8) % 3)
    with pytest.raises(DriftproofError, match=message):
        dp.train(network, data, method=method(), epochs=1, lr=0.1, batch_size=4, progress=False, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    wanted = nn.functional.one_hot(data.targets, 3).to(dtype)
    with pytest.raises(DriftproofError, match=message):
        method().step(lambda: (network(data.inputs) - wanted).square().sum() / 16, network, optimizer)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("method", [CenteredEP, dp.Plain])
def test_a_precision_that_the_network_would_not_follow(method: Any, precision: Any) -> None:
    network = hopfield_dense([6, 5, 3], iterations=5)
    data = TensorData("few", torch.rand(8, 6), torch.arange(8) % 3)
    with pytest.raises(DriftproofError, match=rf"trained in float32, {precision} came.*leave the precision out"):
        dp.train(network, data, method=method(), epochs=1, lr=0.1, batch_size=4, progress=False, precision=precision)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "mse"}, "c-ep minimises the squared error; loss 'mse' came"),
        ({"distil": 0.5}, "c-ep minimises the squared error alone, without distillation"),
    ],
)
def test_a_refused_training_does_not_claim_its_folder(settings: Any, message: str, tmp_path: Path) -> None:
    network = hopfield_dense([6, 5, 3], iterations=5)
    data = TensorData("few", torch.rand(8, 6), torch.arange(8) % 3)
    options: dict[str, Any] = {"epochs": 1, "lr": 0.1, "batch_size": 4, "progress": False, "out": tmp_path / "out"}
    with pytest.raises(DriftproofError, match=message):
        dp.train(network, data, method=CenteredEP(), **options, **settings)
    wrong = TensorData("few", torch.rand(8, 6), torch.arange(8) % 3 + 1)
    with pytest.raises(DriftproofError, match=r"epoch 1, update 1: loss squared-error: targets from 1 to 3"):
        dp.train(network, wrong, method=CenteredEP(), **options)
    assert dp.train(network, data, method=CenteredEP(), **options).rows


@pytest.mark.parametrize("label", [-100, -1, 3])
def test_classes_that_the_network_does_not_have(label: int) -> None:
    data = TensorData("few", torch.rand(4, 6), torch.tensor([0, 1, 2, label]))
    network = hopfield_dense([6, 5, 3], iterations=5)
    with pytest.raises(DriftproofError, match=rf"squared-error: targets from .*{label}") as error:
        dp.train(network, data, method=CenteredEP(), epochs=1, lr=0.1, batch_size=4, progress=False)
    assert "does not count" not in str(error.value)


def test_targets_that_are_not_finite() -> None:
    network = hopfield_dense([6, 5, 3], iterations=5)
    data = TensorData("few", torch.rand(4, 6), torch.full((4, 3), float("nan")))
    with pytest.raises(DriftproofError, match="squared-error: some targets are not finite"):
        dp.train(network, data, method=CenteredEP(), epochs=1, lr=0.1, batch_size=4, progress=False)


def test_a_beta_that_is_lost_in_the_rounding() -> None:
    """In float64 the same β is none of these."""
    network, (x, y) = network_of("dense 3"), batch_of("dense 3")
    single = copy.deepcopy(network).float()
    with pytest.raises(
        DriftproofError, match=r"beta 1e-06 is lost in the rounding of the states; wanted at least 1e-05"
    ):
        run_of(CenteredEP(beta=1e-6), single, squared_error(single, x.float(), y.float()))()
    CenteredEP(beta=1e-6).gradient(squared_error(network, x, y), network)


def test_a_network_with_another_relaxation_leaves_the_first_one_alone() -> None:
    network, (x, _) = network_of("dense 3"), batch_of("dense 3")
    other = network.with_relaxation(iterations=7)
    other.set_feedback("second")
    with torch.no_grad():
        other.edge(0).weight.mul_(0.5)
    assert network.feedback == "same"
    assert other.feedback == "second"
    assert torch.equal(network.edge(0).weight, other.edge(0).weight)
    assert sorted(dict(network.named_parameters())) != sorted(dict(other.named_parameters()))
    assert network(x).shape == other(x).shape


@pytest.mark.parametrize(
    ("value", "message"), [(1.25, r"from .* to 1\.25, wanted 0 to 1"), (-0.5, r"from -0\.5 to"), (float("nan"), "nan")]
)
@pytest.mark.parametrize("kind", ["dense 4", "max"])
def test_states_outside_their_bounds(kind: str, value: float, message: str) -> None:
    """Those of hidden layers; the output is not bounded."""
    network, (x, _) = network_of(kind), batch_of(kind)
    for number in range(len(network.edges)):
        layers = states_of(network, len(x))
        layers[number].view(-1)[3] = value
        calls = (lambda: network.energy(x, layers), lambda: network.start(network.placed(x), layers))  # noqa: B023
        call: Callable[[], Any]
        for call in calls:
            if number == len(network.edges) - 1:
                call()
                continue
            with pytest.raises(DriftproofError, match=rf"hidden layer {number + 1} .*{message}"):
                call()


def test_states_of_another_shape() -> None:
    network, (x, _) = network_of("dense 3"), batch_of("dense 3")
    layers = states_of(network, len(x))
    for wrong in (layers[:-1], [layer[:2] for layer in layers], layers[::-1]):
        with pytest.raises(DriftproofError, match=r"states of shapes .*: wanted one for each layer .*\(5, 9\)"):
            network.energy(x, wrong)


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("large", [1e5, float("inf")])
def test_a_relaxation_that_runs_away(large: float, graph: bool) -> None:
    network, (x, _) = network_of("dense 3", order="synchronous"), batch_of("dense 3")
    with torch.no_grad():
        for edge in network.edges:
            edge.weight.copy_(edge.weight.abs() * large)
    with (
        torch.set_grad_enabled(graph),
        pytest.raises(DriftproofError, match=r"runs away: after 60 iterations \(synchronous\) .*smaller gains"),
    ):
        network(x)


def test_a_relaxation_that_does_not_settle_is_told_once() -> None:
    """Two layers that inhibit each other swing between 0 and 1 in the synchronous order, and rest in the other one."""
    network = hopfield_dense([1, 1, 1, 1], order="synchronous", iterations=40)
    with torch.no_grad():
        for number, (weight, bias) in enumerate([(0.0, 1.0), (-4.0, 1.0), (0.1, 0.0)]):
            network.edge(number).weight.fill_(weight)
            network.edge(number).bias.fill_(bias)
        x = torch.zeros(3, 1)
        with pytest.warns(
            DriftproofWarning, match=r"does not settle: .* is 1 at half of 40 iterations and 1 at the end"
        ):
            network(x)
        network(x)  # a second warning would be an error
        network.with_relaxation(order="asynchronous")(x)


def test_samples_that_rest_early_are_settled() -> None:
    """All rest before half of the iterations, so that there is no change at half to compare with."""
    network = network_of("dense 3", iterations=60).with_relaxation(tolerance=0.3)
    with torch.no_grad():
        network(batch_of("dense 3")[0])  # a warning would be an error
    assert 0.02 < network.diagnostics()["residual"] < 0.3
    assert network.diagnostics()["iterations"] < 30


def test_a_relaxation_with_gradients_is_measured_too() -> None:
    network, (x, _) = network_of("dense 3", iterations=40), batch_of("dense 3")
    with torch.no_grad():
        network(x)
    expected = network.diagnostics()
    network.clear_diagnostics()
    assert network(x).requires_grad
    assert network.diagnostics() == pytest.approx(expected)


def test_a_nudged_phase_that_runs_away() -> None:
    """With a linear layer alone next to the output, n near −1 has no rest within the iterations."""
    network, (x, y) = network_of("dense 2", order="synchronous"), batch_of("dense 2")
    with torch.no_grad():
        network.edges[1].weight.mul_(40)
    method = CenteredEP(beta=0.999)
    with pytest.raises(DriftproofError, match=r"the relaxation runs away.* a smaller beta than 0\.999"):
        run_of(method, network, squared_error(network, x, 300 * y))()


def _losses() -> dict[str, tuple[Callable[[Any, Tensor, Tensor], Callable[[], Any]], str]]:
    def twice(network: Any, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
        return lambda: squared_error(network, x, y)() + network(x).sum()

    def never(network: Any, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
        return lambda: network.edges[0].weight.square().sum()

    def another(network: Any, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
        return lambda: (network(x) + network.edges[0].weight.sum()).new_ones((), requires_grad=True)

    return {
        "cross-entropy": (
            lambda network, x, y: lambda: nn.functional.cross_entropy(network(x), y),
            r"minimises the squared error .*the closure's loss is .*Use loss='squared-error', without distillation",
        ),
        "mse": (
            lambda network, x, y: lambda: nn.functional.mse_loss(network(x), y),
            "Use loss='squared-error'",
        ),
        "sum": (
            lambda network, x, y: lambda: (network(x) - y).square().sum() / 2,
            "averaged over the batch",
        ),
        "decay": (
            lambda network, x, y: lambda: squared_error(network, x, y)() + network.edges[0].weight.square().sum(),
            "Use loss='squared-error'",
        ),
        "twice": (twice, "the closure calls the Hopfield network twice"),
        "never": (never, "the closure did not call the network that step"),
        "detached": (lambda network, x, y: lambda: network(x).detach().sum(), "loss has no gradient"),
        "of something else": (another, "Use loss='squared-error'"),
        "not a number": (lambda network, x, y: lambda: network(x).sum() * float("nan"), "the loss .* is nan"),
        "no scalar": (lambda network, x, y: lambda: (network(x) - y).square(), "wanted the loss as a tensor of one"),
    }


LOSSES = _losses()


@pytest.mark.parametrize("name", LOSSES)
def test_closures_with_another_loss(name: str) -> None:
    closure, message = LOSSES[name]
    network, (x, y) = network_of("dense 3"), batch_of("dense 3")
    with pytest.raises(DriftproofError, match=message):
        run_of(CenteredEP(), network, closure(network, x, y))()
    assert network._recording is None  # the network can be called again
    network(x)


def test_losses_of_a_training() -> None:
    x, y = batch_of("dense 3", samples=8, dtype=torch.float32)
    data, network = TensorData("points", x, y.argmax(1)), hopfield_dense([6, 5, 3])
    for more in ({"loss": "cross-entropy"}, {"loss": "mse"}, {"distil": 0.5}):
        with pytest.raises(DriftproofError):
            of_any(dp.train)(network, data, method=CenteredEP(), epochs=1, batch_size=4, **more)
    with pytest.raises(DriftproofError, match=r"the squared error alone, without distillation"):
        dp.train(network, data, method=CenteredEP(), epochs=1, batch_size=4, distil=0.5)
    dp.train(network, data, method=CenteredEP(), epochs=1, batch_size=4)


def test_another_network() -> None:
    network, (x, y) = nn.Linear(6, 3).double(), batch_of("dense 3")
    message = r"c-ep trains Hopfield networks, such as driftproof\.energy\.hopfield_dense\(\); a Linear came"
    with pytest.raises(DriftproofError, match=message):
        run_of(CenteredEP(), network, squared_error(network, x, y))()


@pytest.mark.filterwarnings("ignore:.*stay digital:driftproof.DriftproofWarning")
@pytest.mark.parametrize("feedback", ["second", "digital"])
def test_training_with_weights_that_are_not_symmetric(feedback: Any) -> None:
    network, (x, y) = network_of("dense 3").set_feedback(feedback), batch_of("dense 3")
    with pytest.raises(DriftproofError, match=r"same in both directions; call network\.set_feedback\('same'\)"):
        run_of(CenteredEP(), network, squared_error(network, x, y))()


def test_a_second_recording() -> None:
    network = network_of("dense 3")
    recording = Recording(Schedule(iterations=3))
    refused = pytest.raises(DriftproofError, match="in the free phase of another method")
    with network.recording(recording), refused, network.recording(Recording(Schedule(iterations=3))):
        pass
    assert recording.relaxed is None
    with network.recording(recording):
        pass


def test_a_network_that_is_called_in_a_closure_can_be_copied_and_saved() -> None:
    """A copy of a network that is being recorded is not."""
    network, (x, _) = network_of("dense 3"), batch_of("dense 3")
    with network.recording(Recording(Schedule(iterations=3))):
        copied = copy.deepcopy(network)
    with torch.no_grad():
        assert torch.equal(copied(x), network(x))


def test_noise_that_perturbs_nothing() -> None:
    network, (x, y) = network_of("dense 3"), batch_of("dense 3")
    with pytest.raises(DriftproofError, match=re.escape("method c-ep: noise ideal at strength 1 perturbs nothing")):
        run_of(CenteredEP(noise="ideal"), network, squared_error(network, x, y))()


def test_low_precision_is_not_for_training() -> None:
    network = network_of("dense 2").set_precision("bfloat16")
    with pytest.raises(DriftproofError, match=r"multiplies in bfloat16, which is for inference.*set_precision"):
        CenteredEP().gradient(squared_error(network, *batch_of("dense 2")), network)
