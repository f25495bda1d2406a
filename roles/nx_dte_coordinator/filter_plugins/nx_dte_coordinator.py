"""What is wrong with the coordinator's variables, in sentences that never hold a token or a password."""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PREFIX = "nx_dte_coordinator_"
LEAST_TOKEN = 20
_NAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_DATABASES = {"postgresql", "postgresql+psycopg"}
_OBJECT_STORES = {"s3", "gs", "az"}


def problems(values: Any, names: list[str], keys: list[str], own_keys: dict[str, str]) -> list[str]:
    """Everything that is wrong with the variables, in the order of the defaults; empty when they can be used."""
    given = dict(zip((name.removeprefix(PREFIX) for name in names), values, strict=True))
    found: list[str] = []
    for look in (_image, _address, _tokens, _stores, _files, _certificate):
        found += look(given)
    found += _settings(given, keys, own_keys)
    return found


# ------------------------------------------------------------------------------------------ the parts
def _image(given: dict[str, Any]) -> Iterator[str]:
    image = given["image"]
    if not image:
        yield f"set {PREFIX}image to the coordinator's image (`make push` writes its digest to dist/images.yaml)"
    elif "@sha256:" not in image and not given["image_archive"] and not given["image_allow_tag"]:
        yield (
            f"{PREFIX}image is {image}, a tag that anybody can move: name it by digest (NAME@sha256:…), or set "
            f"{PREFIX}image_allow_tag: true"
        )


def _address(given: dict[str, Any]) -> Iterator[str]:
    domain = given["domain"]
    if not domain and given["tls"] != "off":
        yield f"set {PREFIX}domain to the name that jobs reach the coordinator by"
    elif domain and not _is_host(domain):
        yield f"{PREFIX}domain is {domain}: give a name or an IPv4 address only, without https:// and port"
    url = urlsplit(given["public_url"])
    if domain and (url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment):
        yield f"{PREFIX}public_url is {given['public_url']}: give an address like https://dte.example.org"
    if not domain and given["tls"] == "off" and not url.hostname:
        yield f"set {PREFIX}public_url to the address that your proxy serves the coordinator at"
    metrics = given["metrics_listen"]
    if metrics != "off" and not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}", metrics):
        yield f"{PREFIX}metrics_listen is {metrics}: give HOST:PORT, or 'off'"
    if int(given["backup_keep"]) < 1:
        yield f"{PREFIX}backup_keep is {given['backup_keep']}: keep one backup at least"


