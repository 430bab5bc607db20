"""The first lines: which pool this is, in what state, and how fresh all of it is."""

from rich.style import Style

from poolq.dashboard.drawing.cells import Line, clean, tail, width_of
from poolq.dashboard.drawing.gauges import bar
from poolq.dashboard.drawing.parts import Bit, lay
from poolq.dashboard.drawing.theme import Look
from poolq.monitor import amounts
from poolq.monitor.alerts import stale
from poolq.monitor.snapshot import PoolView, Snapshot

GAUGE = 10
LONGEST = 26  # columns of a path or an URL


def draw(snapshot: Snapshot, look: Look, width: int, height: int) -> list[Line]:
    """One line, or two."""
    head = snapshot.head
    ascii_only = look.ascii_only
    broker = Bit(_broker(head), _broker_style(head, look), 3)
    state = Bit(f"{look.dot} {state_of(head)}", _style(head, look))
    if height == 1:
        late = [Bit(f"STALE {amounts.span(head.age)}", look.bad)] if stale(head) else []
        bits = [
            Bit(clean(head.pool, ascii_only=ascii_only), look.strong), state, *late,
            Bit(f"{head.busy}/{head.procs} busy"), Bit(f"up {amounts.span(head.uptime)}", rank=2),
            Bit(f"master {head.pid}", look.dim, 4), broker,
        ]  # fmt: skip
        return [lay(bits, width)]
    busy = f"{bar(head.busy, head.procs, GAUGE, look)} {head.busy}/{head.procs} busy"
    where = f"master {head.pid} on {clean(head.host, ascii_only=ascii_only)}"
    first = [
        Bit(f"poolq {clean(head.pool, ascii_only=ascii_only)}", look.strong), state,
        Bit(busy), Bit(f"up {amounts.span(head.uptime)}", rank=2), Bit(where, rank=3),
    ]  # fmt: skip
    age = f"data {amounts.span(head.age)} old" if head.age is not None else "no data yet"
    if stale(head):
        age = f"STALE: {age}"
    second = [
        Bit(f"broker {_end(head.broker, look)}", look.dim, 1),
        Bit(_broker(head), _broker_style(head, look)),
        Bit(age, look.bad if stale(head) else look.dim),
        Bit(f"namespace {head.namespace}", look.dim, 4),
        Bit(f"log {_end(head.log, look)}" if head.log else "", look.dim, 3),
    ]
    return [
        lay(first, width, right=[Bit(amounts.clock(snapshot.at), look.dim, 5)]),
        lay(second, width),
    ]


def _end(place: str, look: Look) -> str:
    """Of a long path or URL the end, which tells more."""
    text = clean(place, ascii_only=look.ascii_only)
    return text if width_of(text) <= LONGEST else tail(text, LONGEST, look.cut)


def state_of(head: PoolView) -> str:
    """RUNNING g3, RELOADING g4, DRAINING g3 …"""
    word = head.state.upper()
    if head.trial and head.generation:
        return f"RELOADING g{head.trial}" if word == "RUNNING" else f"{word} g{head.trial}"
    return f"{word} g{head.generation}" if head.generation else word


def _style(head: PoolView, look: Look) -> Style:
    return look.good if head.state == "running" else look.warn


def _broker(head: PoolView) -> str:
    if not head.reachable:
        return "broker GONE"
    return f"ping {amounts.span(head.ping)}" if head.ping is not None else "ping -"


def _broker_style(head: PoolView, look: Look) -> Style:
    return look.dim if head.reachable else look.bad
