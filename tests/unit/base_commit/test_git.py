"""How git's words are passed on."""

import pytest

from nx_dte.base_commit.git import _complaint
from nx_dte.base_commit.history import is_commit_id


def test_no_credential_is_passed_on() -> None:
    said = (
        "fatal: unable to access 'https://gitlab-ci-token:job-secret@gitlab.example.org/p.git/': no route\n"
    )
    assert _complaint(said) == "fatal: unable to access 'https://gitlab.example.org/p.git/': no route"


def test_the_line_that_says_what_is_wrong_is_passed_on() -> None:
    said = "warning: x\nfatal: Could not read from remote repository.\n\nPlease make sure\nthe repository exists.\n"
    assert _complaint(said) == "fatal: Could not read from remote repository."
    assert _complaint("something else\n") == "something else"
    assert _complaint("") == ""


@pytest.mark.parametrize("text", ["a" * 40, "0123456789abcdef" * 4])
def test_full_ids(text: str) -> None:
    assert is_commit_id(text)


@pytest.mark.parametrize("text", ["", "main", "a" * 39, "a" * 41, "A" * 40, "-" + "a" * 39, "a" * 40 + "\n"])
def test_other_names(text: str) -> None:
    assert not is_commit_id(text)
