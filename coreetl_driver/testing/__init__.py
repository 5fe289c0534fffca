"""The contract suite for authors of compute backends: subclass it, name your class, run pytest.

```python
from coreetl_driver.testing import BackendContract


class TestAcmeBatch(BackendContract):
    backend = AcmeBatch
```

It runs real jobs on real Iceberg tables: by default in the embedded catalogs of a project in a temporary folder;
override ``settings`` for a backend that works elsewhere. Needs pytest (``pip install 'coreetl-driver[testing]'``),
which nothing else of the driver imports.
"""

from __future__ import annotations

from coreetl_driver.testing.backend_contract import BackendContract

__all__ = ["BackendContract"]
