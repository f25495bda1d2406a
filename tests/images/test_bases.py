"""Where bases come from: what is here, then a registry, then a stand-in; and whom a build has to trust."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from tests.images.authority import issue
from toolchain.images import bases, build, certificates, push
from toolchain.images.bases import Source, provide
from toolchain.images.build import coordinator_image, runner_image
from toolchain.images.docker import DockerError
from toolchain.images.stand_ins import recipe
from toolchain.images.versions import Versions, read_versions

if TYPE_CHECKING:
    from pathlib import Path

NAME = "node:18-bookworm-slim"
DIGEST = "sha256:" + "ab" * 32
# Knows the images that are files of a folder, which hold their stand-in label; pulls what the file `registry` lists.
_CLIENT = """#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >> calls
case $1 in
  image) cat "images/$(echo "$3" | tr / _)" 2>/dev/null ;;
  pull) grep -qx "$3" registry && : > "images/$(echo "$3" | tr / _)" ;;
esac
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeEngine:
    folder: Path

    def has(self, name: str, label: str = "") -> None:
        (self.folder / "images" / name).write_text(label, encoding="utf-8")

    def can_pull(self, *names: str) -> None:
        (self.folder / "registry").write_text("\n".join([*names, ""]), encoding="utf-8")

    @property
    def built(self) -> str:
        """The last call that built an image."""
        calls = (self.folder / "calls").read_text(encoding="utf-8").splitlines()
        return [line for line in calls if line.startswith("build")][-1]

    @property
    def pulled(self) -> list[str]:
        calls = self.folder / "calls"
        lines = calls.read_text(encoding="utf-8").splitlines() if calls.exists() else []
        return [line.split()[-1] for line in lines if line.startswith("pull")]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    client = tmp_path / "client"
    client.write_text(_CLIENT, encoding="utf-8")
    client.chmod(0o755)
    (tmp_path / "images").mkdir()
    monkeypatch.setenv("DOCKER", str(client))
    return FakeEngine(folder=tmp_path)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stand-ins that would have been made."""
    keys: list[str] = []
    monkeypatch.setattr(bases, "make", lambda _root, _versions, key: keys.append(key))
    monkeypatch.setattr(bases, "can_make", lambda: None)
    return keys


@pytest.fixture
def versions(repository_root: Path) -> Versions:
    return read_versions(repository_root)


def test_an_official_image_that_is_here_is_taken(
    engine: FakeEngine, made: list[str], versions: Versions, repository_root: Path
) -> None:
    engine.has(NAME)
    assert provide(repository_root, versions, "node18") == NAME
    assert (engine.pulled, made) == ([], [])


def test_what_is_not_here_is_pulled(
    engine: FakeEngine, made: list[str], versions: Versions, repository_root: Path
) -> None:
    engine.can_pull(NAME)
    assert provide(repository_root, versions, "node18") == NAME
    assert (engine.pulled, made) == ([NAME], [])


def test_a_digest_is_what_is_pulled_and_built_on(
    engine: FakeEngine, made: list[str], versions: Versions, repository_root: Path
) -> None:
    pinned = replace(versions.bases["node18"], digest=DIGEST)
    versions = replace(versions, bases={**versions.bases, "node18": pinned})
    engine.has(NAME)
    engine.can_pull(f"{NAME}@{DIGEST}")
    assert provide(repository_root, versions, "node18") == f"{NAME}@{DIGEST}"
    assert provide(repository_root, versions, "node18") == f"{NAME}@{DIGEST}"
    assert engine.pulled == [f"{NAME}@{DIGEST}"]
    assert made == []


def test_what_has_a_digest_gets_a_stand_in_only_where_one_is_asked_for(
    engine: FakeEngine, made: list[str], versions: Versions, repository_root: Path
) -> None:
    pinned = replace(versions.bases["node18"], digest=DIGEST)
    versions = replace(versions, bases={**versions.bases, "node18": pinned})
    engine.has(NAME, recipe(repository_root, versions, "node18"))
    engine.can_pull(NAME)
    for source in (Source.AUTO, Source.PULL):
        with pytest.raises(DockerError, match=f"{NAME}@{DIGEST} is not here and cannot be pulled"):
            provide(repository_root, versions, "node18", source)
    assert made == []
    assert provide(repository_root, versions, "node18", Source.STAND_IN) == NAME


def test_what_cannot_be_pulled_gets_a_stand_in_once(
    engine: FakeEngine, made: list[str], versions: Versions, repository_root: Path
) -> None:
    engine.can_pull()
    assert provide(repository_root, versions, "node18") == NAME
    assert made == ["node18"]
    engine.has(NAME, recipe(repository_root, versions, "node18"))
    assert provide(repository_root, versions, "node18") == NAME
    assert made == ["node18"]
    assert engine.pulled == [NAME]


def test_a_stand_in_of_another_recipe_is_made_anew(
    engine: FakeEngine, made: list[str], versions: Versions, repository_root: Path
) -> None:
    engine.can_pull()
    engine.has(NAME, "node18-of-old")
    provide(repository_root, versions, "node18")
    assert made == ["node18"]


def test_sources_can_be_chosen(
    engine: FakeEngine, made: list[str], versions: Versions, repository_root: Path
) -> None:
    engine.can_pull()
    engine.has(NAME)
    with pytest.raises(DockerError):
        provide(repository_root, versions, "node18", Source.PULL)
    provide(repository_root, versions, "node18", Source.STAND_IN)
    assert made == ["node18"]


def test_who_can_do_neither_is_told_both(
    engine: FakeEngine, versions: Versions, repository_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.can_pull()
    monkeypatch.setattr(bases, "can_make", lambda: "that needs root")
    with pytest.raises(
        DockerError, match=f"there is no {NAME} and no stand-in can be made here: that needs root"
    ):
        provide(repository_root, versions, "node18")


def test_each_image_has_a_tag_that_stays_and_one_that_follows(versions: Versions) -> None:
    assert runner_image(versions, "20").tags("1.2.3") == (
        "nx-dte/runner:1.2.3-node20",
        "nx-dte/runner:node20",
    )
    assert coordinator_image(versions).tags("1.2.3") == (
        "nx-dte/coordinator:1.2.3",
        "nx-dte/coordinator:latest",
    )
    with pytest.raises(DockerError, match="NODE is one of 18, 20, 22"):
        runner_image(versions, "16")


def test_an_image_on_a_stand_in_is_not_published_by_mistake(
    versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/nx_dte-1.2.3-py3-none-any.whl").touch()
    labels = {"org.opencontainers.image.version": "1.2.3", "nx-dte.stand-in": "node18-0"}
    monkeypatch.setattr(push, "label_of", lambda _name, label: labels[label])
    with pytest.raises(DockerError, match=r"nx-dte/runner:1\.2\.3-node18 stands on a stand-in"):
        push.push(tmp_path, [runner_image(versions, "18")], "registry.example.com", tmp_path / "images.yaml")
    assert not (tmp_path / "images.yaml").exists()


def test_an_image_is_marked_when_only_what_is_copied_into_it_came_from_a_stand_in(
    engine: FakeEngine, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/nx_dte-1.2.3-py3-none-any.whl").touch()
    monkeypatch.setattr(build, "image_size", lambda _name: 0)
    monkeypatch.setattr(build, "provide", lambda _root, versions, key, _source: versions.bases[key].name)
    engine.has(NAME)
    engine.has("debian:bookworm-slim", "debian-0")
    build.build(tmp_path, versions, runner_image(versions, "18"))
    assert "--label nx-dte.stand-in=debian-0 " in engine.built
    engine.has("debian:bookworm-slim")
    build.build(tmp_path, versions, runner_image(versions, "18"))
    assert "--label" not in engine.built


def test_only_certificates_that_no_package_shipped_are_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, private = (
        issue(_folder(tmp_path / name), "a.example.test").authority for name in ("public", "private")
    )
    public.rename(public.with_suffix(".crt"))
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(public.with_suffix(".crt").read_text() + private.read_text(), encoding="utf-8")
    monkeypatch.setattr(certificates, "PUBLIC", public.parent)
    monkeypatch.setattr(certificates, "BUNDLE", bundle)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert certificates.extra_certificates().strip() == private.read_text().strip()
    assert certificates.extra_certificates(private).strip() == private.read_text().strip()
    bundle.write_text(public.with_suffix(".crt").read_text(), encoding="utf-8")
    assert certificates.extra_certificates() == ""


@pytest.mark.parametrize("content", [b"\x30\x82\xb0", b"", None])
def test_a_file_without_certificates_is_refused_before_anything_is_built(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "ca").write_bytes(content)
    with pytest.raises(DockerError, match="ca cannot be read or holds no PEM certificate; name another file"):
        certificates.extra_certificates(tmp_path / "ca")


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
