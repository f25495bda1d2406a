"""The generated pages are as the code would write them now, and name everything that is used."""

import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from nx_dte.cli.coordinator import serve
from nx_dte.settings import FLAGS, describe
from tests.support.reference_pages import PAGES, ROOT


@pytest.mark.parametrize(("name", "page"), PAGES.items(), ids=PAGES)
def test_a_generated_page_is_up_to_date(name: str, page: Callable[[], str]) -> None:
    written = (ROOT / name).read_text(encoding="utf-8") if (ROOT / name).exists() else ""
    assert written == page(), f"{name} differs from the code; run `make docs`"


def test_the_settings_that_are_said_to_be_flags_are() -> None:
    flags = {option for parameter in serve.params for option in parameter.opts} - {"--config"}
    assert {item.flag for item in describe() if item.flag} == flags
    assert {name.replace("_", "-") for name in FLAGS} == {flag.removeprefix("--") for flag in flags}
    assert isinstance(serve, click.Command)


def test_operations_page_and_alerts_name_only_metrics_and_settings_that_exist(repository_root: Path) -> None:
    metrics = set(re.findall(r"`(nx_dte_\w+)`", PAGES["docs/metrics.md"]()))
    variables = {item.variable for item in describe()}
    roles = {path.parents[1].name: path for path in repository_root.glob("roles/nx_dte_*/defaults/main.yml")}
    known = metrics | set(roles)
    known |= {
        name
        for path in roles.values()
        for name in re.findall(r"(?m)^(nx_dte_\w+):", path.read_text(encoding="utf-8"))
    }
    for file in ("docs/operations.md", "monitoring/alerts.yaml"):
        text = (repository_root / file).read_text(encoding="utf-8")
        named = set(re.findall(r"\bnx_dte_[a-z0-9_]+", text))
        assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in named} - known == set()
        assert set(re.findall(r"\bNX_DTE_[A-Z0-9_]+", text)) - variables == set()
