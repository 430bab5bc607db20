"""Between the contract's values and what the scripts take and give."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import count, repeat
from typing import Any

import msgspec

from poolq.engines import sanitize
from poolq.engines.base import (
    Claim,
    LimitUse,
    Push,
    Recovered,
    Registration,
    Settlement,
    Step,
    StoredJob,
)
from poolq.engines.redis.connection import Argument
from poolq.jobs.limits import Rule, Window
from poolq.jobs.message import INITIAL, State
from poolq.jobs.retry import Ack, Bury, Failing, GiveBack, Park, Release, ReleaseUntil

#: How many ids one redis.call in a script is given at most.
MAX_IDS_PER_CALL = 1000
#: How a claim was made, as a step's groups say.
ADMITTED, REVIEWED = 1, 2
COUNTERS = ("done", "failed", "retried", "limited", "parked", "crashed")

_registration = msgspec.json.Decoder(Registration)


def queue_arguments(queues: Sequence[str] | None) -> tuple[Argument, ...]:
    """Arguments of part `queues`."""
    return (-1,) if queues is None else (len(queues), *queues)


def push_arguments(pushes: Sequence[Push]) -> list[Argument]:
    """Arguments of `push`: jobs by queue, each in their order. Only where some of a queue's are for
    later it is said when they are due."""
    if len(pushes) == 1 and pushes[0].delay <= 0 and pushes[0].at <= 0:  # one dispatch
        id_, queue, body, _, _ = pushes[0]
        return [queue, 1, id_, body]
    now: dict[str, list[Argument]] = {}
    later = {queue for _, queue, _, delay, at in pushes if at > 0 or delay > 0}
    mixed: dict[str, list[Argument]] = {queue: [] for queue in sorted(later)}
    for id_, queue, body, delay, at in pushes:
        if queue in later:
            mixed[queue] += (at if at > 0 else f"-{max(0, delay)}", id_, body)
        elif queue in now:
            now[queue] += (id_, body)
        else:
            now[queue] = [id_, body]
    words: list[Argument] = []
    for queue, items in now.items():
        words += (queue, len(items) // 2, *items)
    for queue, items in mixed.items():
        words += (queue, -len(items) // 3, *items)
    return words


def settlement_arguments(settlements: Sequence[Settlement]) -> list[Argument]:
    """Arguments of part `settling`. Finished jobs mostly come in runs, as they were claimed."""
    runs: list[list[Argument]] = []
    others: list[Argument] = []
    number = 0
    queue, request, following, room = "", 0, 0, 0
    for claim, outcome in settlements:
        if type(outcome) is not Ack:
            others += _other(claim, outcome)
            number += 1
            continue
        id_, of, index, within, *_ = claim
        if index != following or of != request or within != queue or not room:
            queue, request, room = within, of, MAX_IDS_PER_CALL
            run: list[Argument] = [queue, request, index]
            runs.append(run)
        run.append(id_)
        following, room = index + 1, room - 1
    words: list[Argument] = [len(runs)]
    for run in runs:
        words += (*run[:3], len(run) - 3, *run[3:])
    return [*words, number, *others]


def claim_name(claim: Claim) -> str:
    """What its field in the worker's hash begins with."""
    return f"{claim.request} {claim.index} "


def _other(claim: Claim, outcome: object) -> tuple[Argument, ...]:
    who = (claim.id, claim_name(claim), claim.queue)
    match outcome:
        case Release(delay, state, counter):
            return ("release", *who, delay, _state(state), counter)
        case ReleaseUntil(until, state, rule):
            return ("until", *who, until, _state(state), _identity(rule))
        case GiveBack():
            return ("back", *who, "", "", "")
        case Park(rules, refused):
            return ("park", *who, _rules(rules, refused), "", "")
        case Failing(state):
            return ("failing", *who, _state(state), "", "")
        case Bury(state):
            return ("bury", *who, _state(state), "", "")
    raise TypeError(f"{outcome!r} is no outcome")


def _state(state: State) -> bytes:
    return b"%d %d %d\n%b" % state


def _rules(rules: Sequence[Rule], refused: int) -> bytes:
    parts = [b"%d " % (refused + 1)]
    for key, limit, window in rules:
        name = key.encode("utf-8", "surrogateescape")
        parts.append(b"%d %d %d:%b" % (limit, window, len(name), name))
    return b"".join(parts)


