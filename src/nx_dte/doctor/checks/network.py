"""Certificates and proxies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nx_dte.doctor.addresses import BadAddressError, parsed, proxy_before
from nx_dte.doctor.findings import combined, not_checked, note, ok, problem

if TYPE_CHECKING:
    from nx_dte.doctor.facts import CertificateFact, Facts
    from nx_dte.doctor.findings import Finding

__all__ = ["certificates", "proxy"]

_NODES = "NODE_EXTRA_CA_CERTS"
_OPENSSLS = "SSL_CERT_FILE"


def certificates(facts: Facts) -> Finding:
    """Whether the certificate files that variables name are there and can be used."""
    files = facts.machine.certificates
    findings = [finding for file in files if (finding := _unusable(file)) is not None]
    named = {file.variable for file in files}
    is_tls = facts.cloud.url is not None and facts.cloud.url.startswith("https:")
    if is_tls and _OPENSSLS in named and _NODES not in named:
        findings.append(
            note(
                f"{_OPENSSLS} is set and {_NODES} is not: Node does not read the former",
                f"If the coordinator's certificate is one of your own authority, set {_NODES} too.",
            )
        )
    if not files:
        return ok("no variable names certificates of your own")
    return combined(findings, otherwise=_listed(files))


def proxy(facts: Facts) -> Finding:
    """Whether Nx's loader would ask a proxy for the coordinator."""
    if facts.cloud.url is None:
        return not_checked("NX_CLOUD_API is not set")
    try:
        address = parsed(facts.cloud.url)
    except BadAddressError:
        return not_checked("NX_CLOUD_API is no address")
    variable = proxy_before(address, facts.environ)
    if variable is None:
        return ok("none stands before the coordinator")
    return note(
        f"{variable} is set, and NO_PROXY does not name {address.host}: Nx's loader asks the proxy for the light client, "
        "while the light client itself goes straight to the coordinator",
        f"Add {address.host} to NO_PROXY (and no_proxy).",
    )


def _unusable(file: CertificateFact) -> Finding | None:
    if file.problem is not None:
        return problem(
            f"{file.variable} names {file.path}, which cannot be used: {file.problem}",
            f"Give the job that file (PEM, readable), or unset {file.variable}.",
        )
    if file.expired and file.expired == file.count:
        return problem(
            f"every certificate in {file.path} ({file.variable}) has expired",
            "Get new ones, or look at this clock.",
        )
    return None


def _listed(files: tuple[CertificateFact, ...]) -> str:
    """One entry for each file, with the variables that name it."""
    variables: dict[tuple[str, int], list[str]] = {}
    for file in files:
        variables.setdefault((file.path, file.count), []).append(file.variable)
    return "; ".join(f"{count} in {path} ({', '.join(names)})" for (path, count), names in variables.items())
