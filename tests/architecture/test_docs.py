"""The pages name only what exists: links, make targets, commands."""

import re
from pathlib import Path

import click
import pytest

from nx_dte.cli import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
MAKE = re.compile(r"`make ([a-z][a-z0-9-]*)`")
COMMAND = re.compile(r"(?:`|\$ )nx-dte ((?:[a-z][a-z-]*(?: |\b))+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_make_target_that_is_named_exists_and_says_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    described = set(re.findall(r"^([a-z][a-z0-9-]*):.*## ", makefile, re.MULTILINE))
    named = {target for page in PAGES for target in MAKE.findall(page.read_text(encoding="utf-8"))}
    assert {"demo", "test"} <= named
    assert named - described == set()
    phony = set(re.findall(r"^\.PHONY: (\S+)", makefile, re.MULTILINE))
    assert phony == described


def _exists(words: list[str]) -> bool:
    """Whether the words, as far as they name commands, name existing ones."""
    command: click.Command | None = cli
    for word in words:
        if not isinstance(command, click.Group):
            return True
        command = command.get_command(click.Context(command), word)
        if command is None:
            return False
    return True


def test_every_command_that_the_readme_names_exists() -> None:
    named = {words.strip() for words in COMMAND.findall((ROOT / "README.md").read_text(encoding="utf-8"))}
    assert "coordinator serve" in named
    assert [words for words in named if not _exists(words.split())] == []
