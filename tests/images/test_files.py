"""What the images are made from keeps to the rules: hadolint, short entrypoints, bills of materials."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from toolchain.images.sbom import write_sbom

if TYPE_CHECKING:
    from pathlib import Path

    from tests.images.conftest import Built

pytestmark = pytest.mark.slow


def _dockerfiles(root: Path) -> list[Path]:
    return sorted(
        path
        for folder in ("images", "molecule", "toolchain", "tests")
        for path in (root / folder).rglob("*Dockerfile")
    )


def test_hadolint_has_nothing_to_say(repository_root: Path) -> None:
    files = _dockerfiles(repository_root)
    assert len(files) >= 5
    done = subprocess.run(
        [repository_root / ".venv/bin/hadolint", "--config", ".config/hadolint.yaml", *files],
        cwd=repository_root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_dockerfiles_keep_to_the_classic_subset(repository_root: Path) -> None:
    for file in _dockerfiles(repository_root):
        text = file.read_text(encoding="utf-8")
        for word in ("# syntax=", "RUN --mount", "COPY --chmod", "COPY --link", "<<EOF", "\nSHELL "):
            assert word not in text, f"{file}: {word}"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "some"),
    [
        ("runner", {"nx-dte", "node", "pnpm", "git", "tini", "python3.11", "pydantic"}),
        ("coordinator", {"nx-dte", "tini", "sqlalchemy", "uvicorn", "obstore"}),
    ],
)
def test_a_bill_of_materials_names_what_is_in_an_image(
    built: Built, tmp_path: Path, name: str, some: set[str]
) -> None:
    file = write_sbom(built.root, getattr(built, name), tmp_path / f"{name}.spdx.json")
    bill = json.loads(file.read_text(encoding="utf-8"))
    assert bill["spdxVersion"].startswith("SPDX-2")
    assert some - {package["name"].lower() for package in bill["packages"]} == set()
