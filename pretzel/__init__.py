"""Pretzel: the command line of DCP.

``__main__`` is the entry, ``boundary`` turns every ending into an exit status, ``app`` is the tree of commands,
``commands`` has a module for each noun or deed, ``documents`` the JSON that scripts rely on, ``rendering`` the
text that people read. Everything is done by ``dcp_core.ControlPlane``; nothing here knows a manifest type or a
kind of resource by name.

Must not import plugins, primitives or the driver. Modules are imported by the command that needs them: this
package and ``app`` import nothing but click, so that ``pretzel --help`` costs next to nothing.
"""
