"""No secret gets out."""

from __future__ import annotations

import pytest

from nx_dte.doctor.masking import Mask

ENVIRON = {
    "NX_CLOUD_ACCESS_TOKEN": "abcd1234",
    "LONGER_SECRET": "abcd12345678",
    "CI_REGISTRY_PASSWORD": "pass.word",
    "SHORT_KEY": "abc",
    "USES_TOKEN": "true",
    "HOME": "/home/node",
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("token abcd1234 is unknown", "token [masked] is unknown"),
        ("abcd12345678", "[masked]"),
        ("(pass.word)", "([masked])"),
        ("https://gitlab-ci-token:xyz@gitlab.example.org/a.git", "https://gitlab.example.org/a.git"),
        ("abc stays, and so does true", "abc stays, and so does true"),
        ("/home/node is writable", "/home/node is writable"),
        ("two\nlines\x1b", "two lines"),
    ],
)
def test_masking(text: str, shown: str) -> None:
    assert Mask(ENVIRON)(text) == shown
