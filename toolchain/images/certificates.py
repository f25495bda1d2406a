"""The certificates that this machine trusts beside the public ones: a network that looks into TLS has put them there."""

import os
import re
import ssl
from pathlib import Path

from toolchain.images.docker import DockerError

__all__ = ["extra_certificates"]

PUBLIC = Path("/usr/share/ca-certificates")  # what Debian's package ships
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL)


def extra_certificates(given: Path | None = None) -> str:
    """PEM text, empty where there are none: of the file that was given, else what is found.

    Found are the certificates of the system's bundle, or of SSL_CERT_FILE, that no package shipped. Where nobody can
    tell which these are, there are none.

    Raises:
        DockerError: the file that was given has none, or cannot be read.
    """
    if given is not None:
        if found := _PEM.findall(_text(given)):
            return "\n".join(found)
        raise DockerError(
            f"{given} cannot be read or holds no PEM certificate; name another file with CA_FILE=…"
        )
    public = {_der(pem) for file in PUBLIC.rglob("*.crt") for pem in _PEM.findall(_text(file))}
    bundles = {BUNDLE, Path(os.environ.get("SSL_CERT_FILE", BUNDLE))}
    trusted = {_der(pem): pem for bundle in sorted(bundles) for pem in _PEM.findall(_text(bundle))}
    if not public:
        return ""
    return "\n".join(trusted[der] for der in sorted(trusted.keys() - public))


def _der(pem: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""
