"""Files: shipped ones are found and sourced, written ones read back, messages name the file and the key."""

from __future__ import annotations

import math
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from driftproof import DriftproofError
from driftproof.periphery import DynamicRange, Periphery, StaticRange, load_periphery, periphery_names, write_periphery
from driftproof.periphery._settings import IRDrop, PeripherySource, WeightNoise

AWKWARD = Periphery(
    name="awkward",
    summary='a "quoted" \\ text\nin two lines, with µ, \U0001f600 and \U000e0001',
    dac_bits=5,
    input_range=StaticRange(method="moving", quantile=math.nextafter(0.999, 1), decay=1e-05),
    adc_bits=11,
    adc_full_scale=math.pi,
    output_noise=1 / 3,
    mvm_weight_noise=WeightNoise(law="pcm-read", sigma=5e-324),
    ir_drop=IRDrop(scale=0.1 + 0.2),
    source=PeripherySource(title="t", authors="a", venue="v", year=2023, doi="d", where="w"),
)
DYNAMIC = Periphery(name="dynamic", input_range=DynamicRange(), source=PeripherySource(title="t", where="w"))


@pytest.mark.parametrize("name", periphery_names())
def test_shipped_files_are_named_and_sourced(name: str) -> None:
    periphery = load_periphery(name)
    assert periphery.name == name
    assert periphery.summary
    assert periphery.source.title
    assert periphery.source.where
    assert periphery.is_ideal or periphery.source.doi


@pytest.mark.parametrize("periphery", [AWKWARD, DYNAMIC, *map(load_periphery, periphery_names())], ids=lambda p: p.name)
def test_a_written_file_reads_back_equal(periphery: Periphery, tmp_path: Path) -> None:
    path = write_periphery(periphery, tmp_path / "one.toml")
    back = load_periphery(path)
    assert back == periphery
    assert back.definition() == periphery.definition()
    assert back.sha256 == periphery.sha256
    again = write_periphery(back, tmp_path / "two.toml")
    assert again.read_bytes() == path.read_bytes()
    assert load_periphery(str(path)) == periphery


def test_a_periphery_is_handed_through() -> None:
    assert load_periphery(AWKWARD) is AWKWARD


def test_messages(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    with pytest.raises(DriftproofError, match=r"unknown periphery 'standart' \(did you mean standard\?\); there are"):
        load_periphery("standart")
    with pytest.raises(DriftproofError, match=r"mine\.toml: there is no such file"):
        load_periphery(path)
    with pytest.raises(DriftproofError, match="wanted a name, the path"):
        load_periphery(3)  # type: ignore[arg-type]
    path.write_text("name = ")
    with pytest.raises(DriftproofError, match=r"mine\.toml: not a TOML file"):
        load_periphery(path)
    path.write_bytes(b"\xff")
    with pytest.raises(DriftproofError, match=r"mine\.toml: not a TOML file: .*utf-8"):
        load_periphery(path)
    path.write_text('name = "mine"\nadc_bit = 8\noutput_noise = -1.0')
    with pytest.raises(DriftproofError) as caught:
        load_periphery(path)
    lines = str(caught.value).splitlines()
    assert all(str(path) in line for line in lines)
    assert [line.split("Periphery: ")[1].split(" (")[0] for line in lines] == [
        "output_noise: Input should be greater than or equal to 0, got -1.0",
        "missing key source",
        "unknown key adc_bit",
    ]
    with pytest.raises(DriftproofError, match=r"ends in \.toml"):
        write_periphery(AWKWARD, tmp_path / "mine.txt")
    with pytest.raises(DriftproofError, match="cannot be written"):
        write_periphery(AWKWARD, tmp_path / "none" / "mine.toml")


def test_an_installed_wheel_has_the_files(tmp_path: Path) -> None:
    top = Path(__file__).parents[2]
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=top, check=True, capture_output=True, text=True)
    zipfile.ZipFile(next(tmp_path.glob("*.whl"))).extractall(tmp_path / "site")
    code = "import driftproof.periphery as p; print(p.__file__); print(*map(p.load_periphery, p.periphery_names()))"
    environment = {"PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    where, shown = done.stdout.splitlines()
    assert where.startswith(str(tmp_path))
    assert shown == "ideal 8-bit in (static), 8-bit out, full scale 10, noise 0.04"
