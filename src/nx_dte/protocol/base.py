"""What all messages share: version, limits, and the shape of an error."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

PROTOCOL_VERSION = 1
MAX_WAIT_S = 25.0
MAX_RECORD_OUTPUT_BYTES = 8 * 1024 * 1024

# Limits keep rows and log lines sane; they are far beyond what Nx or GitLab produce.
ShortText = Annotated[str, StringConstraints(max_length=512)]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=512)]
LongText = Annotated[str, StringConstraints(max_length=16_384)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
WaitSeconds = Annotated[float, Field(ge=0, le=MAX_WAIT_S)]
Time = AwareDatetime


class WireModel(BaseModel):
    """A message or a part of one."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ErrorBody(WireModel):
    """What happened, to which id, and what to do."""

    code: str
    message: str
    next: str


class ErrorAnswer(WireModel):
    """Every answer from 400 on."""

    error: ErrorBody


class Verification(WireModel):
    """The loader's question answered: is the cached bundle current, and if not, where is it."""

    valid: bool
    version: str | None = None
    url: str | None = None


class ArtifactRef(WireModel):
    """An archive that can be downloaded."""

    artifact_id: str
    size: int
