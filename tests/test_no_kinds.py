"""No code outside the packages that define devices and laws asks what kind of one it has: it asks for what it needs."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from driftproof._devices import ProgrammedArray
from driftproof._presets import DeviceMix, DevicePreset, Source
from driftproof.laws._drift import PowerDrift
from driftproof.laws._encoding import OffsetEncoding, PairEncoding, WeightEncoding
from driftproof.laws._programming import PolynomialProgramming
from driftproof.measured import MeasuredDevice
from driftproof.measured._device import MeasuredArray
from kind_questions import questions
from kinds import HOMES, kinds, mentions_kind, telling_names

SOURCE = Path(__file__).parents[1] / "src" / "driftproof"
FILES = sorted(path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).parts[0] not in HOMES)

ALLOWED = {
    ("_calls/network.py", "getattr(hook, 'name', '')"): "a hook of torch's, by the tensor that it makes",
    ("evaluation/_folded.py", "getattr(module, 'weight', None)"): "any layer of torch's, by its weight",
    ("_conversion/tiles.py", "hasattr(held, 'array')"): "aihwkit's arrays of tiles, of which some are one tile",
    ("periphery/_aihwkit_fields.py", "WEIGHT_NOISE_TYPES[noise.law]"): "of the periphery's noise, under aihwkit's name",
    ("periphery/_converters.py", "noise.law == 'pcm-read'"): "of the periphery's noise",
    ("_device_choice.py", "isinstance(choice, Device)"): "what a user gives: is it a device at all, of whatever kind?",
    (
        "_device_plot.py",
        "isinstance(device, DevicePreset)",
    ): "what a user gives: a mix has a card for each of its devices",
    ("training/_noise.py", "isinstance(choice, Device)"): "what a user gives: is it a device at all, of whatever kind?",
    ("training/_noise.py", "type(choice)"): "for the message that it is none",
}
"""(file, question) → why it is not about the kind of a device."""

# what the snippets below begin with
IMPORTS = """
import driftproof as dp
from driftproof._device_choice import load_device
from driftproof._devices import Device
from driftproof.laws import _drift as tables
from driftproof.laws._drift import PowerDrift
from driftproof.laws._encoding import PairEncoding, Conductances as Conductance
from driftproof.measured._device import MeasuredArray, MeasuredDevice
from driftproof._presets import DeviceMix, DevicePreset as Preset
"""

CAUGHT = {
    "isinstance": [
        "isinstance(x, Preset)",
        "isinstance(x, dp.DevicePreset)",
        "isinstance(x, int | DeviceMix)",
        "isinstance(x, (str, MeasuredDevice))",
        "isinstance(x, tables.PowerDrift)",
        "isinstance(x, Conductance)",
        "isinstance(x, MeasuredArray)",
        "issubclass(type(x), Device)",
        "from driftproof.measured._saved import SavedMeasured\nisinstance(x, SavedMeasured)",
        "both = (Preset, DeviceMix)\nisinstance(x, both)",
        "type Both = Preset | DeviceMix\nisinstance(x, Both.__value__)",
        "from driftproof._presets import DeviceMix as Other\nisinstance(x, Other)",
        "def f(x):\n    from driftproof.measured._device import MeasuredDevice as M\n    return isinstance(x, M)",
    ],
    "type": [
        "type(x) is Preset",
        "type(x) == PowerDrift",
        "type(x) in (Preset, DeviceMix)",
        "Preset in type(x).__mro__",
        "type(x).__name__ == 'MeasuredDevice'",
        "type(x).__name__.startswith('Measured')",
        "x.__class__ is MeasuredDevice",
        "def f(own: Device):\n    return type(own) in TABLE",
        "def f(own: 'Device'):\n    return own.__class__",
        "{Preset: 1, DeviceMix: 2}[type(x)]",
        "from functools import singledispatch\n@singledispatch\ndef f(x): ...",
        "import functools\n@functools.singledispatch\ndef f(x): ...",
    ],
    "kind": [
        "x.family == 'mixed'",
        "'PCM' != x.family",
        "x.family in ('none', 'generic')",
        "definition['family'] == 'measured'",
        "definition.get('family') == 'measured'",
        "family = x.family\nif family == 'PCM': ...",
        "if (law := x.programming.law) == 'gaussian': ...",
        "WORDS[x.drift.law]",
        "WORDS.get(x.conductance.encoding)",
        "x.law.endswith('in-time')",
        "preset.kind == 'mix'",
        "def f(own: Device):\n    return own.kind == 'mix'",
        "def f():\n    for part in x.parts:\n        part.kind == 'mix'",
        "saved = load_device('ideal')\nsaved.kind == 'mix'",
        "device.name.startswith('measured:')",
        "'measured' in device.name",
    ],
    "match": [
        "match x:\n    case Preset(): ...",
        "match x:\n    case tables.PowerDrift(t0_s=t): ...",
        "match x:\n    case str() | DeviceMix(): ...",
        "match x:\n    case object(law='power'): ...",
        "match x.drift.law:\n    case 'power': ...",
        "match definition:\n    case {'family': 'measured'}: ...",
        "match device.kind:\n    case 'mix': ...",
    ],
    "hasattr": [
        "hasattr(x, 'drift')",
        "hasattr(x, 'chips')",
        "getattr(x, 'programming', None)",
        "getattr(x, 'g_max_us', 0)",
        "getattr(x, 'kind')",
        "getattr(device, name)",
        "getattr(x.preset, name, None)",
        "def f(own: Device):\n    return hasattr(own, 'anything')",
        "def f(own: Device, name):\n    return getattr(own, name)",
        "from operator import attrgetter\nattrgetter('conductance.g_max_us')",
        "import operator\noperator.attrgetter('layers')(x)",
        "'drift' in vars(device)",
        "'drift' in device.__dict__",
        "'drift' in dir(preset)",
        "'drift' in preset.model_fields",
        "try:\n    x.drift\nexcept AttributeError: ...",
        "try:\n    device.anything\nexcept (KeyError, AttributeError): ...",
        "from contextlib import suppress\nwith suppress(AttributeError):\n    x.layers",
    ],
}
HARMLESS = [
    "isinstance(x, str)",
    "isinstance(noise, Noise)",
    "type(module) is nn.Linear",
    "step.kind == 'start'",
    "row['kind'] == 'floats'",
    "mean.kind in ('below', 'crossed')",
    "match step:\n    case Step(kind='start'): ...",
    "match step.kind:\n    case 'start': ...",
    "hasattr(module, 'analog_module')",
    "getattr(function, '__name__', '')",
    "device.laws is None",
    "preset.drift is not None and preset.read",
    "device.chips is None or chip < device.chips",
    "device.name == other.name",
    "device.changes_in_time",
    "f'{x.family}: {definition[\"family\"]}'",
    "try:\n    module.anything\nexcept AttributeError: ...",
    "def f(device: str):\n    return getattr(device, name)",
]


def found() -> dict[tuple[str, str], str]:
    return {
        (path.relative_to(SOURCE).as_posix(), question.text): f"line {question.line} {question.what}"
        for path in FILES
        for question in questions(path.read_text(encoding="utf-8"))
    }


def test_no_code_asks_what_kind_of_device_it_has() -> None:
    asked = {f"{file}, {what}: {text}" for (file, text), what in found().items() if (file, text) not in ALLOWED}
    assert not asked, "\n".join(sorted(asked))


def test_all_that_is_allowed_is_needed() -> None:
    assert not ALLOWED.keys() - found().keys()


@pytest.mark.parametrize("snippet", [snippet for form in CAUGHT.values() for snippet in form])
def test_every_form_of_the_question_is_seen(snippet: str) -> None:
    assert questions(f"{IMPORTS}\n{snippet}\n")


@pytest.mark.parametrize("snippet", HARMLESS)
def test_other_questions_are_not(snippet: str) -> None:
    assert questions(f"{IMPORTS}\n{snippet}\n") == []


def test_the_kinds_are_those_of_the_packages() -> None:
    devices = {DevicePreset, DeviceMix, MeasuredDevice, ProgrammedArray, MeasuredArray}
    assert devices | {PairEncoding, OffsetEncoding, WeightEncoding, PolynomialProgramming, PowerDrift} <= kinds()
    assert Source not in kinds()
    for table in ("conductance", "programming", "drift", "read", "stuck", "levels"):
        union = DevicePreset.model_fields[table].annotation
        assert all(mentions_kind(law) for law in get_args(union) or (union,) if law is not type(None)), table
    assert {"chips", "drift", "g_max_us", "layers", "significance"} <= telling_names()
