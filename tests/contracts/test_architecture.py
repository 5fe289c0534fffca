"""The shape of the code base: who imports whom, what is public, what starting costs, who knows whom by name."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = tuple(
    sorted(each.parent.name for each in ROOT.glob("*/pyproject.toml") if (each.parent / "__init__.py").exists())
)
HEAVY = ("pyiceberg", "pyarrow", "pandas", "grpc", "google.protobuf", "sqlglot", "pyspark", "pysail", "sqlalchemy")
HEAVY_FOR_A_CLI = (*HEAVY, "rich", "jsonschema", "ruamel", "alembic", "jinja2", "pytest")
NAMELESS = ("dcp_core", "dcp_graph_runner", "pretzel")
"""Reach plugins and primitives through the registry only, so that their code knows none of them by name."""


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_packages() -> None:
    assert {"dcp_core", "dcp_primitives", "dcp_graph_runner", "pretzel"} <= set(PACKAGES)


def test_who_imports_whom_is_as_agreed() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import dcp_core", HEAVY_FOR_A_CLI),
        ("from dcp_core import Plugin, Primitive, LogicalPlan, Resource", HEAVY),
        ("import pretzel.__main__", (*HEAVY_FOR_A_CLI, "typer")),
        ("import dcp_graph_runner", HEAVY),
    ],
)
def test_importing_is_cheap(statement: str, heavy: tuple[str, ...]) -> None:
    code = f"{statement}\nimport sys\nprint(*sorted(sys.modules), sep=chr(10))"
    before = set(python("import sys\nprint(*sorted(sys.modules), sep=chr(10))").split())
    loaded = set(python(code).split()) - before
    costly = sorted(each for each in loaded if each in heavy or each.split(".")[0] in heavy)
    assert costly == []


def test_nothing_but_the_testing_package_imports_pytest() -> None:
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            if "testing" not in file.parts:
                assert "pytest" not in _imported(file), file


def test_yaml_is_parsed_in_c() -> None:
    """ruamel falls back to pure Python silently, up to eight times slower."""
    from ruamel.yaml import YAML, cyaml

    parser = YAML(typ="safe").Parser
    assert issubclass(parser, vars(cyaml)["CParser"])
    assert importlib.import_module("_ruamel_yaml").get_version_string()


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_public_is_listed_and_there(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__doc__, f"{package} does not say what lives there"
    names = list(getattr(module, "__all__", ()))
    assert len(names) == len(set(names)), "listed twice"
    missing = [name for name in names if not hasattr(module, name)]
    assert missing == []
    unlisted = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "").split(".")[0] == package and name not in names
    ]
    assert unlisted == [], "public by accident: list it in __all__, or start it with an underscore"


def test_the_core_gives_each_public_name_from_the_module_it_says() -> None:
    import dcp_core

    for name in dcp_core.__all__:
        value = getattr(dcp_core, name)
        assert name == "hookimpl" or value.__module__.split(".")[0] == "dcp_core", name
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        dcp_core.Nonsense  # noqa: B018
    stub = _type_checking_names(ROOT / "dcp_core" / "__init__.py")
    assert stub == set(dcp_core.__all__), "what type checkers see is what there is"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_typed_and_its_modules_say_what_they_are_for(package: str) -> None:
    assert (ROOT / package / "py.typed").exists(), f"{package} has no py.typed"
    for file in (ROOT / package).rglob("*.py"):
        if "_pb2" not in file.name and "migrations" not in file.parts:
            assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))), f"{file} has no docstring"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_room_is_called_after_nothing(package: str) -> None:
    names = {part for each in (ROOT / package).rglob("*.py") for part in (*each.parts, each.stem)}
    assert names & {"utils", "util", "helpers", "helper", "common", "manager", "misc"} == set()


@pytest.mark.parametrize("package", NAMELESS)
def test_no_plugin_or_primitive_is_known_by_name(package: str) -> None:
    groups = ("dcp.plugins", "dcp.primitives")
    points = [each for group in groups for each in importlib.metadata.entry_points(group=group)]
    shipped = {each.name for each in points if _ships(each.dist)}
    assert shipped
    known = re.compile("|".join(sorted(rf"\b{name}\b|\b{name.replace('_', '-')}\b" for name in shipped)))
    found = [
        f"{file.relative_to(ROOT)}:{line}: {match.group()}"
        for file in sorted((ROOT / package).rglob("*.py"))
        for line, text in _code(file)
        if (match := known.search(text))
    ]
    assert found == []


@pytest.mark.parametrize("package", NAMELESS)
def test_no_manifest_type_is_named_even_in_a_comment(package: str) -> None:
    points = importlib.metadata.entry_points(group="dcp.plugins")
    types = sorted({point.name for point in points if _ships(point.dist)})
    known = re.compile("|".join(name.replace("_", "[-_ ]?") for name in types), re.IGNORECASE)
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in sorted((ROOT / package).rglob("*"))
        if file.is_file() and file.suffix not in (".pyc", "")
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if known.search(line)
    ]
    assert types
    assert found == []


def test_the_plugins_share_what_they_have_in_common_and_copy_nothing() -> None:
    """Six lines in a row that stand in two of the packages too: what both need belongs to the base."""
    runs: dict[tuple[str, ...], set[str]] = {}
    packages = [each for each in PACKAGES if each.startswith("dcp_plugins_")]
    for package in packages:
        for file in sorted((ROOT / package).rglob("*.py")):
            lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
            told = [line for line in lines if len(line) > 1 and not line.startswith(("#", "from ", "import ", '"""'))]
            for start in range(len(told) - 5):
                runs.setdefault(tuple(told[start : start + 6]), set()).add(package)
    assert len(packages) >= 4
    assert {run: where for run, where in runs.items() if len(where) > 1} == {}


def _ships(distribution: importlib.metadata.Distribution | None) -> bool:
    return distribution is not None and distribution.name.startswith("dcp-")


def _code(file: Path) -> list[tuple[int, str]]:
    """The file's tokens with their lines, without comments and docstrings."""
    text = file.read_text(encoding="utf-8")
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstrings.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [
        (each.start[0], each.string)
        for each in tokens
        if each.type != tokenize.COMMENT and not (each.type == tokenize.STRING and each.start[0] in docstrings)
    ]


def _imported(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(each.name.split(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def _type_checking_names(file: Path) -> set[str]:
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            imports = [each for each in node.body if isinstance(each, ast.ImportFrom)]
            return {alias.asname or alias.name for each in imports for alias in each.names}
    return set()
