"""The first file of the job program on a cluster: standard library only, and old syntax, so that it can complain.

``--program`` is the archive with the rest, where the cluster does not put it on Python's path by itself.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  # the cluster's own Python, not the one that is installed here
    sys.exit(
        "coreetl-job: Python 3.11 or newer is needed on the cluster, this is " + sys.version.split()[0] + "; "
        'set [spark] python in dcp.toml, for example to "python3.11"'
    )

arguments = sys.argv[1:]
if "--program" in arguments:
    place = arguments.index("--program")
    sys.path.insert(0, arguments[place + 1])
    del arguments[place : place + 2]

from coreetl_driver.job.program import main  # noqa: E402

main(arguments)
