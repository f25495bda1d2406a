"""The role nx_dte_coordinator: what its preflight refuses, and that its list of settings is the coordinator's."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from nx_dte.settings import describe
from tests.support.role_code import code_of

ROLE = Path(__file__).resolve().parents[2] / "roles/nx_dte_coordinator"
VARS = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))
KEYS, OWN_KEYS = VARS["__nx_dte_coordinator_keys"], VARS["__nx_dte_coordinator_own_keys"]
DIGEST = "@sha256:" + "a" * 64


FILTERS = code_of("nx_dte_coordinator/filter_plugins/nx_dte_coordinator.py")


def _problems(**changed: Any) -> list[str]:
    given = {
        "image": f"registry.example.org/nx-dte/coordinator{DIGEST}",
        "image_allow_tag": False,
        "image_archive": "",
        "domain": "dte.example.org",
        "public_url": "https://dte.example.org",
        "tls": "internal",
        "tls_certificate_file": "",
        "tls_key_file": "",
        "ca_file": "",
        "caddy_package_dir": "",
        "read_write_token": "w" * 32,
        "read_only_token": "r" * 32,
        "database_url": "",
        "artifacts_url": "",
        "artifacts_environment": {},
        "settings": {},
        "metrics_listen": "127.0.0.1:8721",
        "stop_timeout_s": 30,
        "backup_keep": 7,
        **changed,
    }
    names = [f"nx_dte_coordinator_{name}" for name in given]
    found: list[str] = FILTERS.problems(list(given.values()), names, KEYS, OWN_KEYS)
    return found


def test_the_settings_are_those_of_the_coordinator() -> None:
    assert sorted([*KEYS, *OWN_KEYS]) == sorted(item.name for item in describe())


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"domain": "10.0.0.30"},
        {"image": "nx-dte/coordinator:latest", "image_allow_tag": True},
        {"image": "nx-dte/coordinator:latest", "image_archive": __file__},
        {"database_url": "postgresql://dte:p%40ss@db.example.org:5432/dte?sslmode=require"},
        {"database_url": "postgresql+psycopg://dte@[::1]/dte", "artifacts_url": "s3://bucket/prefix"},
        {"settings": {"lease_s": 20, "log_level": "debug"}, "metrics_listen": "off"},
        {"tls": "off", "domain": "", "public_url": "https://dte.example.org"},
        {"settings": {"shutdown_grace_s": 60}, "stop_timeout_s": 61},
        {"stop_timeout_s": "30", "backup_keep": "7"},
    ],
)
def test_what_can_be_used_is_used(given: dict[str, Any]) -> None:
    assert _problems(**given) == []


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"image": ""}, "set nx_dte_coordinator_image"),
        ({"image": "nx-dte/coordinator:latest"}, "a tag that anybody can move"),
        ({"domain": ""}, "set nx_dte_coordinator_domain"),
        ({"domain": "https://dte.example.org"}, "without https:// and port"),
        ({"public_url": "dte.example.org"}, "give an address like"),
        ({"read_write_token": ""}, "set nx_dte_coordinator_read_write_token from your vault"),
        ({"read_only_token": "short"}, "read_only_token needs 20 characters"),
        ({"read_only_token": "with spaces " * 3}, "without spaces"),
        ({"read_only_token": "w" * 32}, "are the same"),
        ({"database_url": "sqlite:////var/lib/x"}, "or empty for SQLite"),
        ({"database_url": "postgresql://dte:p@ss/word@db/dte"}, "special characters"),
        ({"artifacts_url": "file:///srv"}, "s3://, gs:// or az://"),
        ({"artifacts_url": "s3://key:hush@bucket"}, "put them into nx_dte_coordinator_artifacts_environment"),
        (
            {"artifacts_environment": {"GOOGLE_SERVICE_ACCOUNT_KEY": "{\n}"}},
            "GOOGLE_SERVICE_ACCOUNT_KEY in several lines",
        ),
        ({"database_url": "postgresql://dte@db/dte?password=hush"}, "its password in the query"),
        (
            {"domain": "2001:db8::30", "public_url": "https://[2001:db8::30]"},
            "a name or an IPv4 address only",
        ),
        ({"settings": {"leas_s": 5}}, "leas_s, which is no setting: lease_s is meant?"),
        ({"settings": {"database_url": "x"}}, "set nx_dte_coordinator_database_url instead"),
        ({"settings": {"lease_s": [5]}}, "without a plain value"),
        (
            {"settings": {"shutdown_notice_s": 20}},
            "more than shutdown_grace_s and shutdown_notice_s together (30 s)",
        ),
        ({"metrics_listen": "8721"}, "give HOST:PORT"),
        ({"ca_file": "/does/not/exist.pem"}, "no file on the controller"),
        ({"ca_file": __file__}, "holds no PEM certificate"),
        ({"caddy_package_dir": "/does/not/exist"}, "finds no .deb file"),
        ({"backup_keep": 0}, "keep one backup at least"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(given: dict[str, Any], complaint: str) -> None:
    (problem,) = _problems(**given)
    assert complaint in problem


def test_no_secret_is_in_a_message() -> None:
    shown = " ".join(
        _problems(
            read_write_token="hush hush", read_only_token="hush hush", database_url="mysql://me:hush@db/x"
        )
    )
    assert shown
    assert "hush" not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hush@db:5432/x?sslmode=require", "postgresql://me:***@db:5432/x?sslmode=require"),
        ("postgresql://me@db/x", "postgresql://me@db/x"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert FILTERS.without_password(url) == shown


# ----------------------------------------------------------------------------------------- certificates
def _pair(folder: Path, *names: str, days: int = 30, since_days: int = 1) -> dict[str, str]:
    """A certificate and its key, as variables."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test's")])
    now = datetime.now(UTC)
    known = [
        x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
        for name in names
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=since_days))
        .not_valid_after(now + timedelta(days=days))
    )
    if known:
        builder = builder.add_extension(x509.SubjectAlternativeName(known), critical=False)
    folder.mkdir(exist_ok=True)
    (folder / "cert.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return {
        "tls": "certificate",
        "tls_certificate_file": str(folder / "cert.pem"),
        "tls_key_file": str(folder / "key.pem"),
    }


