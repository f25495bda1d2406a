"""What docs/operations.md tells people to type works."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy import text

from nx_dte.coordinator.store.sql import dialect
from tests.integration.coordinator.driver import task

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.coordinator.conftest import Running

IDS = {"$CI_RUN_ID": "ci_run_id", "$INVOCATION_ID": "invocation_id"}


def _page(root: Path) -> str:
    return (root / "docs/operations.md").read_text(encoding="utf-8")


async def test_every_address_it_names_answers(coordinator: Running, repository_root: Path) -> None:
    driver = coordinator.driver
    run_id = (await driver.open_run())["ci_run_id"]
    known = {"ci_run_id": run_id, "invocation_id": await driver.submit(run_id, [task("shop:build")])}
    addresses = set(re.findall(r"\$NX_CLOUD_API(/[^\s\"`]+)", _page(repository_root)))
    assert len(addresses) >= 6

    for address in addresses:
        asked = address
        for name, key in IDS.items():
            asked = asked.replace(name, known[key])
        response = await driver.send("GET", asked)
        assert response.status_code == 200, (address, response.text)


async def test_its_query_finds_the_runs_that_wait(
    coordinator: Running, database_url: str, repository_root: Path
) -> None:
    driver = coordinator.driver
    run_id = (await driver.open_run())["ci_run_id"]
    await driver.submit(run_id, [task("a:build"), task("b:build")])
    (query,) = re.findall(r"```sql\n(.*?)```", _page(repository_root), re.DOTALL)

    engine = dialect.open_engine(dialect.parse_url(database_url), writes=False)
    try:
        with engine.connect() as connection:
            rows = connection.execute(text(query.strip().rstrip(";"))).mappings().all()
    finally:
        engine.dispose()
    assert [(row["ci_run_id"], row["ci_id"], row["ready_tasks"]) for row in rows] == [(run_id, "4711", 2)]
