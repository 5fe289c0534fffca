"""``dcp.toml`` and the environment: what is taken, and every way to get it wrong."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import attrs
import pytest

from dcp_core import Secret, Settings
from dcp_core.errors import SettingsError
from dcp_core.settings import find_root, masked


@attrs.frozen
class Section:
    number: int = 1
    ratio: float = 1.0
    text: str = "{state}/x"
    flag: bool = False
    names: tuple[str, ...] = ()
    maybe: str | None = None
    folder: Path = Path("x")
    token: Secret = attrs.field(default=Secret(""), metadata={"secret": True})
    labels: dict[str, str] = attrs.Factory(dict)


@attrs.frozen(kw_only=True)
class Timed:
    wait_s: float = 1.0
    whole_s: int = 1
    ratio: float = 1.0


def section(values: dict[str, Any] | None = None, **environ: str) -> Section:
    return Settings(Path("/r"), {"part": values or {}}, environ, Path("/r/dcp.toml")).section("part", Section)


def test_defaults_then_file_then_environment() -> None:
    assert section().number == 1
    assert section({"number": 2}).number == 2
    assert section({"number": 2}, DCP_PART_NUMBER="3").number == 3


def test_placeholders_and_references_are_filled_in() -> None:
    made = section({"maybe": "{root}/a", "text": "${HOME}/b", "labels": {"x": "${HOME}"}}, HOME="/home/alice")
    assert (made.maybe, made.text, made.labels) == ("/r/a", "/home/alice/b", {"x": "/home/alice"})
    assert section().text == "/r/.dcp/x"


@pytest.mark.parametrize(("text", "flag"), [("true", True), ("1", True), ("Yes", True), ("off", False), ("0", False)])
def test_flags_are_read_from_variables(text: str, flag: bool) -> None:
    assert section(DCP_PART_FLAG=text).flag is flag


def test_lists_are_read_from_variables() -> None:
    assert section(DCP_PART_NAMES="a, b,,c").names == ("a", "b", "c")
    assert section({"names": ["a", "b"]}).names == ("a", "b")
    assert section({"names": "policy"}).names == ("policy",), "one name, not its letters"


def test_a_secret_never_shows_itself() -> None:
    made = section({"token": "${TOKEN}"}, TOKEN="hunter2")
    assert made.token.reveal() == "hunter2"
    for shown in (repr(made), str(made.token), f"{made.token}", f"{made.token!r}", "%s" % made.token):  # noqa: UP031
        assert "hunter2" not in shown
    assert "hunter2" not in repr(Settings(Path("/r"), {}, {"TOKEN": "hunter2"}))


WRONG: list[tuple[str, dict[str, Any], dict[str, str], str]] = [
    ("text for a number", {"number": "many"}, {}, "number"),
    ("fraction for a number", {"number": 1.5}, {}, "number"),
    ("flag for a number", {"number": True}, {}, "number"),
    ("list for a number", {"number": [1]}, {}, "number"),
    ("text for a ratio", {"ratio": "half"}, {}, "ratio"),
    ("list for text", {"text": ["a"]}, {}, "text"),
    ("table for text", {"text": {"a": 1}}, {}, "text"),
    ("flag for text", {"text": True}, {}, "text"),
    ("no flag", {"flag": "perhaps"}, {}, "flag"),
    ("number for a flag", {"flag": 2}, {}, "flag"),
    ("number for a list", {"names": 5}, {}, "names"),
    ("list of lists", {"names": [["a"]]}, {}, "names"),
    ("list for an optional text", {"maybe": ["a"]}, {}, "maybe"),
    ("number for a folder", {"folder": 5}, {}, "folder"),
    ("list for a secret", {"token": ["hunter2"]}, {}, "token"),
    ("list for a table", {"labels": ["a"]}, {}, "labels"),
    ("text for a table", {"labels": "a"}, {}, "labels"),
    ("unknown key", {"numbre": 1}, {}, "numbre"),
    ("variable that is no number", {}, {"DCP_PART_NUMBER": "seven"}, "number"),
    ("reference to nothing", {"text": "${NOWHERE}"}, {}, "NOWHERE"),
]


def test_a_duration_that_is_no_number_is_told_its_unit() -> None:
    for values, told in (
        ({"wait_s": "90s"}, "expected a number of seconds @ [part].wait_s"),
        ({"whole_s": "90s"}, "expected a whole number of seconds @ [part].whole_s"),
        ({"ratio": "much"}, "expected a number @ [part].ratio"),
        (
            {"wait_s": "90s", "ratio": "much"},
            "expected a number of seconds @ [part].wait_s; expected a number @ [part].ratio",
        ),
    ):
        with pytest.raises(SettingsError) as failed:
            Settings(Path("/r"), {"part": values}, {}).section("part", Timed)
        assert failed.value.message == told


@pytest.mark.parametrize(("values", "environ", "named"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG])
def test_a_wrong_setting_is_named_with_its_file(values: dict[str, Any], environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError) as failed:
        section(values, **environ)
    assert named in failed.value.message
    assert "part" in failed.value.message
    assert failed.value.where == "/r/dcp.toml"
    assert "hunter2" not in str(failed.value) + repr(vars(failed.value))


def test_an_unknown_key_suggests_the_nearest() -> None:
    with pytest.raises(SettingsError) as failed:
        section({"numbre": 1})
    assert failed.value.hint == 'did you mean "number"?'


@pytest.mark.parametrize("values", [{"part": 5}, {"part": "x"}, {"part": []}])
def test_a_section_must_be_a_table(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"\[part\] must be a table"):
        Settings(Path("/r"), values, {}).section("part", Section)


@pytest.mark.parametrize(
    "values", [{"catalog": "x"}, {"catalog": [1]}, {"catalogs": "x"}, {"catalogs": {"pedregal": 5}},
               {"catalog": {"uri": "${NOWHERE}"}}],
)  # fmt: skip
def test_wrong_catalogs_are_settings_errors(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        Settings(Path("/r"), values, {}).catalog_properties("pedregal")


def test_catalogs_share_a_base_and_may_differ() -> None:
    values = {"catalog": {"uri": "u/{catalog}", "token": "${T}"}, "catalogs": {"pedregal": {"extra": "1"}}}
    settings = Settings(Path("/r"), values, {"T": "hunter2"})
    assert settings.catalog_properties("pedregal") == {"uri": "u/pedregal", "token": "hunter2", "extra": "1"}
    assert settings.catalog_properties("pedregal-playground-a", resolve=False) == {
        "uri": "u/pedregal-playground-a", "token": "${T}",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("uri", "postgresql://bob:hunter2@db/shop", "postgresql://bob:***@db/shop"),
        ("uri", "postgresql://bob:hun@ter2@db/shop", "postgresql://bob:***@db/shop"),
        ("uri", "postgresql://bob:hun/ter2@db/shop", "postgresql://bob:***@db/shop"),
        ("uri", "postgresql://db/shop?user=bob&password=hunter2", "postgresql://db/shop?user=bob&password=***"),
        ("uri", "postgresql://${USER}:hunter2@db/shop", "postgresql://${USER}:***@db/shop"),
        ("uri", "postgresql://bob:${PASSWORD}@db/a@b", "postgresql://bob:${PASSWORD}@db/a@b"),
        ("uri", "postgresql://db/shop?password=${PASSWORD}", "postgresql://db/shop?password=${PASSWORD}"),
        ("uri", "Server=db;Pwd=hunter2;Port=1", "Server=db;Pwd=***;Port=1"),
        ("uri", "https://catalog:8181/v1/oauth/tokens", "https://catalog:8181/v1/oauth/tokens"),
        ("warehouse", "abfss://box@account.dfs.core.windows.net/a", "abfss://box@account.dfs.core.windows.net/a"),
        ("api_key", "hunter2", "***"),
        ("PWD", "hunter2", "***"),
        ("header.token", "Bearer ${TOKEN}", "Bearer ${TOKEN}"),
    ],
)
def test_what_is_shown_and_stored_holds_references_and_no_secret(name: str, value: str, shown: str) -> None:
    assert masked(name, value) == shown
    assert masked(name, shown) == shown
    settings = Settings(Path("/r"), {"catalog": {"uri": "u", name: value}}, {})
    assert settings.catalog_properties("pedregal", resolve=False)[name] == shown


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"x = ", "not valid TOML"), (b"[a\n", "not valid TOML"), (b"a = 1\na = 2\n", "not valid TOML"),
     (b"x = '\xff'", "not UTF-8"), (b"\xff\xfe", "not UTF-8")],
)  # fmt: skip
def test_a_broken_file_is_a_settings_error_that_names_it(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "dcp.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=words) as failed:
        Settings.load(file)
    assert str(file) in failed.value.message


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("kafak", "kafka"),
        ("kafk", "kafka"),
        ("airfow", "airflow"),
        ("airflo", "airflow"),
        ("airflows", "airflow"),
        ("AIRFLOW", "airflow"),
        ("coretl", "coreetl"),
    ],
)
def test_a_slip_in_the_name_of_a_section_is_told_and_a_section_of_a_plugin_is_none(
    tmp_path: Path, slip: str, meant: str
) -> None:
    file = tmp_path / "dcp.toml"
    file.write_text(f"[{slip}]\nname = 'x'\n")
    with pytest.raises(SettingsError, match=rf"there is no section \[{slip}\]") as failed:
        Settings.load(file, environ={})
    assert failed.value.hint == f'did you mean "{meant}"?'
    file.write_text(f"[{meant}]\nname = 'x'\n[acme_duck]\nname = 'x'\n")
    assert set(Settings.load(file, environ={}).values) == {meant, "acme_duck"}


def test_a_file_that_cannot_be_read_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    for name in ("nope.toml", "loop.toml", "."):
        with pytest.raises(SettingsError, match="cannot read"):
            Settings.load(tmp_path / name)


def test_the_root_is_the_nearest_folder_with_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_root(below) == below
    (tmp_path / "dcp.toml").write_text("[identity]\nuser = 'bob'\n")
    assert find_root(below) == tmp_path
    monkeypatch.chdir(below)
    assert Settings.load(environ={}).root == tmp_path
    assert Settings.load(environ={}).state == tmp_path / ".dcp"


def test_errors_keep_everything_when_pickled() -> None:
    error = SettingsError("no", where="here", owner="x==1: y", hint="do", code="settings.other")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), vars(copy), str(copy)) == (SettingsError, vars(error), "here: no")
    assert json.dumps(vars(copy))
