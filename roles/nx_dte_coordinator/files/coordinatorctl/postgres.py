"""The database server's side, with PostgreSQL's own clients."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from config import Failure
from programs import in_container, run

if TYPE_CHECKING:
    from config import Config

_REVISION = "SELECT version_num FROM alembic_version"
_HAS_TABLES = "SELECT to_regclass('alembic_version') IS NOT NULL"
_KNOWN = "from nx_dte.coordinator.store.sql import revisions; print(*revisions.known())"
_TOP_LINES, _UNKNOWN_TO_OLDER = 100, b"SET transaction_timeout = 0;\n"
# What the coordinator made: tables of its user. A newer version's would stand in the way of that one's migrations later.
_DROP = """
SET client_min_messages = warning;
DO $$ DECLARE one record; BEGIN
  FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tableowner = current_user LOOP
    EXECUTE format('DROP TABLE %I CASCADE', one.tablename);
  END LOOP;
END $$;
"""


def connection(config: Config) -> tuple[str, dict[str, str]]:
    """The URL without the password, for arguments that everybody sees, and the environment that has it."""
    url = urlsplit(config.database_url)
    where = url.netloc.rpartition("@")[2]
    user = f"{url.username}@" if url.username else ""
    shown = urlunsplit(url._replace(scheme="postgresql", netloc=f"{user}{where}"))
    environment = {"PGCONNECT_TIMEOUT": "10"}
    if url.password:
        environment["PGPASSWORD"] = unquote(url.password)
    # Names that only the container is told.
    if address := config.extra_hosts.get(url.hostname or ""):
        environment["PGHOSTADDR"] = "127.0.0.1" if address == "host-gateway" else address
    return shown, environment


def dump(config: Config, file: Path) -> None:
    """Write the whole database into a file that only root reads."""
    url, environment = connection(config)
    file.touch(mode=0o600)
    command = [
        "pg_dump",
        "--format=custom",
        "--no-owner",
        "--no-privileges",
        f"--file={file}",
        f"--dbname={url}",
    ]
    run(command, "the database cannot be dumped", environment=environment)


def has_tables(config: Config) -> bool:
    """Whether a coordinator has ever used the database."""
    return _ask(config, _HAS_TABLES) == "t"


def revision(config: Config) -> str:
    """The schema's revision."""
    return _ask(config, _REVISION)


def check_dump(config: Config, file: Path, schema_revision: str) -> None:
    """Refuse a dump that cannot be read, or whose schema this image does not know.

    Raises:
        Failure: with what to do instead.
    """
    run(["pg_restore", "--list", str(file)], f"{file} cannot be read; take another backup")
    known = in_container(
        config, config.image, {}, ["/opt/nx-dte/bin/python", "-c", _KNOWN], "the image cannot be asked"
    ).split()
    if schema_revision not in known:
        raise Failure(
            f"the backup's database has schema {schema_revision}, which is newer than this image's ({known[-1]}): set "
            "nx_dte_coordinator_image to the version that made the backup"
        )


def restore(config: Config, file: Path) -> None:
    """Replace the coordinator's tables by the dump's, all or nothing."""
    url, environment = connection(config)
    with tempfile.TemporaryDirectory(prefix=".restoring-", dir=config.backup_dir) as work:
        drop, written, fill = (Path(work, name) for name in ("drop.sql", "written.sql", "fill.sql"))
        drop.write_text(_DROP, encoding="utf-8")
        command = ["pg_restore", "--no-owner", "--no-privileges", f"--file={written}", str(file)]
        run(command, f"{file} cannot be read; take another backup")
        _suit_older_servers(written, fill)
        options = ["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"]
        command = ["psql", *options, f"--dbname={url}", f"--file={drop}", f"--file={fill}"]
        run(command, "the database cannot be restored", environment=environment)


def _suit_older_servers(written: Path, fill: Path) -> None:
    """Leave out what clients from 17 on write at the top and servers before 17 do not know."""
    with written.open("rb") as source, fill.open("wb") as target:
        for line in itertools.islice(source, _TOP_LINES):
            if line != _UNKNOWN_TO_OLDER:
                target.write(line)
        shutil.copyfileobj(source, target)


def _ask(config: Config, statement: str) -> str:
    url, environment = connection(config)
    command = [
        "psql",
        "--no-psqlrc",
        "--tuples-only",
        "--no-align",
        f"--command={statement}",
        f"--dbname={url}",
    ]
    return run(command, "the database cannot be asked", environment=environment).strip()
