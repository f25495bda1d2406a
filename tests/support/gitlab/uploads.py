"""What runners send: pieces of the trace, and artifacts with the meaning some of them have."""

from __future__ import annotations

import gzip
import re
import zlib
from datetime import timedelta
from typing import TYPE_CHECKING

from tests.support.gitlab.ci_file.job_spec import seconds
from tests.support.gitlab.errors import ApiError
from tests.support.gitlab.records import Artifact

if TYPE_CHECKING:
    from tests.support.gitlab.instance import Instance
    from tests.support.gitlab.records import Job

__all__ = ["append_trace", "store"]

_DEFAULT_EXPIRY = "30 days"
_DOTENV_LINE = re.compile(r"\A([a-zA-Z_][a-zA-Z0-9_]*)=(.*)\Z")
_MAX_DOTENV_BYTES = 5 * 1024
_MAX_DOTENV_VARIABLES = 50


def append_trace(job: Job, content_range: str | None, content: bytes) -> int:
    """Put a piece at the end of the trace, where it must begin; the trace's size afterwards.

    A piece that was sent before and ends where the trace ends is taken as known. The end that the header names is not
    looked at: runners have been off by one there.

    Raises:
        ApiError: 400 without the header; 416, with the size as `Range`, when the piece begins elsewhere.
    """
    if not content_range:
        raise ApiError(400, "400 Missing header Content-Range")
    start = int(content_range.partition("-")[0])
    if start == len(job.trace):
        job.trace += content
    elif start + len(content) != len(job.trace):
        raise ApiError(416, "416 Range Not Satisfiable", {"Range": f"0-{len(job.trace)}"})
    return len(job.trace)


def store(
    instance: Instance, job: Job, *, filename: str, content: bytes, file_type: str, file_format: str,
    expire_in: str | None,
) -> Artifact:  # fmt: skip
    """Keep an artifact; a dotenv report's variables are read at once.

    Raises:
        ApiError: 400 for a second one of its type with other content, and for a dotenv report that is not one.
    """
    known = job.artifacts.get(file_type)
    if known is not None:
        if known.content == content:
            return known
        raise ApiError(400, "another artifact of the same type already exists")
    if file_type == "dotenv":
        job.dotenv = _dotenv(content, file_format)
    expire_at = None
    if expire_in != "never":
        expire_at = instance.now() + timedelta(seconds=seconds(expire_in or _DEFAULT_EXPIRY))
    artifact = Artifact(
        filename=filename, content=content, file_type=file_type, file_format=file_format, expire_at=expire_at
    )
    job.artifacts[file_type] = artifact
    return artifact


def _dotenv(content: bytes, file_format: str) -> dict[str, str]:
    try:
        text = gzip.decompress(content) if file_format == "gzip" else content
    except (OSError, EOFError, zlib.error) as error:
        raise ApiError(400, "Invalid Format") from error
    if len(text) > _MAX_DOTENV_BYTES:
        raise ApiError(400, "Dotenv Artifact Too Big. Maximum Allowable Size: 5120")
    variables = {}
    for line in text.decode("utf-8").splitlines():
        if not line.strip():
            continue
        match = _DOTENV_LINE.match(line)
        if match is None:
            raise ApiError(400, "Invalid Format")
        value = match[2].strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        variables[match[1]] = value
    if len(variables) > _MAX_DOTENV_VARIABLES:
        raise ApiError(400, f"Dotenv files cannot have more than {_MAX_DOTENV_VARIABLES} variables")
    return variables
