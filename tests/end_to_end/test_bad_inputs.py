"""What users get wrong, given to ``pretzel apply``: a clear error with its place, exit status 1, nothing changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from pretzel.__main__ import main
from tests.end_to_end.projects import PLAYGROUND, SQL, Project

GOOD = """\
metadata:
  technical_owner: logistics-de
dataset:
  name: daily_orders
  fields:
    - {name: order_id, type: string}
    - {name: amount, type: long}
workflow:
  schedule: "0 * * * *"
  sql: daily_orders.sql
"""
FIELDS = "    - {name: order_id, type: string}\n    - {name: amount, type: long}\n"
NAME = "name: daily_orders\n"
FOLDER = "manifests/derived_dataset"
YAML, QUERY = f"{FOLDER}/daily_orders.yaml", f"{FOLDER}/daily_orders.sql"

# (what is wrong, the manifest's bytes, the code, line:column or "" where there is none)
MANIFESTS: list[tuple[str, str | bytes, str, str]] = [
    ("empty", "", "manifest.shape", "1:1"),
    ("only a comment", "# nothing\n", "manifest.shape", "1:1"),
    ("a list", "- a\n- b\n", "manifest.shape", "1:1"),
    ("text", "hello\n", "manifest.shape", "1:1"),
    ("unclosed bracket", GOOD.replace("type: long}", "type: long"), "yaml.syntax", ""),
    ("tab", GOOD.replace("  name:", "\tname:"), "yaml.syntax", "4:1"),
    ("colon in text", GOOD.replace("daily_orders.sql", "a: b"), "yaml.syntax", "10:9"),
    ("two documents", GOOD + "---\n" + GOOD, "yaml.syntax", "11:1"),
    ("control character", GOOD + "# \x01\n", "yaml.character", "11:3"),
    ("undefined alias", GOOD.replace("logistics-de", "*who"), "yaml.syntax", "2:20"),
    ("duplicate key", GOOD.replace("  name:", "  name: x\n  name:"), "yaml.duplicate_key", "5:3"),
    ("duplicate section", GOOD + "metadata: {}\n", "yaml.duplicate_key", "11:1"),
    ("python tag", GOOD.replace("logistics-de", "!!python/object/apply:os.system [ls]"), "yaml.tag", "2:20"),
    ("merge key", GOOD.replace("metadata:\n", "metadata:\n  <<: {tier: 1}\n"), "yaml.merge", "2:3"),
    ("a key that is a list", GOOD + "[a]: 1\n", "yaml.key", "11:1"),
    ("octal of old", GOOD.replace("logistics-de", "logistics-de\n  tier: 0777"), "yaml.number", "3:9"),
    ("alias bomb", "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(8)), "yaml.size", ""),
    ("endless alias", "a: &x [*x]\n", "yaml.", "1:"),
    ("deep brackets", "[" * 100_000, "yaml.depth", ""),
    ("deep mappings", "".join(" " * n + "a:\n" for n in range(300)), "yaml.depth", ""),
    ("huge file", b"# " + b"x" * (1024 * 1024), "file.size", ""),
    ("not UTF-8", GOOD.encode() + b"# \xff\n", "file.encoding", "11:3"),
    ("UTF-16", GOOD.encode("utf-16"), "file.encoding", "1:1"),
    ("unknown type", GOOD.replace("type: string", "type: strng"), "schema.enum", "6:30"),
    ("unknown key", GOOD.replace("schedule:", "shedule:"), "schema.unknown_key", "9:3"),
    ("missing section", GOOD.replace("metadata:\n  technical_owner: logistics-de\n", ""), "schema.required", "1:1"),
    ("wrong type", GOOD.replace(NAME, "name: [a]\n"), "schema.type", "4:9"),
    ("null for a name", GOOD.replace(NAME, "name:\n"), "schema.type", "4:"),
    ("fields is a mapping", GOOD.replace(FIELDS, "    a: b\n"), "schema.type", "6:5"),
    ("no fields", GOOD.replace(FIELDS, "    []\n"), "schema.minItems", "6:5"),
    ("hostile name", GOOD.replace(NAME, "name: ../../x\n"), "schema.pattern", "4:9"),
    ("hostile name with quotes", GOOD.replace(NAME, "name: 'a`; DROP TABLE b'\n"), "schema.pattern", "4:9"),
    ("newline in a name", GOOD.replace(NAME, 'name: "daily_orders\\n"\n'), "schema.pattern", "4:9"),
    ("NUL in the file name", GOOD.replace("daily_orders.sql", '"a\\0.sql"'), "", "10:8"),
    ("hostile file", GOOD.replace("daily_orders.sql", "../../../../etc/passwd.sql"), "file.outside", "10:8"),
    ("absolute file", GOOD.replace("daily_orders.sql", "/etc/passwd.sql"), "file.outside", "10:8"),
    ("missing file", GOOD.replace("daily_orders.sql", "daily_order.sql"), "file.missing", "10:8"),
    ("bad cron", GOOD.replace("0 * * * *", "0 25 * * *"), "schedule.cron", "9:13"),
    ("another cron dialect", GOOD.replace("0 * * * *", "0 0 12 * * ?"), "schedule.cron", "9:13"),
    ("two fields of one name", GOOD.replace("name: amount", "name: Order_Id"), "fields.duplicate", "7:14"),
    ("type in its place", GOOD + "manifest_type: taulu\n", "manifest.type", "11:16"),
    ("decimal out of range", GOOD.replace("type: long", "type: 'decimal(40, 2)'"), "type.invalid", "7:28"),
]  # fmt: skip

# (what is wrong, the SQL's bytes, the code, line:column in the SQL file)
QUERIES: list[tuple[str, str | bytes, str, str]] = [
    ("does not parse", "SELECT order_id,\n  amount FROM WHERE", "sql.syntax", "2:"),
    ("empty", "", "sql.not_one_query", ""),
    ("two statements", f"{SQL}; DROP TABLE raw.orders", "sql.not_one_query", ""),
    ("not a query", "DELETE FROM raw.orders", "sql.not_a_query", "1:1"),
    ("column missing", "SELECT order_id FROM raw.orders", "sql.missing_column", ""),
    ("column too many", "SELECT order_id, amount, 1 AS more FROM raw.orders", "sql.undeclared_column", "1:26"),
    ("path as a table", "SELECT order_id, amount FROM parquet.`/tmp/x`", "sql.path", "1:"),
    ("not UTF-8", b"SELECT '\xff' AS order_id, 1 AS amount", "file.encoding", "1:9"),
    ("huge", b"-- " + b"x" * (1024 * 1024), "file.size", ""),
    ("deeply nested", "SELECT " + "(" * 5000 + "1" + ")" * 5000 + " AS order_id, 2 AS amount", "sql.", ""),
]

Check = Callable[..., str]


@pytest.fixture
def refused(empty_project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """Applies the project's manifests and checks the refusal; gives what was printed."""
    monkeypatch.chdir(empty_project.root)
    monkeypatch.setenv("DCP_IDENTITY_USER", "alice")

    def check(*paths: str) -> str:
        before = _files(empty_project.root)
        status = main(["apply", *(paths or ("manifests",)), "-e", PLAYGROUND])
        printed = capsys.readouterr()
        assert status == 1, printed.out + printed.err
        assert "Traceback" not in printed.out + printed.err
        assert "a bug in" not in printed.out + printed.err
        assert _files(empty_project.root) == before
        return printed.out + printed.err

    return check


