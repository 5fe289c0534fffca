"""Tokens of the user that go along to platforms: taken from the environment, kept in memory, written nowhere.

```toml
[credentials]
databricks = "${MY_DATABRICKS_TOKEN}"
```

``[credentials]`` holds references only, by the name of what takes the token: a compute backend. One that cannot be
resolved is not there, and nobody misses it but who needs it. A process that works for others must not pass on its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dcp_core.errors import SettingsError
from dcp_core.settings import Secret, Settings

SECTION = "credentials"
_VARIABLE = f"DCP_{SECTION.upper()}_"
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Where the platform's own tools look for it.
_USUAL = {"databricks": "DATABRICKS_TOKEN"}


def own_credentials(settings: Settings) -> Mapping[str, Secret]:
    """The tokens of whoever runs this process, by platform; ``DCP_CREDENTIALS_<PLATFORM>`` wins.

    Raises:
        SettingsError: One is written out, or no text. It is not shown.
    """
    found = {name: settings.environ[variable] for name, variable in _USUAL.items() if settings.environ.get(variable)}
    section = settings.values.get(SECTION, {})
    where = str(settings.file) if settings.file else None
    if not isinstance(section, Mapping):
        raise SettingsError(f"[{SECTION}] must be a table", where=where)
    for name, value in section.items():
        reference = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
        if reference is None:
            raise SettingsError(
                f"[{SECTION}] {name} must be a reference to the environment",
                where=where,
                hint=f'{name} = "${{{name.upper()}_TOKEN}}"',
            )
        found.pop(name, None)
        if settings.environ.get(reference.group(1)):
            found[name] = settings.environ[reference.group(1)]
    for variable, value in settings.environ.items():
        if variable.startswith(_VARIABLE) and value:
            found[variable.removeprefix(_VARIABLE).lower()] = value
    return {name: Secret(value) for name, value in found.items()}
