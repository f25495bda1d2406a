"""The wire protocol as pydantic models: what light client and coordinator say to each other (docs/protocol.md).

Fields are only ever added, with a default; a changed meaning gets a new name. Unknown fields are ignored, so that a
newer client can talk to an older coordinator. This package may import the model only.
"""

from nx_dte.protocol.base import PROTOCOL_VERSION

__all__ = ["PROTOCOL_VERSION"]
