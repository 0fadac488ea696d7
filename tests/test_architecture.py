"""What holds the parts apart: imports one way, one sampler, aihwkit in five modules, nothing unwanted in files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "driftproof"
FILES = sorted(SOURCE.rglob("*.py"))

# each part may import the parts before it, and itself
ORDER = (
    "_old_paths",
    "_errors",
    "_loops",
    "_sparse",
    "_files",
    "_drawing",
    "_keywords",
    "_defaults",
    "_numerics",
    "_lab_tables",
    "times",
    "_intervals",
    "statistics",
    "_progress",
    "_shares",
    "_random_state",
    "_side_by_side",
    "_outputs",
    "_inputs",
    "_batch_norm",
    "laws",
    "periphery",
    "_devices",
    "_presets",
    "_calls",
    "_behaviour",
    "_own_measures",
    "_mapping",
    "_compensation",
    "arrays",
    "measured",
    "_device_choice",
    "_chip",
    "_weight_error",
    "_device_card",
    "_record",
    "_provenance",
    "_conversion",
    "data",
    "_hopfield",
    "zoo",
    "training",
    "energy",
    "_from_aihwkit",
    "analysis",
    "evaluation",
    "plans",
    "_reporting",
    "_device_plot",
    "fitting",
    "figures",
    "bench",
    "_cli",
    "_start",
    "__main__",
)
# what a part must not import, beyond the order: its user may not have it
LIGHT = dict.fromkeys(("statistics", "laws", "_presets", "_record", "_reporting"), ("torch", "aihwkit"))


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append(node.module or "")
    return found


def test_every_part_has_its_place() -> None:
    assert {part_of(path) for path in FILES} == {*ORDER, "__init__"}


@pytest.mark.parametrize(
    "path", [p for p in FILES if part_of(p) != "__init__"], ids=lambda p: str(p.relative_to(SOURCE))
)
def test_imports_point_one_way(path: Path) -> None:
    allowed = ORDER[: ORDER.index(part_of(path)) + 1]
    for name in imports(path):
        if name.startswith("driftproof"):
            part = name.split(".")[1] if "." in name else ""
            assert part in allowed, f"{part_of(path)} must not import {name}"


def test_aihwkit_is_imported_in_five_modules() -> None:
    users = [str(p.relative_to(SOURCE)) for p in FILES if any(name.split(".")[0] == "aihwkit" for name in imports(p))]
    conversion = [f"_conversion/{name}.py" for name in ("export_aihwkit", "health", "import_aihwkit", "tiles")]
    assert users == [*conversion, "bench/_peers.py"]


def test_only_devices_draws_device_noise() -> None:
    drawing = re.compile(r"normal_?\(|randn|rand_like|bernoulli|uniform_|Generator\(|manual_seed|poisson")
    users = {str(p.relative_to(SOURCE)) for p in FILES if drawing.search(p.read_text(encoding="utf-8"))}
    # networks draw their first weights, a data loader its workers' seeds, dropout its masks, a benchmark its inputs:
    # none is device noise
    others = {"_random_state.py"}
    assert {user for user in users if part_of(SOURCE / user) not in ("zoo", "data", "bench", "_hopfield")} - others == {
        "_devices/keys.py",
        "_devices/normals.py",
    }


@pytest.mark.parametrize("part", LIGHT)
def test_light_parts_stay_light(part: str) -> None:
    code = f"import sys, driftproof.{part}; print([m for m in {LIGHT[part]} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_public_names_are_what_they_say() -> None:
    import driftproof as dp

    for name in dp.__all__:
        assert getattr(dp, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = vars(dp)["__getattr__"]("nonsense")


def test_no_registry_host_name_and_no_lock_file_is_tracked() -> None:
    top = SOURCE.parents[1]
    listed = subprocess.run(["git", "-C", str(top), "ls-files"], capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    hosts = re.compile("|".join(("py" + r"pi\.org", "python" + "hosted", "registry" + r"\.npm", "deb" + r"\.debian")))
    for name in listed.stdout.split():
        assert not name.endswith(".lock"), name
        path = top / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".cff", ".yml", ""} and path.is_file():
            assert not hosts.search(path.read_text(encoding="utf-8")), name
