"""What is wrong with a text that should be an IPv4 address."""

from __future__ import annotations

import re

PLAIN = re.compile(r"([0-9]{1,3}\.){3}[0-9]{1,3}")


def complaint(text: str) -> str:
    """A clause about a text that is not four decimal octets, with what to do."""
    shown = text if len(text) <= 60 else text[:57] + "..."
    if not text:
        return "no address"
    said = f"the address '{shown}'"
    if text.count(":") > 1:
        return f"{said}, which is IPv6: IP Insights supports IPv4 only; drop such pairs"
    head, mark, _ = text.partition(":")
    if mark and PLAIN.fullmatch(head):
        return f"{said}, which carries a port: IP Insights takes plain IPv4 addresses; write {head}"
    head, mark, _ = text.partition("/")
    if mark and PLAIN.fullmatch(head):
        return f"{said}, which carries a mask: IP Insights takes single IPv4 addresses; write {head}"
    if PLAIN.fullmatch(text) and all(int(octet) < 256 for octet in text.split(".")):
        plain = ".".join(str(int(octet)) for octet in text.split("."))
        return f"{said}, whose leading zeros some read as octal; write {plain}"
    return f"{said}, which is not IPv4: four numbers from 0 to 255, parted by dots, as 192.168.1.2"
