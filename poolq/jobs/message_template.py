"""Message templates: what all messages of a job with the same options share, encoded once.

Each dispatch only fills in what is left: a new id and the payload.
"""

from collections.abc import Mapping
from operator import attrgetter

from msgspec import Raw

from poolq.jobs.callbacks import encoded_headers, on
from poolq.jobs.ids import new_id
from poolq.jobs.message import (
    MESSAGE_VERSION,
    Message,
    Push,
    decode,
    encode,
    encode_gate,
    with_fields,
)
from poolq.jobs.options import DEFAULTS, Options
from poolq.jobs.payload import check
from poolq.jobs.typed import Shape, shapes

#: The options that a message contains behind its payload.
_STORED_OPTIONS = (
    "attempts", "retry_after", "max_crashes", "on_limit", "timeout", "jitter", "max_snoozes",
    "expires",
)  # fmt: skip
_stored = attrgetter(*_STORED_OPTIONS)
BLANK_ID = b"0" * 32
_on_dispatch = on.dispatch.functions


def own_options(options: Options) -> tuple[str, ...]:
    """Return the names of the options that are stored with a job and are not poolq's defaults."""
    names = ("queue", *_STORED_OPTIONS, "unique", "concurrent")
    return tuple(one for one in names if getattr(options, one) != getattr(DEFAULTS, one))


def lacks(message: Message, own: tuple[str, ...], *, is_unique: bool) -> bool:
    """Return whether a job has poolq's defaults for all of these options."""
    kept = {"unique": is_unique, "concurrent": message.gate is not None}
    return not any(
        kept[one] if one in kept else getattr(message, one) != getattr(DEFAULTS, one) for one in own
    )


def with_options(body: bytes, options: Options) -> bytes:
    """Return a stored message with these options. The job keeps its queue, because `poolq job move`
    changes queues, and it keeps the time at which it is due. Raises BadMessage, and PayloadError if
    the payload lacks a field of `concurrent`."""
    fields = dict(zip(_STORED_OPTIONS, _stored(options), strict=True))
    message = decode(body)
    if options.concurrent is not None:
        fields["gate"] = options.concurrent.gate(message.job, message.payload)
    elif message.gate is not None:
        fields["gate"] = None
    return with_fields(body, fields)


def _fitting(shape: Shape, payload: object, limit: int, index: int = -1) -> tuple[object, bytes]:
    """Return a payload that fits its annotations, as JSON values and as text."""
    if not shape.is_plain:
        payload = shape.encode(payload, index)
    checked = check(payload, shape.job, limit, index, shape.made(payload))
    shape.check(checked, index)
    return payload, checked


class MessageTemplate:
    """The encoded message of a job's name and options, with gaps for id and payload. `delay` is in
    microseconds, or None if the options give a point in time instead. `is_special`: whether jobs
    have a unique key or a gate, which must be computed from the payload."""

    __slots__ = (
        "_before_id", "_before_payload", "_end", "_expires", "concurrent", "delay", "is_special",
        "job", "options", "queue", "unique",
    )  # fmt: skip

    def __init__(self, job: str, options: Options) -> None:
        self.job = job
        self.options = options
        self.queue = options.queue
        self.unique = options.unique
        self.concurrent = options.concurrent
        self.is_special = self.unique is not None or self.concurrent is not None
        self.delay = options.delay if isinstance(options.delay, int) else None
        self._expires = options.expires
        blank = Message(MESSAGE_VERSION, "", job, options.queue, Raw(b""), *_stored(options))
        # JSON escapes each quote within a string, so only the field itself matches.
        before, field, rest = encode(blank).partition(b'"id":"')
        self._before_id = before + field
        before, field, self._end = rest.partition(b'"payload":')
        self._before_payload = before + field

    def push(self, payload: object, limit: int, index: int = -1) -> Push:
        """Return a new job with a new id. The payload may have up to `limit` bytes of JSON.
        `index`: see `names.path_of`. Raises PayloadError, OptionError."""
        if shapes and (shape := shapes.get(self.job)) is not None:
            payload, checked = _fitting(shape, payload, limit, index)
        else:
            checked = check(payload, self.job, limit, index)
        id_ = new_id()
        end = self._end
        key = rule = None
        delay, at = self.delay, 0
        if delay is None:
            delay, at = self.options.due(self.job)
        if _on_dispatch and (headers := encoded_headers(self.job, self.queue, id_)):
            end = b'%b,"headers":%b}' % (end.removesuffix(b"}"), headers)
        if self.is_special:
            if (unique := self.unique) is not None:
                key = unique.asked(self.job, payload, index)
            if (one := self.concurrent) is not None:
                gate = one.gate(self.job, payload, index)
                end = b'%b,"gate":%b}' % (end.removesuffix(b"}"), encode_gate(gate))
                if one.parks and key is None and delay <= 0 and not at:
                    rule = gate
        body = b"".join((self._before_id, id_.encode(), self._before_payload, checked, end))
        return Push(id_, self.queue, body, delay, at, self._expires, key, rule)

    def blank(self, payload: object, limit: int) -> bytes:
        """Return a message without headers whose id is BLANK_ID. Raises PayloadError."""
        if (shape := shapes.get(self.job)) is not None:
            _, checked = _fitting(shape, payload, limit)
        else:
            checked = check(payload, self.job, limit)
        parts = (self._before_id, BLANK_ID, self._before_payload, checked, self._end)
        return b"".join(parts)

    def changed(self, given: Mapping[str, object]) -> "MessageTemplate":
        """Return a template with some options changed. Raises OptionError."""
        return MessageTemplate(self.job, self.options.changed(given, self.job))
