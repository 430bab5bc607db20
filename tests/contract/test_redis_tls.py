"""Redis over TLS: used if the certificates are valid, and rejected otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from poolq.engines.base import Push
from poolq.engines.redis.engine import RedisEngine
from poolq.errors import EngineUnavailable
from tests.conftest import OwnRedis
from tests.contract.helpers import Worker, count_of, named, new_id, push
from tests.support.server import HOST, free_port
from tests.support.servers import Redis, Valkey

Connect = Callable[..., RedisEngine]


class Files(NamedTuple):
    """Paths of PEM files: certificates, the last two with their keys."""

    authority: Path
    ours: Path
    elsewhere: Path


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("certificates")
    made = Files(*(folder / f"{name}.pem" for name in Files._fields))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(made.authority)
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(made.ours)
    foreign = authority.issue_cert("elsewhere.example")
    foreign.private_key_and_cert_chain_pem.write_to_path(made.elsewhere)
    return made


@pytest.fixture
def connect(own_redis: OwnRedis, files: Files, namespace: str) -> Iterator[Connect]:
    """Start a TLS server, and connect an engine with these options in its URL."""
    with ExitStack() as stack:

        def start(
            options: str,
            kind: type[Redis] = Redis,
            *,
            shown: Path = files.ours,
            clients: str = "no",
        ) -> RedisEngine:
            port = free_port()
            config = {
                "tls-port": str(port),
                "tls-ca-cert-file": str(files.authority),
                "tls-cert-file": str(shown),
                "tls-key-file": str(shown),
                "tls-auth-clients": clients,
            }
            own_redis(kind, config=config)
            url = f"rediss://{HOST}:{port}/2?{options.format(**files._asdict())}"
            return stack.enter_context(closing(RedisEngine(url, namespace)))

        yield start


@pytest.mark.parametrize("kind", [Redis, Valkey])
def test_jobs_travel_over_tls(connect: Connect, kind: type[Redis]) -> None:
    engine = connect("ssl_ca_certs={authority}", kind)
    worker = Worker(engine)
    push(engine, "a", "x" * 300_000)
    assert named(worker.claim(2)) == ["a", "x" * 300_000]
    push(engine, "late", delay=150_000)
    assert engine.wait(["q"], 5) > 0
    assert named([worker.claim_soon()]) == ["late"]


@pytest.mark.parametrize(
    ("options", "shown"),
    [("db=2", "ours"), ("ssl_ca_certs={authority}", "elsewhere")],
    ids=["unknown authority", "another name"],
)
def test_an_untrusted_server_receives_nothing(
    connect: Connect, files: Files, options: str, shown: str
) -> None:
    engine = connect(options, shown=getattr(files, shown))
    with pytest.raises(EngineUnavailable, match="certificate verify failed") as caught:
        push(engine, "a")
    assert "\n" not in str(caught.value)
    assert caught.value.maybe_stored is False


@pytest.mark.parametrize(
    "options", ["ssl_cert_reqs=none", "ssl_ca_certs={authority}&ssl_check_hostname=0"]
)
def test_checks_can_be_turned_off(connect: Connect, files: Files, options: str) -> None:
    engine = connect(options, shown=files.elsewhere)
    push(engine, "a")
    assert count_of(engine).ready == 1


def test_a_server_may_require_a_client_certificate(connect: Connect) -> None:
    engine = connect("ssl_ca_certs={authority}", clients="yes")
    with pytest.raises(EngineUnavailable):
        push(engine, "a")
    engine = connect(
        "ssl_ca_certs={authority}&ssl_certfile={ours}&ssl_keyfile={ours}", clients="yes"
    )
    push(engine, "a")
    assert count_of(engine).ready == 1


def test_a_forked_producer_leaves_its_parents_connection_alone(connect: Connect) -> None:
    engine = connect("ssl_ca_certs={authority}")
    push(engine, "before")
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            engine.push([Push(new_id(), "q", b"child")])
            engine.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    push(engine, "after")
    assert count_of(engine).ready == 3
