"""What comes from others, made fit to be shown: nothing in it steers a terminal, ends a line of the
log or hides what stands there (pure).

Controls are C0 and C1, of which some terminals obey the latter too, what turns the direction of
writing, and the two separators of lines and paragraphs that Unicode has.
"""

import re
from typing import Any

_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
#: All but tab and newline.
_CONTROLS = re.compile(f"[{_CONTROL}]")
#: The same in JSON's UTF-8, which has escaped what is below a blank already.
_IN_JSON = re.compile(
    rb"\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]"
)


def clean(text: str) -> str:
    """On one line, and all printable."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def clean_lines(text: str) -> str:
    """Text of several lines: tabs and newlines stay, and whatever is only odd."""
    return text if text.isprintable() else _CONTROLS.sub(_escape, text)


def clean_json(data: bytes) -> bytes:
    """A document in JSON that says the same."""
    return data if data.isascii() and b"\x7f" not in data else _IN_JSON.sub(_escape_json, data)


def to_json(data: object) -> bytes:
    """A document of what msgspec can encode, also where a name in it is no UTF-8."""
    import msgspec

    try:
        return msgspec.json.encode(data)
    except UnicodeEncodeError:
        return msgspec.json.encode(_whole(msgspec.to_builtins(data)))


def _whole(value: Any) -> Any:
    """Without halves of surrogate pairs, which no UTF-8 has."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_whole(key): _whole(one) for key, one in value.items()}
    return [_whole(one) for one in value] if isinstance(value, (list, tuple)) else value


def _escape(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


def _escape_json(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[0].decode())