def _is_host(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return _NAME.fullmatch(text) is not None
    return True


def _tokens(given: dict[str, Any]) -> Iterator[str]:
    both = [str(given[name]) for name in ("read_write_token", "read_only_token")]
    for name, token in zip(("read_write_token", "read_only_token"), both, strict=True):
        if not token:
            yield f"set {PREFIX}{name} from your vault (`openssl rand -hex 32` makes one)"
        elif len(token) < LEAST_TOKEN or not token.isascii() or re.search(r"\s", token):
            yield f"{PREFIX}{name} needs {LEAST_TOKEN} characters or more, plain ones without spaces (`openssl rand -hex 32`)"
    if both[0] and both[0] == both[1]:
        yield (
            f"{PREFIX}read_write_token and {PREFIX}read_only_token are the same: then every branch may write the shared cache; "
            "make two"
        )


def _stores(given: dict[str, Any]) -> Iterator[str]:
    if database := given["database_url"]:
        try:
            url = urlsplit(database)
            has_name = re.fullmatch(r"/[^/@]+", url.path) is not None
            is_usable = url.scheme in _DATABASES and bool(url.hostname) and has_name and url.port != 0
        except ValueError:
            is_usable = False
        if not is_usable:
            yield (
                f"{PREFIX}database_url must be postgresql://USER:PASSWORD@HOST:PORT/NAME (special characters of the password as "
                "%XX), or empty for SQLite in the data folder"
            )
        elif any(name.lower() == "password" for name, _ in parse_qsl(url.query)):
            yield (
                f"{PREFIX}database_url has its password in the query, where programs and logs show it: write USER:PASSWORD@HOST"
            )
    if artifacts := given["artifacts_url"]:
        if urlsplit(artifacts).scheme not in _OBJECT_STORES:
            yield f"{PREFIX}artifacts_url must be an s3://, gs:// or az:// URL, or empty for the data folder"
        elif "@" in urlsplit(artifacts).netloc:
            yield f"{PREFIX}artifacts_url has credentials, and is shown: put them into {PREFIX}artifacts_environment"
    for name, value in given["artifacts_environment"].items():
        if "\n" in str(value).rstrip("\n"):
            yield f"{PREFIX}artifacts_environment has {name} in several lines: write the value in one (of JSON: `jq -c .`)"


def _files(given: dict[str, Any]) -> Iterator[str]:
    folder = given["caddy_package_dir"]
    if folder and not any(Path(folder).glob("*.deb")):
        yield f"{PREFIX}caddy_package_dir is {folder}, where the controller finds no .deb file"
    for name in ("ca_file", "image_archive"):
        if given[name] and not Path(given[name]).is_file():
            yield f"{PREFIX}{name} is {given[name]}, which is no file on the controller"
    if given["ca_file"] and Path(given["ca_file"]).is_file():
        try:
            x509.load_pem_x509_certificates(Path(given["ca_file"]).read_bytes())
        except ValueError:
            yield f"{PREFIX}ca_file {given['ca_file']} holds no PEM certificate"


# -------------------------------------------------------------------------------------------- settings
def _settings(given: dict[str, Any], keys: list[str], own_keys: dict[str, str]) -> Iterator[str]:
    settings = given["settings"]
    for key, value in settings.items():
        if key in own_keys:
            yield f"{PREFIX}settings has {key}: set {own_keys[key]} instead"
        elif key not in keys:
            near = get_close_matches(key, [*keys, *own_keys], n=1)
            hint = f": {near[0]} is meant?" if near else ";"
            yield f"{PREFIX}settings has {key}, which is no setting{hint} docs/settings.md lists them all"
        elif isinstance(value, (dict, list)) or value is None:
            yield f"{PREFIX}settings has {key} without a plain value: give a number or a text"
    try:
        needed = float(settings.get("shutdown_grace_s", 10)) + float(settings.get("shutdown_notice_s", 0))
    except (TypeError, ValueError):
        return  # the coordinator itself says so, when the file is checked
    if int(given["stop_timeout_s"]) <= needed:
        yield (
            f"{PREFIX}stop_timeout_s is {given['stop_timeout_s']}: it must be more than shutdown_grace_s and shutdown_notice_s "
            f"together ({needed:g} s), or transfers are cut"
        )


# ----------------------------------------------------------------------------------------- certificate
def _certificate(given: dict[str, Any]) -> Iterator[str]:
    if given["tls"] != "certificate":
        return
    read: dict[str, bytes] = {}
    for name in ("tls_certificate_file", "tls_key_file"):
        if not given[name]:
            yield f"set {PREFIX}{name}, or {PREFIX}tls: internal"
            continue
        try:
            read[name] = Path(given[name]).read_bytes()
        except OSError as error:
            yield f"{PREFIX}{name} {given[name]} cannot be read on the controller: {error.strerror}"
    if len(read) == 2:  # noqa: PLR2004  # both
        yield from _pair(read["tls_certificate_file"], read["tls_key_file"], given)


def _pair(certificate_pem: bytes, key_pem: bytes, given: dict[str, Any]) -> Iterator[str]:
    shown, domain = given["tls_certificate_file"], given["domain"]
    try:
        certificate = x509.load_pem_x509_certificates(certificate_pem)[0]
    except ValueError:
        yield f"{shown} holds no PEM certificate"
        return
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc <= now:
        yield f"the certificate {shown} expired on {certificate.not_valid_after_utc:%Y-%m-%d}; renew it"
    elif certificate.not_valid_before_utc > now:
        yield f"the certificate {shown} is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on only; look at the clock"
    if domain and not any(_covers(name, domain) for name in _names(certificate)):
        yield f"the certificate {shown} is for {', '.join(_names(certificate)) or 'no name'}, not for {domain}"
    try:
        key = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError):
        yield f"{given['tls_key_file']} holds no PEM key without a passphrase"
        return
    if _public(key.public_key()) != _public(certificate.public_key()):
        yield f"the key {given['tls_key_file']} does not belong to the certificate {shown}, the first of its file"


def _public(key: Any) -> bytes:
    found: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return found


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]


def _covers(name: str, domain: str) -> bool:
    name, domain = name.lower(), domain.lower()
    if name.startswith("*."):
        return domain.partition(".")[2] == name[2:]
    return name == domain


# ------------------------------------------------------------------------------------------ other filters
def without_password(url: str) -> str:
    """The URL as it may be shown."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    where = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{where}"))


class FilterModule:
    """For Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By name."""
        return {
            "nx_dte_coordinator_problems": problems,
            "nx_dte_coordinator_without_password": without_password,
        }
