"""The site is whole: links and anchors, the navigation, the device atlas, the reference and the command line."""

from __future__ import annotations

import ast
import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest
from typer.main import get_command

from driftproof._cli.app import app
from driftproof._presets import load_preset, preset_names
from driftproof._reporting.cards import flatten
from site_pages import atlas, command_line, hooks, places, reference, results
from site_pages.assemble import written_pages

TOP = places.TOP
CONFIGURATION = (TOP / "mkdocs.yml").read_text(encoding="utf-8")
NAVIGATION = re.findall(r"([\w/-]+\.md|\w+/\*)", CONFIGURATION.partition("\nnav:")[2])
PAGES = written_pages()


def anchors(path: str) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```", "", (TOP / path).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    words = [re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)) for heading in headings]
    return {word.strip().lower().replace(" ", "-") for word in words}


@pytest.mark.parametrize("path", PAGES)
def test_links_lead_to_files_and_headings(path: str) -> None:
    linked: list[str] = []
    text = (TOP / path).read_text(encoding="utf-8")
    places.follow(text, path, linked.append)  # raises where there is no file
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", text):
        if "://" not in target:
            page = (TOP / path).parent / target if target else TOP / path
            assert anchor in anchors(page.resolve().relative_to(TOP).as_posix()), f"{target}#{anchor}"


def test_a_link_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match=r"docs/records\.md: link nowhere\.md"):
        places.follow("[x](nowhere.md)", "docs/records.md", lambda path: None)
    same = "`[x](nowhere.md)`\n```\n[x](nowhere.md)\n```\n[x](https://doi.org/1)"
    assert places.follow(same.splitlines()[-1], "docs/records.md", lambda path: None) == same.splitlines()[-1]


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page() -> None:
    made = {"devices/index.md", "reference/driftproof.md", "reference/command_line.md"}
    there = {places.place(path) for path in PAGES}
    folders = {entry.removesuffix("*") for entry in NAVIGATION if entry.endswith("/*")}
    assert {entry for entry in NAVIGATION if not entry.endswith("/*")} <= there | made
    assert folders == {"devices/", "experiments/", "notebooks/", "reference/"}
    left = {page for page in there - set(NAVIGATION) if not page.startswith(tuple(folders))}
    assert not left, "pages without a line in mkdocs.yml"


@pytest.mark.parametrize("name", preset_names())
def test_the_atlas_has_a_page_for_every_preset(name: str) -> None:
    text, definition = atlas.page(name), load_preset(name).definition()
    assert text.startswith(f"# {name}")
    for key, value, _ in flatten({"conductance": definition["conductance"], "programming": definition["programming"]}):
        assert f"`{key}` | " in text
        assert value.replace("_", r"\_") in text, key
    assert definition["source"].get("doi", "") in text
    assert text.count('!!! warning "Caveat"') == len(definition["caveats"])
    for sentence in (*definition["assumptions"], *definition["caveats"]):
        assert sentence["text"][:20].replace("_", r"\_") in text
    for row in results.rows_of(name).itertuples():
        assert f"| {row.mean:.1f} | {row.ci95_new_low:.1f} to {row.ci95_new_high:.1f} |" in text
    assert len(results.rows_of(name)) or "No tracked result" in text


def test_the_list_of_the_atlas_and_the_pictures_of_one_page() -> None:
    assert list(atlas.pictures("levels")) == ["devices/levels-laws.svg"]  # it does not change in time
    made = atlas.pictures("reram-wan-2022")
    assert sorted(made) == ["devices/reram-wan-2022-accuracy.svg", "devices/reram-wan-2022-laws.svg"]
    assert all(b"</svg>" in picture for picture in made.values())
    listed = "\n".join(map(atlas._row, preset_names()))
    assert "| [pcm-hermes-2](pcm-hermes-2.md) | PCM | 0 to 1 y | 89.5 | 80.0 | 34.0 |" in listed
    assert "| [pcm-joshi-2020](pcm-joshi-2020.md) | PCM | 0 to 27.4 s | 91.1 | 91.1* | 91.1* |" in listed
    assert "| [reram-wan-2022](reram-wan-2022.md) | ReRAM | 1 s to 2 d | 89.4 | 81.5 | 81.5* |" in listed


def test_every_public_name_is_on_a_page_of_the_reference() -> None:
    pages = {path: text.decode() for path, text in reference.pages().items()}
    described = {entry for text in pages.values() for entry in re.findall(r"^::: (\S+)$", text, flags=re.MULTILINE)}
    linked = {entry for text in pages.values() for entry in re.findall(r"driftproof\.md#(driftproof\.\w+)", text)}
    assert linked <= described
    for room in ("", *reference.rooms()):
        for name in reference.names_of(room):
            in_room = f"driftproof.{room}.{name}" if room else f"driftproof.{name}"
            assert in_room in described or f"driftproof.{name}" in linked, in_room
    named = [name for names in reference.SUBJECTS.values() for name in names]
    assert sorted(named) == sorted(reference.names_of("")), "give each name of driftproof a subject, once"


def test_every_command_and_option_is_on_the_page_of_the_command_line() -> None:
    (text,) = (page.decode() for page in command_line.pages().values())
    for words, command in command_line.commands(get_command(app)):
        (part,) = re.findall(
            rf"^## driftproof {' '.join(words)}\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL
        )
        for option in command.params:
            if option.name != "help":
                name = option.opts[0] if option.param_type_name == "option" else option.name.upper()
                assert f"| `{name}" in part, (words, name)


def test_the_navigation_is_expanded(tmp_path: Path) -> None:
    for name in ("index", "b", "a"):
        (tmp_path / "devices").mkdir(exist_ok=True)
        (tmp_path / "devices" / f"{name}.md").touch()
    nav = [{"Devices": ["devices/index.md", "devices/*"]}]
    wanted = [{"Devices": ["devices/index.md", "devices/a.md", "devices/b.md"]}]
    assert hooks.expanded(nav, tmp_path, set(hooks.entries(nav))) == wanted


def test_nothing_is_loaded_from_another_host() -> None:
    assert "font: false" in CONFIGURATION
    assert "assets/iframe-worker.js" in CONFIGURATION  # without it, the plugin "offline" takes one from another host
    assert "http" not in CONFIGURATION
    for path in (TOP / "docs" / "assets").iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text, path


def test_pages_are_made_without_the_extra_docs() -> None:
    """Only the extension that mkdocstrings loads needs a package of the extra."""
    needed = {}
    for path in sorted((TOP / "docs" / "site_pages").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        found |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        needed[path.stem] = {name.partition(".")[0] for name in found} & {
            "mkdocs",
            "griffe",
            "mkdocstrings",
            "material",
        }
    assert {stem: names for stem, names in needed.items() if names} == {"griffe_extension": {"griffe"}}


@pytest.mark.parametrize("name", ["atlas", "docstrings", "hooks", "places"])
def test_examples_of_the_code_that_makes_pages(name: str) -> None:
    outcome = doctest.testmod(import_module(f"site_pages.{name}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0
