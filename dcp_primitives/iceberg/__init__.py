"""What the ``iceberg_table`` primitive is made of.

``spec``      what a manifest wants of a table, validated
``types``     column types as plain JSON trees, in which desired and actual are compared
``metadata``  an Iceberg metadata document as a ``State``
``comparing`` the differences and what each of them does to the data
``evolving``  the metadata updates that make one state into another
``catalog``   the connection, what exists in it, and its errors
``dropping``  records from which a dropped table can be restored
``snippets``  how to query the table with other tools

Only ``evolving`` and ``catalog`` touch pyiceberg, inside functions: reading the state of tables in the embedded
catalog takes a query and a JSON file each, not 1.6 s of imports.
"""
