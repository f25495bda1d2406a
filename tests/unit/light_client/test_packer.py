from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
from typing import TYPE_CHECKING

import pytest

from nx_dte.errors import InternalError
from nx_dte.light_client import pack_bundle
from nx_dte.light_client.packer import nx_content_hash

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "index.js").write_text("module.exports = {};\n")
    (tmp_path / "agent.js").write_text("'use strict';\n")
    (tmp_path / "notes.md").write_text("not for Nx\n")
    return tmp_path


def test_only_script_and_json_files_are_packed_sorted_and_flat(folder: Path) -> None:
    bundle = pack_bundle(folder)

    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(bundle.archive))) as archive:
        assert archive.getnames() == ["agent.js", "index.js"]
        assert {(member.uid, member.gid, member.mtime) for member in archive} == {(0, 0, 0)}


def test_equal_files_give_equal_bytes_wherever_and_whenever(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("elsewhere")
    for name in ("index.js", "agent.js"):
        (other / name).write_bytes((folder / name).read_bytes())

    assert pack_bundle(other) == pack_bundle(folder)


def test_a_changed_file_changes_version_and_hash(folder: Path) -> None:
    before = pack_bundle(folder)
    (folder / "agent.js").write_text("changed\n")
    after = pack_bundle(folder)

    assert before.version != after.version
    assert before.content_hash != after.content_hash


def test_the_content_hash_is_that_of_nx() -> None:
    one, two = hashlib.sha256(b"1").hexdigest(), hashlib.sha256(b"2").hexdigest()

    expected = hashlib.sha256("".join(sorted([one, two])).encode()).hexdigest()
    assert nx_content_hash({"b.js": b"1", "a.js": b"2"}) == expected


def test_the_version_can_be_a_folder_of_nx(folder: Path) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", pack_bundle(folder).version)


def test_a_folder_without_an_index_is_refused(folder: Path) -> None:
    (folder / "index.js").unlink()

    with pytest.raises(InternalError, match=r"index\.js"):
        pack_bundle(folder)


def test_a_name_that_nx_cannot_unpack_is_refused(folder: Path) -> None:
    (folder / ("x" * 101 + ".js")).write_text("")

    with pytest.raises(InternalError, match="cannot unpack"):
        pack_bundle(folder)


def test_the_real_light_client_can_be_packed() -> None:
    assert pack_bundle().archive
