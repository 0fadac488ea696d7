"""An installation without aihwkit: the folded path works, and what needs aihwkit says so and what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# the import of aihwkit fails as where it is not installed, and pip knows nothing of it
ABSENT = """
import sys
from importlib import metadata
sys.modules["aihwkit"] = None
version = metadata.version
def of(name):
    if name == "aihwkit":
        raise metadata.PackageNotFoundError(name)
    return version(name)
metadata.version = of
"""
IN_PYTHON = """
import torch
import driftproof as dp
from driftproof.data import digits
from driftproof.zoo import trained_digits_cnn
network, data = trained_digits_cnn(), digits().head(50)
record = dp.evaluate(network, data, presets=["pcm-nandakumar-2019"], times="1s", chips=1, out=sys.argv[1])
print(dp.report(record, sys.argv[1]).name)
dp.train(network, data, method=dp.RWP(noise="gaussian:0.1"), epochs=1, batch_size=50)
chip = dp.Chip(dp.map_model(network), dp.load_preset("reram-wan-2022"), seed=0, chip=0)
print(len(chip.array("fc2", t_s=1.0).matmul(torch.ones(3, 64))))
assert not [name for name in sys.modules if name.startswith("aihwkit.")]
wants = [
    lambda: dp.convert(network, "ideal"),
    lambda: dp.to_aihwkit(network),
    lambda: dp.evaluate(network, data, presets="ideal", times="1s", chips=1, backend="tiles"),
]
for want in wants:
    try:
        want()
    except dp.DriftproofError as error:
        print(error)
"""
COMMANDS = """
from driftproof._cli.app import main
sys.stderr = sys.stdout
convert, out = "convert digits-cnn --preset", f"--out {sys.argv[1]} --quiet"
evaluate = "evaluate digits-cnn --data digits --limit 20 --preset ideal --times 1s --chips 1 --backend"
for words in (
    "presets list",
    f"{convert} pcm-nandakumar-2019",
    f"{convert} pcm-nandakumar-2019,nonsense=ideal",
    f"{convert} ideal --to safetensors --out {sys.argv[1]}/saved",
    "doctor",
    f"{evaluate} folded {out}",
    f"{evaluate} tiles {out}",
):
    sys.argv = ["driftproof", *words.split()]
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    print(f"exit code {code}")
"""


def printed(code: str, out: Path) -> str:
    """Run a program in a process that has no aihwkit, and return what it printed."""
    words = [sys.executable, "-c", ABSENT + code, str(out)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_in_python(tmp_path: Path) -> None:
    report, rows, *refusals = printed(IN_PYTHON, tmp_path).splitlines()
    assert (report, rows) == ("index.html", "3")
    assert len(refusals) == 3
    for line in refusals:
        assert "does not import" in line
        assert "pip install aihwkit" in line


def test_commands(tmp_path: Path) -> None:
    presets, table, wrong, saved, doctor, folded, tiles, rest = printed(COMMANDS, tmp_path).split("exit code ")
    assert "pcm-nandakumar-2019" in presets
    assert [part[0] for part in (table, wrong, saved, doctor, folded, tiles, rest)] == list("0022202"), rest
    assert "conv1" in table
    assert "aihwkit is not installed: the layers were chosen" in table
    assert "nonsense" in wrong
    assert "pip install aihwkit" in saved
    assert "not sound: pip install aihwkit" in doctor
    assert (tmp_path / "index.html").is_file()
    assert "pip install aihwkit" in tiles
