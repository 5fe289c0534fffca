"""Sections ``[connections.NAME]``: found, overridden, refused, and never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from coreetl_driver.sources import (
    Connection,
    ConnectionSettings,
    connection_names,
    open_connection,
    require_connection,
    resolved_connection,
)
from dcp_core.errors import NotFoundError, SettingsError
from dcp_core.settings import Secret, Settings

PASSWORD = "hunter2/hunter2@"
ESCAPED = "hunter2%2Fhunter2%40"


def settings(environ: dict[str, str] | None = None, **connections: dict[str, Any]) -> Settings:
    return Settings(Path("/project"), {"connections": connections}, environ or {})


def test_references_and_placeholders_are_filled_when_the_connection_is_used() -> None:
    given = settings(
        {"SHOP_PASSWORD": PASSWORD}, shop={"uri": "sqlite:///{root}/shop.db", "password": "${SHOP_PASSWORD}"}
    )
    found = resolved_connection(given, "shop")
    assert (found.uri, found.password.reveal()) == ("sqlite:////project/shop.db", PASSWORD)
    with pytest.raises(SettingsError, match=r"\$\{SHOP_PASSWORD\}"):
        resolved_connection(evolve(given, environ={}), "shop")
    require_connection(evolve(given, environ={}), "shop")  # which looks at no value


def test_a_relative_path_is_relative_to_the_project() -> None:
    assert (
        resolved_connection(settings(shop={"uri": "sqlite:///data/shop.db"}), "shop").uri
        == "sqlite:////project/data/shop.db"
    )


def test_a_variable_wins_and_is_enough() -> None:
    environ = {
        "DCP_CONNECTIONS_THE_SHOP_URI": "postgresql://other/shop",
        "DCP_CONNECTIONS_LAKE_URI": "postgresql://lake",
    }
    given = settings(environ, **{"the-shop": {"uri": "postgresql://here/shop"}})
    assert connection_names(given) == ("the-shop", "lake")
    assert resolved_connection(given, "the-shop").uri == "postgresql://other/shop"
    assert resolved_connection(given, "lake").uri == "postgresql://lake"


def test_a_slip_of_the_pen_is_told_with_the_nearest_name() -> None:
    given = settings(shop={"urii": "sqlite:///x"})
    with pytest.raises(NotFoundError, match="no connection 'shopp'") as missing:
        require_connection(given, "shopp")
    assert missing.value.hint == 'did you mean "shop"?'
    for look in (require_connection, resolved_connection):
        with pytest.raises(SettingsError, match=r"\[connections\.shop\] has no setting 'urii'") as unknown:
            look(given, "shop")
        assert unknown.value.hint == 'did you mean "uri"?'
    with pytest.raises(SettingsError, match="has no uri"):
        resolved_connection(settings(shop={}), "shop")
    with pytest.raises(NotFoundError) as none:
        require_connection(settings(), "shop")
    assert "[connections.shop]" in str(none.value.hint)


def test_a_slip_in_the_name_of_the_section_is_told(tmp_path: Path) -> None:
    (tmp_path / "dcp.toml").write_text("[conections.shop]\nuri = 'x'\n")
    with pytest.raises(SettingsError, match=r"there is no section \[conections\]") as slip:
        Settings.load(tmp_path / "dcp.toml", environ={})
    assert slip.value.hint == 'did you mean "connections"?'


def test_a_password_of_its_own_needs_no_escaping() -> None:
    found = Connection("shop", "postgresql://reader:old@host:5432/shop?x=1", password=Secret(PASSWORD))
    assert found.uri_with_user == f"postgresql://reader:{ESCAPED}@host:5432/shop?x=1"
    assert evolve(found, username="a b").uri_with_user == f"postgresql://a%20b:{ESCAPED}@host:5432/shop?x=1"
    assert Connection("shop", "postgresql://host/shop").uri_with_user == "postgresql://host/shop"


@pytest.mark.parametrize(
    "changes",
    [
        {"uri": f"postgresql://reader:{ESCAPED}@host/shop"},
        {"uri": f"postgresql://host/shop?user=a&password={ESCAPED}"},
        {"uri": "postgresql://host/shop", "password": Secret(PASSWORD)},
        {"uri": "x://host", "options": {"auth_token": PASSWORD}},
        {"uri": f"postgresql://reader:{PASSWORD}host/shop"},  # not escaped, as people do
    ],
    ids=["uri", "query", "password", "options", "broken uri"],
)
def test_secrets_are_shown_nowhere(changes: dict[str, Any]) -> None:
    connection = Connection("shop", **changes)
    shown = [repr(connection), str(connection), repr(ConnectionSettings(**changes))]
    secrets = (PASSWORD, ESCAPED, "hunter2")
    told = f"cannot connect to {connection.uri} with {PASSWORD} or {ESCAPED}: {connection.uri_with_user}"
    shown.append(connection.scrubbed(told))
    for text in shown:
        assert not any(secret in text for secret in secrets), text
    assert Connection.from_json(connection.to_json()) == connection


@pytest.mark.parametrize(
    "uri",
    [
        "host=db user=bob password=hunter2secret", "host=db password = 'hunter2secret' user=bob",
        "password=hunter2secret://x", "hunter2secret", "hunter2secret:5432", "bob:hunter2secret@db:5432/shop",
        "bob:hunter2secret", "postgresql:hunter2secret", "postgresql:/bob:hunter2secret@db/shop",
        "postgresql//bob:hunter2secret@db/shop", "://bob:hunter2secret@db", "//bob:hunter2secret@db/shop",
        " postgresql://bob:hunter2secret@db/shop", "jdbc:postgresql://db/shop?user=bob&password=hunter2secret",
        "nope://bob:hunter2secret@db/shop", "nope://bob:x/hunter2secret@db", "nope://bob:1#hunter2secret@db",
        "nope://bob:1?hunter2secret@db", "nope://[bob:hunter2secret@db", "1://hunter2secret", "p\xf6st://hunter2secret",
        "Server=db;User Id=bob;Password=hunter2secret;", "",
    ],
)  # fmt: skip
def test_a_malformed_address_shows_nothing_of_itself(uri: str) -> None:
    connection = Connection("shop", uri)
    with pytest.raises(SettingsError) as refused:
        open_connection(connection)
    is_formed = uri.startswith("nope://")
    wanted = "uri has scheme 'nope', for which" if is_formed else r"uri is not of the form scheme://…"
    assert wanted in str(refused.value)
    for text in (str(refused.value), str(refused.value.hint), repr(connection), connection.scrubbed(f"bad: {uri}")):
        assert "hunter2" not in text


@pytest.mark.parametrize("uri", ["host=db password=hunter2secret", "host=db password = 'hunter2secret' user=bob"])
def test_a_password_among_keys_and_values_is_no_part_of_a_drivers_error(uri: str) -> None:
    assert "hunter2" not in Connection("shop", uri, driver="x").scrubbed("unknown option near hunter2secret")


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://bob:pa@hunter2@127.0.0.1:1/shop", "postgresql://bob:hunter2/x@127.0.0.1:1/shop",
        "postgresql://bob:hunter2", "postgresql://bob:hunter2#x@db/shop", "postgresql://bob:1?hunter2@db/shop",
        "postgresql://bob:${PW}@db/shop", "mysql://bob:[hunter2@db/shop",
    ],
)  # fmt: skip
def test_an_address_that_can_be_misread_is_refused_before_a_driver_sees_it(uri: str) -> None:
    settings = Settings(Path("/project"), {"connections": {"shop": {"uri": uri}}}, {"PW": "x/hunter2"})
    with pytest.raises(SettingsError, match="uri cannot be taken apart") as refused:
        resolved_connection(settings, "shop")
    assert "hunter2" not in f"{refused.value} {refused.value.hint}"
    assert "password = " in (refused.value.hint or "")


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://bob:a%40b%2Fc@db:5432/shop?sslmode=require", "postgresql://db/shop?user=bob@tenant",
        "postgresql:///shop", "sqlite:////data/a@b/shop.db", "postgresql://bob@[::1]:5432/shop",
    ],
)  # fmt: skip
def test_an_address_that_can_be_read_in_one_way_only_is_taken(uri: str) -> None:
    assert (
        resolved_connection(Settings(Path("/project"), {"connections": {"shop": {"uri": uri}}}, {}), "shop").uri == uri
    )
