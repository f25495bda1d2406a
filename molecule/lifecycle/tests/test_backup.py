"""The drill: a coordinator with records and artifacts is backed up, lost, and restored; and what must be refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from backup_drill import IMAGE, NAME, READ_ONLY_TOKEN, READ_WRITE_TOKEN, Drill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testinfra.host import Host

pytestmark = [pytest.mark.timeout(1200)]
testinfra_hosts = [f"ansible://{NAME}"]

DATA, BACKUPS, UNIT = "/var/lib/nx-dte", "/var/backups/nx-dte", "nx-dte-coordinator"


@pytest.fixture(scope="module")
def drill(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    """A coordinator that the playbook made, from an image in a file."""
    folder = tmp_path_factory.mktemp("drill")
    archive = folder / "coordinator.tar"
    docker = os.environ.get("DOCKER", "docker")
    subprocess.run([docker, "image", "save", "--output", str(archive), IMAGE], check=True)
    with archive.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    image = {
        "nx_dte_coordinator_image_archive": str(archive),
        "nx_dte_coordinator_image_archive_sha256": digest,
    }
    # Beside it there is the engine's bridge.
    (address,) = (one for one in host.check_output("hostname -I").split() if one.startswith("10.91."))
    made = Drill(host=host, folder=folder, address=address, image=image)
    made.succeed("coordinator.yml")
    yield made
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def run_id(drill: Drill) -> str:
    """A finished CI run with artifacts."""
    return drill.finish_a_run("4711")


@pytest.fixture(scope="module")
def before(drill: Drill, run_id: str) -> dict[str, Any]:
    """What the coordinator knew and served at the time of the backup."""
    return drill.remember(run_id)


@pytest.fixture(scope="module")
def archive(drill: Drill, before: dict[str, Any]) -> Path:
    """The backup, as the controller got it."""
    assert before
    played = drill.succeed("backup.yml", nx_dte_coordinator_backup_fetch_to=str(drill.folder / "fetched"))
    assert " artifacts (" in played.text
    (file,) = (drill.folder / "fetched").iterdir()
    assert file.name.startswith(NAME)
    assert file.stat().st_mode & 0o777 == 0o600
    return file


def _name(archive: Path) -> str:
    """The backup's name on the host."""
    return archive.stem.removeprefix(f"{NAME}-")


# ------------------------------------------------------------------------------------------- the service
def test_a_second_run_changes_nothing(drill: Drill) -> None:
    assert drill.succeed("coordinator.yml").changed == 0
    assert drill.succeed("coordinator.yml", "--check", "--diff").changed == 0


def test_the_unit_is_hardened(drill: Drill) -> None:
    shown = drill.host.check_output(f"systemctl cat {UNIT}")
    for directive in (
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=\n",
        "RestrictAddressFamilies=AF_UNIX",
        "SystemCallFilter=@system-service",
        "Restart=always",
    ):
        assert directive in shown, shown
    for unit in (UNIT, "caddy", "nx-dte-backup"):
        rating = drill.host.run(f"systemd-analyze security --no-pager {unit}.service").stdout.splitlines()[-1]
        assert "OK" in rating or "SAFE" in rating, rating


def test_the_container_is_confined(drill: Drill) -> None:
    (container,) = json.loads(drill.host.check_output(f"docker inspect {UNIT}"))
    limits, config = container["HostConfig"], container["Config"]
    assert config["User"] == "10001:10001"
    assert limits["ReadonlyRootfs"]
    assert limits["CapDrop"] == ["ALL"]
    assert limits["SecurityOpt"] == ["no-new-privileges"]
    assert limits["Memory"] == limits["MemorySwap"] == 1024**3
    assert limits["PidsLimit"] == 512
    published = [entry["HostIp"] for ports in limits["PortBindings"].values() for entry in ports]
    assert published == ["127.0.0.1", "127.0.0.1"]


def test_no_token_is_shown(drill: Drill) -> None:
    places = (
        f"docker inspect {UNIT}",
        f"systemctl cat {UNIT} nx-dte-backup caddy",
        f"systemctl show {UNIT}",
        "ps -ww -e -o args",
        f"journalctl -u {UNIT} -u caddy --no-pager",
        "cat /etc/nx-dte/coordinator/*.toml /etc/nx-dte/coordinator/*.json /etc/caddy/Caddyfile",
    )
    shown = "\n".join(drill.host.run(place).stdout for place in places)
    assert READ_WRITE_TOKEN not in shown
    assert READ_ONLY_TOKEN not in shown
    for name in ("settings.toml", "tokens/read-write", "tokens/read-only"):
        file = drill.host.file(f"/etc/nx-dte/coordinator/container/{name}")
        assert (file.mode, file.uid) == (0o400, 10001)


