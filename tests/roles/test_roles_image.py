"""What the role nx_dte_image reads of a file that `docker save` made, and of an engine's words."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.role_code import ROLES, code_of

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = code_of("nx_dte_image/filter_plugins/nx_dte_image.py")
ID, OTHER = "a" * 64, "b" * 64
ADVICE = yaml.safe_load((ROLES / "nx_dte_image/vars/main.yml").read_text(encoding="utf-8"))[
    "_nx_dte_image_advice"
]


def saved(path: Path, files: dict[str, Any], mode: str = "w") -> str:
    with tarfile.open(path, f"{mode}") as tar:  # type: ignore[call-overload]
        for name, value in files.items():
            data = json.dumps(value).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return str(path)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_the_id_of_an_older_engine_s_archive(tmp_path: Path, mode: str) -> None:
    manifest = [{"Config": f"{ID}.json", "RepoTags": ["nx-dte/runner:node18"], "Layers": []}]
    path = saved(tmp_path / "image.tar", {"manifest.json": manifest}, mode)
    assert IMAGE.archive(path) == {"ids": [f"sha256:{ID}"], "tags": ["nx-dte/runner:node18"]}


def test_both_ids_of_a_newer_engine_s_archive(tmp_path: Path) -> None:
    manifest: list[dict[str, Any]] = [{"Config": f"blobs/sha256/{ID}", "RepoTags": None, "Layers": []}]
    index = {"schemaVersion": 2, "manifests": [{"digest": f"sha256:{OTHER}"}]}
    path = saved(tmp_path / "image.tar", {"manifest.json": manifest, "index.json": index})
    assert IMAGE.archive(path) == {"ids": [f"sha256:{ID}", f"sha256:{OTHER}"], "tags": []}


def test_an_archive_of_several_images_is_refused(tmp_path: Path) -> None:
    manifest: list[dict[str, Any]] = [{"Config": f"{one}.json", "RepoTags": []} for one in (ID, OTHER)]
    with pytest.raises(IMAGE.AnsibleFilterError, match="holds 2 images"):
        IMAGE.archive(saved(tmp_path / "image.tar", {"manifest.json": manifest}))


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "image.tar").write_text("no archive", encoding="utf-8")
    with pytest.raises(IMAGE.AnsibleFilterError, match="docker save"):
        IMAGE.archive(str(tmp_path / "image.tar"))
    with pytest.raises(IMAGE.AnsibleFilterError, match="cannot be read"):
        IMAGE.sha256(str(tmp_path / "none.tar"))


def test_the_sum_is_sha256sum_s(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 3_000_000)
    assert IMAGE.sha256(str(tmp_path / "file")) == hashlib.sha256(b"x" * 3_000_000).hexdigest()


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (
            "Error response from daemon: manifest for r/x@sha256:1 not found: manifest unknown",
            "nx_dte_image_reference",
        ),
        (
            "Error response from daemon: pull access denied, repository may require login",
            "nx_dte_image_login",
        ),
        ('Get "https://r/v2/": x509: certificate signed by unknown authority', "docker_engine_registry_ca"),
        ("http: server gave HTTP response to HTTPS client", "docker_engine_insecure_registries"),
        ("sh: 10: docker: not found", "docker_engine"),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "docker_engine"),
        ("write /var/lib/docker/tmp/x: no space left on device", "docker system prune"),
        ("dial tcp 10.0.0.1:5000: connect: connection refused", ""),
    ],
)
def test_an_engine_s_words_become_advice(said: str, advice: str) -> None:
    found = IMAGE.known(ADVICE, said)
    assert advice in found[0]["advice"] if advice else found == []
