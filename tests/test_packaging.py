"""The wheel: it carries the presets and the report's template, and finds them where it is installed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from driftproof._presets import preset_names

TOP = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)]
    subprocess.run(command, cwd=TOP, check=True, capture_output=True, text=True)
    return next(out.glob("*.whl"))


def test_the_wheel_carries_its_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"driftproof/device_presets/{name}.toml" for name in preset_names()} <= names
    assert {
        "driftproof/py.typed",
        "driftproof/_reporting/templates/report.html.j2",
        "driftproof/zoo/digits_cnn.safetensors",
        "driftproof/zoo/digits_resnet.safetensors",
        "driftproof/energy/configurations/dense-mnist.toml",
        "driftproof/energy/configurations/dchn-cifar10-best.toml",
    } <= names


def test_presets_are_found_in_an_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "from driftproof._presets import *; print(preset_folder()); print(len(preset_names())); load_preset('ideal')"
    environment = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    folder, count = done.stdout.splitlines()
    assert Path(folder) == tmp_path / "driftproof" / "device_presets"
    assert int(count) == len(preset_names())


def test_presets_are_found_in_a_checkout() -> None:
    code = "from driftproof._presets import *; print(preset_folder())"
    environment = {"PYTHONPATH": str(TOP / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert Path(done.stdout.strip()) == TOP / "device_presets"
