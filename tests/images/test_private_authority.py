"""A coordinator behind TLS with a certificate of a private authority: one variable lets every program of a job trust it."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nx_dte.demo.layout import find_layout
from tests.images.authority import issue
from tests.images.jobs import JOB_END_S, TOKEN, Coordinator, Jobs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.images.conftest import Built
    from tests.images.containers import Container, Containers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

HOST = "dte.example.test"
URL = f"https://{HOST}"
NODE = f'node -e \'require("https").get("{URL}/healthz", (answer) => process.exit(answer.statusCode === 200 ? 0 : 1))\''
NATIVE = (
    'node -e \'const {HttpRemoteCache} = require("/native/node_modules/@nx/nx-linux-x64-gnu");'
    'new HttpRemoteCache().retrieve("native-client-was-here", "/tmp").then(() => 0, (e) => { console.log(String(e)) })\''
)
_NGINX = """
daemon off;
pid /tmp/nginx.pid;
error_log /dev/stderr error;
events {{}}
http {{
    access_log /dev/stdout;
    upstream coordinators {{ server coordinator:8720; }}
    server {{
        listen 443 ssl;
        ssl_certificate /tls/server.pem;
        ssl_certificate_key /tls/server.key;
        location /shop.git/ {{ root /repositories; }}
        location /simple/ {{ return 404; }}
        location /v1/cache/ {{ return 404; }}
        {proxied}
    }}
}}
"""


@pytest.fixture
def proxy(containers: Containers, built: Built, services: str, jobs: Jobs, tmp_path: Path) -> Container:
    """A proxy with the lines of docs/operations.md, before a coordinator, and a repository beside it."""
    public = {"NX_DTE_PUBLIC_URL": URL}  # a proxy on another machine is not believed what it forwards
    Coordinator.start(containers, built.coordinator, network=jobs.network, env=public)
    page = (built.root / "docs/operations.md").read_text(encoding="utf-8")
    proxied = re.search(r"```nginx\n(.+?)```", page, re.DOTALL)
    assert proxied is not None
    tls = tmp_path / "tls"
    tls.mkdir()
    issue(tls, HOST)
    (tls / "nginx.conf").write_text(_NGINX.format(proxied=proxied[1]), encoding="utf-8")
    bare = tmp_path / "repositories/shop.git"
    shutil.copytree(jobs.origin.path / ".git", bare)
    subprocess.run(["git", "-c", "safe.directory=*", "update-server-info"], cwd=bare, check=True, timeout=60)
    started = containers.start(
        services,
        "nginx",
        "-c",
        "/tls/nginx.conf",
        network=jobs.network,
        alias=HOST,
        mounts={tls: "/tls", bare.parent: "/repositories"},
    )
    started.expect(r"native-client-was-here|/simple/")
    return started


@pytest.fixture
def jobs(containers: Containers, built: Built) -> Iterator[Jobs]:
    made = Jobs.prepare(containers, find_layout(built.root), built.runner)
    yield made
    made.clear()


@pytest.fixture
def native(built: Built) -> Path:
    """Nx's native client of a version that asks the system whom to trust."""
    folder = built.root / ".cache/images/nx-native"
    source = built.root / "tests/images/nx-native"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(source / name, folder)
    subprocess.run(["npm", "ci", "--silent", "--ignore-scripts"], cwd=folder, check=True, timeout=300)
    return folder


