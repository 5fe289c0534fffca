"""Exit statuses. Source: design.md section 13; 64 is ``EX_USAGE`` of sysexits.h, 130 and 141 are the shell's."""

from __future__ import annotations

DONE = 0
FAILED = 1
CHANGES = 2
USAGE = 64
INTERRUPTED = 130
BROKEN_PIPE = 141
