"""The commands, a module for each noun or deed; ``pretzel.app`` knows them by name.

A command reads its arguments, asks the control plane, and hands a document and a rendering to the session's
output. It returns the exit status. Must not print anything itself.
"""
