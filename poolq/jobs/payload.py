"""Validation of payloads: values that do not survive a JSON round trip are rejected.

A tuple would come back as a list, a datetime as text, and the key 1 as "1". Such values are
rejected at dispatch, where the cause can be seen, rather than discovered in a worker.
"""

import math
from collections.abc import Container, Mapping
from dataclasses import is_dataclass
from typing import Any, ClassVar, NoReturn, Protocol

import msgspec

from poolq.common.names import path_of
from poolq.errors import PayloadError
from poolq.jobs.ids import HolderId, JobId


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


class _Model(Protocol):
    __pydantic_fields_set__: set[str]


#: What a class can be dispatched with: a dict, or what the class annotates its payload with.
Payload = Mapping[str, Any] | _Dataclass | msgspec.Struct | _Model
MAX_DEPTH = 100  # levels of nesting; JSON parsers have limits of their own
_SCALARS = frozenset((str, int, bool, type(None), JobId, HolderId))
_HINTS = {
    "tuple": "a list",
    "set": "a list",
    "frozenset": "a list",
    "datetime": "its isoformat()",
    "date": "its isoformat()",
    "Decimal": "its str()",
    "UUID": "its str()",
    "bytes": "text, such as its base64",
}
_encode = msgspec.json.Encoder(enc_hook=str).encode  # `str` makes a JobId plain text


def check(
    payload: object, job: str, limit_bytes: int, index: int = -1, made: Container[object] = ()
) -> bytes:
    """Encode the payload as JSON; None means {}. Raises PayloadError, which names the job and the
    path of the invalid value, such as `payload['to']`. `index`: see `names.path_of`. `made`: keys
    of items that have been made of JSON."""
    if payload is None:
        return b"{}"
    if type(payload) is not dict:
        _refuse(job, f"{path_of(index)} is {_kind(payload)}; it must be a dict")
    for key, item in payload.items():
        if type(key) is not str or (type(item) not in _SCALARS and key not in made):
            _check(payload, job, path_of(index), 1)
            break
    try:
        encoded = _encode(payload)
    except ValueError as error:  # a lone surrogate, or an integer of thousands of digits
        words = " ".join(str(error).split())
        _refuse(job, f"{path_of(index)} cannot be written as JSON: {words}")
    if len(encoded) > limit_bytes:
        _refuse(
            job,
            f"{path_of(index)} is {len(encoded)} bytes of JSON, over the limit of {limit_bytes}; "
            "store the data elsewhere and dispatch its location, or raise max_payload",
        )
    return encoded


def _check(value: object, job: str, path: str, depth: int) -> None:
    kind = type(value)
    if kind is dict:
        assert isinstance(value, dict)
        for key, item in value.items():
            if type(key) is not str:
                _refuse(job, f"{path} has the key {key!r} ({_kind(key)}); keys must be str")
            if type(item) not in _SCALARS:
                _check_deeper(item, job, f"{path}[{key!r}]", depth)
    elif kind is list:
        assert isinstance(value, list)
        for index, item in enumerate(value):
            if type(item) not in _SCALARS:
                _check_deeper(item, job, f"{path}[{index}]", depth)
    elif kind is float:
        assert isinstance(value, float)
        if not math.isfinite(value):
            _refuse(job, f"{path} is {value!r}, which JSON cannot hold; use None")
    else:
        text = f"{path} is {_kind(value)}, which JSON cannot hold unchanged; {_hint(value)}"
        _refuse(job, text)


def _hint(value: object) -> str:
    if hasattr(value, "model_dump"):  # a model of pydantic
        return 'convert it with its model_dump(mode="json")'
    if is_dataclass(value):
        return "convert it with dataclasses.asdict()"
    return f"use {_HINTS.get(type(value).__name__, 'str, int, float, bool, None, list or dict')}"


def _check_deeper(value: object, job: str, path: str, depth: int) -> None:
    if depth >= MAX_DEPTH:
        _refuse(job, f"{path[:80]}… is more than {MAX_DEPTH} levels deep")
    _check(value, job, path, depth + 1)


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"  # a UUID, a User


def _refuse(job: str, text: str) -> NoReturn:
    raise PayloadError(f"job {job}: {text}")
