"""Which files a DAG is made of: a Python file of its own, or a JSON document that a loader reads with others.

A loader's name says which shard of how many it is, and which template it was made of. So a change of any of these gives
other loaders, and each DAG moves to its new one when it is applied, whole; a loader goes when its last document has
gone. Never does a loader read a document that was rendered for another template.
"""

from __future__ import annotations

import re
from functools import cached_property
from hashlib import sha256

from attrs import define

from dcp_core.context import Context
from dcp_primitives.airflow.settings import airflow_settings
from dcp_primitives.airflow.spec import check_dag_id
from dcp_primitives.airflow.templates import CHECKER, FOLDER, LOADER, Template, shipped

LOADER_NAME = re.compile(rf"{LOADER}\d\dof\d\d_[0-9a-f]{{8}}")


@define(slots=False, frozen=True)
class Layout:
    """One layout.

    Args:
        template: What files and loaders are made of.
        shards: How many loaders; 0: each DAG is a file of its own.
    """

    template: Template
    shards: int = 0

    @classmethod
    def of(cls, ctx: Context) -> Layout:
        """As the settings say.

        Raises:
            SettingsError: The template is none.
        """
        settings = airflow_settings(ctx)
        template = Template.of(ctx.settings, settings.template)
        return cls(template, settings.shards if settings.layout == "sharded" else 0)

    def loader(self, dag_id: str) -> str | None:
        """The name of the loader that reads the DAG, without its suffix; None when it is a file of its own."""
        if not self.shards:
            return None
        shard = int.from_bytes(sha256(dag_id.encode()).digest()[:4], "big") % self.shards
        return f"{LOADER}{shard:02}of{self.shards:02}_{self.template.name}"

    def file(self, dag_id: str) -> str:
        """Where the DAG's text belongs, relative to the root.

        Raises:
            InvalidSpecError: The id would lead out of it.
        """
        name = self.loader(check_dag_id(dag_id))
        return f"{dag_id}.py" if name is None else document_of(name, dag_id)

    @cached_property
    def checker(self) -> str:
        """The path of the checker."""
        return f"{FOLDER}/{CHECKER}{self.template.name}.py"


def document_of(loader: str, dag_id: str) -> str:
    """The path of a DAG's document in the folder of a loader."""
    return f"{FOLDER}/{loader}/{dag_id}.json"


def loader_file(document: str) -> str | None:
    """The path of the loader that reads this document; None for a DAG's own Python file."""
    folder, _, _ = document.rpartition("/")
    return f"{folder}.py" if folder else None


def checker_file(document: str) -> str | None:
    """The path of the checker that reads this document; None for a DAG's own Python file."""
    folder, _, _ = document.rpartition("/")
    return f"{FOLDER}/{CHECKER}{folder.rpartition('_')[2]}.py" if folder else None


def files_layout() -> Layout:
    """A Python file for each DAG, of the shipped template."""
    return Layout(shipped())
