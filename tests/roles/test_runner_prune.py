"""nx-dte-prune against an engine's socket: what goes, what stays, and what it says."""

from __future__ import annotations

import http.server
import importlib.util
import json
import os
import socketserver
import sys
import threading
import urllib.parse
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

PROGRAM = Path(__file__).resolve().parents[2] / "roles/gitlab_runner/files/nx-dte-prune"
NOW = 1_700_000_000.0
HOUR = 3600.0
GIB = 1 << 30


def program() -> ModuleType:
    loader = SourceFileLoader("nx_dte_prune", str(PROGRAM))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module  # dataclasses look there
    loader.exec_module(module)
    return module


PRUNE = program()


class StandInEngine:
    """A few answers of Docker's engine, on a socket."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "docker.sock")
        self.root = folder / "docker"
        self.root.mkdir()
        self.images: list[dict[str, Any]] = []
        self.containers: list[dict[str, Any]] = []
        self.volumes: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.since: list[float] = []
        self.refused: set[str] = set()

    def answer(self, method: str, path: str) -> tuple[int, str]:
        if method == "DELETE":
            name = urllib.parse.unquote(path)
            if name in self.refused:
                return 409, '{"message": "in use"}'
            self.deleted.append(name)
            return 200, "[]"
        if path == "/events":
            return 200, "\n".join(map(json.dumps, self.events))
        values: dict[str, Any] = {
            "/info": {"DockerRootDir": str(self.root)},
            "/images/json": self.images,
            "/containers/json": self.containers,
            "/volumes": {"Volumes": self.volumes},
        }
        return 200, json.dumps(values[path])

    def add_image(self, name: str, identity: str) -> None:
        self.images.append(
            {
                "Id": identity,
                "RepoTags": [name],
                "RepoDigests": [f"{name.split(':', maxsplit=1)[0]}@sha256:{identity}"],
            }
        )

    def add_volume(self, name: str, age_h: float, labels: dict[str, str] | None = None) -> None:
        place = self.root / name
        place.mkdir()
        os.utime(place, (NOW - age_h * HOUR,) * 2)
        self.volumes.append(
            {"Name": name, "Labels": labels, "Mountpoint": str(place), "CreatedAt": "2020-01-01T00:00:00Z"}
        )

    def add_container(
        self, name: str, image: str = "", state: str = "running", age_h: float = 0, volume: str = ""
    ) -> None:
        self.containers.append(
            {
                "Id": name,
                "Names": [f"/{name}"],
                "ImageID": image,
                "State": state,
                "Created": NOW - age_h * HOUR,
                "Labels": {"com.gitlab.gitlab-runner.managed": "true"} if name.startswith("runner-") else {},
                "Mounts": [{"Type": "volume", "Name": volume}] if volume else [],
            }
        )


class _Handler(http.server.BaseHTTPRequestHandler):
    engine: StandInEngine

    def do_GET(self) -> None:
        if self.path.startswith("/events"):
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            self.engine.since.append(float(query["since"][0]))
        status, text = self.engine.answer(self.command, self.path.split("?")[0])
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_DELETE = do_GET  # noqa: N815  # the base class asks for this name

    def address_string(self) -> str:
        return "socket"

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[StandInEngine]:
    stand_in = StandInEngine(tmp_path)
    handler = type("Handler", (_Handler,), {"engine": stand_in})
    with socketserver.ThreadingUnixStreamServer(stand_in.path, handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield stand_in
        server.shutdown()
        thread.join()


def a_run(engine: StandInEngine | None, *, known: dict[str, float] | None = None, **changed: Any) -> Any:
    """A run whose disk has `free` bytes, and `gain` more for each thing that is removed."""
    free, gain, is_dry = (
        changed.pop("free", 100 * GIB),
        changed.pop("gain", GIB),
        changed.pop("is_dry", False),
    )
    settings = PRUNE.Settings(
        **{
            "max_age_s": 24 * HOUR,
            "min_free_bytes": 10 * GIB,
            "keep_images": [],
            "engine": engine.path if engine else "",
            "build_folders": [],
            "textfile_dir": "",
        }
        | changed
    )
    run = PRUNE.Run(settings, {"images": known or {}, "checked_at": NOW - HOUR}, NOW, is_dry)
    run.free = lambda _disk: free + gain * (len(engine.deleted) if engine else 0)
    return run


def test_old_images_go_and_used_or_kept_ones_stay(engine: StandInEngine) -> None:
    for name, identity in (
        ("old:1", "i-old"),
        ("busy:1", "i-busy"),
        ("kept:1", "i-kept"),
        ("new:1", "i-new"),
    ):
        engine.add_image(name, identity)
    engine.add_container("job", "i-busy")
    long_ago = NOW - 48 * HOUR
    run = a_run(
        engine,
        known={"i-old": long_ago, "i-busy": long_ago, "i-kept": long_ago},
        keep_images=["kept@sha256:*"],
    )
    run.do()
    assert engine.deleted == ["/images/old:1", "/images/old@sha256:i-old", "/images/i-old"]
    assert run.state["images"]["i-busy"] == NOW
    assert run.state["images"]["i-new"] == NOW, "what is seen for the first time is not old"


def test_an_image_that_a_short_job_used_between_two_runs_counts_as_used(engine: StandInEngine) -> None:
    engine.add_image("short:1", "i-short")
    engine.events = [{"Actor": {"Attributes": {"image": "short:1"}}}]
    run = a_run(engine, known={"i-short": NOW - 48 * HOUR})
    run.do()
    assert not engine.deleted


def test_times_that_a_wrong_clock_has_written_are_taken_for_now(engine: StandInEngine) -> None:
    engine.add_image("old:1", "i-old")
    run = a_run(engine, known={"i-old": NOW + 9999 * HOUR})
    run.state["checked_at"] = NOW + 9999 * HOUR
    run.do()
    assert engine.since == [NOW], "the engine refuses a span that ends before it begins"
    assert run.state["images"] == {"i-old": NOW}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"images": []}',
        '{"images": {"i": "x"}}',
        '{"checked_at": null}',
        '{"removed_total": {"image": []}}',
    ],
)
def test_a_broken_state_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text, encoding="utf-8")
    assert PRUNE.loaded(tmp_path / "state.json") == {}


def test_only_the_runners_volumes_go(engine: StandInEngine) -> None:
    engine.add_volume("runner-abc-project-1-concurrent-0-cache", 48)
    engine.add_volume("labelled", 48, {"com.gitlab.gitlab-runner.type": "cache"})
    engine.add_volume("database", 48)
    engine.add_volume("runner-data", 48)
    engine.add_volume("runner-recent-project-1-concurrent-0", 1)
    engine.add_volume("runner-mounted-project-1-concurrent-0", 48)
    engine.add_container("coordinator", volume="runner-mounted-project-1-concurrent-0")
    a_run(engine).do()
    assert sorted(engine.deleted) == ["/volumes/labelled", "/volumes/runner-abc-project-1-concurrent-0-cache"]


def test_a_checkout_inside_tells_a_volumes_age(engine: StandInEngine) -> None:
    engine.add_volume("runner-abc-project-1-concurrent-0", 48)
    checkout = engine.root / "runner-abc-project-1-concurrent-0/group"
    checkout.mkdir()
    os.utime(checkout, (NOW - HOUR,) * 2)
    os.utime(checkout.parent, (NOW - 48 * HOUR,) * 2)
    a_run(engine).do()
    assert not engine.deleted


def test_dead_containers_of_the_runner_go_before_what_they_hold(engine: StandInEngine) -> None:
    engine.add_container("runner-abc-project-1-concurrent-0", state="exited", age_h=48)
    engine.add_container("runner-running", age_h=48)
    engine.add_container("somebody-elses", state="exited", age_h=48)
    a_run(engine).do()
    assert engine.deleted == ["/containers/runner-abc-project-1-concurrent-0"]


def test_room_is_made_by_least_recent_use_and_no_further(
    engine: StandInEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    for age in (2, 5, 3, 0.1):
        engine.add_volume(f"runner-{age}-project-1-concurrent-0", age)
    run = a_run(engine, free=8 * GIB, gain=GIB)
    run.do()
    assert engine.deleted == [
        "/volumes/runner-5-project-1-concurrent-0",
        "/volumes/runner-3-project-1-concurrent-0",
    ]
    assert not run.report.alarm
    assert run.report.freed_bytes == 2 * GIB
    assert (
        "removed volume runner-5-project-1-concurrent-0: the disk is short of room, unused for 5 h, 1.00 GiB freed"
        in capsys.readouterr().out
    )


def test_an_alarm_is_raised_where_nothing_is_left(
    engine: StandInEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.add_volume("runner-5-project-1-concurrent-0", 5)
    engine.add_volume("runner-now-project-1-concurrent-0", 0.1)
    run = a_run(engine, free=GIB, gain=0)
    run.do()
    assert engine.deleted == ["/volumes/runner-5-project-1-concurrent-0"], (
        "a job that starts now may need the other"
    )
    assert PRUNE.told(run) == 1
    assert "find out what fills the disk" in capsys.readouterr().err


def test_what_has_come_into_use_meanwhile_is_left(
    engine: StandInEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.add_volume("runner-abc-project-1-concurrent-0", 48)
    engine.refused = {"/volumes/runner-abc-project-1-concurrent-0"}
    run = a_run(engine)
    run.do()
    assert run.report.removed == {}
    assert "left volume runner-abc-project-1-concurrent-0" in capsys.readouterr().out


def test_a_dry_run_removes_nothing(engine: StandInEngine, capsys: pytest.CaptureFixture[str]) -> None:
    engine.add_volume("runner-abc-project-1-concurrent-0", 48)
    a_run(engine, is_dry=True).do()
    assert not engine.deleted
    assert (
        "would remove volume runner-abc-project-1-concurrent-0: too old, unused for 48 h"
        in capsys.readouterr().out
    )


def checkout(root: Path, name: str, age_h: float) -> Path:
    folder = root / name
    (folder / ".git").mkdir(parents=True)
    (folder.parent / f"{folder.name}.tmp").mkdir()
    for path in (folder / ".git", folder, folder.parent / f"{folder.name}.tmp"):
        os.utime(path, (NOW - age_h * HOUR,) * 2)
    return folder


def test_build_folders_go_unless_a_process_works_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = tmp_path / "builds"
    old, busy, new = (
        checkout(builds, f"t1/0/group/{name}", age) for name, age in (("old", 48), ("busy", 48), ("new", 1))
    )
    outside = tmp_path / "outside"
    (outside / ".git").mkdir(parents=True)
    (builds / "link").symlink_to(outside)
    monkeypatch.chdir(busy)
    a_run(None, build_folders=[str(builds)]).do()
    assert not old.exists()
    assert not old.with_name("old.tmp").exists()
    assert busy.exists()
    assert new.exists()
    assert outside.exists()


def test_a_whole_run_writes_state_and_metrics(engine: StandInEngine, tmp_path: Path) -> None:
    engine.add_volume("runner-abc-project-1-concurrent-0", 48)
    settings, state = tmp_path / "prune.json", tmp_path / "state/state.json"
    values: dict[str, Any] = {
        "max_age_h": 24,
        "min_free_gb": 0,
        "keep_images": ["", "x"],
        "engine": engine.path,
        "build_folders": [],
        "textfile_dir": str(tmp_path),
    }
    settings.write_text(json.dumps(values), encoding="utf-8")
    arguments = ["--settings", str(settings), "--state", str(state)]
    assert PRUNE.main(arguments) == 0
    assert json.loads(state.read_text(encoding="utf-8"))["removed_total"] == {"volume": 1}
    shown = (tmp_path / "nx_dte_prune.prom").read_text(encoding="utf-8")
    assert "nx_dte_host_disk_alarm 0\n" in shown
    assert 'nx_dte_prune_removed_total{kind="volume"} 1\n' in shown
    assert f'nx_dte_host_free_bytes{{path="{engine.root}"}}' in shown
    settings.write_text(json.dumps(values | {"min_free_gb": 10**9}), encoding="utf-8")
    assert PRUNE.main(arguments) == 1
    assert "nx_dte_host_disk_alarm 1\n" in (tmp_path / "nx_dte_prune.prom").read_text(encoding="utf-8")
    assert json.loads(state.read_text(encoding="utf-8"))["removed_total"] == {"volume": 2}


def test_an_engine_that_is_away_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = {"max_age_h": 1, "min_free_gb": 0, "keep_images": [], "build_folders": [], "textfile_dir": ""}
    settings = tmp_path / "prune.json"
    settings.write_text(json.dumps(values | {"engine": str(tmp_path / "none.sock")}), encoding="utf-8")
    assert PRUNE.main(["--settings", str(settings), "--state", str(tmp_path / "state.json")]) == 69
    assert "Does docker.service run?" in capsys.readouterr().err


def test_two_runs_at_once_do_not_happen(tmp_path: Path) -> None:
    settings = tmp_path / "prune.json"
    values = {
        "max_age_h": 1,
        "min_free_gb": 0,
        "keep_images": [],
        "build_folders": [],
        "textfile_dir": "",
        "engine": "",
    }
    settings.write_text(json.dumps(values), encoding="utf-8")
    with (tmp_path / "state.lock").open("w") as lock:
        PRUNE.fcntl.flock(lock, PRUNE.fcntl.LOCK_EX)
        assert PRUNE.main(["--settings", str(settings), "--state", str(tmp_path / "state.json")]) == 75
