"""Whose fault an error is. `container/errors.py` turns the kind into a failure file and an exit code,
`serving/app.py` into an HTTP status."""

from __future__ import annotations


class UserError(Exception):
    """The input is wrong and the user can mend it: the message says what, where, what was expected, and how.

    One message may list several problems, one per line. It never holds a traceback.
    """


class PlatformError(Exception):
    """The surroundings are wrong: a directory that can't be written, a host that never came, no memory."""