def test_every_program_of_a_job_trusts_it(jobs: Jobs, proxy: Container, native: Path, tmp_path: Path) -> None:
    packages = importlib.util.find_spec("pip")
    assert packages is not None
    assert packages.origin is not None
    jobs.point_at(
        URL, NX_DTE_EXTRA_CA="/tls/authority.pem", NX_DTE_EXAMPLE_PACE="0.1", NX_DTE_EXAMPLE_AGENTS="1"
    )
    jobs.mounts = {tmp_path / "tls": "/tls", native: "/native", Path(packages.origin).parent: "/pip/pip"}
    probes = jobs.script(
        "probes",
        [
            NODE,
            f"! env -u NODE_EXTRA_CA_CERTS {NODE} 2>/dev/null",
            f"git ls-remote {URL}/shop.git HEAD",
            f"! env -u GIT_SSL_CAINFO git ls-remote {URL}/shop.git HEAD 2>/dev/null",
            f"PYTHONPATH=/pip python3 -m pip --disable-pip-version-check download --index-url {URL}/simple pip-was-here || true",
            f"NX_SELF_HOSTED_REMOTE_CACHE_SERVER={URL} NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN={TOKEN} {NATIVE}",
            "echo everything was tried",
        ],
    )
    probes.expect("pip-was-here")
    agent = jobs.command("agent", "nx-dte", "agent", "--guard", "off")
    main = jobs.script("main", ["nx-dte orchestrate --guard off -- nx affected -t lint,build --parallel=2"])

    assert probes.wait(JOB_END_S) == 0, probes.log
    assert main.wait(JOB_END_S) == 0, main.log
    assert agent.wait(60) == 0, agent.log
    assert "everything was tried" in probes.log
    assert f"{jobs.origin.head}\tHEAD" in probes.log
    assert "1 joined; tasks run: agent" in main.log
    assert "GET /simple/pip-was-here/" in proxy.log
    assert "GET /v1/cache/native-client-was-here" in proxy.log
    assert "/nx-cloud/client/verify" in proxy.log


def test_certificates_may_be_given_as_text(
    containers: Containers, built: Built, proxy: Container, jobs: Jobs, tmp_path: Path
) -> None:
    del proxy
    text = (tmp_path / "tls/authority.pem").read_text(encoding="utf-8")
    said = containers.output(
        built.runner,
        "sh",
        "-c",
        f"{NODE} && echo trusted",
        env={"NX_DTE_EXTRA_CA": text},
        network=jobs.network,
    )
    assert said == "trusted"


@pytest.mark.parametrize("name", ["runner", "coordinator"])
def test_a_file_that_is_not_there_ends_the_container_with_advice(
    containers: Containers, built: Built, name: str
) -> None:
    container = containers.start(getattr(built, name), "true", env={"NX_DTE_EXTRA_CA": "/nowhere.pem"})
    assert container.wait(60) == 78
    assert "NX_DTE_EXTRA_CA names /nowhere.pem, which cannot be read; mount it" in container.log


def test_what_lies_beside_the_certificates_is_not_copied(
    containers: Containers, built: Built, tmp_path: Path
) -> None:
    certificate = issue(tmp_path, HOST).authority.read_text(encoding="utf-8").strip()
    secret = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----"
    (tmp_path / "more.pem").write_text(f"# ours\n{secret}\n{certificate}", encoding="utf-8")
    said = containers.output(
        built.runner,
        "sh",
        "-c",
        'grep -c c2VjcmV0 "$SSL_CERT_FILE"; cat "$NODE_EXTRA_CA_CERTS"',
        env={"NX_DTE_EXTRA_CA": "/more.pem"},
        mounts={tmp_path / "more.pem": "/more.pem"},
    )
    assert said == f"0\n{certificate}"


@pytest.mark.parametrize("line_end", [" ", "\\n"])
def test_certificates_that_lost_their_lines_end_the_container_with_advice(
    containers: Containers, built: Built, tmp_path: Path, line_end: str
) -> None:
    text = issue(tmp_path, HOST).authority.read_text(encoding="utf-8").replace("\n", line_end)
    container = containers.start(built.runner, "true", env={"NX_DTE_EXTRA_CA": text})
    assert container.wait(60) == 78
    assert container.log.strip() == (
        "nx-dte-entrypoint: NX_DTE_EXTRA_CA holds no PEM certificate: -----BEGIN CERTIFICATE----- on a line of its own"
    )


def test_a_read_only_container_has_room_for_them(
    containers: Containers, built: Built, tmp_path: Path
) -> None:
    issued = issue(tmp_path, HOST)
    said = containers.output(
        built.coordinator,
        "sh",
        "-c",
        'grep -c BEGIN "$SSL_CERT_FILE"; echo "$SSL_CERT_FILE"',
        options=["--read-only"],
        env={"NX_DTE_EXTRA_CA": "/ca.pem"},
        mounts={issued.authority: "/ca.pem"},
    ).split()
    assert int(said[0]) > 100
    assert said[1].startswith("/dev/shm/")
