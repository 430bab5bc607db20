"""Encodes the contract's values as arguments of the scripts, and decodes their replies."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count, repeat
from typing import Any

import msgspec

from poolq.engines import base, sanitize
from poolq.engines.base import Claim, Queues, Settlement, Settlements, StoredJob
from poolq.engines.redis.connection import Argument
from poolq.engines.spans import span_of
from poolq.jobs.limits import Asked, Rule, Window
from poolq.jobs.message import INITIAL, State
from poolq.jobs.outcomes import (
    Ack,
    Bury,
    Cancel,
    Discard,
    Done,
    Expire,
    Failing,
    GiveBack,
    HoldKey,
    Park,
    Release,
    ReleaseUntil,
    Requeue,
)
from poolq.jobs.unique import stored_key

#: The highest number of ids that a script passes to one redis.call.
MAX_IDS_PER_CALL = 1000
#: An id begins with its moment, by which bodies are grouped: this many hex digits.
MOMENT_DIGITS = 10
#: Codes in a step's reply for how a claim was made.
_ADMITTED, _ASKS, _GATED = 1, 2, 3
_COUNTERS = (
    "done", "failed", "retried", "limited", "parked", "crashed", "cancelled", "discarded",
    "snoozed", "skipped", "replaced", "expired",
)  # fmt: skip

#: Begins the unique key in the line before a body. To look for a number takes 14 ns, for bytes 100.
TAB = ord("\t")
#: Times have 16 digits until the year 2286.
MAX_TIME_DIGITS = 16

#: Outcomes that have no values, as the script part `settling` names them.
_WITHOUT_VALUES: Mapping[type, str] = {
    Discard: "discard", Expire: "expire", Cancel: "cancel", GiveBack: "back",
}  # fmt: skip
#: A claim in the worker's hash: request, index, how and when it was claimed, and the queue.
_CLAIM = re.compile(rb"(\d+) (\d+) ([^ ]+) \d+ (.*)", re.DOTALL)

_registration = msgspec.json.Decoder(base.Registration)


def queue_arguments(queues: Queues) -> tuple[Argument, ...]:
    """Encode queues as the script part `queue_arguments` expects them."""
    return (-1,) if queues is None else (len(queues), *queues)


def batches(ids: Sequence[str], size: int = MAX_IDS_PER_CALL) -> Iterator[Sequence[str]]:
    """Split ids into batches, each of which is small enough for one call of a script."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def revision_arguments(
    ids: Sequence[str], bodies: Mapping[str, bytes], expires: Mapping[str, int]
) -> list[Argument]:
    """Encode the changes of failed jobs for `retry`."""
    found: list[Argument] = []
    for id_ in ids:
        if id_ in bodies:
            found += (id_, bodies[id_], expires.get(id_, ""))
    return found


def settlement_arguments(settlements: Settlements) -> list[Argument]:
    """Encode settlements for parts `settle_done` (as runs of consecutive claims) and `settling`."""
    runs: list[list[Any]] = []
    others: list[Argument] = []
    number = 0
    queue, request, following, room = "", 0, 0, 0
    for claim, outcome in settlements:
        if type(outcome) is not Ack and type(outcome) is not Done:
            others += (*_encode_outcome(claim, outcome), int(bool(claim.effects)))
            number += 1
            continue
        id_, of, index, within, _, _, _, _, effects, _, _ = claim
        if index != following or of != request or within != queue or not room:
            queue, request, room = within, of, MAX_IDS_PER_CALL
            run: list[Any] = [queue, request, index, 1]
            runs.append(run)
        run.append(id_)
        if effects:
            run[3] = -1
        following, room = index + 1, room - 1
    arguments: list[Argument] = [len(runs)]
    for run in runs:
        arguments += (*run[:3], run[3] * (len(run) - 4), *run[4:])
    return [*arguments, number, *others]


def claim_name(claim: Claim) -> str:
    """Return the text with which the claim's field in the worker's hash begins."""
    return f"{claim.request} {claim.index} "


def ended_argument(ended: Sequence[base.EndedSlots]) -> str:
    """Encode the slots that the script `admit` frees first."""
    return "\n".join([f"{claim.request} {claim.index} {claim.id}" for claim, _ in ended])


def _encode_outcome(claim: Claim, outcome: object) -> tuple[Argument, ...]:
    who = (claim.id, claim_name(claim), claim.queue)
    if kind := _WITHOUT_VALUES.get(type(outcome)):
        return (kind, *who, "", "", "")
    match outcome:
        case Release(delay, state, counter):
            return ("release", *who, delay, _encode_state(state, claim.expires_at), counter)
        case ReleaseUntil(until, state, rule):
            kept = _encode_state(state, claim.expires_at)
            return ("until", *who, until, kept, _encode_rule(rule))
        case Requeue(state, counter):
            return ("requeue", *who, _encode_state(state, claim.expires_at), counter, "")
        case Park(rules, refused):
            return ("park", *who, _encode_rules(rules, refused), "", "")
        case HoldKey(key, length, park):
            return ("hold", *who, key, length, _encode_rules(*park) if park else "")
        case Failing(state):
            return ("failing", *who, _encode_state(state, claim.expires_at), "", "")
        case Bury(state, expires):
            return ("bury", *who, _encode_state(state, expires), "", "")
    raise TypeError(f"{outcome!r} is not an outcome")


