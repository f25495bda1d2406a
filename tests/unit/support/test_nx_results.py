import json
from pathlib import Path

from tests.support.nx_results import TaskResult, read_results, sections, terminal_outputs

LOG = """\
$ first 'command'
yarn run v1
$ nx run-many -t build

> nx run util:build  [local cache]

> node build.js

\x1b[2mbuilt\x1b[22m

> nx run shop:build:production --flavour=plum

no shop
[nx-dte] an agent left

————————————————————————————————————

 NX   Ran target build

$ second
nothing
"""


def test_a_log_is_cut_at_the_echo_of_each_line() -> None:
    first, second = sections(LOG, ["first 'command'", "second", "never reached"])
    assert first.startswith("yarn run v1\n$ nx run-many")
    assert second == "nothing\n"


def test_what_tasks_printed_is_found_without_colours_and_cache_remarks() -> None:
    assert terminal_outputs(LOG) == {
        "util:build": "> node build.js\n\nbuilt",
        "shop:build:production --flavour=plum": "no shop",
    }


def test_results_are_read_from_the_file_nx_writes(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    task = {"taskId": "util:build", "hash": "17", "status": 0, "cacheStatus": "remote-cache-hit"}
    file.write_text(json.dumps({"tasks": [task]}))
    assert read_results(file) == {"util:build": TaskResult(hash="17", code=0, is_hit=True)}
