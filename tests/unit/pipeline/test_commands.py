"""`nx-dte pipeline render` and `lint` from outside: what they print, and how they end."""

from __future__ import annotations

import io
import json
import shlex
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from nx_dte.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]

BROKEN = """\
stages: [affected]
nx-dte: {stage: affected, script: ["nx-dte orchestrate -- nx affected"], tags: [nx-main]}
nx-dte-agent: {stage: affectd, script: ["nx-dte agent || exit $?"], allow_failure: true, tags: [nx-agent]}
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An Nx workspace in a repository, and the current folder."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "nx.json").write_text("{}", encoding="utf-8")
    (tmp_path / "yarn.lock").touch()
    (tmp_path / "package.json").write_text('{"devDependencies": {"prettier": "3"}}', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line as a shell does: exit code, stdout, stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nx-dte", "pipeline", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return code, captured.out, captured.err

    return run


# ---------------------------------------------------------------------------------------- render
@pytest.mark.usefixtures("checkout")
def test_in_a_checkout_no_option_is_needed(run: Run) -> None:
    code, out, err = run("render")
    assert (code, err) == (0, "")
    made = yaml.safe_load(out)
    before, _, after = made["nx-dte"]["script"][0].partition(" -- ")
    assert before == (
        "nx-dte orchestrate --stop-agents-after e2e-ci --record 'nx format:check' --junit .nx-dte/junit.xml"
    )
    assert after == "nx affected -t lint,test,build,e2e-ci --parallel=2"
    assert out.endswith("\n")
    assert not out.endswith("\n\n")


def test_what_is_rendered_is_without_fault(checkout: Path, run: Run) -> None:
    code, _, err = run("render", "--output", ".gitlab-ci.yml")
    assert (code, err) == (0, "nx-dte pipeline: wrote .gitlab-ci.yml\n")
    assert (checkout / ".gitlab-ci.yml").exists()
    assert run("lint") == (0, "nx-dte pipeline: no faults\n", "")


@pytest.mark.usefixtures("checkout")
def test_the_head_of_the_file_says_how_to_make_it_again(run: Run) -> None:
    words = [
        "render",
        "--agents",
        "7",
        "--targets",
        "a b,it's $(x)",
        "--record",
        "nx lint 'a b'",
        "--record",
        "echo '\\\\'",
    ]
    words += [
        "--before-script",
        "corepack enable # x",
        "--guard",
        "job",
        "--default-branch",
        "--main-tag",
        "",
        "--image",
        "x:1",
    ]
    words += [
        "--pipelines",
        "branches,tags",
        "--agent-timeout",
        "2h",
        "--artifact",
        "dist",
        "--artifact",
        "out/**/*.log",
    ]
    code, out, err = run(*words)
    assert err == ""
    assert code == 0
    head = out.partition("# From here on")[0].splitlines()[1:]
    command = "\n".join(line.removeprefix("#   ") for line in head)
    again = shlex.split(command.replace("\\\n", ""))  # as a shell joins lines, which shlex does not
    assert again[:2] == ["nx-dte", "pipeline"]
    assert run(*again[2:]) == (0, out, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--targets", "lint,build"), "--stop-agents-after build --record 'nx format:check' --junit"),
        (("--stop-agents-after", "lint"), "--stop-agents-after lint --record"),
        (("--command", "nx run-many -t build"), "orchestrate --record 'nx format:check' --junit .nx-dte/junit.xml -- nx run-many -t build"),
        (("--command", "nx a", "--command", "nx b"), "--run 'nx b' --junit .nx-dte/junit.xml -- nx a"),
        (("--no-record",), "orchestrate --stop-agents-after e2e-ci --junit"),
        (("--record", "nx x", "--record", "nx y"), "--record 'nx x' --record 'nx y' --junit"),
        (("--parallel", "5"), "--parallel=5"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("checkout")
def test_what_main_runs(run: Run, words: tuple[str, ...], expected: str) -> None:
    code, out, _ = run("render", *words)
    assert code == 0
    assert expected in yaml.safe_load(out)["nx-dte"]["script"][0]


def test_without_prettier_there_is_no_format_check(checkout: Path, run: Run) -> None:
    (checkout / "package.json").write_text("{}", encoding="utf-8")
    assert "format:check" not in run("render")[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--agents", "0"), "--agents 0 is not from 1 to 200 [configuration]"),
        (("--agents", "many"), "'many' is not a valid integer"),
        (("--targets", ","), "--targets ',' is no list of targets"),
        (("--targets", "--help"), "--targets '--help' is no list of targets"),
        (("--targets", "a\nb"), "holds a line break"),
        (("--parallel", "0"), "an agent runs one task at least"),
        (("--command", "nx a", "--parallel", "3"), "--command stands instead of"),
        (("--command", "it's"), "cannot be split into words"),
        (("--command", " "), "an empty line is no command"),
        (("--command", "nx a\nnx b"), "holds a line break. Give one line of text"),
        (("--record", "nx a\rnx b"), "holds a line break. Give one line of text"),
        (("--record", "nx a", "--no-record"), "exclude one another"),
        (("--pipelines", "branches,forks"), "'forks' is none of"),
        (("--pipelines", ","), "never starts"),
        (("--agent-timeout", "soon"), "--agent-timeout 'soon' is no time"),
        (("--agent-timeout", "1m"), "--agent-timeout"),
        (("--output", "no/such/folder/x.yml"), "cannot be written"),
        (("--guard", "perhaps"), "is not one of"),
        (("--lazy-agents",), "No such option"),
    ],
)
@pytest.mark.usefixtures("checkout")
def test_what_cannot_be_ends_with_78_and_says_what_it_is(
    run: Run, words: tuple[str, ...], message: str
) -> None:
    code, out, err = run("render", *words)
    assert (code, out) == (78, "")
    assert message in err


def test_outside_of_a_checkout_the_package_manager_is_asked_for(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run("render")
    assert code == 78
    assert "--package-manager yarn|npm|pnpm" in err
    code, out, _ = run("render", "--package-manager", "npm")
    assert code == 0
    assert "npm ci" in out


# ---------------------------------------------------------------------------------------- lint
def test_faults_are_printed_with_file_line_job_and_code_and_end_with_1(checkout: Path, run: Run) -> None:
    (checkout / "ci.yml").write_text(BROKEN, encoding="utf-8")
    code, out, err = run("lint", "ci.yml")
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[0] == (
        "ci.yml:2: nx-dte: no job runs `nx-dte guard record`, and this file names no coordinator (NX_CLOUD_API) that could "
        "tell [no-guard]"
    )
    assert lines[2].startswith("ci.yml:3: nx-dte-agent: stage affectd is not declared")
    assert lines[3] == "    Add it to `stages`."
    assert lines[-1] == "nx-dte pipeline: 2 faults"


def test_the_same_as_json(checkout: Path, run: Run) -> None:
    (checkout / "ci.yml").write_text(BROKEN, encoding="utf-8")
    code, out, _ = run("lint", "--format", "json", "ci.yml")
    assert code == 1
    rows = json.loads(out)["findings"]
    assert [row["code"] for row in rows] == ["no-guard", "undeclared-stage"]
    assert rows[1] == {
        "code": "undeclared-stage",
        "severity": "fault",
        "file": "ci.yml",
        "line": 3,
        "jobs": ["nx-dte-agent"],
        "message": "stage affectd is not declared; there are .pre, affected, .post",
        "advice": "Add it to `stages`.",
    }


def test_notes_alone_end_with_0(checkout: Path, run: Run) -> None:
    (checkout / "ci.yml").write_text("include: {remote: https://example.org/ci.yml}\n", encoding="utf-8")
    code, out, _ = run("lint", "ci.yml")
    assert code == 0
    assert "ci.yml:1: note: include remote: https://example.org/ci.yml was not read" in out
    assert out.endswith("nx-dte pipeline: no faults\n")


def test_stdin_is_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(BROKEN.encode()), encoding="ascii"))
    code, out, _ = run("lint", "-")
    assert code == 1
    assert out.startswith("stdin:2: ")


@pytest.mark.usefixtures("checkout")
def test_slots_are_counted(run: Run) -> None:
    run("render", "--output", "ci.yml")
    assert run("lint", "ci.yml", "--main-slots", "2", "--agent-slots", "6")[0] == 0
    code, out, _ = run("lint", "ci.yml", "--main-slots", "2", "--agent-slots", "5")
    assert code == 1
    assert "2 main jobs at once x 3 agents = 6 agent slots, and there are 5" in out
    assert run("lint", "ci.yml", "--slots", "3")[0] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("gone.yml",), "gone.yml cannot be read: No such file or directory [ci_file_unreadable]"),
        (("broken.yml",), "broken.yml is no YAML that GitLab would read"),
        (("--main-slots", "1", "broken.yml"), "belong together"),
        (
            ("--main-slots", "1", "--agent-slots", "1", "--slots", "1", "broken.yml"),
            "give the one or the others",
        ),
        (("--slots", "-1", "broken.yml"), "is not in the range"),
    ],
)
def test_what_cannot_be_linted_ends_with_78(
    checkout: Path, run: Run, words: tuple[str, ...], message: str
) -> None:
    (checkout / "broken.yml").write_text("a: [", encoding="utf-8")
    code, out, err = run("lint", *words)
    assert (code, out) == (78, "")
    assert message in err
