"""The wire format of the driver, ``coreetl.v1``, and the modules that protoc makes of it. Edit the ``.proto`` only."""