def test_only_caddy_is_reached_from_outside(drill: Drill) -> None:
    assert drill.host.socket("tcp://127.0.0.1:8720").is_listening
    for port in (8720, 8721, 2019):
        assert not drill.host.socket(f"tcp://0.0.0.0:{port}").is_listening

    async def talk(driver: Any) -> list[int]:
        away = await driver.http.get(f"http://{drill.address}/readyz")
        answers = [(await driver.http.get(path)).status_code for path in ("/readyz", "/metrics")]
        return [away.status_code, *answers, away.headers["location"].startswith("https://")]

    assert drill.speak(talk) == [308, 200, 404, True]


def test_the_timer_makes_backups(drill: Drill, before: dict[str, Any]) -> None:
    assert before
    assert drill.host.service("nx-dte-backup.timer").is_running
    assert drill.host.run("systemctl start nx-dte-backup.service").rc == 0, drill.host.run(
        "journalctl -u nx-dte-backup --no-pager -n 20"
    ).stdout
    assert any(name.endswith("-timer") for name in json.loads(drill.ctl("list").stdout))


# -------------------------------------------------------------------------------------------- the drill
def test_backup_wipe_restore_keeps_runs_and_artifacts(
    drill: Drill, archive: Path, before: dict[str, Any], run_id: str
) -> None:
    """Container, data, backups and configuration are lost: the archive on the controller brings all back."""
    host = drill.host
    assert host.run(f"systemctl stop {UNIT}").rc == 0
    assert host.run(f"docker ps --all --quiet --filter name={UNIT}").stdout == ""
    wiped = f"{DATA} {BACKUPS} /etc/nx-dte /etc/systemd/system/{UNIT}.service"
    assert host.run(f"rm -rf {wiped} && systemctl daemon-reload").rc == 0

    played = drill.succeed("restore.yml", nx_dte_coordinator_restore_from=str(archive))

    assert f"restored {_name(archive)} (made on " in played.text
    assert drill.remember(run_id) == before
    assert host.run(f"ls -A {BACKUPS}").stdout.split() == [".lock"], "nothing of the archive is left"


def test_a_backup_of_the_host_puts_what_is_there_aside(
    drill: Drill, before: dict[str, Any], run_id: str
) -> None:
    folder = json.loads(drill.ctl("backup").stdout)["folder"]
    later = drill.finish_a_run("4712")

    played = drill.succeed("restore.yml", nx_dte_coordinator_restore_from=Path(folder).name)

    assert "moved the old data to" in played.text
    assert drill.remember(run_id) == before
    aside = drill.host.check_output(f"ls -d {DATA}/before-restore-*")
    assert drill.host.file(f"{aside}/coordinator.sqlite3").exists

    async def talk(driver: Any) -> int:
        return int((await driver.send("GET", f"/api/v1/ci-runs/{later}")).status_code)

    assert drill.speak(talk) == 404


# ----------------------------------------------------------------------------------- what must be refused
_CHANGES = {
    "damaged": "f=next((p/'objects').rglob('*.*'),0) or [x for x in (p/'objects').rglob('*') if x.is_file()][0];"
    "b=f.read_bytes();f.unlink();f.write_bytes(b[:-1]+bytes([b[-1]^1]))",
    "cut": "[x for x in (p/'objects').rglob('*') if x.is_file()][0].unlink()",
    "foreign": "(p/'about.json').unlink()",
    "more": "(p/'added').write_text('x')",
    # As a newer version of nx-dte would have made it: everything fits, but the schema.
    "newer": "import sqlite3,json,hashlib,sys;sys.path.insert(0,'/usr/local/lib/nx-dte/coordinatorctl');d=p/'coordinator.sqlite3';"
    "c=sqlite3.connect(d);c.execute('UPDATE alembic_version SET version_num=9999');c.commit();c.close();m=p/'manifest.json';"
    "v=json.loads(m.read_text());v['database_sha256']=hashlib.sha256(d.read_bytes()).hexdigest();m.write_text(json.dumps(v));"
    "import sums;sums.write(p)",
}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("damaged", "is damaged"),
        ("cut", "is missing"),
        ("foreign", "is no backup of this playbook"),
        ("more", "does not belong to the backup"),
        ("newer", "use the nx-dte version"),
    ],
)
def test_what_is_not_right_is_refused_and_nothing_is_touched(
    drill: Drill, before: dict[str, Any], run_id: str, change: str, complaint: str
) -> None:
    host, copied = drill.host, f"/srv/{change}"
    newest = json.loads(drill.ctl("list").stdout)[-1]
    assert host.run(f"rm -rf {copied} && cp -a {newest} {copied}").rc == 0
    script = f"import pathlib;p=pathlib.Path('{copied}');{_CHANGES[change]}"
    assert host.run("python3 -c %s", script).rc == 0
    started = host.check_output(f"systemctl show --property=ActiveEnterTimestampMonotonic {UNIT}")

    refused = drill.ctl("restore", copied)

    assert refused.rc == 1
    assert complaint in refused.stderr
    assert "Nothing was changed" in refused.stderr
    assert host.check_output(f"systemctl show --property=ActiveEnterTimestampMonotonic {UNIT}") == started
    assert drill.remember(run_id) == before
    assert ".restoring" not in host.check_output(f"ls -A {DATA} {BACKUPS}")


