"""Where DAGs are deployed to.

``tree``    the files of a place, as layouts see them, and what a change of them is
``folder``  a folder that Airflow reads: each file appears, changes and goes in one step
``git``     a branch of a git repository: one commit a change, pushed; nothing is checked out
``place``   DAGs in a tree, in the layout that the settings name; finds them in any other too

Must not import the primitive.
"""

from dcp_primitives.airflow.places.opening import place_of

__all__ = ["place_of"]
