"""Run every part in a process of its own within its time limit, and write results.json and results.md.

    experiments/gpu/run.sh [--parts tests,agreement,chips,training]

A part that fails or is stopped does not stop the others. The exit code is 0 if every part ended well, and no test and
no agreement failed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TOTAL_S = 470.0
"""All parts together end by then: 8 minutes with what is before and after them."""
PARTS = {"tests": 200.0, "agreement": 110.0, "chips": 100.0, "training": 60.0}
"""Part → its limit in s. A part stops asking for more at 80 % of it."""
NEEDED = (
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "pydantic",
    "tomlkit",
    "lazy_loader",
    "rich",
    "safetensors",
    "matplotlib",
    "jinja2",
    "pytest",
)
LEAST_TORCH = (2, 11)


def run_part(name: str, out: Path, limit_s: float) -> dict[str, Any]:
    """Run a part, show what it prints, and return its results with its state."""
    start, results = time.monotonic(), out / f"{name}.json"
    results.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / f"part_{name}.py"), str(results), f"{0.8 * limit_s:.0f}"]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        code = process.wait(limit_s)
        state = "ended well" if code == 0 else f"failed (exit code {code})"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
        process.wait()
        state = f"stopped after {limit_s:.0f} s"
    found: dict[str, Any] = json.loads(results.read_text()) if results.exists() else {}
    return {"state": state, "seconds": round(time.monotonic() - start, 1), **found}


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows as a Markdown table."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[str(row.get(column, "")) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [columns, ["---"] * len(columns), *cells])


def markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    machine = ", ".join(f"{key} {value}" for key, value in results["machine"].items())
    parts = [f"# Results on a {results['machine'].get('device', 'machine that did not tell')}", machine]
    for name, part in results["parts"].items():
        parts.append(f"## {name}\n\n{part['state']} in {part['seconds']} s")
        parts += [table(part["rows"])] if part.get("rows") else []
    skipped = [f"- {name}: {text}" for name, part in results["parts"].items() for text in part.get("skipped", [])]
    return "\n\n".join([*parts, "## Skipped\n\n" + ("\n".join(skipped) or "Nothing.")]) + "\n"


def main() -> None:
    start = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder of the results")
    parser.add_argument("--parts", default=",".join(PARTS), help="parts to run, with commas (default: all)")
    arguments = parser.parse_args()
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        sys.exit(f"not installed: {', '.join(missing)}; README.md lists what is needed")
    version = importlib.metadata.version("torch")
    if tuple(map(int, version.split("+")[0].split(".")[:2])) < LEAST_TORCH:
        sys.exit(f"torch {version} came; wanted {'.'.join(map(str, LEAST_TORCH))} or later")
    if unknown := [name for name in arguments.parts.split(",") if name not in PARTS]:
        sys.exit(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"machine": {}, "parts": {}}
    for name in arguments.parts.split(","):
        left = TOTAL_S - (time.monotonic() - start)
        print(f"== {name}, at most {min(PARTS[name], left):.0f} s", flush=True)
        if left < 5:
            part: dict[str, Any] = {"state": "not started: no time was left", "seconds": 0.0}
        else:
            part = run_part(name, arguments.out, min(PARTS[name], left))
        results["machine"] |= part.pop("machine", {})
        results["parts"][name] = part
        # after every part, so that what is there stays if all is stopped
        (arguments.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (arguments.out / "results.md").write_text(markdown(results))
    print(markdown(results))
    failed = [name for name, part in results["parts"].items() if part["state"] != "ended well"]
    print(f"{time.monotonic() - start:.0f} s; {'failed: ' + ', '.join(failed) if failed else 'everything ended well'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
