"""What a prompt and a notebook show of a record."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pandas as pd

from driftproof import Record, summarise
from synthetic_record import begin, fill, large_record, preset


def test_a_prompt_names_network_devices_chips_times_and_file(tmp_path: Path) -> None:
    with large_record(tmp_path, chips=3) as record:
        said = repr(record)
        assert said == (
            "Record(resnet20, devices pcm-nandakumar-2019, reram-wan-2022, oxide-short-2021, gaussian:0.05, 3 chips, "
            f"0 s … 1 y (6), {len(record.cells())} cells, {tmp_path / 'record.sqlite'})"
        )
    assert repr(record).startswith("Record(not readable: ")  # closed
    with Record.create_or_open(None) as empty:
        assert repr(empty) == "Record(no cells yet, in memory)"
        assert "no cells yet" in empty._repr_html_()


def test_a_notebook_shows_the_same_and_no_markup_of_names() -> None:
    class Texts(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.texts: list[str] = []
            self.tags: set[str] = set()

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.tags.add(tag)

        def handle_data(self, data: str) -> None:
            self.texts.append(data)

    with Record.create_or_open(None) as record:
        made, number = begin(record, model="<script>x</script>")
        fill(record, made, number, preset("p<q"), {1.0: [90.0]})
        page = Texts()
        page.feed(record._repr_html_())
    assert "script" not in page.tags
    assert {"<script>x</script>", "p<q", "1 s", "1", "cifar10 (10,000 samples)"} <= set(page.texts)


def test_pandas_gets_the_cells_and_the_summary_takes_a_folder(tmp_path: Path) -> None:
    with large_record(tmp_path, chips=3) as record:
        pd.testing.assert_frame_equal(record.to_pandas(), record.cells())
        table = summarise(record)
    for given in (tmp_path, str(tmp_path), tmp_path / "record.sqlite"):
        pd.testing.assert_frame_equal(summarise(given), table)
