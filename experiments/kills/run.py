"""Does a record lose anything when its command is killed at a random moment and given again? See README.md.

    python experiments/kills/run.py --kills 200
    python experiments/kills/run.py --kills 200 --only evaluate,sensitivity --also="--workers 2"
    python experiments/kills/run.py --table

Each case starts a command in an empty folder, kills it at random moments, starts it again after every death, and
compares what is there at the end with what one unbroken run leaves. Cases that results.csv has are not repeated.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.append(str(Path(__file__).parents[1]))
from kills.processes import descendants, session

from driftproof import Record

HERE = Path(__file__).parent
RESULTS = HERE / "results.csv"
CLI = [sys.executable, "-m", "driftproof"]
DIGITS = "digits-cnn --data digits"
NOISY = "--preset pcm-nandakumar-2019 --preset gaussian:0.1"
COMMANDS = {
    "evaluate": [*CLI, *f"evaluate {DIGITS} --limit 50 {NOISY} --times 1s,1d,1y --chips 100 --out out".split()],
    "evaluate-periphery": [
        *CLI,
        *f"evaluate {DIGITS} --limit 50 {NOISY} --periphery standard --times 1s,1y --chips 30 --out out".split(),
    ],
    "sensitivity": [
        *CLI,
        *f"sensitivity {DIGITS} --limit 80 --preset pcm-hermes-1 --time 1y --chips 8 --target 97 --out out".split(),
    ],
    "own-plan": [sys.executable, str(HERE / "own_plan.py"), "out"],
    "merge": [*CLI, "merge", "one", "two", "--out", "out"],
    "report": [*CLI, "report", "one", "two", "--out", "out"],
}
"""Every way in which a record is written, and the report of two records.

``sensitivity --target`` asks three plans (the layers, the causes, and the search), and writes two records.
"""
TAKES_OPTIONS = ("evaluate", "evaluate-periphery", "sensitivity")
INPUTS = {
    "one": [*CLI, *f"evaluate {DIGITS} --limit 50 {NOISY} --times 1s,1y --chips 60 --out one".split()],
    "two": [*CLI, *f"evaluate {DIGITS} --limit 50 {NOISY} --times 1s,1d --chips 90 --label two --out two".split()],
}
"""The records that ``merge`` and ``report`` read."""
SIGNALS = {signal.SIGKILL: 8, signal.SIGTERM: 1, signal.SIGINT: 1}
"""Signal → its share among the deaths."""
SINCE = re.compile(r"(?<=</code>) with uncommitted changes")
"""The page says so while results.csv is being written."""
DATES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00(; \d+ runs, the last at [-+:T\d]+)?")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="number of SIGKILLs to reach (default: 200)")
    parser.add_argument("--only", default=",".join(COMMANDS), help="commands (default: all)")
    parser.add_argument("--also", default="", help="more arguments of the commands that evaluate, such as --workers 2")
    parser.add_argument("--most", type=int, default=4, help="largest number of deaths in one case (default: 4)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=HERE / "out", help="folder for the runs (default: out)")
    parser.add_argument("--table", action="store_true", help="only print the table of results.csv")
    arguments = parser.parse_args()
    if not arguments.table:
        kill(arguments.only.split(","), arguments)
    print(table(pd.read_csv(RESULTS, keep_default_na=False)))


def kill(names: list[str], arguments: argparse.Namespace) -> None:
    """Run cases of the commands in turn until there are as many kills as wanted."""
    arguments.work.mkdir(parents=True, exist_ok=True)
    rows: list[dict[Any, Any]] = []
    if RESULTS.exists():
        rows = pd.read_csv(RESULTS, keep_default_na=False).to_dict("records")
    done = [row for row in rows if row["also"] == arguments.also and row["command"] in names]
    whole: dict[str, Whole] = {}
    for number in range(10**6):
        if sum(row["kills"] for row in done) >= arguments.kills:
            return
        name = names[number % len(names)]
        if (number, name) in [(row["case"], row["command"]) for row in done]:
            continue
        if name not in whole:
            whole[name] = Whole(name, arguments)
        row = {"case": number, "command": name, "also": arguments.also} | case(number, whole[name], arguments)
        rows, done = [*rows, row], [*done, row]
        pd.DataFrame(rows).to_csv(RESULTS, index=False)
        print(row, flush=True)


class Whole:
    """A command that was run once without a death: how long it takes, when it begins to write, and what it leaves."""

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        self.name = name
        self.command = [*COMMANDS[name], *(shlex.split(arguments.also) if name in TAKES_OPTIONS else [])]
        folder = arguments.work / f"whole, {name}"
        shutil.rmtree(folder, ignore_errors=True)
        self.fill(folder, arguments.work)
        begun = time.monotonic()
        process = started(self.command, folder)
        until_it_writes(process, folder / "out")
        self.silent_s = time.monotonic() - begun
        _, said = process.communicate()
        self.whole_s = time.monotonic() - begun
        if process.returncode:
            sys.exit(f"{shlex.join(self.command)} fails: {said}")
        self.left = contents(folder / "out")

    def fill(self, folder: Path, work: Path) -> None:
        """Make a folder to run in, with the records that the command reads."""
        folder.mkdir(parents=True)
        for name, command in INPUTS.items():
            if name in self.command:
                if not (work / name / "finished").exists():
                    subprocess.run(command, cwd=work, check=True, capture_output=True)
                    (work / name / "finished").touch()
                shutil.copytree(work / name, folder / name)


def case(number: int, whole: Whole, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run a command to its end through several deaths, and return what came of it."""
    rng, begun = random.Random(f"{arguments.seed} {number} {whole.name} {arguments.also}"), time.monotonic()
    folder = arguments.work / f"case {number}"
    shutil.rmtree(folder, ignore_errors=True)
    whole.fill(folder, arguments.work)
    counts = dict.fromkeys(("kills", "of_workers", "SIGTERM", "SIGINT", "starts"), 0)
    faults: list[str] = []
    left = rng.randint(1, arguments.most)
    sessions = []
    while True:
        counts["starts"] += 1
        process = started(whole.command, folder)
        sessions.append(process.pid)
        while left and process.poll() is None:
            # one death in five comes at any moment, the others after the first write
            latest_s = whole.whole_s
            if rng.random() < 0.8:
                until_it_writes(process, folder / "out")
                latest_s -= whole.silent_s
            try:
                process.wait(rng.uniform(0.0, latest_s))
            except subprocess.TimeoutExpired:
                left -= 1
                strike(process, rng, counts)
        _, said = process.communicate()
        expected = (0, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGINT)
        if process.returncode not in expected or ("Traceback" in said and process.returncode != -signal.SIGINT):
            faults.append(f"exit code {process.returncode}: {said[-300:]}")
        if process.returncode == 0 or counts["starts"] > 3 * arguments.most:
            break
    alive = [pid for leader in sessions for pid in session(leader)]
    faults += [f"process {pid} is left" for pid in alive]
    faults += list(differences(whole.left, contents(folder / "out")))
    if not faults:
        shutil.rmtree(folder)
    return counts | {"equal": not faults, "faults": "; ".join(faults), "seconds": round(time.monotonic() - begun, 1)}


