"""What no file of the project may hold: addresses of package registries, paths of one machine, resolved locks."""

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# sha256 of the host names that package managers use by default (they are not written here, either).
REGISTRY_HOSTS = frozenset(
    {
        "a4aa2ac280bb8d1a0ce7a1be5a7bfb10292b49fe9435ad5cff19f421f3c70e41",
        "c899567ee906851741bf7f3bde17a33777859ff9f53ff54d6f0ea54cf31ad636",
        "0dc11026ac75c015aaa1deafff4a7a54ef6d0cf6b3c7f9b1d2c8f3502929aa9e",
        "fd0c6a9279196963adad509f0c8df13a4d0f048f328ba06ce7e8836e7f4182d6",
        "70bb4000cd2fab03af01fed086c6bf3c2c970f8b8b8001c311028ec3b80e775a",
        "5cd04dc6512f5c5771d256b037997dad11066eed0e16aa781d581969b64e03ab",
        "9495278a74715c7e246a36404b3589f0f2f0b564defdec00b228aa07ecb515e0",
        "e680c440a2e92079ab1bf7a927e8d3920f1bcd173c0487e28e020110b2e59efc",
        "1ba4e37997a2e986efa6cd844e43fd25b9e816359d31612baa9c18b71e3b5294",
        "c2b35955576ffa710bfb7c4e5de8141335829cb1333377cbaf7daaeff9647b35",
        "3ca29e55be4befa48f875d24c27f9bed32fe06588819ed6264084b6670a1ebb0",
        "9ab2ad663f3d2a5e0a38190483536f53c576599778c6e6d1adb9f357122f355c",
        "8b5bb5eb9d758455b8635855cf8aaf05b68775e3f83f0291e800ef338fb9783c",
        "87d14f070cb9686970d008f9f94e668075fd37620381409858bf040ae1271d51",
        "3d01f3609be82d98eeedcd977fae947ee6da479acbfd5d19619bda2184977921",
        "789e46d79514e28093cabe2bb4a0798266f584b0e508ef269ebabb6e57859290",
        "00a7dc5a0cc388586b8665846e7d8ae94a6dd096f2aa1aa3b4aab4ac484f998a",
        "43c04ed1dabe979b9c552549bf0ab023abd3e1cc6d5ff7f42cfa2296b0973a67",
        "317d2d52829b78129d2c9e43d001899f0c8d30968bae00b848a47154df56b0ca",
        "2e97613f5a81eaa4f8a58f552a005713c0c8f333e026efb7771ad28429532374",
    }
)
HOST = re.compile(r"(?<![\w.-])(?:[a-z0-9-]+\.)+[a-z]{2,}(?![\w-])")
RESOLVED = re.compile(r"""^\s*"?resolved"?:? +"?(?:http|git)|"resolved": *"(?:http|git)""", re.MULTILINE)
# A checkout, a home or a scratch folder of some machine; the documented ones of an installation are fine.
# Not /home/node: that is where the official Node images have their user's home.
MACHINE_PATH = re.compile(r"(?<![\w./$}-])/(?:home/(?!node/)\w+|root|work|Users/\w+)(?=/)")
INDEX_SETTING = re.compile(r"^\s*(?:--(?:extra-)?index-url|--find-links|registry\s*=)", re.MULTILINE)


def _files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8", errors="replace")
        for path in _files()
        if not path.is_symlink()
    }


def _hosts(text: str) -> set[str]:
    return set(HOST.findall(text.lower()))


def _is_registry(host: str) -> bool:
    return hashlib.sha256(host.encode()).hexdigest() in REGISTRY_HOSTS


def test_no_registry_address(texts: dict[str, str]) -> None:
    found = {
        name: hosts for name, text in texts.items() if (hosts := set(filter(_is_registry, _hosts(text))))
    }
    assert found == {}


def test_no_resolved_lines_and_no_index_settings(texts: dict[str, str]) -> None:
    assert [name for name, text in texts.items() if RESOLVED.search(text)] == []
    locks = {
        name: text
        for name, text in texts.items()
        if name.startswith("requirements/") or name.endswith(".npmrc")
    }
    assert locks
    assert [name for name, text in locks.items() if INDEX_SETTING.search(text)] == []


def test_no_machine_paths(texts: dict[str, str]) -> None:
    found = {name: sorted(set(MACHINE_PATH.findall(text))) for name, text in texts.items()}
    assert {name: paths for name, paths in found.items() if paths} == {}


def test_every_locked_python_package_has_a_hash(texts: dict[str, str]) -> None:
    locks = {name: text for name, text in texts.items() if re.fullmatch(r"requirements/\w+\.txt", name)}
    assert locks
    for name, text in locks.items():
        packages = re.findall(
            r"^[a-z][\w.\[\]-]*==\S+ \\\n((?: {4}--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE
        )
        assert len(packages) == len(re.findall(r"^[^\s#]", text, re.MULTILINE)), name


def test_every_allowed_skip_names_a_test_file_that_exists(texts: dict[str, str]) -> None:
    entries = re.findall(r'^test = "([^":]+)', texts["tests/skips.toml"], re.MULTILINE)
    assert [entry for entry in entries if "*" not in entry and entry not in texts] == []
