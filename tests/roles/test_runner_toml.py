"""The text of config.toml: what is kept of the present one, and what may be shown of it."""

from __future__ import annotations

import tomllib

import pytest

from tests.roles.test_runner_config import CONFIG, TEXT, TOKENS, settings

REGISTERED = [
    {"pool": name, "id": number, "token": token, "token_obtained_at": "2026-11-25T10:00:00Z"}
    for number, (name, token) in enumerate(TOKENS.items(), start=1)
]
WANTED = CONFIG.config(settings(), REGISTERED)
# As the real one writes it: its own order, its own defaults, zeros for what is not set.
BY_THE_RUNNER = f"""
concurrent = 6
check_interval = 3
connection_max_age = "15m0s"
shutdown_timeout = 30
log_level = "info"
listen_address = "127.0.0.1:9252"
[session_server]
  session_timeout = 1800
[[runners]]
  name = "runner-1 main"
  limit = 1
  url = "https://gitlab.example.org"
  id = 1
  token = "{TOKENS["main"]}"
  token_obtained_at = 2026-11-25T10:00:00Z
  token_expires_at = 0001-01-01T00:00:00Z
  executor = "docker"
  request_concurrency = 1
  [runners.cache]
    MaxUploadedArchiveSize = 0
    [runners.cache.s3]
  [runners.feature_flags]
    FF_NETWORK_PER_BUILD = true
  [runners.docker]
    tls_verify = false
    image = "{settings()["image"]}"
    allowed_images = ["{settings()["image"]}"]
    allowed_services = ["none"]
    pull_policy = ["if-not-present"]
    cap_drop = ["AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP", "SYS_CHROOT"]
    security_opt = ["no-new-privileges:true"]
    volumes = ["/cache"]
    shm_size = 0
    network_mtu = 0
"""
ONE_POOL = CONFIG.config(
    settings(concurrent=6, pools=[{"name": "main", "tags": ["nx-main"], "limit": 1}]), REGISTERED
)


def test_what_is_written_says_what_is_wanted() -> None:
    assert TEXT.same(TEXT.to_toml(WANTED), WANTED)


def test_the_same_variables_give_the_same_text() -> None:
    assert TEXT.to_toml(WANTED) == TEXT.to_toml(CONFIG.config(settings(), list(reversed(REGISTERED))))


def test_a_file_that_the_runner_wrote_is_left_alone() -> None:
    assert TEXT.same(BY_THE_RUNNER, ONE_POOL)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("concurrent = 6", "concurrent = 7"),
        (TOKENS["main"], TOKENS["agent"]),
        ("shm_size = 0", "shm_size = 1"),
        ('volumes = ["/cache"]', 'volumes = ["/cache", "/:/host"]'),
        ("tls_verify = false", "privileged = true"),
        ("concurrent = 6", "concurrent ="),
    ],
)
def test_a_file_that_says_something_else_is_not(old: str, new: str) -> None:
    assert not TEXT.same(BY_THE_RUNNER.replace(old, new), ONE_POOL)


@pytest.mark.parametrize(
    "text", ["", "concurrent =", 'runners = "x"', "runners = [1]", "[runners]\nname = 'main'"]
)
def test_a_file_that_is_not_there_or_broken_is_written(text: str) -> None:
    assert not TEXT.same(text, WANTED)
    assert TEXT.live(text, "runner-1") == []


def test_rotated_tokens_are_found_by_pool() -> None:
    rotated = BY_THE_RUNNER.replace("0001-01-01T00:00:00Z", "2026-12-25T10:00:00Z")
    assert TEXT.live(rotated, "runner-1") == [
        {
            "pool": "main",
            "name": "runner-1 main",
            "id": 1,
            "token": TOKENS["main"],
            "token_obtained_at": "2026-11-25T10:00:00Z",
            "token_expires_at": "2026-12-25T10:00:00Z",
        }
    ]
    assert TEXT.live(BY_THE_RUNNER, "runner-1")[0]["token_expires_at"] == ""


def test_a_runner_of_another_name_is_not_taken_for_a_pools() -> None:
    by_hand = BY_THE_RUNNER.replace('name = "runner-1 main"', 'name = "main"')
    assert [entry["pool"] for entry in TEXT.live(by_hand, "runner-1")] == [""]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('DOCKER_AUTH_CONFIG={"auths": {"r": {"auth": "aGlkZGVu"}}}', "DOCKER_AUTH_CONFIG=redacted"),
        ("NPM_TOKEN=hidden", "NPM_TOKEN=redacted"),
        ("https_proxy=http://me:hid@den@proxy:3128", "https_proxy=http://redacted@proxy:3128"),
        ("NX_CLOUD_API=https://dte.example.org", "NX_CLOUD_API=https://dte.example.org"),
    ],
)
def test_a_variable_that_is_a_secret_by_its_name_is_not_shown(line: str, shown: str) -> None:
    assert TEXT.redacted({"environment": [line]}) == {"environment": [shown]}


def test_what_is_shown_has_no_secret_and_does_not_move_with_a_rotation() -> None:
    changed = settings(
        proxy={"http": "http://me:hidden@proxy:3128"},
        pools=[
            {
                "name": "main",
                "tags": ["nx-main"],
                "limit": 1,
                "cache": {"s3": {"SecretKey": "hidden", "AccessKey": "hidden", "BucketName": "shown"}},
            }
        ],
    )
    shown = TEXT.to_toml(TEXT.redacted(CONFIG.config(changed, REGISTERED)))
    assert "hidden" not in shown
    assert "glrt-" not in shown
    assert "HTTP_PROXY=http://redacted@proxy:3128" in shown
    assert "shown" in shown
    later = [
        entry | {"token_obtained_at": "2026-12-01T00:00:00Z", "token": "glrt-new"} for entry in REGISTERED
    ]
    assert TEXT.to_toml(TEXT.redacted(CONFIG.config(changed, later))) == shown


def test_scripts_of_several_lines_stay_readable() -> None:
    text = TEXT.to_toml({"pre_build_script": "set -e\necho 'a' \"b\" \\\n"})
    assert text.count("\n") > 2
    assert tomllib.loads(text) == {"pre_build_script": "set -e\necho 'a' \"b\" \\\n"}
