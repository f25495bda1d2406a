from __future__ import annotations

import pytest

from tests.support.gitlab.ci_file.expressions import is_true
from tests.support.gitlab.errors import ApiError

VARIABLES = {"BRANCH": "feature/x", "EMPTY": "", "SOURCE": "push", "PATTERN": "/^feature/", "OTHER": "push"}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("$BRANCH", True),
        ("$EMPTY", False),
        ("$UNDEFINED", False),
        ('$SOURCE == "push"', True),
        ("$SOURCE == 'push'", True),
        ('$SOURCE != "push"', False),
        ("$SOURCE == $OTHER", True),
        ("$UNDEFINED == null", True),
        ("$EMPTY == null", False),
        ('$EMPTY == ""', True),
        ("$BRANCH != null", True),
        ("$BRANCH =~ /^feature\\//", True),
        ("$BRANCH =~ /^FEATURE/", False),
        ("$BRANCH =~ /^FEATURE/i", True),
        ("$BRANCH !~ /^feature/", False),
        ("$UNDEFINED =~ /x/", False),
        ("$UNDEFINED !~ /x/", True),
        ("$BRANCH =~ $PATTERN", True),
        ("$UNDEFINED && $BRANCH", False),
        ("$UNDEFINED || $BRANCH", True),
        # && binds more than ||, whichever stands first.
        ("$BRANCH || $UNDEFINED && $UNDEFINED", True),
        ("($BRANCH || $UNDEFINED) && $UNDEFINED", False),
        ('$SOURCE == "push" && $BRANCH =~ /x$/', True),
        ('$SOURCE == "web" || ($BRANCH && $EMPTY == "")', True),
    ],
)
def test_expression(expression: str, *, expected: bool) -> None:
    assert is_true(expression, VARIABLES) is expected


@pytest.mark.parametrize("expression", ["$A ==", "$A = 1", "($A", "&& $A", "$A $B", "x"])
def test_what_gitlab_refuses_is_refused(expression: str) -> None:
    with pytest.raises(ApiError):
        is_true(expression, VARIABLES)
