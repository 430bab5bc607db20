"""Typed payloads: values become JSON as their annotations say, and come back in the worker.

A *shape* is what the annotations of a job say: of the arguments of a function job, or of
`payload: Order` on a class. msgspec converts; models of pydantic convert themselves. Annotations
that are JSON already (`int`, `list[str]`) are checked at the dispatch only, so that no stored job
fails because of one. A name that is not defined yet is looked up when it is first needed.
"""

import re
import sys
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import suppress
from inspect import get_annotations
from typing import Any, get_type_hints

import msgspec
from msgspec import inspect as kinds

from poolq.common.names import path_of
from poolq.errors import OptionError, PayloadError

#: What JSON has itself. Literals and unions of these come back as they were.
_JSON = (
    kinds.AnyType, kinds.NoneType, kinds.BoolType, kinds.IntType, kinds.FloatType, kinds.StrType,
    kinds.ListType, kinds.DictType, kinds.UnionType, kinds.LiteralType,
)  # fmt: skip
#: A step of the path in a message of msgspec: ".price", "[2]", or "[...]" for a dict's value.
_STEP = re.compile(r"\.(\w+)|(\[[^]]*\])")


class Misfit(ValueError):
    """A value does not fit an annotation. `path`: where in it, such as `['lines'][2]`."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path} {why}")
        self.path = path
        self.why = why


def _is_plain(annotation: Any, what: str) -> bool:
    """Return whether JSON has such values itself. `what`: names the annotated thing in errors.
    Raises OptionError if JSON cannot carry them."""
    try:
        found = list(_parts(kinds.type_info(annotation), set()))
    except TypeError as error:
        raise OptionError(f"{what} has an annotation that JSON cannot carry: {error}") from None
    for one in found:
        if isinstance(one, kinds.CustomType) and not _is_model(one.cls):
            name = getattr(one.cls, "__qualname__", str(one.cls))
            raise OptionError(
                f"{what} is annotated with {name}, which JSON cannot carry; "
                "dispatch its id, or leave the annotation out"
            )
    keys = [one.key_type for one in found if isinstance(one, kinds.DictType)]
    return all(isinstance(one, _JSON) for one in found) and all(
        isinstance(one, (kinds.StrType, kinds.AnyType)) for one in keys
    )


def _parts(info: kinds.Type | kinds.Field, seen: set[int]) -> Iterator[kinds.Type]:
    """Yield the description of a type and of all that it consists of."""
    if id(info) in seen:
        return
    seen.add(id(info))
    if isinstance(info, kinds.Type):
        yield info
    for name in info.__struct_fields__:
        value = getattr(info, name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, (kinds.Type, kinds.Field)):
                yield from _parts(one, seen)


def _is_model(cls: object) -> bool:
    """Whether it is a model of pydantic, which this process has then imported."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(cls, type) and issubclass(cls, pydantic.BaseModel)


def _dump(value: Any) -> object:
    if _is_model(type(value)):
        return value.model_dump(mode="json")
    if isinstance(value, str):  # such as a JobId
        return str(value)
    raise TypeError(f"{type(value).__qualname__} is no type that JSON can carry")


_encode = msgspec.json.Encoder(enc_hook=_dump).encode


def _load(cls: Any, value: object) -> Any:
    try:
        return cls.model_validate_json(msgspec.json.encode(value))
    except ValueError as error:
        first = error.errors()[0]  # type: ignore[attr-defined]  # a pydantic.ValidationError
        raise Misfit("".join(f"[{part!r}]" for part in first["loc"]), first["msg"]) from None


def _misfit(error: msgspec.ValidationError) -> Misfit:
    """Turn "Expected `int`, got `str` - at `$.lines[2].price`" into path and reason."""
    why, _, place = str(error).partition(" - at `$")
    path = "".join(f"[{name!r}]" if name else step for name, step in _STEP.findall(place))
    if isinstance(inner := error.__cause__, Misfit):
        path, why = path + inner.path, inner.why
    return Misfit(path, f"does not fit: {why.replace('`', '')}")