def test_a_cut_archive_is_refused(drill: Drill, before: dict[str, Any], run_id: str) -> None:
    whole, cut = "/srv/whole.tar", "/srv/cut.tar"
    assert drill.ctl("backup", "--archive", whole).rc == 0
    assert drill.host.run(f"head --bytes=100000 {whole} > {cut}").rc == 0

    refused = drill.ctl("restore", "--archive", cut)

    assert refused.rc == 1
    assert "cannot be unpacked" in refused.stderr
    assert "Nothing was changed" in refused.stderr
    assert drill.remember(run_id) == before


# ------------------------------------------------------------------------------------------ another image
def _build(drill: Drill, tag: str, line: str) -> str:
    """An image on the host that stands for another version; its name."""
    name = f"nx-dte/coordinator:{tag}"
    text = f"FROM {IMAGE}\\n{line}\\n"
    built = drill.host.run(f"printf '{text}' | DOCKER_BUILDKIT=0 docker build --tag {name} -")
    assert built.rc == 0, built.stderr
    return name


def test_another_image_is_started_after_a_backup(drill: Drill, before: dict[str, Any], run_id: str) -> None:
    name = _build(drill, "next", "LABEL next=yes")
    given = {"nx_dte_coordinator_image_archive": "", "nx_dte_coordinator_image_allow_tag": True}

    drill.succeed("coordinator.yml", nx_dte_coordinator_image=name, **given)

    assert json.loads(drill.ctl("list").stdout)[-1].endswith("-upgrade")
    assert drill.host.check_output(
        f"docker inspect --format '{{{{.Image}}}}' {UNIT}"
    ) == drill.host.check_output(f"docker image inspect --format '{{{{.Id}}}}' {name}")
    assert drill.remember(run_id) == before


def test_an_image_that_does_not_come_up_says_how_to_go_back(
    drill: Drill, before: dict[str, Any], run_id: str
) -> None:
    name = _build(drill, "broken", 'ENTRYPOINT ["/bin/false"]')
    given = {"nx_dte_coordinator_image_archive": "", "nx_dte_coordinator_image_allow_tag": True}

    played = drill.play("coordinator.yml", nx_dte_coordinator_image=name, **given)

    assert played.code != 0
    assert "Its last lines" in played.text
    newest = Path(json.loads(drill.ctl("list").stdout)[-1]).name
    assert f"nx_dte_coordinator_restore_from={newest}" in played.text

    drill.succeed("restore.yml", nx_dte_coordinator_restore_from=newest)
    assert drill.remember(run_id) == before


def test_a_wrong_database_is_told_by_the_coordinator_itself(drill: Drill, before: dict[str, Any]) -> None:
    assert before
    wrong = "postgresql://nx:secret-of-the-database@127.0.0.1:1/nx"
    settings = {"database_wait_s": 1}
    given = {"nx_dte_coordinator_database_packages": [], "nx_dte_coordinator_settings": settings}

    played = drill.play("coordinator.yml", "--diff", nx_dte_coordinator_database_url=wrong, **given)

    assert played.code != 0
    assert "the database" in played.text
    assert "secret-of-the-database" not in played.output
    assert "postgresql://nx:***@127.0.0.1:1/nx" in played.text, "the diff is useful"


# ------------------------------------------------------------------------------------------ decommission
def test_the_data_outlives_the_service(drill: Drill, before: dict[str, Any], run_id: str) -> None:
    drill.succeed("coordinator.yml", nx_dte_coordinator_state="absent")
    host = drill.host
    for gone in (f"/etc/systemd/system/{UNIT}.service", "/etc/nx-dte/coordinator", "/etc/caddy/Caddyfile"):
        assert not host.file(gone).exists
    assert not host.service("caddy").is_running
    assert host.file(f"{DATA}/coordinator.sqlite3").exists
    assert drill.succeed("coordinator.yml", nx_dte_coordinator_state="absent").changed == 0

    drill.succeed("coordinator.yml")
    assert drill.remember(run_id) == before