def started(command: list[str], folder: Path) -> subprocess.Popen[str]:
    """Start a command in a session of its own, so that its workers are found also after its death."""
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def until_it_writes(process: subprocess.Popen[str], folder: Path) -> None:
    """Wait until a command changes something in a folder, or ends."""

    def state() -> list[tuple[str, int]]:
        found = []
        for path in folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                found.append((str(path), path.stat().st_mtime_ns))
        return sorted(found)

    before = state()
    while process.poll() is None and state() == before:
        time.sleep(0.005)


def strike(process: subprocess.Popen[str], rng: random.Random, counts: dict[str, int]) -> None:
    """Send a signal to the command; of a command with workers, every second time SIGKILL to one of its workers."""
    workers = descendants(process.pid)
    if workers and rng.random() < 0.5:
        os.kill(rng.choice(workers), signal.SIGKILL)
        counts["kills"] += 1
        counts["of_workers"] += 1
        return
    (chosen,) = rng.choices(list(SIGNALS), list(SIGNALS.values()))
    process.send_signal(chosen)
    if process.wait(60) != 0:  # else it had just finished
        counts["kills" if chosen == signal.SIGKILL else chosen.name] += 1


def contents(folder: Path) -> dict[str, Any]:
    """Return what a folder holds: its records without times and runs, its other files without dates."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.name == "record.sqlite":
            found |= {f"{name}, {part}": value for part, value in of_record(path)}
        elif path.is_file() and path.suffix in (".html", ".csv", ".svg"):
            found[name] = SINCE.sub("", DATES.sub("DATE", path.read_text(encoding="utf-8")))
        elif path.is_file() and path.name == "run.toml":  # it names its own folder
            found[name] = path.read_text(encoding="utf-8").replace(str(folder.resolve()), "FOLDER")
        elif path.is_file() and not path.name.startswith("record."):
            found[name] = path.read_bytes()
    # after the record was read, its file is all there is
    found["files of records"] = sorted(str(path.relative_to(folder)) for path in folder.rglob("record.*"))
    return found


def of_record(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield all that a record says, beside how long it took, in which run, and in which attempt."""
    with Record.open(path) as record:
        yield "subject", record.subject
        for what in ("series", "presets", "conversions", "configurations", "shown"):
            yield what, getattr(record, what)()
        for key, outcome, run in record.outcomes():
            assert run in record.runs()
            yield (
                str(key),
                (
                    outcome.value,
                    outcome.mask.tolist(),
                    None if outcome.per_sample is None else outcome.per_sample.tolist(),
                    outcome.in_validity,
                    # a trial whose worker was killed notes that it was computed again, as it must
                    {name: value for name, value in outcome.diagnostics.items() if name != "attempts"},
                ),
            )


def differences(one: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    """Yield in which parts two folders differ."""
    for name in sorted(one.keys() | other.keys()):
        if name not in other:
            yield f"{name} is missing"
        elif name not in one:
            yield f"{name} is more"
        elif one[name] != other[name]:
            yield f"{name} differs"


def table(rows: pd.DataFrame) -> str:
    """Return the results per command as Markdown."""
    lines = [
        "| command | cases | SIGKILL | of them to workers | SIGTERM | SIGINT | starts | unequal at the end |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups = list(rows.groupby(["command", "also"], sort=False))
    for (name, also), group in [*groups, (("all", ""), rows)]:
        counts = [int(group[column].sum()) for column in ("kills", "of_workers", "SIGTERM", "SIGINT", "starts")]
        unequal = int((group["equal"].astype(str) != "True").sum())
        cells = [f"{name} {also}".strip(), len(group), *counts, unequal]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
