"""The program that backs up and restores on the coordinator's host: what it does without an engine."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = Path(__file__).resolve().parents[2] / "roles/nx_dte_coordinator/files/coordinatorctl"
MODULES = ("config", "programs", "service", "sums", "archives", "backups", "postgres", "making", "restoring")


@pytest.fixture(scope="module")
def ctl() -> Iterator[Any]:
    """Its modules, by name; they find each other as they do on a host."""
    sys.path.insert(0, str(PROGRAM))
    # The folder is copied to hosts as it is.
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield type("Modules", (), {name: importlib.import_module(name) for name in MODULES})
    finally:
        sys.path.remove(str(PROGRAM))
        sys.dont_write_bytecode = writes
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture
def config(ctl: Any, tmp_path: Path) -> Any:
    """What the role would have written for this folder."""
    (tmp_path / "etc/container").mkdir(parents=True)
    (tmp_path / "backups").mkdir()
    file = tmp_path / "ctl.json"
    file.write_text(json.dumps(_written(tmp_path)))
    return ctl.config.load(file)


def _written(folder: Path, **other: Any) -> dict[str, Any]:
    return {
        "unit": "nx-dte-coordinator",
        "uid": 10001,
        "etc": str(folder / "etc"),
        "data_dir": str(folder / "data"),
        "backup_dir": str(folder / "backups"),
        "keep": 2,
        "ready_url": "http://127.0.0.1:1/readyz",
        "ready_timeout_s": 1,
        "has_server": False,
        "has_object_store": False,
        "extra_hosts": {"db.example.org": "10.0.0.5", "db.here": "host-gateway"},
        **other,
    }


def _backup(ctl: Any, folder: Path, content: bytes = b"an artifact") -> Path:
    """A folder as a backup is."""
    (folder / "objects/ab").mkdir(parents=True)
    (folder / "objects/ab/cdef").write_bytes(content)
    ctl.backups.write_about(folder, kind="sqlite", host="here")
    ctl.sums.write(folder)
    return folder


# ------------------------------------------------------------------------------------------------- sums
def test_sums_are_those_of_sha256sum(ctl: Any, tmp_path: Path) -> None:
    folder = _backup(ctl, tmp_path / "one")
    ctl.sums.check(folder)
    subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True, capture_output=True
    )


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda folder: (folder / "objects/ab/cdef").write_bytes(b"an artifacT"), "is damaged"),
        (lambda folder: (folder / "objects/ab/cdef").unlink(), "is missing"),
        (lambda folder: (folder / "objects/ab/more").write_bytes(b""), "does not belong"),
        (lambda folder: (folder / "objects/link").symlink_to("/etc/passwd"), "does not belong"),
        (lambda folder: (folder / "SHA256SUMS").unlink(), "is no backup of this playbook"),
    ],
)
def test_whatever_differs_is_named(
    ctl: Any, tmp_path: Path, damage: Callable[[Path], object], complaint: str
) -> None:
    folder = _backup(ctl, tmp_path / "one")
    damage(folder)
    with pytest.raises(ctl.config.Failure, match=complaint):
        ctl.sums.check(folder)


# --------------------------------------------------------------------------------------------- archives
def test_an_archive_holds_the_backup(ctl: Any, tmp_path: Path) -> None:
    folder = _backup(ctl, tmp_path / "20261124T030000Z")
    ctl.archives.pack(folder, tmp_path / "backup.tar")
    assert (tmp_path / "backup.tar").stat().st_mode & 0o777 == 0o600

    unpacked = ctl.archives.unpack(tmp_path / "backup.tar", tmp_path / "new")

    assert unpacked == tmp_path / "new/20261124T030000Z"
    ctl.sums.check(unpacked)


def _archive(file: Path, *members: tarfile.TarInfo) -> None:
    with tarfile.open(file, "w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b""))


def _member(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, "/etc/passwd"
    return made


@pytest.mark.parametrize(
    "member",
    [
        _member("../evil"),
        _member("/etc/evil"),
        _member("a/link", tarfile.SYMTYPE),
        _member("a/hard", tarfile.LNKTYPE),
    ],
)
def test_an_archive_that_would_leave_its_folder_is_refused(
    ctl: Any, tmp_path: Path, member: tarfile.TarInfo
) -> None:
    _archive(tmp_path / "evil.tar", member)
    with pytest.raises(ctl.config.Failure, match="which no backup does"):
        ctl.archives.unpack(tmp_path / "evil.tar", tmp_path / "new")
    assert [file.name for file in tmp_path.iterdir()] == ["evil.tar"]


@pytest.mark.parametrize("size", [0, 700, 3000])
def test_a_cut_archive_is_refused(ctl: Any, tmp_path: Path, size: int) -> None:
    folder = _backup(ctl, tmp_path / "20261124T030000Z", b"x" * 4000)
    ctl.archives.pack(folder, tmp_path / "backup.tar")
    (tmp_path / "cut.tar").write_bytes((tmp_path / "backup.tar").read_bytes()[:size])
    with pytest.raises(ctl.config.Failure, match="take"):
        ctl.sums.check(ctl.archives.unpack(tmp_path / "cut.tar", tmp_path / "new"))


# ---------------------------------------------------------------------------------------------- backups
def test_only_the_newest_stay_and_only_backups_go(ctl: Any, config: Any) -> None:
    names = ["20261121T030000Z", "20261122T030000Z-timer", "20261123T030000Z", "20261124T030000Z-upgrade"]
    for name in reversed(names):
        _backup(ctl, config.backup_dir / name)
    for other in ("notes", "20261101T030000Z"):  # the second is none: it says nothing of itself
        (config.backup_dir / other).mkdir()

    ctl.backups.prune(config)

    assert [folder.name for folder in ctl.backups.all_of(config)] == names[2:]
    assert (config.backup_dir / "notes").is_dir()
    assert (config.backup_dir / "20261101T030000Z").is_dir()


def test_artifacts_of_two_backups_take_room_once_unless_they_differ(ctl: Any, tmp_path: Path) -> None:
    one, two = _backup(ctl, tmp_path / "one"), _backup(ctl, tmp_path / "two")
    three = _backup(ctl, tmp_path / "three", b"an artifacT")
    for later in (two, three):
        ctl.backups.share(later, one)
    inodes = [(folder / "objects/ab/cdef").stat().st_ino for folder in (one, two, three)]
    assert inodes[0] == inodes[1] != inodes[2]
    ctl.sums.check(two)
    ctl.sums.check(three)


def test_a_backup_of_a_newer_role_is_refused(ctl: Any, tmp_path: Path) -> None:
    folder = _backup(ctl, tmp_path / "one")
    (folder / "about.json").write_text('{"form": 2}')
    with pytest.raises(ctl.config.Failure, match="has form 2"):
        ctl.backups.read_about(folder)


# ------------------------------------------------------------------------------------------- its settings
def test_the_image_is_the_one_that_the_unit_starts(config: Any) -> None:
    assert config.image == ""
    (config.etc / "image.env").write_text("# a remark = none\nNX_DTE_COORDINATOR_IMAGE=sha256:abc\n")
    assert config.image == "sha256:abc"


def test_the_password_is_in_the_environment_only(ctl: Any, config: Any) -> None:
    url = "postgresql+psycopg://dte:p%40ss@db.example.org:5433/dte?sslmode=require"
    (config.mounted / "settings.toml").write_text(f"lease_s = 5\ndatabase_url = {json.dumps(url)}\n")
    shown, environment = ctl.postgres.connection(config)
    assert shown == "postgresql://dte@db.example.org:5433/dte?sslmode=require"
    assert environment["PGPASSWORD"] == "p@ss"
    assert environment["PGHOSTADDR"] == "10.0.0.5"


def test_a_host_that_was_never_set_up_is_told_so(tmp_path: Path) -> None:
    command = [sys.executable, "-IB", str(PROGRAM), "--config", str(tmp_path / "none.json"), "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "run coordinator.yml for this host again" in done.stderr
    assert not (PROGRAM / "__pycache__").exists()


def test_a_backup_needs_a_coordinator(tmp_path: Path) -> None:
    (tmp_path / "ctl.json").write_text(json.dumps(_written(tmp_path)))
    command = [sys.executable, "-IB", str(PROGRAM), "--config", str(tmp_path / "ctl.json")]
    nothing = subprocess.run(
        [*command, "backup", "--before-image", "sha256:new"], capture_output=True, text=True, check=False
    )
    assert json.loads(nothing.stdout) == {"name": ""}
    done = subprocess.run([*command, "backup"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nothing to back up" in done.stderr