def _encode_state(state: State, expires: int) -> bytes:
    """`expires`: when the job expires or, if it has failed, how long after a retry; 0: never."""
    if expires:
        attempt, crashes, failing, history = state
        return b"%d %d %d %d\n%b" % (attempt, crashes, failing, expires, history)
    return b"%d %d %d\n%b" % state


def _encode_rules(rules: Sequence[Asked], refused: int) -> bytes:
    lines = [" ".join(map(str, _rule(rule))) for rule in rules]
    return "\n".join([str(refused + 1), *lines]).encode("utf-8", "surrogateescape")


def rule_arguments(rules: Sequence[Asked]) -> list[Argument]:
    """Encode rules as the scripts expect them: limit and span as for `rule_of`, and the key."""
    return [part for rule in rules for part in _rule(rule)]


def _rule(rule: Asked) -> tuple[int | str, int, str]:
    if isinstance(rule, Rule) and rule.cost != 1:
        return f"{rule.limit}*{rule.cost}", span_of(rule), rule.key
    return rule.limit, span_of(rule), rule.key


def _encode_rule(rule: Rule) -> bytes:
    """Encode a rule's limit and identity as the script part `parking` expects them."""
    return b"%d %d:%b" % (rule.limit, span_of(rule), rule.key.encode("utf-8", "surrogateescape"))


text = sanitize.text


def decode_state(stored: bytes | None) -> tuple[State, int]:
    """Decode a stored state, and when the job expires (or, if it has failed, how long after a
    retry). None stands for a fresh state. An unreadable state is returned as the history."""
    if stored is None:
        return INITIAL, 0
    return _parse_state(stored) or (State(history=stored), 0)


def _parse_state(stored: bytes) -> tuple[State, int] | None:
    """Parse a state as `decode_state` does. Returns None if poolq would never write it."""
    head, _, history = stored.partition(b"\n")
    try:
        _, attempt, crashes, failing, *expires = map(int, head.split(b" "))
    except ValueError:
        return None
    found = State(attempt, crashes, failing, history)
    if len(expires) > 1 or sanitize.is_invalid_state(found):
        return None
    return found, sanitize.number(expires[0]) if expires else 0


def decode_body(stored: bytes | None) -> bytes:
    """Return a body without the line that the scripts put before it; b"" if it is lost."""
    return b"" if stored is None else stored[stored.find(b"\n") + 1 :]


def _effects(stored: bytes | None) -> bytes:
    """Return the unique key in the line before a body (see the script part `unique_keys`)."""
    return (stored or b"").partition(b"\n")[0].partition(b"\t")[2]


def decode_step(reply: list[Any], request: int) -> base.Step:
    """Decode the reply of a step that was not rejected."""
    _, stale, groups, clock = reply
    claims: list[Claim] = []
    add, make = claims.append, tuple.__new__  # calling Claim(...) takes twice as long
    fresh = INITIAL, 0
    for queue, index, code, ids, bodies, states in groups:
        name, asks, gated = text(queue), int(code == _ASKS), code == _GATED
        taken = code == _ADMITTED or gated
        jobs = zip(count(index), _texts(ids), bodies, states or repeat(None), strict=False)
        for place, id_, body, state in jobs:
            bare = body[body.find(b"\n") + 1 :] if body else b""
            if state is None:
                kept, expires = fresh
            else:
                read = _parse_state(state)
                kept, expires = read or (State(history=state), 0)
                bare = bare if read else sanitize.unreadable_body("state", state)
            claim = (
                id_, request, place, name, bare, kept, taken, asks,
                _effects(body) if body and TAB in body else b"", gated, expires,
            )  # fmt: skip
            add(make(Claim, claim))
    late = [text(id_) for id_ in stale]
    now = int(clock)  # the script's own
    return base.Step(claims, late, _waited(groups, now), now)


def _texts(ids: list[bytes]) -> list[str]:
    """Return what `text` returns for each of these ids, without a call of Python for each."""
    try:
        return [*map(bytes.decode, ids)]
    except UnicodeDecodeError:
        return [text(id_) for id_ in ids]


def _waited(groups: list[Any], now: int) -> int:
    """Return `Step.waited`: for how long the first job of these groups has been due, or -1."""
    if not groups:
        return -1
    *_, bodies, states = groups[0]
    state, body = states[0] if states else None, bodies[0] or b""
    due = state[: state.find(b" ")] if state else b"0"
    due = body[: body.find(b" ")] if due == b"0" else due
    return max(0, now - int(due)) if due.isdigit() and len(due) <= MAX_TIME_DIGITS else -1


