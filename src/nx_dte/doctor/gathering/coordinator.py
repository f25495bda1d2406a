"""What answers at NX_CLOUD_API: who it is, what Nx's loader gets, what becomes of the token, what time it is there."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from nx_dte.client import CoordinatorClient
from nx_dte.doctor.addresses import BadAddressError, parsed
from nx_dte.doctor.facts import CoordinatorFacts, LoaderFact, TokenFact
from nx_dte.protocol.base import PROTOCOL_VERSION, ErrorAnswer, Verification
from nx_dte.protocol.runs import FoundCiRun
from nx_dte.transport import Answer, Caller, NoAnswerError

if TYPE_CHECKING:
    from nx_dte.client import CloudEnvironment
    from nx_dte.doctor.gathering.inquiry import Inquiry

__all__ = ["coordinator_facts"]

PROBE_S = 9.0
"""Two requests; long enough for a name server that does not answer to be told from a coordinator that does not."""
TOKEN_S = 5.0
CLOCK_S = 5.0
VERIFY_S = 11.0
"""A little longer than Nx's loader waits, so that its limit can be seen to be passed."""
_RESERVE_S = 0.5
"""Calls end this long before nobody waits for them any more."""
_GZIP = b"\x1f\x8b"
_HALF_A_SECOND = 0.5  # a Date header has whole seconds, cut off


def coordinator_facts(cloud: CloudEnvironment, inquiry: Inquiry) -> CoordinatorFacts:
    """Ask what is to be asked; nothing, where there is no address. A token goes to nobody but a coordinator of ours."""
    if cloud.url is None or not _is_address(cloud.url):
        return CoordinatorFacts()
    caller = Caller(base_url=cloud.url, ca_files=() if cloud.ca_file is None else (cloud.ca_file,))
    client = CoordinatorClient(cloud=cloud)
    began = time.monotonic()
    left_s = max(inquiry.deadline - _RESERVE_S - began, 0.0)
    loader = inquiry.ask(lambda: _loader(caller, min(VERIFY_S, left_s)))
    clock = inquiry.ask(lambda: _clock_skew_s(caller))
    probe = client.probe(timeout_s=min(PROBE_S, left_s))
    return CoordinatorFacts(
        probe=probe,
        token=_token(cloud, caller, min(TOKEN_S, left_s - (time.monotonic() - began)))
        if probe.is_ours
        else None,
        clock_skew_s=clock.result(None),
        loader=loader.result(LoaderFact(verify_s=left_s, problem="verify does not answer"))
        if probe.is_ours
        else None,
    )


def _is_address(url: str) -> bool:
    try:
        parsed(url)
    except BadAddressError:
        return False
    return True


def _loader(caller: Caller, timeout_s: float) -> LoaderFact:
    """What Nx does first in every fresh checkout. Without a token, as newer versions of Nx."""
    began = time.monotonic()
    try:
        answer = caller.get("/nx-cloud/client/verify", timeout_s=timeout_s, attempts=1)
    except NoAnswerError as error:
        return LoaderFact(verify_s=time.monotonic() - began, problem=f"verify: {error.message}")
    verify_s = time.monotonic() - began
    try:
        verification = Verification.model_validate_json(answer.body) if answer.is_success else None
    except ValidationError:
        verification = None
    if verification is None or verification.url is None:
        return LoaderFact(
            verify_s=verify_s,
            problem=f"verify answers {answer.status}, and not where the light client is",
        )
    return LoaderFact(
        verify_s=verify_s,
        bundle_url=verification.url,
        problem=_bundle_problem(caller, verification.url, began + timeout_s - time.monotonic()),
    )


def _bundle_problem(caller: Caller, url: str, timeout_s: float) -> str | None:
    try:
        parsed(url)
    except BadAddressError as error:
        return f"verify sends Nx to an address that is none: {error}"
    try:
        answer = Caller(base_url=url, ca_files=caller.ca_files).get("", timeout_s=timeout_s, attempts=1)
    except NoAnswerError as error:
        return f"the light client cannot be downloaded: {error.message}"
    if not answer.is_success or not answer.body.startswith(_GZIP):
        return f"the light client cannot be downloaded: {url} answers {answer.status}, and no archive"
    return None


def _token(cloud: CloudEnvironment, caller: Caller, timeout_s: float) -> TokenFact:
    """Asked without a token too: the protocol is looked at before it."""
    headers = {"nx-dte-protocol": str(PROTOCOL_VERSION)}
    if cloud.token is not None:
        headers["authorization"] = cloud.token
    query = {"ci_id": cloud.ci_id or "doctor", "environment": cloud.environment}
    try:
        answer = caller.get("/api/v1/ci-runs", query=query, headers=headers, timeout_s=timeout_s, attempts=2)
    except NoAnswerError as error:
        return TokenFact(words=error.message)
    return _asked(answer)


def _asked(answer: Answer) -> TokenFact:
    if not answer.is_success:
        return TokenFact(status=answer.status, words=_words(answer))
    try:
        run = FoundCiRun.model_validate_json(answer.body).ci_run
    except ValidationError:
        return TokenFact(status=answer.status, words="its answer cannot be read")
    if run is None:
        return TokenFact(status=answer.status)
    return TokenFact(
        status=answer.status,
        ci_run_id=run.ci_run_id,
        attempt=run.attempt,
        workspace=run.workspace,
        access=run.token_access.value,
    )


def _words(answer: Answer) -> str:
    try:
        error = ErrorAnswer.model_validate_json(answer.body).error
    except ValidationError:
        return f"it answers {answer.status}"
    return error.message


def _clock_skew_s(caller: Caller) -> float | None:
    """From the Date header, the middle of the request counting as its time."""
    before = time.time()
    try:
        answer = caller.get("/healthz", timeout_s=CLOCK_S, attempts=1)
    except NoAnswerError:
        return None
    after = time.time()
    try:
        said = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return None
    return said.timestamp() + _HALF_A_SECOND - (before + after) / 2
