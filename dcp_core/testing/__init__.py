"""The contract suites for plugin and primitive authors: subclass one, name your class and a sample, run pytest.

```python
from dcp_core.testing import PluginContract, PrimitiveContract


class TestRowCount(PluginContract):
    plugin = RowCount
    manifest = "name: a\\nrows: 3\\n"


class TestTextFile(PrimitiveContract):
    primitive = TextFile
    spec = {"rows": 3}
    changed_spec = {"rows": 4}
```

Needs pytest (``pip install 'dcp-core[testing]'``), which nothing else of the core imports. Must not import any
other package of the project.
"""

from __future__ import annotations

from dcp_core.testing.plugin_contract import PluginContract
from dcp_core.testing.primitive_contract import PrimitiveContract

__all__ = ["PluginContract", "PrimitiveContract"]
