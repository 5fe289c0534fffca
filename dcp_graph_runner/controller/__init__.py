"""The controller: sees to it that what was applied stays as it was applied, again and again, wherever it was.

Level-based: nobody tells it what happened. Each pass over an environment reads the state of each kind in bulk,
compares it with what was last applied, and writes down the *condition* of every resource; what a manifest's policy
lets it mend, it plans and applies through the control plane as anybody else does.

``judging`` and ``pacing`` are pure. ``wanted`` knows what was applied, ``observing`` what is there; ``reconciling``
makes one pass of them and ``recording`` keeps what it found (read it with ``conditions``). ``healing`` mends,
``housekeeping`` does what belongs to no manifest. ``leasing`` shares the work among replicas, ``queueing`` among
environments, and ``controller`` is the loop around it all.

Must not import plugins, primitives or the CLI. Importing this package is cheap.

Source: design.md section 9.
"""
