"""``python -m benchmarks [NAME …]``."""

from __future__ import annotations

import sys

from benchmarks import controller, dags, driver, ingestion, operations, run, server, start_up, tpch

BENCHMARKS = {
    "start_up": start_up.main,
    "run": run.main,
    "ingestion": ingestion.main,
    "driver": driver.main,
    "tpch": tpch.main,
    "controller": controller.main,
    "server": server.main,
    "operations": operations.main,
    "dags": dags.main,
}


def main(names: list[str]) -> int:
    """Print the benchmarks of these names, all without any."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark {unknown[0]}; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 64
    for name in names or BENCHMARKS:
        BENCHMARKS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
