"""What every law has: a tag, numbers, formulas, words and plots. A class without one of them cannot be made."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from driftproof.errors import did_you_mean
from driftproof.laws.table import Table

WRONG_TAG = "wrong_tag"
"""Pydantic's type of the fault that a table names no law, or one that does not exist."""

Plot = Literal["spread", "spread in time", "exponent", "shift", "courses"]
"""What a law can show on a device's card.

- ``spread``: the spread of programmed devices, or the error of programmed weights, per target.
- ``spread in time``: the same at three times.
- ``exponent``: mean and spread over devices of what they keep for life, their drift exponent ν, per target.
- ``shift``: what becomes of one target through time, its mean and spread.
- ``courses``: targets through time as they are read, with read noise.
"""


class Law(Table):
    """One law of a device, with all that the house wants of it; the subclasses are families (drift laws, …).

    A *family* is a subclass with a ``family`` of its own. A *law* is a subclass of a family: its fields are the keys
    of a preset's table, one of them the tag, ``law: Literal["its-name"]``, by which the table names it. Defining the
    class registers it, so that presets can name it. A subclass with ``unfinished = True`` is none yet: others share it.

    Formulas are written with tensor methods (``g.mul(…).exp_()``), or import torch inside the method: presets are
    loaded where there is no torch.

    Attributes:
        family: what messages call its members.
        tag_key: the key of a table that names the law.
        members: tag → law, in the order of definition.
        plots: what the law brings to a card.
    """

    family: ClassVar[str] = "law"
    tag_key: ClassVar[str] = "law"
    members: ClassVar[dict[str, type[Law]]] = {}
    plots: ClassVar[tuple[Plot, ...]]
    unfinished: ClassVar[bool] = True

    @abstractmethod
    def words(self) -> str:
        """Return what the law does with these numbers: a plain sentence with its formula and units."""

    @property
    def changes_in_time(self) -> bool:
        """Whether what the law does depends on the time since programming."""
        return False

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Register a law under its tag.

        Raises:
            TypeError: a part of it is missing, or another law has the tag.
        """
        super().__pydantic_init_subclass__(**kwargs)
        if "family" in vars(cls):
            cls.members = {}
            return
        if vars(cls).get("unfinished", False):
            return
        if missing := cls._missing():
            raise TypeError(f"{cls.family} {cls.__name__} is not complete: it has {'; '.join(missing)}")
        tag = cls.tag()
        taken = cls.members.get(tag)
        if taken is not None and _origin(taken) != _origin(cls):
            raise TypeError(f"{cls.family} {cls.__name__}: {taken.__name__} has the tag {tag!r} already")
        cls.members[tag] = cls

    @classmethod
    def tag(cls) -> str:
        """Return the name by which a table chooses this law; empty if it has none.

        >>> from driftproof.laws import PowerDrift
        >>> PowerDrift.tag()
        'power'
        """
        key = cls.model_fields.get(cls.tag_key)
        names = get_args(key.annotation) if key is not None and get_origin(key.annotation) is Literal else ()
        return names[0] if len(names) == 1 and isinstance(names[0], str) else ""

    @classmethod
    def _missing(cls) -> list[str]:
        """Return what the class still lacks, in words."""
        found = [] if cls.tag() else [f'no tag ({cls.tag_key}: Literal["…"])']
        found += [f"no {name}()" for name in sorted(cls.__abstractmethods__)]
        plots = getattr(cls, "plots", None)
        if plots is None:
            found.append(f"no plots (some of {', '.join(get_args(Plot))})")
        else:
            found += [f"the unknown plot {plot!r}" for plot in plots if plot not in get_args(Plot)]
        return found

    @classmethod
    def choices(cls) -> dict[str, type[Self]]:
        """Return the laws of this kind by their tags.

        >>> from driftproof.laws import ReadLaw
        >>> list(ReadLaw.choices())[:3]
        ['log10-g', 'one-over-f', 'saturating']
        """
        return {tag: law for tag, law in cls.members.items() if issubclass(law, cls)}

    @classmethod
    def chosen(cls, table: Any) -> Self:
        """Return the law that a table names, with the table's numbers; a law is returned as it is.

        Raises:
            ValidationError: a table that names no law, or not what that law wants. Faults have the places of keys in
                the table: the law's tag is in none of them.
        """
        if isinstance(table, cls):
            return table
        choices, tag = cls.choices(), table.get(cls.tag_key) if isinstance(table, Mapping) else None
        if isinstance(tag, str) and tag in choices:
            return choices[tag].model_validate(table)
        wanted = f"wanted one of {', '.join(choices)}"
        if not isinstance(table, Mapping):
            raise _fault((), f"wanted a table with the key {cls.tag_key}, got {table!r}", table)
        if cls.tag_key not in table:
            raise _fault((cls.tag_key,), f"missing; {wanted}", table)
        raise _fault((cls.tag_key,), f"there is no {tag!r}{did_you_mean(str(tag), choices)}; {wanted}", tag)


def _fault(place: tuple[str, ...], text: str, came: Any) -> ValidationError:
    kind = PydanticCustomError(WRONG_TAG, "{text}", {"text": text})  # a text may have braces in it
    return ValidationError.from_exception_data("law", [InitErrorDetails(type=kind, loc=place, input=came)])


def _origin(law: type[Law]) -> tuple[str, str]:
    """Say where a class is defined: the same place again (a file that is loaded twice, a notebook) replaces it."""
    module = sys.modules.get(law.__module__)
    return getattr(module, "__file__", None) or law.__module__, law.__qualname__
