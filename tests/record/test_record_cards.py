"""Cards in records: kept, added to older records, and never in the way."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from driftproof._device_card import device_card
from driftproof._errors import DriftproofError
from driftproof._presets import load_preset
from driftproof._record import FILE_NAME, PresetEntry, Record
from driftproof._reporting import export
from synthetic_record import begin, fill, preset


@pytest.fixture(scope="module")
def entry() -> PresetEntry:
    return preset("pcm").model_copy(update={"card": device_card(load_preset("pcm-nandakumar-2019"))})


def test_a_card_comes_out_as_it_went_in(entry: PresetEntry, tmp_path: Path) -> None:
    with Record.create_or_open(tmp_path) as record:
        made, number = begin(record)
        fill(record, made, number, entry, {1.0: [90.0]})
    with Record.open(tmp_path) as record:
        assert record.presets() == {"pcm": entry}
        content = json.loads(export(record, "json", tmp_path / "cells.json").read_text())
    assert content["presets"]["pcm"]["card"]["unit"] == "µS"


def test_an_old_record_opens_and_gets_its_card(entry: PresetEntry, tmp_path: Path) -> None:
    with Record.create_or_open(tmp_path) as record:
        begin(record)
        record.add_preset(entry)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as file:
        file.execute("UPDATE presets SET body = json_remove(body, '$.card')")
        file.commit()
    with Record.create_or_open(tmp_path) as record:
        assert record.presets()["pcm"].card is None
        changed = entry.model_copy(update={"definition": entry.definition | {"summary": "Another text."}})
        record.add_preset(changed)
        assert record.presets() == {"pcm": entry}  # the card came, the text stayed
        record.add_preset(entry.model_copy(update={"card": None}))
        assert record.presets() == {"pcm": entry}
        with pytest.raises(DriftproofError, match="other numbers"):
            record.add_preset(entry.model_copy(update={"sha256": "changed"}))


def test_a_card_of_another_version_is_made_anew(entry: PresetEntry, tmp_path: Path) -> None:
    with Record.create_or_open(tmp_path) as record:
        begin(record)
        record.add_preset(entry)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as file:
        file.execute("UPDATE presets SET body = json_set(body, '$.card', json('{\"version\": 99, \"pictures\": []}'))")
        file.commit()
    with Record.create_or_open(tmp_path) as record:
        assert record.presets()["pcm"].card is None
        record.add_preset(entry)
        assert record.presets()["pcm"].card == entry.card
