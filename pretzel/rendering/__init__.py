"""Text for people: the same facts as the documents, with colour and indentation on a terminal, plain in a pipe.

Data is never read as markup, never truncated; only a terminal wraps it. Must not import commands.
"""
