"""Sections of the job log, byte for byte as GitLab wants them."""

import pytest

from nx_dte.gitlab.sections import SectionLog


def log(*, is_gitlab: bool = True) -> tuple[SectionLog, list[str]]:
    written: list[str] = []
    ticks = iter(range(1_700_000_000, 1_800_000_000))
    return SectionLog(write=written.append, now=lambda: next(ticks) + 0.9, is_gitlab=is_gitlab), written


def test_a_section_as_gitlab_documents_it() -> None:
    sections, written = log()
    with sections.section("record", "nx format:check", is_collapsed=True):
        written.append("inside\n")
    assert "".join(written) == (
        "\x1b[0Ksection_start:1700000000:record[collapsed=true]\r\x1b[0K\x1b[1mnx format:check\x1b[0m\n"
        "inside\n"
        "\x1b[0Ksection_end:1700000001:record\r\x1b[0K\n"
    )


def test_it_ends_whatever_happens_inside() -> None:
    sections, written = log()
    with pytest.raises(KeyError), sections.section("a", "A"):
        raise KeyError
    assert "section_end" in written[-1]


def test_names_are_made_fit_and_unique() -> None:
    sections, _ = log()
    assert sections.start("shop:build/prod", "x") == "shop_build_prod"
    assert sections.start("shop build prod", "x") == "shop_build_prod.2"
    assert sections.start("::", "x") == "section"


def test_a_header_cannot_start_a_section_of_its_own() -> None:
    sections, written = log()
    sections.start("a", "x\r\x1b[0Ksection_end:1:a\n")
    assert written[0].count("\r") == 1
    assert written[0].count("\n") == 1


def test_elsewhere_only_headlines_are_written() -> None:
    sections, written = log(is_gitlab=False)
    with sections.section("a", "Building"):
        pass
    assert written == ["Building\n"]
