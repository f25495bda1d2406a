"""Addresses of HTTP servers: whether they can be meant, and whether a proxy would stand before them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Address", "BadAddressError", "parsed", "proxy_before"]

_PORTS = {"http": 80, "https": 443}
_SEPARATORS = re.compile(r"[\s,]+")


class BadAddressError(ValueError):
    """The text is no address that can be called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Scheme, host and port of an address."""

    scheme: str
    host: str
    port: int
    has_credentials: bool = False

    @property
    def is_loopback(self) -> bool:
        """Whether it stays on this machine."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parsed(url: str) -> Address:
    """An http(s) address in its parts.

    Raises:
        BadAddressError: it is none; the message says why.
    """
    if "$" in url:
        raise BadAddressError("a variable in it was not replaced")
    if re.search(r"\s", url):
        raise BadAddressError("there is white space in it")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadAddressError(str(error)) from None
    if parts.scheme not in _PORTS:
        raise BadAddressError("it does not begin with http:// or https://")
    if not host:
        raise BadAddressError("it names no host")
    if parts.query or parts.fragment:
        raise BadAddressError("it has a query or a fragment")
    return Address(
        scheme=parts.scheme,
        host=host,
        port=port or _PORTS[parts.scheme],
        has_credentials="@" in parts.netloc,
    )


def proxy_before(address: Address, environ: Mapping[str, str]) -> str | None:
    """The variable whose proxy Nx's loader would use for an address; None if it would go straight there.

    By the rules of the HTTP library in Nx's loader: lower case goes first, a name in NO_PROXY means exactly that host unless
    it begins with a dot or a star, and there are no ranges of addresses.
    """

    def variable(name: str) -> str | None:
        return next((each for each in (name.lower(), name.upper()) if environ.get(each, "").strip()), None)

    found = variable(f"{address.scheme}_proxy") or variable("all_proxy")
    exceptions = variable("no_proxy")
    if found is None or (exceptions is not None and _is_excepted(address, environ[exceptions])):
        return None
    return found


def _is_excepted(address: Address, exceptions: str) -> bool:
    for entry in _SEPARATORS.split(exceptions.strip().lower()):
        host, separator, port = entry.rpartition(":")
        if not (separator and port.isdecimal()):
            host, port = entry, ""
        if not host or (port and int(port) != address.port):
            continue
        if host in {"*", address.host}:
            return True
        if host.startswith((".", "*")) and address.host.endswith(host.lstrip("*")):
            return True
    return False
