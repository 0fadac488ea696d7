"""The guides hold: their code runs from top to end, and their commands exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from pages.fences import TOP, carry_out, commands, fences, parse

PAGES = [*sorted((TOP / "docs").glob("*.md")), TOP / "CONTRIBUTING.md"]
# pages that lean on files of the reader; tests of their own say what must be there
ELSEWHERE = {
    "clusters.md": "test_clusters_page.py",
    "from_aihwkit.md": "from_aihwkit/test_page.py",
    "lab_data.md": "fitting/test_lab_data_page.py",
    "measured_arrays.md": "measured/test_page.py",
}
WITH_CODE = [
    page
    for page in PAGES
    if page.name not in ELSEWHERE and any(language == "python" for language, _ in fences(page.read_text("utf-8")))
]
COMMANDS = [(page.name, words) for page in PAGES for words in commands(page.read_text("utf-8"))]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = carry_out(page, tmp_path, monkeypatch)
    if page.name == "start.md":
        assert (tmp_path / "report" / "index.html").is_file()
        assert (tmp_path / "out" / "mine" / "index.html").is_file()
        assert set(names["dp"].Record.open("out/mine").presets()) == {
            *("pcm-nandakumar-2019", "reram-wan-2022", "sonos-agrawal-2022")
        }
    if page.name == "periphery.md":
        assert (tmp_path / "periphery.toml").is_file()
        assert names["rows"].groupby(["preset", "converters"]).ngroups == 9
    if page.name == "own_network.md":
        assert names["error"].quantity.higher_is_better is False
    if page.name == "from_crosssim.md":
        assert (tmp_path / "out" / "independent" / "index.html").is_file()
        source = names["dp"].load_preset(tmp_path / "independent.toml").source
        assert source.title.startswith("Generic")
        assert not source.authors  # those of the extended preset have no part in it
        assert not source.doi


@pytest.mark.parametrize(
    ("page", "words"), COMMANDS, ids=lambda part: part if isinstance(part, str) else " ".join(part)
)
def test_the_commands_of_a_page_parse(page: str, words: list[str]) -> None:
    parse(words)


def test_pages_with_tests_of_their_own_are_there() -> None:
    for page, test in ELSEWHERE.items():
        assert (TOP / "docs" / page).is_file()
        assert page.removesuffix(".md") in (TOP / "tests" / test).read_text(encoding="utf-8")
