"""GitLab's API for this role's modules: every wait has a deadline, a busy GitLab is asked again, and each fault has its sentence."""

from __future__ import annotations

import itertools
import json
import socket
import ssl
import time
import urllib.error
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from ansible.module_utils.urls import open_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["CONNECTION", "Answer", "Api", "GitLabError", "api_of", "runners_path"]

_SUCCESS, _REDIRECT = 2, 3
_BUSY = frozenset({429, 500, 502, 503, 504})
_AWAY_ATTEMPTS = 3
_LONGEST_PAUSE_S = 20.0
_LEGACY_MANAGERS = frozenset({"", "<legacy>"})

# Parameters that every module of this role has.
CONNECTION: dict[str, Any] = {
    "api_url": {"type": "str", "required": True},
    "api_token": {"type": "str", "default": "", "no_log": True},
    "ca_path": {"type": "str", "default": ""},
    "timeout": {"type": "int", "default": 15},
    "deadline": {"type": "int", "default": 60},
    "scope": {"type": "dict", "default": {"type": "instance"}},
}


class GitLabError(Exception):
    """GitLab cannot be reached, or gave an answer that leaves nothing to do but to tell the operator."""


class Answer:
    """A status, the JSON of the body (None where there is none) and the headers."""

    def __init__(self, status: int, body: Any, headers: dict[str, str]) -> None:
        self.status = status
        self.body = body
        self.headers = headers

    @property
    def is_success(self) -> bool:
        """Whether GitLab did what was asked."""
        return self.status // 100 == _SUCCESS

    @property
    def is_redirect(self) -> bool:
        """Whether GitLab wants to be asked elsewhere."""
        return self.status // 100 == _REDIRECT

    @property
    def message(self) -> str:
        """What GitLab says about a refusal."""
        body = self.body if isinstance(self.body, dict) else {}
        text = body.get("message") or body.get("error_description") or body.get("error") or ""
        return str(text) if str(text).startswith(str(self.status)) else f"{self.status} {text}".strip()


class Api:
    """The REST API of one GitLab."""

    def __init__(
        self, url: str, token: str = "", *, ca_path: str = "", timeout: float = 15, deadline: float = 60,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self.url = url.rstrip("/")
        self._token = token
        self.ca_path = ca_path
        self.timeout = timeout
        self.deadline = deadline
        self._pause = pause

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Ask, and ask again while GitLab is busy (429, 5xx) or away: only for what is safe to repeat.

        Raises:
            GitLabError: it cannot be reached, or is still busy at the deadline.
        """
        give_up = time.monotonic() + self.deadline
        for attempt in itertools.count(1):
            try:
                answer = self._once(method, path, body)
            except OSError as error:
                if attempt >= _AWAY_ATTEMPTS or not _is_passing(error):
                    raise GitLabError(self._story(error)) from error
                wait_s = 1.0
            else:
                if answer.status not in _BUSY:
                    return answer
                wait_s = _pause_s(answer, attempt)
                if time.monotonic() + wait_s > give_up:
                    raise GitLabError(
                        f"GitLab at {self.url} answered {answer.message} to {method} {path} for {self.deadline} s. "
                        "Run again when it is well."
                    )
            self._pause(wait_s)
        raise AssertionError("unreachable")

    def pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list, or nothing more after an answer that is none."""
        page = "1"
        while page:
            answer = self.call("GET", f"{path}?{urlencode({**query, 'per_page': 100, 'page': page})}")
            if not answer.is_success:
                raise GitLabError(f"GitLab at {self.url} answered {answer.message} to GET {path}.")
            yield from answer.body
            page = answer.headers.get("x-next-page", "")

    def managers(self, runner_id: int) -> list[dict[str, Any]]:
        """The hosts that use a runner's token; without the row that GitLab keeps for clients that sent no system id."""
        answer = self.call("GET", f"/runners/{runner_id}/managers?per_page=100")
        rows = answer.body if answer.is_success and isinstance(answer.body, list) else []
        return [row for row in rows if str(row.get("system_id") or "") not in _LEGACY_MANAGERS]

    def named(self, scope: dict[str, Any], description: str) -> list[dict[str, Any]]:
        """The runners with this description, among those that community.general.gitlab_runner looks through."""
        return [row for row in self.pages(runners_path(scope)) if row.get("description") == description]

    # ------------------------------------------------------------------------------------------------- inside
    def _once(self, method: str, path: str, body: dict[str, Any] | None) -> Answer:
        headers = {"Accept": "application/json"}
        if self._token:
            headers["PRIVATE-TOKEN"] = self._token
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            response = open_url(
                f"{self.url}/api/v4{path}", method=method, headers=headers, timeout=self.timeout,
                data=None if body is None else json.dumps(body), ca_path=self.ca_path or None,
                follow_redirects="none",
            )  # fmt: skip
        except urllib.error.HTTPError as error:
            response = error
        text = response.read()
        found = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.code, _json(text), found)

    def _story(self, error: OSError) -> str:
        """Why there is no answer, and what to do about it."""
        host = urlsplit(self.url).hostname or self.url
        reason = getattr(error, "reason", error)
        if isinstance(reason, socket.gaierror):
            return (
                f"The name {host} of GitLab does not resolve on the controller ({reason.strerror}). Check gitlab_runner_api_url "
                "(by default gitlab_runner_gitlab_url) for typing errors, or give the controller a name server that knows it."
            )
        if isinstance(reason, ssl.SSLError):
            return (
                f"The certificate of GitLab at {self.url} is not trusted on the controller ({reason}). Put its CA's certificate, PEM, "
                "on the controller and name the file in gitlab_runner_api_ca_file."
            )
        return (
            f"GitLab at {self.url} cannot be reached from the controller ({reason}). Check gitlab_runner_api_url (by default "
            "gitlab_runner_gitlab_url), that GitLab runs, and the firewalls and proxy variables between the controller and it."
        )


def api_of(parameters: dict[str, Any]) -> Api:
    """The API that a module's parameters describe."""
    return Api(
        parameters["api_url"], parameters["api_token"], ca_path=parameters["ca_path"], timeout=parameters["timeout"],
        deadline=parameters["deadline"],
    )  # fmt: skip


def runners_path(scope: dict[str, Any]) -> str:
    """The list of runners that one may manage in a scope."""
    if scope["type"] == "instance":
        return "/runners/all"
    return f"/{scope['type']}s/{scope['id']}/runners"


def _is_passing(error: OSError) -> bool:
    """Whether to try again helps: not with a certificate or a name."""
    return not isinstance(getattr(error, "reason", error), ssl.SSLError)


def _pause_s(answer: Answer, attempt: int) -> float:
    try:
        wanted = float(answer.headers.get("retry-after", ""))
    except ValueError:
        wanted = 2.0 ** (attempt - 1)
    return min(max(wanted, 0.5), _LONGEST_PAUSE_S)


def _json(text: bytes) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None
