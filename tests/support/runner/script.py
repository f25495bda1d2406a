"""The text that bash gets for a step: variables, then every line, each shown before it runs."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["bash_script"]

_GREEN = "\\x1b[32;1m"
_PLAIN = "\\x1b[0;m"
_NEW_EVAL = "FF_USE_NEW_BASH_EVAL_STRATEGY"


def bash_script(lines: Iterable[str], variables: Mapping[str, str], folder: str) -> str:
    """As the real runner feeds it: bash reads this from standard input and runs the script in a shell below it.

    So a job's processes have a bash as leader of their session, and an empty standard input. And so a *command* that
    fails ends the job with 1, whatever its own code was; only `exit N` (`command || exit $?`) gives a job its code,
    unless FF_USE_NEW_BASH_EVAL_STRATEGY is set. The real one's users know that well.
    """
    body = [
        *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
        f"cd {shlex.quote(folder)}",
    ]
    for line in lines:
        body += [f"printf '%b%s%b\\n' '{_GREEN}' {shlex.quote(_shown(line))} '{_PLAIN}'", line]
    evaluation = f"eval {shlex.quote(chr(10).join(body))}"
    if variables.get(_NEW_EVAL, "").lower() in {"true", "1"}:
        evaluation = f"({evaluation})"
    return "\n".join(
        [
            "trap exit 1 TERM",
            "set -o pipefail; set -o errexit",
            "set +o noclobber",
            f": | {evaluation}",
            "exit 0",
            "",
        ]
    )


def _shown(line: str) -> str:
    first, _, rest = line.rstrip("\n").partition("\n")
    return f"$ {first} # collapsed multi-line command" if rest else f"$ {first}"
