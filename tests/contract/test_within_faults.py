"""Commits that are cut, and transactions that are open at once: of each, the application's row and
the job are both there, or neither."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from threading import Barrier

import pytest

import poolq
from poolq.engines.base import Engine
from tests.conftest import url_of
from tests.contract.conftest import OpenEngine
from tests.contract.faulty_proxy import FaultyProxy
from tests.contract.test_within import numbers, ship
from tests.support.layers import LAYERS, Layer, make_orders
from tests.support.producing import MODULE, produce_to
from tests.support.server import Server
from tests.support.wait import until

#: How often the server is killed amid commits.
KILLS = 2


@pytest.fixture(params=("mariadb", "postgresql"))
def engine_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request, tmp_path)


def produce(engine: Engine, patch: pytest.MonkeyPatch) -> None:
    """Dispatch to this engine, beside which is the application's table."""
    patch.setattr(MODULE, "_chosen", produce_to(engine))  # type: ignore[arg-type]  # any
    engine.counts()
    make_orders(engine.url)


def store_both(layer: Layer, number: int) -> None:
    """Insert a row and dispatch a job, in a transaction that stays open."""
    layer.begin()
    layer.insert(number)
    with poolq.within(layer.given):
        ship(number)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("arrives", [True, False], ids=["answer lost", "commit lost"])
def test_a_connection_that_is_cut_in_the_commit(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, name: str, arrives: bool
) -> None:
    produce(engine, monkeypatch)
    with FaultyProxy(engine.url) as proxy:
        layer = LAYERS[name](proxy.url)
        store_both(layer, 1)
        cut = proxy._arm(deliver=arrives)
        with pytest.raises(Exception, match=r"(?i)lost|closed|gone away|terminat|reset"):
            layer.commit()
        assert cut.wait(60)
        with suppress(Exception):  # SQLAlchemy and Django roll back what is no more
            layer.close()
    both = ({1}, [1]) if arrives else (set(), [])
    until(lambda: numbers(engine) == both, what=f"{both}, not {numbers(engine)}")


@pytest.fixture(params=("mariadb", "postgresql"))
def own_server(request: pytest.FixtureRequest) -> Server:
    """A durable server of the test's own."""
    make: Callable[[], Server] = request.getfixturevalue(f"own_{request.param}")
    return make()


def test_a_server_that_is_killed_amid_commits(
    own_server: Server, opened: OpenEngine, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(own_server.url, namespace, migrate=True)
    produce(engine, monkeypatch)
    for kill in range(KILLS):
        with ExitStack() as stack, ThreadPoolExecutor(len(LAYERS)) as threads:
            layers = [make(engine.url) for make in LAYERS.values()]
            begun = Barrier(len(layers) + 1)

            def commit(layer: Layer, number: int, begun: Barrier = begun) -> None:
                store_both(layer, number)
                begun.wait(60)
                with suppress(Exception):  # each driver has its own
                    layer.commit()
                with suppress(Exception):
                    layer.close()

            some = [threads.submit(commit, one, 10 * kill + at) for at, one in enumerate(layers)]
            stack.callback(lambda some=some: [one.result(60) for one in some])
            begun.wait(60)
            own_server.kill()
        own_server.start()
    rows, jobs = numbers(engine)
    assert sorted(rows) == jobs


def end(layer: Layer, number: int) -> None:
    """Commit every other transaction."""
    layer.commit() if number % 2 else layer.rollback()


@pytest.mark.parametrize("name", LAYERS)
def test_threads_with_a_block_each(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    produce(engine, monkeypatch)
    begun = Barrier(4)

    def act(number: int) -> None:
        with closing(LAYERS[name](engine.url)) as layer:
            layer.begin()
            with poolq.within(layer.given):
                begun.wait(60)
                layer.insert(number)
                ship(number)
                begun.wait(60)
            end(layer, number)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(act, range(8)))
    assert numbers(engine) == ({1, 3, 5, 7}, [1, 3, 5, 7])
