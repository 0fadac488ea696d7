"""Ctrl-C from the first moment on: exit code 130 or the result, and no traceback."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import pytest

from driftproof._conversion import check_installation

# the tests may run in the background of a shell, which makes their children ignore the signal
LISTEN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
START_S = 0.15
"""Time until Python has imported the package itself; before it, Python's own start shows a traceback."""


@pytest.mark.parametrize("words", [["--help"], ["presets", "list"], ["doctor"]], ids=" ".join)
@pytest.mark.parametrize("number", range(4))
def test_an_interrupt_while_modules_are_imported_is_quiet(words: list[str], number: int) -> None:
    delay = START_S + random.Random(f"{words} {number}").random() * 1.5
    # the mark is written when the first line of ours has run
    code = LISTEN + "import driftproof._start as s; print('ready', flush=True); s.main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(delay - START_S)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    # help may have been printed: at its end Python gives the signal back to the system, which ends it without a word
    assert process.returncode in (130, 0, -signal.SIGINT), said
    assert "Traceback" not in said


def test_a_program_that_imports_the_package_keeps_its_handler() -> None:
    code = LISTEN + "import driftproof as dp; dp.map_model; print(signal.getsignal(signal.SIGINT).__name__)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "default_int_handler\n"


def test_an_interrupt_that_an_import_turned_into_its_own_error_is_an_interrupt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configs = pytest.importorskip("aihwkit.simulator.configs")

    def interrupted() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error

    monkeypatch.setattr(configs, "InferenceRPUConfig", interrupted)
    with pytest.raises(KeyboardInterrupt):
        check_installation()
