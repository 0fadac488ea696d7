"""Tables that name their class by a tag, such as ``law = "power"``; a class registers itself when it is defined."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from driftproof._errors import WRONG_TAG, did_you_mean
from driftproof.laws._table import Table


class Tagged(Table):
    """A table that has one class per tag.

    A *family* is a subclass that sets ``family``. A *member* is a subclass of a family. Its fields are the keys of the
    table, and one of them is the tag, such as ``law: Literal["its-name"]``. Defining the class registers it, and
    files can then name it. A subclass that sets ``unfinished = True`` is a base of others and is not registered.

    Attributes:
        family: Name of the members in error messages.
        tag_key: Key that names the member.
        hint: Last sentence of the message about an unknown tag.
        members: The registered classes by tag, in the order of their definition.
    """

    family: ClassVar[str]
    tag_key: ClassVar[str]
    hint: ClassVar[str] = ""
    members: ClassVar[dict[str, Any]]
    unfinished: ClassVar[bool] = True

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Register a member under its tag.

        Raises:
            TypeError: If the class lacks a part, or if another class has its tag.
        """
        super().__pydantic_init_subclass__(**kwargs)
        if "family" in vars(cls):
            cls.members = {}
        elif not vars(cls).get("unfinished", False):
            if missing := cls._missing():
                raise TypeError(f"{cls.family} {cls.__name__} is not complete: it has {'; '.join(missing)}")
            taken = cls.members.get(cls.tag(), cls)
            if _origin(taken) != _origin(cls):
                raise TypeError(f"{cls.family} {cls.__name__}: {taken.__name__} has the tag {cls.tag()!r} already")
            cls.members[cls.tag()] = cls

    @classmethod
    def tag(cls) -> str:
        """Return the tag of this class, or an empty text if it has none.

        >>> from driftproof.laws._drift import PowerDrift
        >>> PowerDrift.tag()
        'power'
        """
        key = cls.model_fields.get(cls.tag_key)
        names = get_args(key.annotation) if key is not None and get_origin(key.annotation) is Literal else ()
        return names[0] if len(names) == 1 and isinstance(names[0], str) else ""

    @classmethod
    def _missing(cls) -> list[str]:
        """Return the parts that the class lacks, in words."""
        missing = [] if cls.tag() else [f'no tag ({cls.tag_key}: Literal["…"])']
        return missing + [f"no {name}()" for name in sorted(cls.__abstractmethods__)]

    @classmethod
    def choices(cls) -> dict[str, type[Self]]:
        """Return the members that are subclasses of this class, by tag.

        >>> from driftproof.laws import ReadLaw
        >>> list(ReadLaw.choices())[:3]
        ['log10-g', 'one-over-f', 'saturating']
        """
        return {tag: member for tag, member in cls.members.items() if issubclass(member, cls)}

    @classmethod
    def chosen(cls, table: Any) -> Self:
        """Return the member that a table names, with the table's values; a member is returned as it is.

        Raises:
            ValidationError: If the table names no member, or if its values do not suit the member. The places of the
                errors are keys of the table, without the tag.
        """
        if isinstance(table, cls):
            return table
        if not isinstance(table, Mapping):
            raise _fault((), f"wanted a table with the key {cls.tag_key}, got {table!r}", table)
        choices, tag = cls.choices(), table.get(cls.tag_key)
        if isinstance(tag, str) and tag in choices:
            return choices[tag](**table)
        came = f"there is no {tag!r}{did_you_mean(str(tag), choices)}" if cls.tag_key in table else "missing"
        raise _fault((cls.tag_key,), f"{came}; wanted one of {', '.join(choices) or 'none'}{cls.hint}", table)


def _fault(place: tuple[str, ...], text: str, came: Any) -> ValidationError:
    kind = PydanticCustomError(
        WRONG_TAG, "{text}", {"text": text}
    )  # pydantic fills in braces, and a text may have some
    return ValidationError.from_exception_data("law", [InitErrorDetails(type=kind, loc=place, input=came)])


def _origin(member: type) -> tuple[str, str]:
    """Return where a class is defined. The same file loaded twice, or a notebook cell run twice, gives the same."""
    module = sys.modules.get(member.__module__)
    return getattr(module, "__file__", None) or member.__module__, member.__qualname__
