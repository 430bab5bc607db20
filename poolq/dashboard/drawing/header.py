"""The first lines: the pool, its state, its engine, and the age of the data."""

from poolq.dashboard.drawing.gauges import Part, bar, lay_out
from poolq.engines.base import ServerInfo
from poolq.monitor import amounts
from poolq.monitor.alerts import stale
from poolq.monitor.snapshot import PoolView, Snapshot
from poolq.styling.cells import Line, fit, tail, width_of
from poolq.styling.theme import Theme

GAUGE_WIDTH = 10
NARROW_WIDTH = 40  # columns below which words are omitted
MAX_PATH_WIDTH = 26  # columns of a path or URL


def draw(
    snapshot: Snapshot, theme: Theme, width: int, height: int, server: ServerInfo | None = None
) -> list[Line]:
    """Draw one or two lines. `server`: what stores the jobs, if that is known."""
    head, late = snapshot.head, stale(snapshot.head)
    age = f"data {amounts.span(head.age):>4} old" if head.age is not None else "no data yet"
    ping = f"ping {amounts.span(head.ping):<5}" if head.ping is not None else "ping -"
    broker = Part(ping, theme.dim) if head.reachable else Part("engine GONE", theme.bad)
    busy = busy_of(head, width)
    blanks = " " * (len(str(head.procs)) - len(str(head.busy)))  # what follows keeps its place
    gauge = f"{bar(head.busy, head.procs, GAUGE_WIDTH, theme)} " * (height > 1)
    first = [
        Part("poolq " * (height > 1) + head.pool, theme.strong),
        Part(
            f"{theme.dot} {state_of(head)}", theme.good if head.state == "running" else theme.warn
        ),
        Part(f"STALE {amounts.span(head.age)}" * (late and height == 1), theme.bad),
        Part(gauge + blanks + busy, rank=int(height == 1)),
        Part(_memory(snapshot) * (height > 1), rank=4),
        Part(f"up {amounts.span(head.uptime)}", rank=2),
        Part(f"master {head.pid}" + f" on {head.host}" * (height > 1), theme.dim, 3),
    ]
    if height == 1:
        return [lay_out([*first, broker._replace(rank=2)], width)]
    url = _short_url(head.broker, theme, max(MAX_PATH_WIDTH, width - 80))
    second = [
        Part(f"engine {url}", theme.dim, 1),
        broker,
        Part(_server(server), theme.dim, 5),
        Part("STALE: " * late + age, theme.bad if late else theme.dim),
        Part(f"namespace {head.namespace}", theme.dim, 4),
        Part(f"log {_end(head.log, theme)}" if head.log else "", theme.dim, 3),
    ]
    clock = Part(amounts.clock(snapshot.at), theme.dim, 5)
    return [lay_out(first, width, clock), lay_out(second, width)]


def _server(server: ServerInfo | None) -> str:
    """Return the server's name, and how many bytes it uses and may use."""
    if server is None or not server.used:
        return server.name if server else ""
    most = f"/{amounts.size(server.most)}" if server.most else ""
    return f"{server.name} {amounts.size(server.used)}{most}"


def _memory(snapshot: Snapshot) -> str:
    """Return the memory of all workers. They share some of it, so it is an upper bound."""
    return f"memory {amounts.size(sum(worker.rss for worker in snapshot.workers))}"


def _end(place: str, theme: Theme, width: int = MAX_PATH_WIDTH) -> str:
    """Return the end of a long path, which says more than its beginning."""
    return place if width_of(place) <= width else tail(place, width, theme.cut)


def _short_url(url: str, theme: Theme, most: int) -> str:
    """Return the scheme and host of a long URL, or its scheme and the end of its path."""
    if width_of(url) <= most:
        return url
    scheme, _, rest = url.partition("://")
    place = rest.partition("?")[0]
    if place.startswith("/"):
        return f"{scheme}:{_end(place, theme, most - len(scheme) - 1)}"
    text = f"{scheme}://{place.rpartition('@')[2]}"
    return text if width_of(text) <= most else fit(text, most, cut=theme.cut)


def state_of(head: PoolView) -> str:
    """Return the state and generation: RUNNING g3, RELOADING g4, DRAINING g3 …"""
    word = head.state.upper()
    if head.trial and head.generation:
        return f"RELOADING g{head.trial}" if word == "RUNNING" else f"{word} g{head.trial}"
    return f"{word} g{head.generation}" if head.generation else word


def busy_of(head: PoolView, width: int = NARROW_WIDTH) -> str:
    """Return the numbers of busy workers, of all workers, and of jobs on workers that leave."""
    if width < NARROW_WIDTH:
        return f"{head.busy}/{head.procs}"
    return f"{head.busy}/{head.procs} busy" + f" +{head.leaving} leaving" * bool(head.leaving)
