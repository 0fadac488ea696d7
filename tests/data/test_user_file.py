from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import pytest

from driftproof._errors import DriftproofError
from driftproof.data._user_file import call_user_file, is_user_file

BODY = """
from __future__ import annotations
from dataclasses import dataclass
from os.path import join

count = 0

@dataclass
class Thing:
    value: int = 3

def make(): return Thing()
def counted():
    global count
    count += 1
    return count
def needs(a, b=1): return a
def fails(): {}["fc"]
def deep(): return join(3)
def leaves(): raise SystemExit(2)
constant = 5
def _private(): pass
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(BODY)
    return path


def test_runs_the_callable_and_names_it_without_folders(file: Path) -> None:
    name, thing = call_user_file(f"{file}:make")
    assert name == "mine.py:make"
    assert thing.value == 3
    assert pickle.loads(pickle.dumps(thing)) == thing  # its module can still be looked up
    assert call_user_file(f"{file}:Thing")[1].value == 3  # a class is a callable too
    assert str(file.parent) not in sys.path


def test_file_is_executed_once_until_it_changes(file: Path) -> None:
    assert [call_user_file(f"{file}:counted")[1] for _ in range(2)] == [1, 2]
    file.write_text(BODY.replace("count = 0", "count = 100"))
    os.utime(file, ns=(1, 1))
    assert call_user_file(f"{file}:counted")[1] == 101


def test_folders_are_importable_and_kept_apart(tmp_path: Path) -> None:
    for name in ("first", "second"):
        folder = tmp_path / name
        (folder / "package").mkdir(parents=True)
        (folder / "beside.py").write_text(f"VALUE = {name!r}\n")
        (folder / "package" / "__init__.py").write_text("from package.inner import VALUE\n")
        (folder / "package" / "inner.py").write_text(f"VALUE = {name!r}\n")
        (folder / "mine.py").write_text(
            "import beside\ndef make():\n    import package  # late\n    return beside.VALUE, package.VALUE\n"
        )
    for name in ("first", "second", "first"):
        assert call_user_file(f"{tmp_path / name / 'mine.py'}:make")[1] == (name, name)


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        (
            "mke",
            r"no callable 'mke' \(did you mean make\?\); it has Thing, make, counted, needs, fails, deep, leaves",
        ),
        ("constant", r"no callable 'constant'; it has Thing"),
        ("", r"no callable was named; it has Thing"),
        ("needs", r"mine.py:needs: wanted a callable without arguments, but it has a missing .*'a'"),
        ("fails", r"mine.py:fails raised KeyError: 'fc' \(mine.py, line 18\)"),
        # Raised in the standard library: the line shown is the user's.
        ("deep", r"mine.py:deep raised TypeError: .* \(mine.py, line 19\)"),
        ("leaves", r"mine.py:leaves raised SystemExit: 2"),
    ],
)
def test_errors_of_the_callable(file: Path, attribute: str, message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        call_user_file(f"{file}:{attribute}")


def test_exceptions_stay_as_the_cause(file: Path) -> None:
    with pytest.raises(DriftproofError) as caught:
        call_user_file(f"{file}:fails")
    assert isinstance(caught.value.__cause__, KeyError)


def test_errors_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(DriftproofError, match=r"no file .*absent.py; wanted file.py:callable"):
        call_user_file(f"{tmp_path / 'absent.py'}:make")
    broken = tmp_path / "broken.py"
    for content, message in (
        ("import no_such_module_here", r"broken.py: loading the file raised ModuleNotFoundError"),
        ("def make(:", r"loading the file raised SyntaxError"),
        ("import sys; sys.exit(1)", r"loading the file raised SystemExit: 1"),
    ):
        broken.write_text(content)
        before = set(sys.modules)
        with pytest.raises(DriftproofError, match=message) as caught:
            call_user_file(f"{broken}:make")
        assert caught.value.__cause__ is not None
        assert not {name for name in set(sys.modules) - before if name.startswith("driftproof_user")}
    broken.write_text("x = 1\n")
    with pytest.raises(DriftproofError, match="it defines none"):
        call_user_file(f"{broken}:make")


def test_what_is_a_user_file() -> None:
    assert is_user_file("a.py")
    assert is_user_file(r"C:\nets\a.py:make")
    assert is_user_file("a.py:")
    assert not is_user_file("cifar10:/data/x.pyc")
    assert not is_user_file("resnet20")
