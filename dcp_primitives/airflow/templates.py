"""The template of DAG files: the shipped one or a platform team's own, and the files that are made of it.

A template is a Python file that runs inside Airflow. It has the lines ``DAG_SPEC = {}`` and ``DAG_VERSION = ""`` once
each, a pure function ``make_dag(spec, version) -> DAG``, and ends with ``dag = make_dag(DAG_SPEC, DAG_VERSION)``. A
paused DAG is handed a spec with ``schedule`` None and the key ``paused``, and must not run by itself.
"""

from __future__ import annotations

from functools import cache, cached_property
from hashlib import sha256
from importlib.resources import files

from attrs import define

from dcp_core.errors import SettingsError
from dcp_core.settings import Settings

SPEC_LINE = "DAG_SPEC = {}\n"
VERSION_LINE = 'DAG_VERSION = ""\n'
LAST_LINE = "dag = make_dag(DAG_SPEC, DAG_VERSION)\n"
STANDING_LINE = (
    'dag = make_dag(DAG_SPEC | {"schedule": None, "paused": True}, DAG_VERSION)'
    '  # "pretzel ops resume" gives it its schedule back\n'
)
FOLDER = "dcp"
"""Where loaders and documents are; no DAG's own file is in a folder, so none can be taken for another."""
LOADER, CHECKER = "loader_", "checker_"


@define(slots=False, frozen=True)
class Template:
    """One template.

    Args:
        text: Of the whole file.
    """

    text: str

    @classmethod
    def of(cls, settings: Settings, path: str) -> Template:
        """The template that ``[airflow] template`` names; the shipped one without a name.

        Raises:
            SettingsError: It cannot be read, or lacks one of the lines that are filled in.
        """
        if not path:
            return shipped()
        file = settings.root / path
        where = "[airflow] template"
        try:
            text = file.read_text(encoding="utf-8")
            compile(text, str(file), "exec", dont_inherit=True)
        except OSError as error:
            raise SettingsError(f"cannot read {file}: {error.strerror}", where=where) from None
        except (SyntaxError, ValueError) as error:
            raise SettingsError(f"{file} is not Python: {error}", where=where) from None
        for line in (SPEC_LINE, VERSION_LINE):
            if f"\n{text}".count(f"\n{line}") != 1:
                raise SettingsError(f"{file} needs the line {line.strip()!r} once", where=where)
        if not text.endswith(f"\n{LAST_LINE}"):
            raise SettingsError(f"{file} must end with the line {LAST_LINE.strip()!r}", where=where)
        return cls(text)

    @cached_property
    def loader(self) -> str:
        """The file that makes a DAG of each document in the folder of its own name."""
        return self._with(_LOADER)

    @cached_property
    def checker(self) -> str:
        """The file that tells which documents no DAG can be made of, as its import error."""
        return self._with(_CHECKER)

    @cached_property
    def name(self) -> str:
        """Moves with every change of it: documents are read by a loader of the template they were rendered for."""
        return sha256(f"{self.loader}{self.checker}".encode()).hexdigest()[:8]

    def _with(self, tail: str) -> str:
        text = "# dcp airflow documents: nothing of a manifest is in this file\n" + self.text.removesuffix(LAST_LINE)
        for line in (SPEC_LINE, VERSION_LINE):
            text = filled(text, line, "")
        return text.replace("\n\n\n\n", "\n\n\n") + _READING + tail


def filled(text: str, line: str, by: str) -> str:
    """The text with other lines in the place of this one, which is a whole line, not the end of another."""
    return f"\n{text}".replace(f"\n{line}", f"\n{by}", 1)[1:]


@cache
def shipped() -> Template:
    """The template of this package."""
    return Template(files("dcp_primitives.airflow").joinpath("dag.py.txt").read_text(encoding="utf-8"))


_READING = '''\
def dag_of(file) -> DAG:
    """The DAG of one document: what the manifest wants is in it, how it is done is here."""
    document = json.loads(file.read_text(encoding="utf-8"))
    spec = document["spec"]
    if spec["dag_id"] != file.stem:
        raise ValueError(f"the document is of another DAG, {spec['dag_id']}")
    if document["paused"]:  # "pretzel ops resume" gives it its schedule back
        spec = spec | {"schedule": None, "paused": True}
    return make_dag(spec, document["version"])


'''

_LOADER = '''\
def load_dags() -> dict:
    """A DAG for each document in the folder of this file's name; in a worker, the one that it runs alone.

    One that cannot be made is left out here, so that it takes no other with it; the checker beside this file names it.
    """
    from pathlib import Path

    from airflow.sdk import get_parsing_context

    folder, running = Path(__file__).with_suffix(""), get_parsing_context().dag_id
    if running:
        return {running: dag_of(folder / f"{running}.json")}
    made = {}
    for file in sorted(folder.glob("*.json")):
        try:
            made[file.stem] = dag_of(file)
        except Exception as error:
            print(f"no DAG can be made of {file}: {type(error).__name__}: {error}")
    return made


_DAG = DAG


def DAG(*args, **options):  # noqa: N802
    """A DAG that counts when it is whole only."""
    return _DAG(*args, **(options | {"auto_register": False}))


globals().update({f"dag {name}": made for name, made in load_dags().items()})
'''

_CHECKER = '''\
def check_documents() -> None:
    """Says which documents no DAG can be made of; there are no DAGs in this file."""
    import traceback
    from pathlib import Path

    here = Path(__file__)
    problems = []
    for file in sorted(here.parent.glob(f"loader_*_{here.stem.rpartition('_')[2]}/*.json")):
        try:
            dag_of(file)
        except Exception as error:
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == __file__]
            name = f"{here.parent.name}/{file.parent.name}/{file.name}"
            problems.append(f"{name}: {type(error).__name__}: {error} (line {lines[-1]} of {here.name})")
    if problems:
        raise ValueError("\\n".join(problems))


_DAG = DAG


def DAG(*args, **options):  # noqa: N802
    """A DAG that nobody takes up: here they are made to see whether they can be."""
    return _DAG(*args, **(options | {"auto_register": False}))


check_documents()
'''