def _identity(rule: Rule) -> bytes:
    """A limit and what it counts, as part `lines` has them."""
    return b"%d %d:%b" % (rule.limit, rule.window, rule.key.encode("utf-8", "surrogateescape"))


text = sanitize.text


def decode_state(stored: bytes | None) -> State:
    """A state as kept beside a body; None: a fresh job's, and so is one that was written by hand
    and cannot be read."""
    if stored is None:
        return INITIAL
    return _read_state(stored) or State(history=stored)


def _read_state(stored: bytes) -> State | None:
    """None: no poolq would write it."""
    head, _, history = stored.partition(b"\n")
    try:
        _, attempt, crashes, failing = map(int, head.split(b" "))
    except ValueError:
        return None
    found = State(attempt, crashes, failing, history)
    return None if sanitize.is_invalid_state(found) else found


def decode_body(stored: bytes | None) -> bytes:
    """A body without the line that the script put before it; None: it is lost."""
    return b"" if stored is None else stored[stored.find(b"\n") + 1 :]


def decode_step(reply: list[Any], request: int) -> Step:
    """The answer to a step that was not refused."""
    _, stale, groups = reply
    claims: list[Claim] = []
    add, make = claims.append, tuple.__new__  # Claim(...) itself takes twice as long
    for queue, index, how, ids, bodies, states in groups:
        name, taken, reviewed = text(queue), how == ADMITTED, how == REVIEWED
        jobs = zip(count(index), ids, bodies, states or repeat(None), strict=False)
        for place, id_, body, state in jobs:
            bare = body[body.find(b"\n") + 1 :] if body else b""
            kept = INITIAL
            if state is not None:
                read = _read_state(state)
                kept = read or State(history=state)
                bare = bare if read else sanitize.unreadable_body("state", state)
            add(make(Claim, (text(id_), request, place, name, bare, kept, taken, reviewed)))
    return Step(claims, [text(id_) for id_ in stale])


def decode_job(reply: list[Any]) -> StoredJob:
    """A job as `find` and `failed` tell of it."""
    id_, queue, status, at, body, state, worker = reply
    return StoredJob(
        text(id_),
        text(queue),
        text(status),
        sanitize.number(at),
        decode_body(body),
        decode_state(state),
        text(worker),
    )


def decode_totals(reply: list[bytes]) -> dict[str, dict[str, int]]:
    """Counters by queue, as `totals` replies them."""
    totals: dict[str, dict[str, int]] = {}
    for field, number in zip(*[iter(reply)] * 2, strict=True):
        counter, _, queue = text(field).partition(" ")
        if counter in COUNTERS:
            counts = totals.setdefault(queue, dict.fromkeys(COUNTERS, 0))
            counts[counter] = sanitize.number(number)
    return dict(sorted(totals.items()))


def decode_limits(reply: list[Any]) -> list[LimitUse]:
    """Rate limits, as `limits` replies them."""
    uses = []
    for identity, limit, start, used, parked, left, off, ever in reply:
        window, _, key = identity.decode("utf-8", "surrogateescape").partition(":")
        rule = sanitize.rule(key, limit, window)
        if rule is not None:
            seen = Window(sanitize.number(start), sanitize.number(used))
            resets, starts = sanitize.number(left), sanitize.number(ever)
            uses.append(LimitUse(rule, seen, parked, resets, off, starts))
    return sorted(uses)


def decode_registration(worker: bytes, node: bytes, who: bytes) -> Registration:
    """A worker's registration; only name and node are known if the rest was evicted, or was
    written by hand and cannot be read."""
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        found = _registration.decode(who)
        if found.worker.encode() == worker:
            return found
    return Registration(text(worker), text(node), "", "", "", "", 0, 0)


def decode_recovered(reply: list[Any]) -> Recovered:
    """What became of claims, as `recover` and `reap` reply it."""
    return Recovered(*(tuple(text(id_) for id_ in ids) for ids in reply))


def decode_hint(token: bytes) -> int:
    """How many jobs a wake token promises; 1 for a token that was written by hand."""
    try:
        return int(token)
    except ValueError:
        return 1
