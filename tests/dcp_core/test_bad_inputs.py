"""What users get wrong in files: each a clear error with its place, and never anything but a DcpError."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcp_core import Diagnostic, Environment, InvalidManifestError
from dcp_core.errors import DcpError, UsageError
from dcp_core.loading import load
from dcp_core.manifest import MAX_FILE_BYTES, Manifest
from dcp_core.yaml_positions import MAX_VALUES, load_yaml
from tests.dcp_core.world import SHELF, Desk

ALICE = Environment.named("playground_alice")
BOMB = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n" % ((new, new) + (old,) * 9)
    for old, new in zip(b"abcdefgh", b"bcdefghi", strict=True)
)
FINE = b"name: a\nitems: [{name: x}]\n"

BAD: list[tuple[str, bytes, str, int | None, int | None]] = [
    # not YAML, or more than the YAML that a manifest may be
    ("tab", b"name: a\n\titems: []\n", "yaml.syntax", 2, 1),
    ("unclosed list", b"name: a\nitems: [1, 2\n", "yaml.syntax", 3, 1),
    ("unclosed text", b"name: 'a\n", "yaml.syntax", 2, 1),
    ("colon in text", b"name: a: b\n", "yaml.syntax", 1, 8),
    ("reserved character", b"name: @a\n", "yaml.syntax", 1, 7),
    ("two documents", b"name: a\n---\nname: b\n", "yaml.syntax", 2, 1),
    ("bad indentation", b"name: a\n items: []\n", "yaml.syntax", 2, 7),
    ("unknown alias", b"name: *a\n", "yaml.syntax", 1, 7),
    ("schedule without quotes", b"schedule: * * * * *\n", "yaml.syntax", 1, 12),
    ("unknown directive", b"%FOO x\n---\nname: a\n", "yaml.syntax", 1, 5),
    ("another YAML", b"%YAML 3.0\n---\nname: a\n", "yaml.syntax", 1, 1),
    ("duplicate key", b"name: a\nitems: []\nname: b\n", "yaml.duplicate_key", 3, 1),
    ("duplicate nested key", b"name: a\nitems:\n- {name: x, name: y}\n", "yaml.duplicate_key", 3, 13),
    ("key that is a list", b"? [a]\n: b\n", "yaml.key", 1, 3),
    ("merge key", b"x: &x {a: 1}\ny:\n  <<: *x\n", "yaml.merge", 3, 3),
    ("Python tag", b"name: !!python/object/apply:os.system ['true']\n", "yaml.tag", 1, 7),
    ("own tag", b"name: !env HOME\n", "yaml.tag", 1, 7),
    ("binary", b"name: !!binary aGk=\n", "yaml.tag", 1, 7),
    ("set", b"name: !!set {a, b}\n", "yaml.tag", 1, 7),
    ("octal number", b"name: a\nitems: [{name: x, size: 017}]\n", "yaml.number", 2, 25),
    ("no number", b"size: !!int x\n", "yaml.number", 1, 7),
    ("no boolean", b"size: !!bool perhaps\n", "yaml.number", 1, 7),
    ("endless number", b"size: " + b"9" * 200 + b"\n", "yaml.number", 1, 7),
    ("infinity", b"size: .inf\n", "yaml.number", 1, 7),
    ("not a number", b"size: .nan\n", "yaml.number", 1, 7),
    ("beyond a float", b"size: 1e999\n", "yaml.number", 1, 7),
    ("alias bomb", BOMB, "yaml.size", None, None),
    ("alias of itself", b"a: &a [*a]\n", "yaml.depth", 1, 4),
    ("deep list", b"a: " + b"[" * 5000, "yaml.depth", 1, 67),
    ("deep mapping", b"{a: " * 20_000, "yaml.depth", 1, 257),
    ("deep block", b"- " * 5000 + b"x", "yaml.depth", 1, 129),
    ("many values", b"a: [" + b"1," * (MAX_VALUES + 1) + b"]\n", "yaml.size", 1, 2 * MAX_VALUES + 1),
    # not text
    ("Latin-1", "name: é\n".encode("latin-1"), "file.encoding", 1, 7),
    ("Latin-1 after other characters", "name: ö".encode() + b"\nowner: \xc3\xb6\xe9\n", "file.encoding", 2, 9),
    ("UTF-16", "name: a\n".encode("utf-16"), "file.encoding", 1, 1),
    ("Latin-1 after a byte order mark", b"\xef\xbb\xbfname: \xe9\n", "file.encoding", 1, 7),
    ("NUL", b"name: 'a\x00'\n", "yaml.character", 1, 9),
    ("control character", b"name: a\nowner: \x07\n", "yaml.character", 2, 8),
    ("image", b"\x89PNG\r\n\x1a\n\x00\x00", "file.encoding", 1, 1),
    ("huge file", b"# " + b"x" * MAX_FILE_BYTES, "file.size", None, None),
    # not a manifest
    ("empty file", b"", "manifest.shape", 1, 1),
    ("comments only", b"# nothing yet\n", "manifest.shape", 1, 1),
    ("list", b"- a\n- b\n", "manifest.shape", 1, 1),
    ("text", b"name\n", "manifest.shape", 1, 1),
    ("number", b"42\n", "manifest.shape", 1, 1),
    ("another type", b"manifest_type: cupboard\nname: a\n", "manifest.type", 1, 16),
    ("type that is no text", b"manifest_type: [shelf]\nname: a\n", "manifest.type", 1, 16),
    # not what the schema asks for
    ("missing fields", b"owner: me\n", "schema.required", 1, 1),
    ("nothing wanted", b"name: a\nitems:\n", "schema.type", 2, 7),
    ("wrong type", b"name: 5\nitems: [{name: x}]\n", "schema.type", 1, 7),
    ("text for a number", b"name: a\nitems:\n  - name: x\n    size: big\n", "schema.type", 4, 11),
    ("number for a flag", b"name: a\nitems:\n  - name: x\n    protect: 1\n", "schema.type", 4, 14),
    ("yes is text", b"name: a\nitems:\n  - name: x\n    protect: yes\n", "schema.type", 4, 14),
    ("unknown key", b"name: a\nitemz: []\nitems: [{name: x}]\n", "schema.unknown_key", 2, 1),
    ("unknown nested key", b"name: a\nitems:\n  - name: x\n    colr: red\n", "schema.unknown_key", 4, 5),
    ("not one of", b"name: a\nitems: [{name: x, colour: redd}]\n", "schema.enum", 2, 27),
    ("too small", b"name: a\nitems: [{name: x, size: 0}]\n", "schema.minimum", 2, 25),
    ("empty list", b"name: a\nitems: []\n", "schema.minItems", 2, 8),
    ("hostile name", b"name: ../x\nitems: [{name: x}]\n", "schema.pattern", 1, 7),
    ("bad key of a mapping", FINE + b"labels:\n  a: b\n  B2: c\n", "schema.pattern", 5, 3),
    ("wrong value of a mapping", FINE + b"labels: {a: 1}\n", "schema.type", 3, 13),
    ("neither alternative", FINE + b"when: 5\n", "schema.anyOf", 3, 7),
    ("the meant alternative", FINE + b"when: {on: monday}\n", "schema.required", 3, 7),
    # files beside it
    ("missing file", FINE + b"file: nope.txt\n", "file.missing", 3, 7),
    ("file outside", FINE + b"file: ../../../etc/passwd\n", "file.outside", 3, 7),
    ("absolute file", FINE + b"file: /etc/passwd\n", "file.outside", 3, 7),
    ("folder", FINE + b"file: .\n", "file.missing", 3, 7),
    ("long name", FINE + b"file: " + b"x" * 500 + b"\n", "file.missing", 3, 7),
    ("nameless file", FINE + b'file: ""\n', "file.name", 3, 7),
    ("NUL in a name", FINE + b'file: "a\\0b"\n', "file.name", 3, 7),
    ("endless name", FINE + b"file: " + b"x" * 5000 + b"\n", "file.name", 3, 7),
]


def errors_of(desk: Desk, content: bytes) -> tuple[Diagnostic, ...]:
    path = desk.root / SHELF / "a.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    result = load([path], ALICE, desk.registry(), desk.root)
    assert result.loaded == ()
    return result.diagnostics


@pytest.mark.parametrize(
    ("content", "code", "line", "column"), [each[1:] for each in BAD], ids=[each[0] for each in BAD]
)
def test_a_bad_manifest_is_an_error_with_its_place(
    desk: Desk, content: bytes, code: str, line: int | None, column: int | None
) -> None:
    found = errors_of(desk, content)
    assert [(each.code, each.file) for each in found][:1] == [(code, "shelf/a.yaml")]
    if line is not None:
        assert (found[0].line, found[0].column) == (line, column), str(found[0])
    for each in found:
        assert each.message.strip()
        assert len(str(each)) < 1200
        assert "Traceback" not in str(each)


def test_there_are_enough_bad_inputs() -> None:
    assert len(BAD) >= 40
    assert len({name for name, *_ in BAD}) == len(BAD)


def test_every_error_of_every_manifest_comes_at_once(desk: Desk) -> None:
    folder = desk.root / SHELF
    folder.mkdir()
    (folder / "a.yaml").write_text("name: a\nname: b\nx: !t y\n")
    (folder / "b.yaml").write_text("name: B\nitems: [{size: 0}]\n")
    (folder / "c.yml").write_text("name: c\nitems: [{name: x}]\n")
    result = load([folder], ALICE, desk.registry(), desk.root)
    assert [each.logical_plan.id for each in result.loaded] == ["shelf/c"]
    assert [(each.position, each.code) for each in result.diagnostics] == [
        ("shelf/a.yaml:2:1", "yaml.duplicate_key"),
        ("shelf/a.yaml:3:4", "yaml.tag"),
        ("shelf/b.yaml:1:7", "schema.pattern"),
        ("shelf/b.yaml:2:9", "schema.required"),
        ("shelf/b.yaml:2:16", "schema.minimum"),
    ]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text("-?:,[]{}#&*!|>'\"%@` \t\nax01.~<=\\", max_size=40).map(str.encode))
def test_whatever_the_bytes_it_loads_or_is_an_invalid_manifest(content: bytes) -> None:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return
    try:
        _, positions = load_yaml(text, "a.yaml")
    except InvalidManifestError as error:
        places = [(each.line, each.column) for each in error.diagnostics]
        what = str(error.diagnostics)
    else:
        places, what = list(positions.values()), "positions"
    assert all(line and column for line, column in places), what


# Paths


def test_a_path_that_does_not_exist_suggests_the_nearest(desk: Desk) -> None:
    (desk.root / "shelf").mkdir()
    (desk.root / "shelf" / "daily.yaml").write_text("name: a\n")
    with pytest.raises(UsageError, match="does not exist") as failed:
        load([desk.root / "shelf" / "dayly.yaml"], ALICE, desk.registry(), desk.root)
    assert failed.value.hint is not None
    assert "daily.yaml" in failed.value.hint


@pytest.mark.parametrize("name", ["x" * 5000, "nope/nope", "a\n"])
def test_a_hostile_path_does_not_exist(desk: Desk, name: str) -> None:
    with pytest.raises(UsageError):
        load([desk.root / name], ALICE, desk.registry(), desk.root)


def test_a_loop_of_links_is_an_error_and_stops_nobody(desk: Desk) -> None:
    folder = desk.root / SHELF
    folder.mkdir()
    (folder / "loop.yaml").symlink_to("loop.yaml")
    (folder / "gone.yaml").symlink_to("nowhere.yaml")
    (folder / "ok.yaml").write_bytes(FINE + b"file: loop.yaml\n")
    (folder / "fine.yaml").write_bytes(FINE)
    result = load([folder], ALICE, desk.registry(), desk.root)
    assert [each.manifest.file for each in result.loaded] == ["shelf/fine.yaml"]
    assert {(each.file, each.code) for each in result.diagnostics} == {
        ("shelf/loop.yaml", "file.unreadable"),
        ("shelf/gone.yaml", "file.unreadable"),
        ("shelf/ok.yaml", "file.missing"),
    }  # fmt: skip


def test_a_link_out_of_the_project_is_not_followed_for_companions(
    desk: Desk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = tmp_path_factory.mktemp("outside") / "secret.txt"
    secret.write_text("hunter2")
    folder = desk.root / SHELF
    folder.mkdir()
    (folder / "link.txt").symlink_to(secret)
    (finding,) = errors_of(desk, FINE + b"file: link.txt\n")
    assert (finding.code, finding.line) == ("file.outside", 3)


def test_a_folder_named_as_a_manifest_is_walked_and_a_pipe_is_refused(desk: Desk) -> None:
    import os

    folder = desk.root / SHELF
    folder.mkdir()
    os.mkfifo(folder / "pipe.yaml")
    (finding,) = load([folder / "pipe.yaml"], ALICE, desk.registry(), desk.root).diagnostics
    assert finding.code == "file.kind"


def test_an_unreadable_companion_names_itself_and_who_names_it(desk: Desk) -> None:
    (desk.root / SHELF).mkdir()
    (desk.root / SHELF / "bad.txt").write_bytes(b"ok\n\xff")
    (finding,) = errors_of(desk, FINE + b"file: bad.txt\n")
    assert (finding.position, finding.code) == ("shelf/bad.txt:2:1", "file.encoding")


# Telling types, and manifests that contradict each other


@pytest.mark.parametrize(
    ("folder", "text", "given", "code"),
    [
        ("elsewhere", "name: a\nitems: [{name: x}]\n", None, "manifest.type"),
        ("shelf", "manifest_type: other\nname: a\n", None, "manifest.type"),
        ("elsewhere", "manifest_type: shelff\nname: a\n", None, "manifest.type"),
        ("shelf", "name: a\n", "other", "manifest.type"),
    ],
)
def test_an_unclear_type_is_an_error(desk: Desk, folder: str, text: str, given: str | None, code: str) -> None:
    path = desk.root / folder / "a.yaml"
    path.parent.mkdir()
    path.write_text(text)
    (finding,) = load([path], ALICE, desk.registry(), desk.root, given).diagnostics
    assert finding.code == code
    assert finding.file == f"{folder}/a.yaml"


def test_the_type_comes_from_the_command_or_the_manifest_or_the_folder(desk: Desk) -> None:
    for folder, text in (("a", "manifest_type: shelf\n"), ("shelf", ""), ("c", "")):
        path = desk.root / folder / "m.yaml"
        path.parent.mkdir()
        path.write_text(f"{text}name: {folder}\nitems: [{{name: {folder}}}]\n")
    registry = desk.registry()
    assert len(load([desk.root / "a", desk.root / "shelf"], ALICE, registry, desk.root).loaded) == 2
    assert len(load([desk.root / "c" / "m.yaml"], ALICE, registry, desk.root, SHELF).loaded) == 1
    with pytest.raises(DcpError, match="cupboard"):
        load([desk.root / "c" / "m.yaml"], ALICE, registry, desk.root, "cupboard")


def test_two_manifests_of_one_name_or_one_resource_are_errors(desk: Desk) -> None:
    folder = desk.root / SHELF
    folder.mkdir()
    (folder / "a.yaml").write_text("name: a\nitems: [{name: x}]\n")
    (folder / "b.yaml").write_text("name: a\nitems: [{name: y}]\n")
    (folder / "c.yaml").write_text("name: c\nitems:\n  - name: z\n  - name: x\n")
    found = load([folder], ALICE, desk.registry(), desk.root).diagnostics
    assert {(each.position, each.code) for each in found} == {
        ("shelf/b.yaml:1:1", "manifest.duplicate"), ("shelf/c.yaml:4:5", "resource.duplicate"),
    }  # fmt: skip


def test_manifests_that_read_each_other_in_a_circle_are_an_error(desk: Desk) -> None:
    folder = desk.root / SHELF
    folder.mkdir()
    for name, reads in (("a", "b"), ("b", "c"), ("c", "a")):
        (folder / f"{name}.yaml").write_text(f"name: {name}\nitems: [{{name: {name}}}]\nreads: [{reads}]\n")
    (finding,) = load([folder], ALICE, desk.registry(), desk.root).diagnostics
    assert finding.code == "manifest.cycle"
    assert finding.message.count("shelf/") == 4


# What is there when all is well


def test_positions_are_those_of_values_and_of_keys(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: a\nitems:\n  - {n: 1, t: 'x: y'}\ndate: 2026-01-01\nsep: =\nempty:\n")
    manifest = Manifest.load(path, tmp_path)
    assert manifest.data == {
        "name": "a", "items": [{"n": 1, "t": "x: y"}], "date": "2026-01-01", "sep": "=", "empty": None,
    }  # fmt: skip
    from dcp_core.yaml_positions import KEY

    assert manifest.positions["items", 0, "t"] == (3, 15)
    assert manifest.positions["items", 0, "t", KEY] == (3, 12)
    assert manifest.positions["name",] == (1, 7)
    assert manifest.file == "a.yaml"


@pytest.mark.parametrize(
    ("text", "value"),
    [("1_000", 1000), ("0x1F", 31), ("0o17", 15), ("1e3", 1000.0), ("true", True), ("True", True), ("no", "no"),
     ("~", None), ("'5'", "5"), (".5", 0.5), ("-3", -3), ("<<", "<<"), ("on", "on"), ("1:30", "1:30")],
)  # fmt: skip
def test_plain_values_are_those_of_yaml_1_2(text: str, value: object) -> None:
    loaded = load_yaml(f"a: {text}", "a.yaml")[0]["a"]
    assert loaded == value
    assert type(loaded) is type(value)


def test_what_was_read_is_remembered_with_its_digest(desk: Desk) -> None:
    folder = desk.root / SHELF
    folder.mkdir()
    (folder / "c.txt").write_text("content")
    (folder / "a.yaml").write_bytes(FINE + b"file: c.txt\n")
    (loaded,) = load([folder], ALICE, desk.registry(), desk.root).loaded
    assert loaded.logical_plan.plugin_spec["content"] == "content"
    assert set(loaded.logical_plan.source.files) == {"c.txt"}
    before = loaded.logical_plan.source
    (folder / "c.txt").write_text("other")
    (again,) = load([folder], ALICE, desk.registry(), desk.root).loaded
    assert again.logical_plan.source.digest == before.digest
    assert again.logical_plan.source.files != before.files


def test_hidden_folders_and_other_files_are_left_alone(desk: Desk) -> None:
    for name in (".git/x.yaml", "shelf/.hidden.yaml", "shelf/notes.txt", "__pycache__/y.yaml"):
        path = desk.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("- not a manifest")
    assert load([desk.root], ALICE, desk.registry(), desk.root).diagnostics == ()