def as_json(value: object) -> Any:
    """Return the value as JSON, whatever any annotation says. Raises Misfit."""
    try:
        return msgspec.json.decode(_encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Misfit("", f"cannot be written as JSON: {error}") from None


def _typed(value: object, annotation: Any) -> Any:
    try:
        return msgspec.convert(value, annotation, str_keys=True, dec_hook=_load)
    except msgspec.ValidationError as error:
        raise _misfit(error) from None


class Shape:
    """What the annotations of one job say. `owner`: the function or class that has them; `names`:
    of the arguments, or None for the payload as a whole."""

    def __init__(self, job: str, owner: Any, names: tuple[str, ...] | None) -> None:
        self.job = job
        self._owner = owner
        self._names = names
        self.is_plain = False  # whether all is JSON anyway, once that is known
        self._rich: dict[str, Any] | None = None  # the annotations that JSON does not have itself

    def resolve(self) -> dict[str, Any]:
        """Look up the annotations. Raises OptionError, or NameError if a name is not defined."""
        if self._rich is None:
            hints = get_type_hints(self._owner)
            names = ("payload",) if self._names is None else self._names
            what = f"job {self.job}: " + "argument " * (self._names is not None)
            known = {name: hints[name] for name in names if name in hints}
            rich = {name: one for name, one in known.items() if not _is_plain(one, what + name)}
            whole = msgspec.defstruct("Arguments", [(*one, None) for one in known.items()])
            kind = known["payload"] if self._names is None else whole
            self._read = msgspec.json.Decoder(kind, dec_hook=_load).decode
            self._rich, self.is_plain = rich, not rich
        return self._rich

    def encode(self, payload: Any, index: int = -1) -> Any:
        """Return the payload as JSON, which `check` has to look at. `index`: see `names.path_of`.
        Raises PayloadError and OptionError."""
        return self._changed(payload, path_of(index), lambda value, _: as_json(value))

    def made(self, payload: Any) -> Container[object]:
        """Return which items of an encoded payload have been made of JSON."""
        return payload if self._rich and self._names is None else self._rich or ()

    def check(self, encoded: bytes, index: int = -1) -> None:
        """Raise PayloadError, with the path of what does not fit the annotations."""
        try:
            self._read(encoded)
        except msgspec.ValidationError as error:
            misfit = _misfit(error)
            path = f"{path_of(index)}{misfit.path}"
            raise PayloadError(f"job {self.job}: {path} {misfit.why}") from None

    def decode(self, payload: Mapping[str, Any]) -> Any:
        """Return the payload that JSON stands for. What is JSON anyway is taken as it comes. Raises
        PayloadError with the path of what does not fit, and OptionError."""
        return self._changed(payload, "payload", _typed)

    def _changed(self, payload: Any, path: str, change: Callable[[Any, Any], object]) -> Any:
        at = path
        try:
            rich = self.resolve()
            if self._names is None:
                return change(payload, rich["payload"]) if rich else payload
            changed = dict(payload)
            for name in rich.keys() & changed.keys():
                at = f"{path}[{name!r}]"
                changed[name] = change(changed[name], rich[name])
        except NameError as error:
            raise OptionError(f"job {self.job}: an annotation is not known: {error}") from None
        except Misfit as misfit:
            raise PayloadError(f"job {self.job}: {at}{misfit.path} {misfit.why}") from None
        return changed


#: The shapes of this process' jobs, by name. Dispatches and workers look only if there are any.
shapes: dict[str, Shape] = {}


#: Annotations of `payload` that say no more than none.
_UNTYPED = (dict, dict[str, Any], Mapping[str, Any], Any, "dict", "dict[str, Any]", "Any")


def note_class(job: str, cls: type) -> None:
    """As `note`, if the class or a base of it annotates `payload`. Else forget the annotations of
    another class that had this job's name."""
    shapes.pop(job, None)
    annotations = (get_annotations(one).get("payload", ...) for one in cls.__mro__)
    if next(one for one in annotations if one is not ...) not in _UNTYPED:
        note(Shape(job, cls, None))


def note(shape: Shape) -> None:
    """Let the jobs of this name follow its annotations. Raises OptionError if JSON cannot carry
    what they say; a name that is not defined yet is looked up later."""
    with suppress(NameError):
        shape.resolve()
    shapes[shape.job] = shape
