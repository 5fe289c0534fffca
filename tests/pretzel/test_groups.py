"""Groups come from what is installed; help imports nothing of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pretzel import groups
from tests.pretzel.running import Note, Pretzel, install

HEAVY = ("rich", "pluggy", "attrs", "attr", "dcp_core", "sqlalchemy", "pydantic", "json", "tests.pretzel.stranger")


def test_the_help_lists_every_installed_type_but_disabled_ones(pretzel: Pretzel) -> None:
    text = pretzel("--help").out
    assert "sticky-note" in text
    assert "torn-page" in text
    assert "derived" not in text


def test_help_imports_no_plugin_and_nothing_heavy(site: Path, project: Path) -> None:
    code = (
        "import sys; from pretzel.__main__ import main; main(['--help'])\n"
        f"print('IMPORTED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(site)}
    )
    assert "sticky-note" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "IMPORTED []"


def test_the_group_of_entry_points_is_the_registrys() -> None:
    from dcp_core.registry import PLUGINS

    assert groups.PLUGINS == PLUGINS


def test_a_group_selects_its_type_in_a_folder_and_insists_on_it_for_a_file(
    pretzel: Pretzel, note: Note, site: Path, project: Path
) -> None:
    install(site, "diary", "1", "[dcp.plugins]\ndiary = tests.pretzel.diary:Diary\n")
    path = note("a")
    (project / "notes" / "d.yaml").write_text("manifest_type: diary\nname: d\ntext: dear\n")
    everything = pretzel("plan", "notes", "-o", "json").document
    assert {each["id"] for each in everything["manifests"]} == {"sticky_note/a", "diary/d"}
    selected = pretzel("sticky-note", "plan", "notes", "-o", "json").document
    assert [each["id"] for each in selected["manifests"]] == ["sticky_note/a"]
    refused = pretzel("diary", "plan", path)
    assert refused.status == 1
    assert "notes/a.yaml:1:16: error[manifest.type]" in refused.err


def test_a_type_is_known_by_both_spellings(pretzel: Pretzel, note: Note) -> None:
    path = note("a")
    assert pretzel("sticky_note", "lint", path).status == pretzel("sticky-note", "lint", path).status == 0


def test_a_group_has_the_commands_that_its_plugin_adds(pretzel: Pretzel) -> None:
    assert "Say it louder." in pretzel("sticky-note", "--help").out
    said = pretzel("sticky-note", "shout", "hey", "--times", "2", "-o", "json")
    assert said.document == {"environment": "playground_alice", "said": "HEY HEY"}
    assert "said: HEY\n" in pretzel("sticky-note", "shout", "hey").out
    assert pretzel("sticky-note", "shout").status == 64
    assert pretzel("sticky-note", "shout", "hey", "--times", "many").status == 64


def test_a_plugin_may_not_take_the_name_of_a_command_of_every_type(pretzel: Pretzel, site: Path) -> None:
    install(site, "diary", "1", "[dcp.plugins]\nblog = tests.pretzel.diary:Blog\n")
    ended = pretzel("blog", "--help")
    assert ended.status == 1
    assert "blog adds a command 'lint'" in ended.err
    assert "owner: diary==1" in ended.err


def test_no_name_of_a_type_or_kind_is_in_the_code() -> None:
    root = Path(groups.__file__).parent
    for path in root.rglob("*.py"):
        text = path.read_text()
        for name in ("derived_dataset", "derived-dataset", "iceberg_table", "coreetl_job", "airflow_dag", "kafka"):
            assert name not in text, path


def test_every_lazy_command_can_be_imported() -> None:
    import click

    from pretzel.app import app

    def walk(group: groups.LazyGroup, ctx: click.Context) -> int:
        count = 0
        for name in group.lazy:
            command = group.get_command(ctx, name)
            assert command is not None
            assert command.help, name
            with click.Context(command, info_name=name, parent=ctx) as inner:
                assert command.get_help(inner)
                count += 1 + (walk(command, inner) if isinstance(command, groups.LazyGroup) else 0)
        return count

    with click.Context(app, info_name="pretzel") as ctx:
        assert walk(app, ctx) >= 20


def test_the_version_is_the_distributions(pretzel: Pretzel) -> None:
    ended = pretzel("--version")
    assert ended.status == 0
    assert ended.out.startswith("pretzel 0.")