def decode_job(reply: list[Any]) -> StoredJob:
    """Decode a job from a reply of `find` or `page`."""
    id_, queue, status, at, body, stored, worker, limit, holder = reply
    state, expires = decode_state(stored)
    return StoredJob(
        id=text(id_),
        queue=text(queue),
        status=text(status),
        at=sanitize.number(at),
        body=decode_body(body),
        state=state,
        worker=text(worker),
        limit=text(limit),
        unique=stored_key(_effects(body)),
        holder=text(holder),
        expires_at=0 if status == b"failed" else expires,
    )


# A cursor is "<section> <due> <id> <queue>\n<line>" (see lua/page.lua). Names need not be UTF-8.


def cursor_before(moment: int) -> str:
    """Return a cursor for the jobs that failed before this time."""
    return f"failed {moment}  \n"


def position(cursor: str | None) -> Sequence[Argument]:
    """Encode a cursor as the script `page` expects it."""
    if cursor is None:
        return ("", 0, "", "", "")
    head, _, line = cursor.partition("\n")
    return [part.encode("utf-8", "surrogateescape") for part in (*head.split(" ", 3), line)]


def decode_page(reply: list[Any]) -> base.JobPage:
    """Decode the reply of the script `page`."""
    jobs, *following = reply
    cursor = None
    if following:
        *head, line = following[0]
        cursor = (b" ".join(head) + b"\n" + line).decode("utf-8", "surrogateescape")
    return base.JobPage([decode_job(job) for job in jobs], cursor)


def decode_totals(reply: list[bytes]) -> base.Totals:
    totals: base.Totals = {}
    for field, number in zip(*[iter(reply)] * 2, strict=True):
        counter, _, queue = text(field).partition(" ")
        if counter in _COUNTERS:
            counts = totals.setdefault(queue, dict.fromkeys(_COUNTERS, 0))
            counts[counter] = sanitize.number(number)
    return dict(sorted(totals.items()))


def decode_limits(reply: list[Any]) -> list[base.LimitUse]:
    uses = []
    for identity, limit, start, used, parked, resets_in, released, starts, *more in reply:
        slot, override, hold = more
        length, _, key = identity.decode("utf-8", "surrogateescape").partition(":")
        rule = sanitize.rule(key, limit, length)
        if rule is not None:
            chosen = sanitize.number(override) or None if isinstance(rule, Rule) else None
            use = base.LimitUse(
                rule=rule.overridden(chosen) if isinstance(rule, Rule) else rule,
                declared=None if chosen is None else rule.limit,
                window=Window(sanitize.number(start), sanitize.number(used)),
                parked=parked,
                resets_in=sanitize.number(resets_in),
                released=released,
                starts=sanitize.number(starts),
                slot_in=sanitize.number(slot),
                hold=sanitize.number(hold),
            )
            uses.append(use)
    return sorted(uses)


def decode_registration(worker: bytes, node: bytes, who: bytes) -> base.Registration:
    """Decode a registration. If `who` is unreadable, only worker and node are filled in."""
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        found = _registration.decode(who)
        if found.worker.encode() == worker:
            return found
    unknown = dict.fromkeys(("host", "pool", "boot", "pidns"), "")
    return base.Registration(text(worker), text(node), **unknown, pid=0, started=0)


def decode_held_claims(flat: Sequence[bytes]) -> tuple[list[Claim], set[str]]:
    """Decode the claims in a reply of `claims_of`, without those that poolq would never write, and
    the ids of those that are cancelled. Any of the jobs may have a unique key. Ids and queues need
    not be UTF-8, as the scripts get them back."""
    claims: list[Claim] = []
    cancelled = set[str]()
    for name, claim, stored in zip(*[iter(flat)] * 3, strict=True):
        if parts := _CLAIM.fullmatch(claim):
            id_ = name.decode("utf-8", "surrogateescape")
            request, index, how, queue = parts.groups()
            state, expires_at = decode_state(stored) if stored else (INITIAL, 0)
            where = id_, int(request), int(index), queue.decode("utf-8", "surrogateescape")
            claims.append(Claim(*where, b"", state, False, 0, b"?", False, expires_at))
            if how.startswith(b"c"):
                cancelled.add(id_)
    return claims, cancelled


def end_arguments(ends: Sequence[Settlement]) -> list[Argument]:
    """Encode the ends of claims that `decode_held_claims` has returned."""
    return [
        part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        for part in settlement_arguments(ends)
    ]


def decode_hint(token: bytes) -> int:
    """Return how many jobs a wake token announces, or 1 if the token is unreadable."""
    try:
        return int(token)
    except ValueError:
        return 1
