"""Everything that can be wrong with a package, one class each."""

from dcp_core import Plugin, Primitive, hookimpl


class WrongSignature(Plugin):
    manifest_type = "wrong_signature"

    def lint(self, plan):
        return ()


class Misspelled(Plugin):
    manifest_type = "misspelled"

    def decompos(self, logical_plan):
        return ()


class SecondOwner(Plugin):
    manifest_type = "row_count"


class Raising(Primitive):
    kind = "raising"

    def __init__(self):
        raise RuntimeError("this primitive is having a bad day")


class NotAWrapper:
    @hookimpl
    def decompose(self, logical_plan):
        return ()
