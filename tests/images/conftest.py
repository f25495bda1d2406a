"""Fixtures of the image tests: an engine, the images of this checkout, containers that are cleared away."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.images.containers import Containers, sweep
from toolchain.images.bases import provide
from toolchain.images.build import build, coordinator_image, runner_image
from toolchain.images.certificates import extra_certificates
from toolchain.images.docker import DockerError, docker, image_size
from toolchain.images.engine import NoEngineError, running_engine
from toolchain.images.versions import Versions, read_versions

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from toolchain.images.build import Image

_ALL = pytest.StashKey[list[Containers]]()


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The images under test: those that `make images` builds, of this checkout."""

    root: Path
    versions: Versions
    runner: str
    coordinator: str
    certificates: str

    def build(self, image: Image) -> str:
        """Build another one."""
        with _alone(self.root):
            return build(self.root, self.versions, image, certificates=self.certificates)


class _alone:  # noqa: N801  # reads as a statement: with _alone(root)
    """One process at a time builds: two would make the same stand-ins and wheels."""

    def __init__(self, root: Path) -> None:
        folder = root / ".cache/images"
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / "lock").open("w")

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *exception: object) -> None:
        self._file.close()


@pytest.fixture(scope="session")
def engine(repository_root: Path) -> Iterator[None]:
    """A container engine that answers."""
    try:
        with running_engine(repository_root / ".cache/images"):
            sweep()
            yield
    except NoEngineError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def built(engine: None, repository_root: Path) -> Built:
    """The runner image with Node 18, and the coordinator's."""
    del engine
    versions = read_versions(repository_root)
    certificates = extra_certificates()
    runner = runner_image(versions, versions.default_node)
    with _alone(repository_root):
        _pack(repository_root)
        try:
            names = [
                build(repository_root, versions, image, certificates=certificates)
                for image in (runner, coordinator_image(versions))
            ]
        except DockerError as error:
            pytest.fail(str(error), pytrace=False)
    return Built(
        root=repository_root,
        versions=versions,
        runner=names[0],
        coordinator=names[1],
        certificates=certificates,
    )


def _pack(root: Path) -> None:
    """Have the wheel of this checkout under dist; one that is the same already stays, for others may be reading it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
        subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=120)
        (fresh,) = Path(folder).iterdir()
        there = list((root / "dist").glob("nx_dte-*.whl"))
        if [file.read_bytes() for file in there] == [fresh.read_bytes()]:
            return
        for file in there:
            file.unlink()
        (root / "dist").mkdir(exist_ok=True)
        shutil.copy(fresh, root / "dist")


@pytest.fixture(scope="session")
def services(built: Built) -> str:
    """An image with nginx and a registry of images."""
    with _alone(built.root):
        base = provide(built.root, built.versions, "debian")
    return _build_for_tests(built, "services", built.root / "tests/images/services", BASE=base)


@pytest.fixture(scope="session")
def warm(built: Built) -> str:
    """The runner image with the example workspace's packages in its cache."""
    return build_warm(built, "warm-yarn", built.root / "examples/workspace")


def build_warm(built: Built, name: str, workspace: Path) -> str:
    """An image by the recipe of images/warm-cache, for the lock file of a workspace."""
    arguments = {"RUNNER": built.runner, "NX_DTE_EXTRA_CA": built.certificates}
    file = built.root / "images/warm-cache/Dockerfile"
    return _build_for_tests(built, name, workspace, file=file, **arguments)


def _build_for_tests(
    built: Built, name: str, context: Path, *, file: Path | None = None, **arguments: str
) -> str:
    tag = f"nx-dte/test-{name}"
    command = ["build", "--quiet", "--force-rm", "--tag", tag]
    command += [] if file is None else ["--file", str(file)]
    command += [part for key, value in arguments.items() for part in ("--build-arg", f"{key}={value}")]
    with _alone(built.root):
        docker(*command, str(context), timeout_s=600)
    return tag


def registry_address(containers: Containers, services: str) -> str:
    """Host and port of a registry of images that has just started."""
    registry = containers.start(
        services,
        "docker-registry",
        "serve",
        "/etc/docker/registry/config.yml",
        options=["--publish", "127.0.0.1::5000"],
        network=containers.network(),
    )
    registry.expect('"blob unknown to registry"')  # the question before each upload
    url = registry.url(5000)
    registry.wait_until(lambda: _answers(f"{url}/v2/"), 60, "it answers")
    return url.removeprefix("http://")


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5, trust_env=False).is_success
    except httpx2.TransportError:
        return False


def _containers(config: pytest.Config) -> Iterator[Containers]:
    made = Containers()
    everything = config.stash.setdefault(_ALL, [])
    everything.append(made)
    try:
        yield made
        assert made.complaints() == {}, "a log has lines that nobody expects"
    finally:
        everything.remove(made)
        made.clear()


@pytest.fixture
def containers(pytestconfig: pytest.Config, engine: None) -> Iterator[Containers]:
    del engine
    yield from _containers(pytestconfig)


@pytest.fixture(scope="module")
def shared_containers(pytestconfig: pytest.Config, engine: None) -> Iterator[Containers]:
    """Those that all tests of a module look at."""
    del engine
    yield from _containers(pytestconfig)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for made in item.config.stash.get(_ALL, []):
            report.sections.extend((container.name, container.log) for container in made.containers)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the images' sizes, where the tests of several processes come together."""
    versions = read_versions(config.rootpath)
    images = [runner_image(versions, major) for major in versions.node] + [coordinator_image(versions)]
    lines = []
    for image in images:
        with contextlib.suppress(DockerError):  # not built, or no engine
            name, base = image.tags("")[1], versions.bases[image.bases["BASE"]].name
            size, base_size = image_size(name), image_size(base)
            lines.append(f"{name}: {size / 1e6:.0f} MB, {(size - base_size) / 1e6:.0f} MB more than {base}")
    if lines:
        terminalreporter.section("sizes of images")
        for line in lines:
            terminalreporter.write_line(line)
