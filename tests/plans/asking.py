"""Evaluators that say what they were asked for, and the three questions on a small network, alone in a process too.

``python -m plans.asking QUESTION FOLDER CELLS`` asks one question, and dies by SIGKILL before it has one cell more.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from driftproof._record import Outcome, Record
from driftproof.data import digits
from driftproof.data._parts import halves
from driftproof.evaluation import Deployment, Evaluator, Trial
from driftproof.plans import causes, choose_digital_layers, sensitivity
from driftproof.plans._causes import Causes
from driftproof.plans._mixed_deployment import MixedDeployment
from driftproof.plans._sensitivity import Sensitivity
from driftproof.zoo import trained_digits_cnn

FIRST, SECOND = halves(digits().head(160))


class Noting(Evaluator):
    """Keeps the trials of chips that it measured, in order; and how often it measured the network itself."""

    def __init__(self, *given: Any, asked: list[Trial] | None = None, most: int | None = None, **more: Any) -> None:
        super().__init__(*given, **more)
        self.asked: list[Trial] = [] if asked is None else asked
        self.most, self.itself = most, 0

    def __call__(self, trial: Trial, samples: Iterable[int] | None = None) -> Outcome:
        if trial.deployment is None:
            self.itself += 1
            return super().__call__(trial, samples)
        if len(self.asked) == self.most:
            os.kill(os.getpid(), signal.SIGKILL)
        self.asked.append(trial)
        return super().__call__(trial, samples)


type Answer = Sensitivity | Causes | MixedDeployment
type Ask = Callable[[Noting, Noting, Record, Record], Answer]

QUESTIONS: dict[str, Ask] = {
    "sensitivity": lambda one, other, record, report: sensitivity(
        one, Deployment(device="gaussian:0.4"), "1s", chips=2, record=record
    ),
    "causes": lambda one, other, record, report: causes(
        one, Deployment(device="pcm-hermes-1"), "1y", chips=3, record=record
    ),
    "search": lambda one, other, record, report: choose_digital_layers(
        one,
        other,
        Deployment(device="gaussian:0.4"),
        "1s",
        target=96.0,
        chips=2,
        report_chips=3,
        record=record,
        report_record=report,
    ),
}


def answer(question: str, folder: Path | None, most: int | None = None) -> tuple[Answer, list[Trial]]:
    """Return the answer to a question, and the trials of chips that were measured for it."""
    asked: list[Trial] = []
    model = trained_digits_cnn()
    one, other = (Noting(model, data, asked=asked, most=most) for data in (SECOND, FIRST))
    with ExitStack() as opened:
        folders = [None, None] if folder is None else [folder, folder / "reported"]
        record, report = (opened.enter_context(Record.create_or_open(place)) for place in folders)
        return QUESTIONS[question](one, other, record, report), asked


if __name__ == "__main__":
    answer(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
