import logging

import pytest

from optml.serving.log import Formatter, one_line


def test_no_text_of_a_client_commands_a_terminal() -> None:
    text = "/models/\x1b]0;title\x07\x9b31m\x08\r\u202e\u2066\ud800 ok \u00e9 \u65e5"
    record = logging.LogRecord("serving", logging.INFO, "", 0, "%s", (text,), None)
    line = Formatter("%(message)s").format(record)
    assert line == ("/models/\\x1b]0;title\\x07\\x9b31m\\x08\\r\\u202e\\u2066\\ud800 ok \u00e9 \u65e5")


@pytest.mark.parametrize("end", ["\n", "\r", "\x0b", "\x1c", "\x85", "\u2028"])
def test_no_text_of_a_client_begins_a_line(end: str) -> None:
    line = one_line(f"/x{end}[2026-01-01 ERROR 1] forged")
    record = logging.LogRecord("serving", logging.INFO, "", 0, "%s", (line,), None)
    assert len(Formatter("%(message)s").format(record).splitlines()) == 1
