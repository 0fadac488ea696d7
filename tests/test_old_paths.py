"""Names that moved can be imported from where they were, with a warning, and are the same objects."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from operator import attrgetter

import pytest
import torch

import driftproof as dp

MOVED = {
    "driftproof.errors": ("DriftproofError", "DriftproofWarning"),
    "driftproof.chip": ("Chip",),
    "driftproof.mapping": ("map_model", "TileSize"),
    "driftproof.record": ("Record",),
    "driftproof.conversion.verbs": ("convert",),
    "driftproof.training.methods": ("RWP",),
    "driftproof.training.methods.sam": ("SAM",),
    "driftproof.presets": ("load_preset",),
}


@pytest.mark.parametrize("place", MOVED)
def test_a_module_is_there_under_its_old_name(place: str) -> None:
    sys.modules.pop(place, None)
    with pytest.warns(DeprecationWarning, match=place):
        module = import_module(place)
    for name in MOVED[place]:
        assert getattr(module, name) is getattr(dp, name)
    spec = module.__spec__
    assert spec is not None
    assert "._" in spec.name


@pytest.mark.parametrize(
    ("place", "name", "now"),
    [
        ("training", "loss_surface", "analysis.loss_surface"),
        ("periphery", "WireDrop", "periphery._settings.IRDrop"),
        ("laws", "TableInTime", "laws._programming.in_time.TableInTime"),
        ("reporting", "Lifetime", "_reporting.lifetime.Lifetime"),
        ("devices", "ProductNoise", "_devices.mvm_read_noise.MvmReadNoise"),
    ],
)
def test_a_name_that_moved_is_there(place: str, name: str, now: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{name} is not public"):
        found = getattr(import_module(f"driftproof.{place}"), name)
    module, _, present = now.rpartition(".")
    assert found is getattr(import_module(f"driftproof.{module}"), present)


def test_a_name_is_there_in_its_old_package() -> None:
    with pytest.warns(DeprecationWarning, match=r"driftproof\.laws\.PowerDrift"):
        from driftproof.laws import PowerDrift  # type: ignore[attr-defined, unused-ignore]
    assert import_module("driftproof.laws._drift.power").PowerDrift is PowerDrift


def test_a_module_is_an_attribute_under_either_name() -> None:
    vars(dp).pop("inputs", None)
    sys.modules.pop("driftproof.inputs", None)
    with pytest.warns(DeprecationWarning, match=r"driftproof\.inputs"):
        assert attrgetter("inputs")(dp) is import_module("driftproof._inputs")
    code = "import driftproof as dp; print(dp.data.digits.__name__, dp.training.RWP is dp.RWP)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "digits True\n"


def test_what_never_was_is_not_there() -> None:
    with pytest.raises(ImportError):
        import_module("driftproof.nonsense")
    with pytest.raises(AttributeError, match="nonsense"):
        _ = import_module("driftproof.laws").nonsense


def test_the_warning_names_the_users_line() -> None:
    code = (
        "import driftproof\nfrom driftproof.errors import DriftproofError\nprint(DriftproofError.__mro__[1].__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "ValueError\n"
    assert "<string>:2: DeprecationWarning: driftproof.errors" in done.stderr


def test_attributes_are_there_under_their_old_names() -> None:
    network = torch.nn.Linear(2, 2)
    method = dp.Plain()
    method.step(lambda: network(torch.ones(1, 2)).sum(), network, torch.optim.SGD(network.parameters(), lr=0.1))
    assert method.last is not None
    with pytest.warns(DeprecationWarning, match="called strength"):
        assert method.last.level == method.last.strength
