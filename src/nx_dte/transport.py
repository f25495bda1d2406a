"""The command line's one door to HTTP: JSON calls with a deadline that holds whatever the network does.

A call runs in a daemon thread, so that its deadline bounds name resolution, connecting, waiting and a body that drips
alike. Whoever may be asked again is asked again here and nowhere else. This module knows nothing of whom it calls; it
may import `errors` only.
"""

from __future__ import annotations

import queue
import random
import re
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nx_dte.errors import NxDteError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = [
    "Answer",
    "Caller",
    "CertificateFile",
    "CertificatesUnusableError",
    "NoAnswerError",
    "Pending",
    "begin",
    "certificates_in",
    "within",
    "without_credentials",
]

T = TypeVar("T")

_CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@")

MAX_ATTEMPTS = 5
MAX_BODY_BYTES = 64 * 1024 * 1024
PASSING_FAULTS = frozenset({429, 502, 503, 504})
"""The server, or a proxy before it, is unwell for the moment."""


class NoAnswerError(NxDteError):
    """Nobody answered in time."""

    code = "no_answer"


class CertificatesUnusableError(NxDteError):
    """A file of certificates cannot be used."""

    code = "certificates_unusable"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFile:
    """What a file of certificates to trust holds."""

    count: int
    expired: int
    """How many of its authorities' certificates are past their time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def is_success(self) -> bool:
        """Status 2xx."""
        return self.status // 100 == 2  # noqa: PLR2004  # the class of a status is its first digit

    def json(self) -> Any:
        """The body as JSON; None when it is none (a proxy's error page, say)."""
        import json

        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Calls one server."""

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every call; they hold secrets."""
    ca_files: tuple[Path, ...] = ()
    """Certificates to trust beside the system's."""
    uses_proxy: bool = False
    """Whether HTTP_PROXY and its like apply."""

    def get(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        attempts: int = MAX_ATTEMPTS,
    ) -> Answer:
        """Read something; asked again, until the deadline, where there is no answer or a passing fault of the server.

        Raises:
            NoAnswerError: nothing came within `timeout_s`, tries and pauses included.
        """
        return self._call("GET", path, query=query, headers=headers, timeout_s=timeout_s, attempts=attempts)

    def post(self, path: str, *, body: object, timeout_s: float, attempts: int = MAX_ATTEMPTS) -> Answer:
        """Send something that is safe to send twice.

        Raises:
            NoAnswerError: as for `get`.
        """
        return self._call("POST", path, body=body, timeout_s=timeout_s, attempts=attempts)

    def _call(self, method: str, path: str, *, timeout_s: float, attempts: int, **parts: Any) -> Answer:
        deadline = time.monotonic() + timeout_s
        try:
            return within(timeout_s, lambda: self._retrying(method, path, deadline, attempts, parts))
        except TimeoutError:
            raise NoAnswerError(f"{self._shown} did not answer within {timeout_s:g} s") from None

    def _retrying(
        self, method: str, path: str, deadline: float, attempts: int, parts: dict[str, Any]
    ) -> Answer:
        """Every pause doubles, from 0.1 to 2 s, less up to half of it, so that many jobs do not come back at once."""
        import httpx2

        for attempt in range(1, attempts + 1):
            pause_s = min(0.1 * 2 ** (attempt - 1), 2.0) * random.uniform(0.5, 1.0)  # noqa: S311  # no secret
            is_last = attempt == attempts or time.monotonic() + pause_s >= deadline
            try:
                answer = self._once(method, path, deadline - time.monotonic(), **parts)
            except (httpx2.LocalProtocolError, UnicodeError):
                # Its words would show the header, and that may be a token.
                raise NoAnswerError(
                    f"{self._shown} cannot be asked: the address, or a token for it, holds characters that HTTP does not "
                    "allow"
                ) from None
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
                if is_last or not isinstance(error, httpx2.TransportError):
                    reason = str(error) or type(error).__name__
                    raise NoAnswerError(f"{self._shown} does not answer: {reason}") from error
            else:
                if is_last or answer.status not in PASSING_FAULTS:
                    return answer
            time.sleep(pause_s)
        raise NoAnswerError(f"{self._shown} was not asked")

    @property
    def _shown(self) -> str:
        return without_credentials(self.base_url)

    def _once(
        self,
        method: str,
        path: str,
        left_s: float,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
    ) -> Answer:
        import httpx2

        verify = self._trusted() if self.base_url.startswith("https:") else False
        with (
            httpx2.Client(verify=verify, trust_env=self.uses_proxy, timeout=max(left_s, 0.001)) as client,
            client.stream(
                method,
                f"{self.base_url}{path}",
                params=dict(query or {}),
                headers={**self.headers, **(headers or {})},
                json=body,
            ) as response,
        ):
            chunks = bytearray()
            for chunk in response.iter_bytes():
                chunks += chunk
                if len(chunks) > MAX_BODY_BYTES:
                    raise httpx2.DecodingError(f"the answer is larger than {MAX_BODY_BYTES} bytes")
            return Answer(
                status=response.status_code,
                headers={name.lower(): value for name, value in response.headers.items()},
                body=bytes(chunks),
            )

    def _trusted(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        for file in self.ca_files:
            if file.is_file():
                context.load_verify_locations(cafile=str(file))
        return context


def without_credentials(url: str) -> str:
    """An address as it may be shown: without what stands before an @ in it."""
    return _CREDENTIALS.sub("", url)


@dataclass(frozen=True, slots=True)
class Pending(Generic[T]):
    """Work that has begun in a thread of its own."""

    _results: queue.SimpleQueue[tuple[T | None, BaseException | None]]

    def result(self, timeout_s: float) -> T:
        """What the work gave, or its exception; TimeoutError when it takes longer. To be asked for once."""
        try:
            result, error = self._results.get(timeout=max(timeout_s, 0.0))
        except queue.Empty:
            raise TimeoutError(f"not within {timeout_s:g} s") from None
        if error is not None:
            raise error
        return result  # type: ignore[return-value]  # no error: this is what the work gave


def begin(work: Callable[[], T]) -> Pending[T]:
    """Begin `work` in a daemon thread: a process that ends does not wait for it."""
    results: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put((work(), None))
        except BaseException as error:  # noqa: BLE001  # handed over, and raised where it is waited for
            results.put((None, error))

    threading.Thread(target=run, daemon=True, name="nx-dte-call").start()
    return Pending(results)


def within(timeout_s: float, work: Callable[[], T]) -> T:
    """The result of `work`, or its exception; TimeoutError when it takes longer. Then it is left to itself."""
    return begin(work).result(timeout_s)


def certificates_in(file: Path) -> CertificateFile:
    """Read a file in the way every call will.

    Raises:
        CertificatesUnusableError: it cannot be read, or holds nothing that can be trusted.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=str(file))
    except ssl.SSLError as error:
        raise CertificatesUnusableError(f"it holds no certificate in PEM form ({error.reason})") from error
    except OSError as error:
        raise CertificatesUnusableError(error.strerror or str(error)) from error
    now = time.time()
    authorities = context.get_ca_certs()
    expired = [held for held in authorities if ssl.cert_time_to_seconds(str(held["notAfter"])) < now]
    return CertificateFile(count=context.cert_store_stats()["x509"], expired=len(expired))