def _files(root: Path) -> dict[str, bytes]:
    """Everything but the state database, which a look at an empty project may create."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith("state.db")
    }


@pytest.mark.parametrize(
    ("manifest", "code", "place"), [row[1:] for row in MANIFESTS], ids=[row[0] for row in MANIFESTS]
)
def test_a_bad_manifest_is_refused_at_its_place(
    empty_project: Project, refused: Check, manifest: str | bytes, code: str, place: str
) -> None:
    empty_project.write(QUERY, SQL)
    empty_project.write(YAML, manifest)
    printed = refused()
    assert f"{YAML}:{place}" in printed if place else YAML in printed
    assert f"error[{code}" in printed


@pytest.mark.parametrize(("query", "code", "place"), [row[1:] for row in QUERIES], ids=[row[0] for row in QUERIES])
def test_a_bad_query_is_refused_at_its_place(
    empty_project: Project, refused: Check, query: str | bytes, code: str, place: str
) -> None:
    empty_project.write(QUERY, query)
    empty_project.write(YAML, GOOD)
    printed = refused()
    assert f"{QUERY}:{place}" in printed if place else f"{FOLDER}/daily_orders." in printed
    assert f"error[{code}" in printed


def test_manifests_that_read_each_other_in_a_circle_are_refused(empty_project: Project, refused: Check) -> None:
    for one, other in (("first", "second"), ("second", "first")):
        empty_project.dataset(one, sql=f"SELECT order_id, amount FROM derived_datasets.{other}")
    printed = refused()
    assert "error[manifest.cycle]" in printed
    assert "derived_dataset/first -> derived_dataset/second -> derived_dataset/first" in printed


def test_two_manifests_of_one_name_are_refused(empty_project: Project, refused: Check) -> None:
    empty_project.dataset("daily_orders")
    (empty_project.root / FOLDER / "copy.yaml").write_text((empty_project.root / YAML).read_text())
    printed = refused()
    assert "error[manifest.duplicate]" in printed
    assert YAML in printed


def test_every_error_of_every_manifest_comes_at_once(empty_project: Project, refused: Check) -> None:
    empty_project.dataset("first", manifest=GOOD.replace("daily_orders", "first").replace("long", "lnog"))
    empty_project.dataset(
        "second", manifest=GOOD.replace("daily_orders", "second").replace("0 *", "x *").replace("string", "sting")
    )
    printed = refused()
    assert printed.count("error[") >= 3
    assert "first.yaml:7:28" in printed
    assert "second.yaml:6:30" in printed


@pytest.mark.parametrize(
    ("file", "text"),
    [("manifests/derived_dataset", None), ("nowhere.yaml", None), ("other/x.yaml", "a: 1\n")],
    ids=["an empty folder", "a path that does not exist", "a folder that is no type"],
)
def test_a_path_without_a_manifest_is_refused(
    empty_project: Project, refused: Check, file: str, text: str | None
) -> None:
    (empty_project.root / FOLDER).mkdir(parents=True)
    if text is not None:
        empty_project.write(file, text)
    assert "error" in refused(file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(empty_project: Project, refused: Check) -> None:
    empty_project.dataset("daily_orders").chmod(0)
    assert "file.unreadable" in refused()


def test_a_loop_of_links_is_refused(empty_project: Project, refused: Check) -> None:
    path = empty_project.root / YAML
    path.parent.mkdir(parents=True)
    path.symlink_to(path)
    assert "error" in refused()


def test_a_link_out_of_the_project_is_not_followed(
    empty_project: Project, refused: Check, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.sql"
    outside.write_text(SQL)
    empty_project.write(YAML, GOOD)
    (empty_project.root / QUERY).symlink_to(outside)
    assert "error[file.outside]" in refused()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[catalog\n", "not valid TOML"),
        ("[playground]\nttl_day = 3\n", 'did you mean "ttl_days"?'),
        ("[playground]\nttl_days = 'soon'\n", "ttl_days"),
        ("[catalog]\nuri = '${NOT_SET_ANYWHERE}'\ntype = 'rest'\n", "NOT_SET_ANYWHERE"),
        ("[store]\nurl = 'oracle://x'\n", "oracle"),
    ],
    ids=["broken TOML", "unknown setting", "wrong type", "variable not set", "unknown store"],
)
def test_bad_settings_are_refused(empty_project: Project, refused: Check, text: str, said: str) -> None:
    empty_project.dataset("daily_orders")
    empty_project.write("dcp.toml", text)
    assert said in refused()


def test_lint_of_a_project_without_state_leaves_no_state(
    empty_project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty_project.dataset("daily_orders")
    monkeypatch.chdir(empty_project.root)
    monkeypatch.setenv("DCP_IDENTITY_USER", "alice")
    assert main(["lint", "manifests"]) == 0
    assert not (empty_project.root / ".dcp").exists()
    assert "error" not in capsys.readouterr().out


def test_manifests_of_another_project_are_told(
    empty_project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = attrs.evolve(empty_project, root=tmp_path_factory.mktemp("elsewhere"))
    file = empty_project.dataset("daily_orders")
    config = empty_project.write("dcp.toml", "")

    note = f"these manifests lie in the project {empty_project.root}, and the one in use is {elsewhere.root}"
    assert note in elsewhere.pretzel("lint", str(file)).err
    assert note in elsewhere.pretzel("lint", str(empty_project.root)).err
    assert note not in elsewhere.pretzel("lint", str(file), "--config", str(config)).err
    assert "note:" not in empty_project.pretzel("lint", "manifests").err
