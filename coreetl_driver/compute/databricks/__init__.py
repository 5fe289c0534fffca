"""Backend ``databricks``: jobs as one-time runs of Databricks' Jobs API, as the user or as a service principal.

``settings`` holds section ``[databricks]``, ``acting`` who is acting and the tokens of users (in memory alone),
``calling`` one client and what its errors mean, ``signing_in`` OAuth, ``staging`` the files in the workspace,
``submitting`` what is submitted, ``runs`` how a run is and has ended; ``backend`` puts them together.

Databricks' SDK is imported inside functions: it costs half a second, and only those who use it have it. Its own
package is ``databricks`` too: imports here are absolute.
"""

from __future__ import annotations