@pytest.mark.parametrize(
    ("names", "domain"),
    [
        (["dte.example.org"], "dte.example.org"),
        (["*.example.org"], "DTE.example.org"),
        (["other.example.org", "10.0.0.30"], "10.0.0.30"),
    ],
)
def test_a_certificate_for_the_domain_is_taken(tmp_path: Path, names: list[str], domain: str) -> None:
    assert _problems(domain=domain, **_pair(tmp_path, *names)) == []


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        ({"names": ["other.example.org"]}, "is for other.example.org, not for dte.example.org"),
        ({"names": ["*.dte.example.org"]}, "not for dte.example.org"),
        ({"names": []}, "is for no name"),
        ({"names": ["dte.example.org"], "days": -1, "since_days": 9}, "expired on"),
        ({"names": ["dte.example.org"], "since_days": -1}, "is valid from"),
    ],
)
def test_a_certificate_that_clients_would_refuse_is_refused(
    tmp_path: Path, made: dict[str, Any], complaint: str
) -> None:
    (problem,) = _problems(**_pair(tmp_path, *made.pop("names"), **made))
    assert complaint in problem


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    one = _pair(tmp_path / "one", "dte.example.org")
    two = _pair(tmp_path / "two", "dte.example.org")
    (problem,) = _problems(**{**one, "tls_key_file": two["tls_key_file"]})
    assert "does not belong to the certificate" in problem


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("cert.pem", "nonsense", "holds no PEM certificate"),
        ("key.pem", "nonsense", "holds no PEM key without a passphrase"),
        ("key.pem", None, "cannot be read on the controller"),
    ],
)
def test_files_that_cannot_be_read_are_refused(
    tmp_path: Path, file: str, text: str | None, complaint: str
) -> None:
    given = _pair(tmp_path, "dte.example.org")
    if text is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(text)
    (problem,) = _problems(**given)
    assert complaint in problem


def test_both_files_are_asked_for() -> None:
    found = _problems(tls="certificate")
    assert [problem.split(",")[0] for problem in found] == [
        "set nx_dte_coordinator_tls_certificate_file",
        "set nx_dte_coordinator_tls_key_file",
    ]
