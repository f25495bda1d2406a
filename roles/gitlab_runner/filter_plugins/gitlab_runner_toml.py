"""Reads and writes the text of config.toml, with the tokens or without them.

It knows nothing of the role's variables: gitlab_runner_config does.
"""

from __future__ import annotations

import re
import tomllib
from datetime import date, datetime, time
from typing import Any

import tomli_w

Table = dict[str, Any]

REDACTED = "redacted"
SECRET_KEY = re.compile(
    r"token$|password|secret|privatekey|private_key|accesskey$|accountkey$", re.IGNORECASE
)
# They change with each rotation, which is no change of the configuration.
TOKEN_TIMES = ("token_obtained_at", "token_expires_at")
USER_OF_ADDRESS = re.compile(r"(?<=://)[^/\s]+(?=@)")
# In lists such as `environment`. DOCKER_AUTH_CONFIG is how the runner itself gets a registry's password.
SECRET_VARIABLE = re.compile(
    r"^(\w*(?:token|password|passwd|secret|auth_config|_key))=.+", re.IGNORECASE | re.DOTALL
)

# What the runner adds by itself when it writes the file, as it does after it has rotated a token.
WRITTEN_BY_THE_RUNNER: Table = {"connection_max_age": "15m0s", "session_timeout": 1800, "network_mtu": 0}


def plain(value: Any) -> Any:
    """Return a value without the types that Ansible wraps its own in; a key with None is left out."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    for moment in (datetime, date, time):
        if isinstance(value, moment):
            return moment.fromisoformat(value.isoformat())
    kind: type = next((kind for kind in (bool, int, float) if isinstance(value, kind)), str)
    return kind(value)


def to_toml(config: Table) -> str:
    """Return a table as TOML, its keys in their order."""
    return tomli_w.dumps(plain(config), multiline_strings=True)


def redacted(value: Any, key: str = "") -> Any:
    """Return the same without secrets, so that it may be shown."""
    if isinstance(value, dict):
        return {name: redacted(item, name) for name, item in value.items() if name not in TOKEN_TIMES}
    if isinstance(value, (list, tuple)):
        return [redacted(item, key) for item in value]
    if isinstance(value, str):
        if SECRET_KEY.search(key):
            return REDACTED
        return USER_OF_ADDRESS.sub(REDACTED, SECRET_VARIABLE.sub(rf"\1={REDACTED}", value))
    return value


def parsed(text: str) -> Table:
    """Return the present file's table; one that somebody has broken counts as empty, and is written anew."""
    try:
        return tomllib.loads(text or "")
    except tomllib.TOMLDecodeError:
        return {}


def live(text: str, host: str) -> list[Table]:
    """Return the tokens in the present file: the runner writes there when it has rotated one."""
    found = []
    runners = parsed(text).get("runners", [])
    for entry in runners if isinstance(runners, list) else []:
        if not isinstance(entry, dict):
            continue
        name = str(entry.get("name", ""))
        found.append(
            {
                # One of another name is somebody else's runner, also where a pool is called so.
                "pool": name.removeprefix(f"{host} ") if name.startswith(f"{host} ") else "",
                "name": name,
                "id": entry.get("id", 0),
                "token": entry.get("token", ""),
                "token_obtained_at": _written(entry.get("token_obtained_at")),
                "token_expires_at": _written(entry.get("token_expires_at")),
            }
        )
    return found


def _written(moment: Any) -> str:
    """Return a time as the API writes it; Go's zero time means none."""
    if not isinstance(moment, datetime) or moment.year == 1:
        return ""
    return moment.isoformat().replace("+00:00", "Z")


def same(text: str, config: Table) -> bool:
    """Tell whether the present file already says what is wanted, whoever wrote it, and in whatever order."""
    present = parsed(text)
    return bool(present) and _covers(present, plain(config))


def _covers(present: Any, wanted: Any) -> bool:
    """Tell whether two values mean the same: a key that is there too many must say nothing."""
    if isinstance(wanted, dict) and isinstance(present, dict):
        needless = all(_says_nothing(key, item) for key, item in present.items() if key not in wanted)
        return needless and all(_covers(present.get(key), item) for key, item in wanted.items())
    if isinstance(wanted, list) and isinstance(present, list):
        return len(wanted) == len(present) and all(map(_covers, present, wanted))
    if present is None:
        return _says_nothing("", wanted)
    return bool(present == wanted)


def _says_nothing(key: str, value: Any) -> bool:
    """Tell whether a key could as well be left out."""
    if isinstance(value, dict):
        return all(_says_nothing(name, item) for name, item in value.items())
    if isinstance(value, datetime):
        return value.year == 1
    return not value or WRITTEN_BY_THE_RUNNER.get(key) == value


class FilterModule:
    """The filters that Ansible finds here."""

    def filters(self) -> dict[str, Any]:
        """Return them by the names that templates use."""
        return {
            "gitlab_runner_live": live,
            "gitlab_runner_parsed": parsed,
            "gitlab_runner_redacted": redacted,
            "gitlab_runner_same": same,
            "gitlab_runner_toml": to_toml,
        }
