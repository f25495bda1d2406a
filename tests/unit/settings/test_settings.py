from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nx_dte.errors import ConfigurationError
from nx_dte.settings import CoordinatorSettings, describe, split_address

if TYPE_CHECKING:
    from pathlib import Path


def test_defaults_listen_on_loopback_only() -> None:
    settings = CoordinatorSettings.load()

    assert settings.listen == "127.0.0.1:8720"
    assert settings.metrics_listen == "127.0.0.1:8721"
    assert settings.database.startswith("sqlite:////")


def test_flag_goes_before_environment_before_file_before_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('lease_s = 11\nheartbeat_s = 2\nlog_level = "error"\n')
    monkeypatch.setenv("NX_DTE_LEASE_S", "12")
    monkeypatch.setenv("NX_DTE_HEARTBEAT_S", "3")

    settings = CoordinatorSettings.load(config=config, lease_s=13)

    assert (settings.lease_s, settings.heartbeat_s, settings.log_level) == (13, 3, "error")
    assert settings.main_silence_s == 45


def test_a_flag_that_was_not_given_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NX_DTE_LISTEN", "127.0.0.1:1")

    assert CoordinatorSettings.load(listen=None).listen == "127.0.0.1:1"


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("listen", "8720", "must be HOST:PORT, not '8720'"),
        ("listen", "host:port", "must be HOST:PORT, not 'host:port'"),
        ("lease_s", "0", "must be more than 0"),
        ("lease_s", "soon", "must be a number"),
        ("lease_s", "inf", "must be 604800 or less"),
        ("artifact_max_bytes", "-1", "must be more than 0"),
        ("artifact_max_bytes", "1.5", "must be a whole number"),
        ("request_max_bytes", "1", "must be 65536 or more"),
        ("log_level", "loud", "must be 'debug', 'info', 'warning' or 'error'"),
        ("public_url", "foo", "must be an address like https://nx-dte.example.org"),
        ("public_url", "ftp://host", "must be an address like https://nx-dte.example.org"),
        ("public_url", "https://", "must be an address like https://nx-dte.example.org"),
    ],
)
def test_a_wrong_value_is_explained_in_our_words(name: str, value: str, complaint: str) -> None:
    flags: dict[str, Any] = {name: value}
    with pytest.raises(ConfigurationError) as caught:
        CoordinatorSettings.load(**flags)

    message = caught.value.message
    assert message.startswith(f"{name} {complaint}")
    assert f"NX_DTE_{name.upper()} or the key {name} of the settings file" in message
    assert "Input should" not in message


def test_only_flags_that_exist_are_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        CoordinatorSettings.load(listen="x", lease_s=0)

    assert "--listen, NX_DTE_LISTEN" in caught.value.message
    assert "--lease" not in caught.value.message


@pytest.mark.parametrize("address", ["https://nx-dte.example.org", "http://host:8720/below/"])
def test_a_public_url_may_have_a_port_and_a_path(address: str) -> None:
    assert CoordinatorSettings.load(public_url=address).public_url == address


def _complaint(name: str, value: Any) -> str:
    try:
        CoordinatorSettings.load(**{name: value})
    except ConfigurationError as error:
        return error.message
    return ""


def test_every_complaint_of_the_library_is_put_into_our_words() -> None:
    values: list[Any] = ["\0", "-1", "1e99", "", []]
    said = [_complaint(name, value) for name in CoordinatorSettings.model_fields for value in values]
    assert len([text for text in said if text]) > 30
    assert [text for text in said if "cannot be used" in text] == []


def test_an_unknown_key_in_the_file_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text("leese_s = 11\n")

    with pytest.raises(ConfigurationError, match="there is no setting leese_s; lease_s is meant"):
        CoordinatorSettings.load(config=config)


@pytest.mark.parametrize("content", ["not toml", None])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    config = tmp_path / "settings.toml"
    if content is not None:
        config.write_text(content)

    with pytest.raises(ConfigurationError, match=r"settings\.toml"):
        CoordinatorSettings.load(config=config)


def test_tokens_are_never_shown() -> None:
    settings = CoordinatorSettings.load(read_write_token="a-very-secret-token")

    assert "secret" not in repr(settings)
    assert "secret" not in settings.model_dump_json()


def test_a_wrong_token_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ConfigurationError) as caught:
        CoordinatorSettings.load(read_write_token="short")

    assert "short" not in caught.value.message


def test_every_setting_has_a_description() -> None:
    assert [item.name for item in describe() if not item.meaning] == []


@pytest.mark.parametrize(
    ("address", "parts"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("host:9", ("host", 9))],
)
def test_addresses_are_split(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts
