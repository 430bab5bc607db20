"""No script's work on Redis grows with what waits.

Each script counts what it examines: the arguments and the replies of its commands, and what a
command goes through without saying. The same acts run on a small store and on a large one, which
`--large-store=1000000` makes larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
import redis

from poolq.engines.redis import scripts
from poolq.engines.redis.scripts import SCRIPTS
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import HOUR
from tests.support.clock import Clock
from tests.support.filled_store import Act, Store, acts, fill
from tests.support.servers import Redis

SMALL = 1000
#: How often as much a script may examine in the large store, and how much more in any case.
FACTOR, MORE = 5, 100
#: Only `doctor` runs it, for a sample of keys.
NOT_RUN = {"void_keys", "version"}

_CALL = b"local call, P = redis.call, KEYS[1]\n"
_COUNTING = b"""
do
  local raw, total = redis.call, 0
  local function size(reply)
    if type(reply) ~= 'table' then return 1 end
    local n = 0
    for _, one in ipairs(reply) do n = n + size(one) end
    return n
  end
  local LENGTHS = {list = 'LLEN', hash = 'HLEN', zset = 'ZCARD', set = 'SCARD'}
  call = function(...)
    local args, n = {...}, select('#', ...)
    if args[1] == 'LREM' or args[1] == 'LPOS' then n = n + raw('LLEN', args[2]) end
    if args[1] == 'DEL' then
      for i = 2, #args do
        local length = LENGTHS[raw('TYPE', args[i]).ok]
        if length then n = n + raw(length, args[i]) end
      end
    end
    for i = 2, #args - 1 do
      if args[i] == 'LIMIT' then n = n + tonumber(args[i + 1]) end
    end
    local reply = raw(...)
    total = total + n + size(reply)
    if total > tonumber(raw('HGET', 'examined', NAME) or 0) then
      raw('HSET', 'examined', NAME, total)
    end
    return reply
  end
end
"""


@pytest.fixture
def count_what_is_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    for script in SCRIPTS.values():
        counting = _CALL + _COUNTING.replace(b"NAME", b"'%b'" % script.name.encode())
        assert _CALL in script.text
        text = script.text.replace(_CALL, counting).replace(b"no-writes", b"allow-oom", 1)
        monkeypatch.setattr(script, "text", text)
        monkeypatch.setattr(script, "sha", scripts.sha1(text).hexdigest().encode())


class Comparison:
    """Runs acts on a small and on a large store."""

    def __init__(self, client: redis.Redis, stores: Sequence[Store]) -> None:
        self.client, self.stores = client, stores
        self.ran: set[str] = set()
        self.grown: list[str] = []

    def run(self, name: str, act: Act) -> None:
        small, large = map(partial(self._examined, act), self.stores)
        self.ran.update(large)
        for script, most in sorted(large.items()):
            before = small.get(script, 0)
            if most > FACTOR * before + MORE:
                self.grown.append(f"{name}: {script} examines {most}, in a small store {before}")

    def _examined(self, act: Act, store: Store) -> dict[str, int]:
        """The most that a run of each script examines."""
        act(store)
        found = {name.decode(): int(most) for name, most in self.client.hgetall("examined").items()}
        self.client.delete("examined")
        return found


def look(store: Store) -> None:
    store.engine.beat("n1", b"{}")
    store.engine.wait(["windows"], 0)


def purge(store: Store) -> None:
    for queue in ("ready", "lines", "released", "line"):
        store.engine.purge(queue)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_no_script_examines_more_where_more_waits(
    redis_server: Redis,
    client: redis.Redis,
    opened: OpenEngine,
    clock: Clock,
    namespace: str,
    request: pytest.FixtureRequest,
) -> None:
    stores = []
    for size in (SMALL, request.config.getoption("--large-store")):
        engine = opened(redis_server.url, f"{namespace}{size}")
        clock.govern(engine)
        stores.append(fill(engine, size))
    request.getfixturevalue("count_what_is_examined")
    clock.forward(HOUR // 2)  # now some are due
    comparison = Comparison(client, stores)
    for name, act in acts():
        comparison.run(name, act)
    clock.back(HOUR)
    for name in ("after the clock went back", "later"):
        comparison.run(name, look)
    comparison.run("purge", purge)
    assert comparison.grown == [], "\n".join(comparison.grown)
    assert SCRIPTS.keys() - comparison.ran == NOT_RUN
