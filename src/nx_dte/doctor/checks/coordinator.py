"""The coordinator: its address, who answers there, and whether Nx's loader will be content."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from nx_dte.client import Presence
from nx_dte.doctor.addresses import BadAddressError, parsed
from nx_dte.doctor.findings import not_checked, note, ok, problem
from nx_dte.protocol.base import PROTOCOL_VERSION

if TYPE_CHECKING:
    from nx_dte.doctor.facts import Facts
    from nx_dte.doctor.findings import Finding

__all__ = ["address", "clock", "coordinator", "is_ours", "light_client", "protocol", "unasked"]

LOADER_LIMIT_S = 10.0
"""After this long Nx's loader gives up."""
_SLOW_S = 5.0
_SKEW_NOTE_S = 30.0
_SKEW_PROBLEM_S = 300.0
_NOT_SET = "NX_CLOUD_API is not set"


def address(facts: Facts) -> Finding:
    """Whether NX_CLOUD_API can be an address."""
    url = facts.cloud.url
    if url is None:
        return not_checked(_NOT_SET)
    try:
        found = parsed(url)
    except BadAddressError as error:
        return problem(
            f"NX_CLOUD_API is no address: {error}",
            "Set it to the coordinator's, as in https://dte.example.org. A protected variable is empty on unprotected "
            "branches.",
        )
    if found.has_credentials:
        return note(
            "NX_CLOUD_API holds a user name or password, which logs will show",
            "Take it out; NX_CLOUD_ACCESS_TOKEN is what the coordinator wants.",
        )
    if found.scheme == "http" and not found.is_loopback:
        return note(
            f"{url}: tokens and outputs travel unencrypted", "Put a TLS proxy before the coordinator."
        )
    return ok(url)


def coordinator(facts: Facts) -> Finding:
    """Whether a coordinator of ours answers and can work."""
    probe = facts.coordinator.probe
    if probe is None:
        return not_checked(unasked(facts))
    match probe.presence:
        case Presence.READY:
            return ok("ready")
        case Presence.FOREIGN:
            return note(
                probe.message,
                "Right for a real Nx Cloud; else NX_CLOUD_API is the address of something else.",
            )
        case Presence.UNREADY:
            return problem(
                probe.message, "Look into the coordinator's log; docs/operations.md says what it waits for."
            )
        case Presence.UNREACHABLE | Presence.NOT_CONFIGURED:
            return problem(probe.message, _reach(probe.message))


def protocol(facts: Facts) -> Finding:
    """Whether the coordinator speaks the protocol of this nx-dte."""
    token = facts.coordinator.token
    if token is None or token.status is None:
        return not_checked(_no_answer(facts))
    if token.status == HTTPStatus.UPGRADE_REQUIRED:
        return problem(
            token.words, "Install the nx-dte of the coordinator's version, or update the coordinator."
        )
    return ok(f"version {PROTOCOL_VERSION}")


def light_client(facts: Facts) -> Finding:
    """Whether Nx's loader gets its light client before it gives up."""
    found = facts.coordinator.loader
    if not is_ours(facts) or found is None:
        return not_checked(_no_answer(facts))
    if found.problem is not None:
        return problem(
            found.problem,
            "Every nx and nx-cloud command of a fresh checkout will fail. See that the proxy before the coordinator passes "
            "/nx-cloud/ on without a login, and the address that clients use (--public-url).",
        )
    took = f"verify answers in {found.verify_s:.1f} s"
    if found.verify_s > LOADER_LIMIT_S:
        return problem(
            f"{took}; Nx's loader gives up after {LOADER_LIMIT_S:g} s",
            "Look for what is slow between this place and the coordinator.",
        )
    own, bundle = facts.cloud.url, found.bundle_url
    if own is not None and bundle is not None and parsed(own) != parsed(bundle):
        return note(
            f"{took}, but it sends Nx to {bundle} for the light client",
            "If jobs cannot reach that, start the coordinator with --public-url, or let its proxy pass on host and scheme.",
        )
    if found.verify_s > _SLOW_S:
        return note(
            f"{took}; Nx's loader gives up after {LOADER_LIMIT_S:g} s",
            "Look for what is slow between this place and the coordinator.",
        )
    return ok(took)


def clock(facts: Facts) -> Finding:
    """Whether this clock and the coordinator's agree."""
    skew_s = facts.coordinator.clock_skew_s
    if skew_s is None:
        return not_checked(_no_answer(facts))
    if abs(skew_s) <= _SKEW_NOTE_S:
        return ok("agrees with the coordinator's")
    side = "behind" if skew_s > 0 else "ahead of"
    found = f"this clock is {abs(skew_s):.0f} s {side} the coordinator's"
    remedy = "Let hosts set their clocks by NTP; certificates, tokens and GitLab's times depend on it."
    return problem(found, remedy) if abs(skew_s) > _SKEW_PROBLEM_S else note(found, remedy)


def is_ours(facts: Facts) -> bool:
    """Whether a coordinator of ours answered, well or not."""
    return facts.coordinator.probe is not None and facts.coordinator.probe.is_ours


def unasked(facts: Facts) -> str:
    """Why nobody was asked."""
    if facts.cloud.url is None:
        return _NOT_SET
    try:
        parsed(facts.cloud.url)
    except BadAddressError:
        return "NX_CLOUD_API is no address"
    return "there was no time left to ask"


def _no_answer(facts: Facts) -> str:
    if facts.coordinator.probe is None:
        return unasked(facts)
    if facts.coordinator.probe.presence is Presence.FOREIGN:
        return "it is no coordinator of nx-dte"
    return "the coordinator does not answer"


def _reach(message: str) -> str:
    text = message.lower()
    if "not valid for" in text or "mismatch" in text:
        return "Its certificate is for another name: put that into NX_CLOUD_API, or this name into the certificate."
    if "certificate" in text or "ssl" in text:
        return (
            "Its certificate is not trusted here: set NODE_EXTRA_CA_CERTS to a file with the certificate authority; Node "
            "and nx-dte read it."
        )
    if "name" in text and ("resol" in text or "known" in text):
        return "Its name is not known here: correct NX_CLOUD_API, or the name servers of this place."
    return (
        "Start the coordinator, or correct NX_CLOUD_API; see that a firewall lets this place through. Until then main jobs of "
        "`nx-dte orchestrate` run everything themselves."
    )
