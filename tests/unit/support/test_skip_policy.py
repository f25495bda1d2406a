"""The skip policy, seen from outside: a pytest of its own runs in a folder of its own."""

import pytest

pytest_plugins = ["pytester"]

SKIPPING = """
    import pytest

    @pytest.mark.skip(reason="no moon")
    def test_by_mark(): ...

    @pytest.mark.parametrize("n", [1, 2])
    def test_in_call(n): pytest.skip("no sun")

    @pytest.mark.xfail(strict=True)
    def test_expected_failure(): assert False
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("CI", "true")
    pytester.makepyfile(test_some=SKIPPING)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    return pytester


def run(project: pytest.Pytester) -> pytest.RunResult:
    return project.runpytest_inprocess("-p", "tests.support.skip_policy", "-p", "no:cacheprovider")


def allow(project: pytest.Pytester, text: str) -> None:
    folder = project.mkdir("tests")
    (folder / "skips.toml").write_text(text, encoding="utf-8")


def test_in_ci_an_unlisted_skip_fails_and_says_what_to_do(project: pytest.Pytester) -> None:
    result = run(project)
    outcomes = result.parseoutcomes()
    assert outcomes.get("skipped", 0) == 0
    assert outcomes["xfailed"] == 1
    assert outcomes.get("failed", 0) + outcomes.get("errors", 0) == 3
    result.stdout.fnmatch_lines(["*test_by_mark was skipped (*no moon*tests/skips.toml*"])


def test_a_listed_skip_passes_with_its_reason(project: pytest.Pytester) -> None:
    allow(
        project,
        """
        [[skip]]
        test = "test_some.py::test_by_mark"
        reason = "the moon is not up"
        [[skip]]
        test = "test_some.py::test_in_*"
        reason = "nor is the sun"
        """,
    )
    run(project).assert_outcomes(skipped=3, xfailed=1)


def test_an_entry_without_a_reason_is_refused(project: pytest.Pytester) -> None:
    allow(project, '[[skip]]\ntest = "test_some.py::test_by_mark"\n')
    result = run(project)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*gives no reason*"])


def test_a_file_that_skips_itself_fails_in_ci(project: pytest.Pytester) -> None:
    project.makepyfile(test_some="import pytest\npytest.skip('no stars', allow_module_level=True)")
    result = run(project)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*test_some.py was skipped (*no stars*"])


def test_on_a_developers_machine_skips_are_skips(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI")
    run(project).assert_outcomes(skipped=3, xfailed=1)
