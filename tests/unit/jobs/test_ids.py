"""Ids: unique whatever forks or seeds, and in the order of their making."""

import os
import random
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from poolq.jobs.ids import new_id


def test_an_id_is_a_uuid_of_version_7_of_now() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id()
    after = time.time_ns() // 1_000_000
    assert re.fullmatch("[0-9a-f]{32}", made)
    read = uuid.UUID(made)
    assert (read.version, read.variant) == (7, uuid.RFC_4122)
    assert before <= int(made[:12], 16) <= after + 1


def test_ids_sort_in_the_order_of_their_making() -> None:
    made = [new_id() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_threads_never_share_an_id() -> None:
    with ThreadPoolExecutor(8) as pool:
        lots = pool.map(lambda _: [new_id() for _ in range(5_000)], range(8))
    made = [one for lot in lots for one in lot]
    assert len(set(made)) == len(made)


def test_a_seed_of_the_application_changes_nothing() -> None:
    random.seed(1)
    first = new_id()
    random.seed(1)
    assert first[17:] != new_id()[17:]


def test_a_forked_child_draws_other_random_bits() -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, new_id().encode())
        os._exit(0)
    mine = new_id()
    os.waitpid(child, 0)
    theirs = os.read(read, 32).decode()
    os.close(read)
    os.close(write)
    assert mine[17:] != theirs[17:]
