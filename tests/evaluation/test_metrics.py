"""Metrics: by name against independent references, batch by batch; functions of the user's own; what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torch import Tensor
from torch.nn import functional as F

from driftproof._errors import DriftproofError
from driftproof._record import QUANTITIES
from driftproof.data import TensorData
from driftproof.evaluation._metrics import METRICS, Metric, as_metric
from driftproof.evaluation._score import score

CPU = torch.device("cpu")
SOURCE = torch.Generator().manual_seed(3)
LOGITS = torch.randn(37, 8, generator=SOURCE)
CLASSES = torch.randint(0, 7, (37,), generator=SOURCE)  # class 7 is predicted, but never a target
TOKEN_LOGITS = torch.randn(37, 9, 8, generator=SOURCE)
TOKENS = torch.randint(0, 8, (37, 9), generator=SOURCE)
SOME = torch.where(torch.rand(37, 9, generator=SOURCE) < 0.4, -100, TOKENS)
VALUES = torch.randn(37, 2, generator=SOURCE)


def causal_loss() -> float:
    """Mean of −log p(next token), position by position."""
    logs = TOKEN_LOGITS.double().log_softmax(-1)
    found = [
        float(-logs[n, i, SOME[n, j]])
        for n in range(37)
        for i, j in pairwise(range(9))
        if SOME[n, j] != -100
    ]  # fmt: skip
    return math.exp(sum(found) / len(found))


def right_tokens() -> float:
    kept = (SOME != -100).numpy()
    return 100 * float(reference.accuracy_score(SOME.numpy()[kept], TOKEN_LOGITS.argmax(-1).numpy()[kept]))


def f1(targets: Tensor, outputs: Tensor) -> float:
    kept = (targets != -100).numpy()
    truth, said = targets.numpy()[kept], outputs.argmax(-1).numpy()[kept]
    return 100 * float(reference.f1_score(truth, said, average="macro", labels=np.unique(truth), zero_division=0))


CASES: dict[str, tuple[Tensor, Tensor, Callable[[], float]]] = {
    "accuracy": (LOGITS, CLASSES, lambda: 100 * reference.accuracy_score(CLASSES, LOGITS.argmax(1))),
    "top5": (LOGITS, CLASSES, lambda: 100 * reference.top_k_accuracy_score(CLASSES, LOGITS, k=5, labels=range(8))),
    "token-accuracy": (TOKEN_LOGITS, SOME, right_tokens),
    "perplexity": (TOKEN_LOGITS, SOME, causal_loss),
    "f1": (LOGITS, CLASSES, lambda: f1(CLASSES, LOGITS)),
    "f1 of tokens": (TOKEN_LOGITS, SOME, lambda: f1(SOME, TOKEN_LOGITS)),
    "mse": (VALUES, VALUES.flip(0), lambda: reference.mean_squared_error(VALUES.flip(0), VALUES)),
}


def test_every_metric_has_a_case_and_a_quantity() -> None:
    assert {case.split(" of ")[0] for case in CASES} == set(METRICS) == set(QUANTITIES)
    assert all(METRICS[name].quantity == QUANTITIES[name] for name in METRICS)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("batch_size", [1, 10, 37])
def test_a_metric_is_its_reference_whatever_the_batches(case: str, batch_size: int) -> None:
    outputs, targets, wanted = CASES[case]
    data = TensorData("d", outputs, targets)
    found = score(METRICS[case.split(" of ")[0]], lambda x, _: x, data, batch_size, CPU, "test").value
    assert found == pytest.approx(wanted(), rel=1e-6)
    small = TensorData("d", outputs, targets.to(torch.int8) if not targets.is_floating_point() else targets)
    assert score(METRICS[case.split(" of ")[0]], lambda x, _: x, small, 37, CPU, "test").value == pytest.approx(found)


def test_perplexity_shifts_as_hugging_face_does() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_layer=1, n_embd=16, n_head=2, vocab_size=50, n_positions=16, bos_token_id=0, eos_token_id=0
    )
    network = transformers.GPT2LMHeadModel(config).eval()
    ids = torch.randint(0, 50, (5, 12))
    with torch.no_grad():
        loss = float(network(input_ids=ids, labels=ids).loss)
        found = METRICS["perplexity"](network(ids).logits, ids)
    assert found == pytest.approx(math.exp(loss), rel=1e-5)


def test_memory_does_not_grow_with_the_batches() -> None:
    for case, (outputs, targets, _) in CASES.items():
        tally = METRICS[case.split(" of ")[0]].tally
        assert tally(outputs, targets).shape == tally(outputs[:1], targets[:1]).shape
        assert tally(outputs, targets).numel() <= 3 * outputs.shape[-1]


def measured(metric: str | Metric, outputs: Tensor, targets: Tensor, batch_size: int = 10) -> float:
    data = TensorData("d", outputs, targets)
    return score(as_metric(metric), lambda x, _: x, data, batch_size, CPU, "here").value


@pytest.mark.parametrize(
    ("metric", "outputs", "targets", "message"),
    [
        ("accuracy", LOGITS[:, 0], CLASSES, r"here: accuracy of one logit a sample wants targets 0 and 1, got 1 to 6"),
        ("accuracy", TOKEN_LOGITS, TOKENS, r"outputs \[N, L, classes\] are for token-accuracy"),
        ("accuracy", LOGITS, CLASSES.float(), r"accuracy wants .*integer class.*, got targets \(10,\) torch.float32"),
        ("accuracy", LOGITS[:, :3], CLASSES, r"classes 0 to n - 1 of n outputs, at least 2 .*; got 3 outputs"),
        ("accuracy", LOGITS, CLASSES - 100, r"targets from -\d+ to"),
        ("top5", LOGITS[:, :5], CLASSES % 5, r"top5 wants at least 6 classes, got 5 outputs; use accuracy"),
        ("token-accuracy", LOGITS, CLASSES, r"outputs of shape \[N, L, classes\] and targets \[N, L\], got \(10, 8\)"),
        ("token-accuracy", TOKEN_LOGITS, TOKENS[:, 1:], r"got \(10, 9, 8\) and \(10, 8\)"),
        ("token-accuracy", TOKEN_LOGITS, TOKENS * 0 - 100, r"no target counts: all of them are -100"),
        ("perplexity", TOKEN_LOGITS, TOKENS.float(), r"perplexity wants .*integer.*, got .*torch.float32"),
        ("perplexity", TOKEN_LOGITS[:, :1], TOKENS[:, :1], r"at least 2 tokens"),
        ("perplexity", TOKEN_LOGITS, TOKENS + 5, r"got 8 outputs and targets from 5 to 12"),
        ("perplexity", 1e5 * TOKEN_LOGITS, TOKENS, r"mean cross entropy of .* nats is too large"),
        ("perplexity", TOKEN_LOGITS, TOKENS * 0 - 100, r"no target counts"),
        ("f1", LOGITS, CLASSES + 5, r"f1 wants classes 0 to n - 1"),
        ("mse", VALUES, VALUES[:, :1], r"mse wants targets of the outputs' shape \(10, 2\), got \(10, 1\)"),
        ("mse", VALUES / 0, VALUES, r"here: the outputs of 10 of 10 samples are NaN or infinite"),
        ("accuracy", LOGITS.index_fill(0, torch.tensor([2, 5]), math.nan), CLASSES, r"outputs of 2 of 10 samples"),
    ],
)
def test_what_does_not_fit_is_explained(metric: str, outputs: Tensor, targets: Tensor, message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        measured(metric, outputs, targets)


def test_the_main_output_is_measured() -> None:
    data = TensorData("d", {"x": LOGITS}, CLASSES)
    returned = {"loss": torch.tensor(0.0), "logits": LOGITS}
    plain = score(METRICS["accuracy"], lambda x, _: x["x"], data, 37, CPU, "t").value  # type: ignore[call-overload, index]
    for made in (returned, (LOGITS, torch.zeros(1))):
        assert score(METRICS["accuracy"], lambda x, _, made=made: made, data, 37, CPU, "t").value == plain  # type: ignore[misc]
    with pytest.raises(DriftproofError, match="t: the network returns a NoneType"):
        score(METRICS["accuracy"], lambda x, _: None, data, 37, CPU, "t")


def test_a_failing_network_is_explained_with_its_inputs() -> None:
    def fails(x: object, _: object) -> Tensor:
        raise RuntimeError("no such axis")

    with pytest.raises(
        DriftproofError, match=r"t: the network fails on inputs \{x: float32 \[37, 8\]\}: RuntimeError: no"
    ):
        score(METRICS["accuracy"], fails, TensorData("d", {"x": LOGITS}, CLASSES), 37, CPU, "t")


def mae(outputs: Tensor, targets: Tensor) -> float:
    return (outputs - targets).abs().mean()  # type: ignore[return-value]  # a tensor of one number will do


def test_a_function_gets_all_outputs_and_targets() -> None:
    seen = []

    def mine(outputs: Tensor, targets: Tensor) -> float:
        seen.append((tuple(outputs.shape), tuple(targets.shape)))
        return mae(outputs, targets)

    metric = as_metric(mine)
    assert (metric.name, metric.quantity.higher_is_better, metric.custom_quantity) == ("mine", True, metric.quantity)
    assert measured(metric, VALUES, VALUES.flip(0)) == pytest.approx(float((VALUES - VALUES.flip(0)).abs().mean()))
    assert seen == [((37, 2), (37, 2))]
    lower = Metric.of(mae, higher_is_better=False, lowest=0, words="mean absolute error")
    assert (lower.quantity.sign, lower.quantity.title) == (-1, "mean absolute error")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda y, t: math.nan, r"here: metric mine is nan; wanted a finite number"),
        (lambda y, t: 130.0, r"metric mine is 130.0; wanted a finite number from 0 to 100"),
        (lambda y, t: None, r"metric mine: wanted a number of outputs \(37, 2\) .* got TypeError"),
        (lambda y, t: y, r"got RuntimeError|got ValueError|got TypeError"),
        (lambda y, t: 1 / 0, r"got ZeroDivisionError"),
    ],
)
def test_a_function_that_gives_no_number_is_explained(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        measured(Metric.of(function, name="mine", percent=True), VALUES, VALUES)


def test_outputs_of_several_lengths_cannot_be_held() -> None:
    lengths = iter([2, 1])
    with pytest.raises(DriftproofError, match=r"different shapes per sample \(\[\(1,\), \(2,\)\]\).*pad"):
        score(as_metric(mae), lambda x, _: x[:, : next(lengths)], TensorData("d", VALUES, VALUES), 20, CPU, "t")  # type: ignore[index, call-overload]


def accuracy(outputs: Tensor, targets: Tensor) -> float:
    return 1.0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("acuracy", r"unknown metric 'acuracy' \(did you mean accuracy\?\); there are accuracy, top5"),
        (accuracy, r"metric 'accuracy': wanted .*name"),
        (lambda y, t: 1.0, r"metric '<lambda>': wanted .*name.*Metric.of"),
        (3, r"metric is of type int; wanted a function"),
        (
            Metric(quantity=QUANTITIES["mse"], tally=mae, value=float, tolerance=lambda v, n: 0.0),
            r"metric 'mse'.*built-in.*another name",
        ),
    ],
)
def test_what_is_no_metric_is_refused(given: Any, message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        as_metric(given)


def test_a_file_gives_a_function_or_a_metric(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from driftproof.evaluation import Metric\n"
        "def gap(outputs, targets): return (outputs - targets).abs().mean()\n"
        "error = Metric.of(gap, name='mae', higher_is_better=False, lowest=0)\n"
    )
    assert as_metric(f"{file}:gap").name == "mine.py:gap"
    assert as_metric(f"{file}:error").quantity.higher_is_better is False
    assert measured(as_metric(f"{file}:gap"), VALUES, VALUES + 1) == pytest.approx(1.0)
    with pytest.raises(DriftproofError, match=r"no callable 'gpa' \(did you mean gap\?\)"):
        as_metric(f"{file}:gpa")


def test_what_the_same_network_may_differ_by() -> None:
    # one flipped answer of 200, and one in 2,000 of many: the last bit decides between two classes
    assert METRICS["accuracy"].tolerance(90.0, 200) == pytest.approx(0.5)
    assert METRICS["accuracy"].tolerance(90.0, 100_000) == pytest.approx(0.05)
    # one flipped answer of 40 changes the macro F1 of four even classes by less than is allowed
    truth = torch.arange(40) % 4
    said = truth.clone()
    said[0] = 1
    both = [METRICS["f1"](F.one_hot(answers, 4).float(), truth) for answers in (truth, said)]
    assert 0 < both[0] - both[1] < METRICS["f1"].tolerance(both[0], 40)
    assert METRICS["perplexity"].tolerance(20.0, 5) == pytest.approx(0.02)
    assert METRICS["mse"].tolerance(1e-4, 5) == pytest.approx(1e-7)
    assert as_metric(mae).tolerance(0.5, 100) == pytest.approx(0.02)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", [torch.float16, torch.float32])
def test_one_output_that_is_not_finite_is_found_and_a_large_sum_is_none(bad: float, kind: torch.dtype) -> None:
    outputs, targets = torch.full((4, 8), torch.finfo(kind).max, dtype=kind), torch.zeros(4, dtype=torch.int64)
    assert score(METRICS["accuracy"], lambda x, _: x, TensorData("d", outputs, targets), 4, CPU, "here").value == 100.0
    outputs[2, 3], outputs[2, 4] = bad, math.inf
    with pytest.raises(DriftproofError, match="here: the outputs of 1 of 4 samples are NaN or infinite"):
        score(METRICS["accuracy"], lambda x, _: x, TensorData("d", outputs, targets), 4, CPU, "here")
