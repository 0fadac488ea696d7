"""Methods by name: which there are, what each takes, and how a class becomes one."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from torch import Tensor

import driftproof as dp
from driftproof import training
from driftproof.training._methods import Method
from driftproof.training._methods.by_name import METHODS, make_method
from driftproof.training._passes import Closure, Passes

DRAWS, ASCENDS = ("noise", "strength"), ("rho",)
TAKES: dict[str, tuple[str, ...]] = {
    "plain": (),
    "rwp": DRAWS,
    "two-point-rwp": DRAWS,
    "m-rwp": DRAWS,
    "arwp": DRAWS,
    "sam": ASCENDS,
    "multi-step-sam": ASCENDS,
    "asam": ASCENDS,
    "gsam": ASCENDS,
    "looksam": ASCENDS,
    "sam-rwp": DRAWS + ASCENDS,
    "noise-injection": ("strength",),  # its noise is its own
}


@pytest.fixture(autouse=True)
def known() -> Iterator[dict[str, Any]]:
    """What is known, given back after each test."""
    kept = dict(METHODS)
    yield kept
    METHODS.clear()
    METHODS.update(kept)


def test_all_are_known_wherever_they_are_asked_for_in_one_order() -> None:
    code = "from driftproof.training._methods.by_name import METHODS; print(*METHODS)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == list(TAKES)


def test_every_public_class_is_known() -> None:
    public = [getattr(training, name) for name in training.__all__]
    methods = {kind for kind in public if isinstance(kind, type) and issubclass(kind, Method)} - {Method}
    assert methods == {METHODS[name].make for name in TAKES}


@pytest.mark.parametrize("name", TAKES)
def test_what_a_method_takes_is_what_its_constructor_takes(name: str) -> None:
    named = METHODS[name]
    assert tuple(key for key in ("noise", "strength", "rho") if getattr(named, key)) == TAKES[name]
    given = {"noise": "gaussian:0.1", "strength": 0.5, "rho": 0.5}
    made = named.make(**{key: given[key] for key in TAKES[name]})
    assert made.name == name
    for key in given.keys() - set(TAKES[name]):
        needed = {"noise": "gaussian:0.1"} if named.noise else {}
        with pytest.raises(dp.DriftproofError, match=f"keyword '{key}'"):
            named.make(**needed | {key: given[key]})


# --- classes of one's own ---


def test_a_class_with_a_name_is_known_by_it() -> None:
    class Mine(dp.SAMRWP):
        name = "mine"
        fixed = ("strength",)

        def __init__(self, *, mine: int = 1, **options: Any) -> None:
            super().__init__(strength=0.5, **options)
            self.mine = mine

    assert METHODS["mine"] == (Mine, True, False, True, True)
    assert list(METHODS)[-1] == "mine"
    made = make_method("mine", noise="gaussian:0.1", rho=0.2, mine=3)
    assert isinstance(made, Mine)
    assert made.mine == 3
    with pytest.raises(dp.DriftproofError, match="method mine takes no strength; rwp"):
        make_method("mine", noise="gaussian:0.1", strength=1.0)


def test_a_class_without_a_name_is_nobody_elses(known: dict[str, Any]) -> None:
    class Mine(dp.SAM):
        pass

    class Half(Method):
        pass

    assert Mine(rho=0.1).name == "sam"
    assert known == METHODS
    half: Any = Half
    with pytest.raises(TypeError, match=r"abstract .*accumulate"):
        half(norms="clean")


def test_two_classes_of_one_name_are_refused(known: dict[str, Any]) -> None:
    with pytest.raises(
        TypeError, match=r"method .*Mine: driftproof\.training\._methods\.sam\.SAM is called 'sam' already"
    ):

        class Mine(dp.SAM):
            name = "sam"

    assert known == METHODS


CELL = """
from driftproof.training._methods.rwp import RWP

class Mine(RWP):
    name = "mine"

    def drawn(self, passes):
        return super().drawn(passes)
"""
BARE = CELL[: CELL.index("    def")]  # nothing in it says which file it is from, but its module does


def loaded(path: Path, name: str, monkeypatch: pytest.MonkeyPatch, listed: bool = True) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if listed:  # as import does, and not every loader
        monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("code", [CELL, BARE], ids=["functions", "bare"])
def test_a_class_that_is_made_again_takes_the_place_of_the_first(code: str) -> None:
    """As by a cell of a notebook."""
    cells: list[dict[str, Any]] = [{"__name__": "__main__"}, {"__name__": "__main__"}]
    for number, cell in enumerate(cells):
        exec(compile(code, f"cell {number}", "exec"), cell)
        assert METHODS["mine"].make is cell["Mine"]
    with pytest.raises(TypeError, match=r"Other: __main__\.Mine .*'mine'"):
        exec(code.replace("Mine", "Other"), {"__name__": "__main__"})


@pytest.mark.parametrize(("code", "listed"), [(CELL, True), (CELL, False), (BARE, True)])
def test_a_file_under_two_names_is_one_class_another_file_is_another(
    code: str, listed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in ("one.py", "two.py"):
        (tmp_path / file).write_text(code, encoding="utf-8")
    loaded(tmp_path / "one.py", "first_name", monkeypatch, listed)
    again = loaded(tmp_path / "one.py", "second_name", monkeypatch, listed)
    assert METHODS["mine"].make is again.Mine
    with pytest.raises(TypeError, match=r"third_name\.Mine: second_name\.Mine .*'mine'"):
        loaded(tmp_path / "two.py", "third_name", monkeypatch, listed)


def test_an_incomplete_class_cannot_be_made(known: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"method Silent lacks accumulate$"):

        class Silent(Method):
            name = "silent"

    with pytest.raises(TypeError, match=r"Placed lacks an __init__.*keyword"):

        class Placed(dp.RWP):
            name = "placed"

            def __init__(self, noise: str, /) -> None:
                super().__init__(noise=noise)

    with pytest.raises(TypeError, match=r"method Neither lacks accumulate, an __init__"):

        class Neither(Method):
            name = "neither"

            def __init__(self, *settings: float) -> None:
                super().__init__(strength=settings[0], norms="clean")

    assert known == METHODS


def test_a_constructor_that_hands_everything_on_takes_what_the_class_above_takes() -> None:
    class Passing(dp.NoiseInjection):
        name = "passing"

        def __init__(self, *more: Any, **options: Any) -> None:
            super().__init__(*more, **options)

    class Alone(Method):
        name = "alone"

        def __init__(self, seed: int = 0) -> None:
            super().__init__(strength=0.1, norms="perturbed", seed=seed)

        def accumulate(self, passes: Passes, closures: Sequence[Closure]) -> Tensor:
            return passes.plain(closures[0])

    assert METHODS["passing"] == (Passing, False, True, False, False)
    assert METHODS["alone"] == (Alone, False, False, False, False)
    assert make_method("passing", strength=0.5).describe()["strength"] == "0.5"
    assert make_method("alone", seed=4).seed == 4
