"""Escapes untrusted text for display, so that the text cannot control a terminal, break a line of
the log or hide parts of a line (pure).

The module escapes the control characters C0 and C1 (some terminals obey C1 too), the characters
that change the writing direction, and Unicode's line and paragraph separators.
"""

import re
from typing import Any

_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
#: All controls except tab and newline.
_CONTROLS = re.compile(f"[{_CONTROL}]")
#: The same characters in UTF-8, except those before the space, which JSON always escapes.
_IN_JSON = re.compile(
    rb"\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]"
)


def clean(text: str) -> str:
    """Return the text on one line; all characters that are not printable are escaped."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def shown(value: object, most: int = 60) -> str:
    """Return a value as errors show it: as it is written in code, cut if it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of more than 4,300 digits
        return "a value too large to be shown"
    return text if len(text) <= most else f"{text[:most]}…"


def clean_lines(text: str) -> str:
    """Escape control characters, but keep tabs and newlines."""
    return text if text.isprintable() else _CONTROLS.sub(lambda one: ascii(one[0])[1:-1], text)


def clean_json(data: bytes) -> bytes:
    """Return an equivalent JSON document without raw control characters."""
    return (
        data
        if data.isascii() and b"\x7f" not in data
        else _IN_JSON.sub(lambda one: b"\\u%04x" % ord(one[0].decode()), data)
    )


def to_json(data: object) -> bytes:
    """Encode the data as JSON; escape lone surrogates, as in file names that are not UTF-8."""
    import msgspec

    try:
        return msgspec.json.encode(data)
    except UnicodeEncodeError:
        return msgspec.json.encode(_whole(msgspec.to_builtins(data)))


def _whole(value: Any) -> Any:
    """Return a copy with lone surrogates escaped, since UTF-8 cannot encode them."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_whole(key): _whole(one) for key, one in value.items()}
    return [_whole(one) for one in value] if isinstance(value, (list, tuple)) else value
