"""``pretzel`` and ``python -m pretzel``."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Without the program's name; by default the process's own.

    Returns:
        The exit status: 0 done, 1 failed or invalid, 2 changes (``plan --detailed-exitcode``), 64 wrong usage,
        130 interrupted, 141 nobody reads the output any more.
    """
    from pretzel.boundary import run

    return run(sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    sys.exit(main())
