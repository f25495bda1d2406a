"""The API's shape: fields are only ever added, so every change of this file is a decision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.integration.coordinator.conftest import Running

SNAPSHOT = Path(__file__).with_name("openapi.json")


def shape(document: dict[str, Any]) -> dict[str, Any]:
    """Addresses with their messages, and messages with their fields: what a client depends on."""
    operations = {
        f"{method.upper()} {path}": sorted(
            parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] != "path"
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    messages = {
        name: {
            "fields": sorted(schema.get("properties", {})),
            "required": sorted(schema.get("required", [])),
            "values": schema.get("enum", []),
        }
        for name, schema in document["components"]["schemas"].items()
    }
    return {"operations": operations, "messages": messages}


async def test_the_shape_is_the_recorded_one(coordinator: Running) -> None:
    current = shape((await coordinator.http.get("/openapi.json")).json())

    recorded = json.loads(SNAPSHOT.read_text())
    assert current == recorded, f"if this is meant, write the new shape to {SNAPSHOT.name}:\n" + json.dumps(
        current
    )
