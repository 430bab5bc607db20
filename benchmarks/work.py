"""The work that every contender is given: no-op jobs with a payload of 60 bytes of JSON."""

import json
import os

PAYLOAD = {"to": "somebody@example.com", "n": 1234, "text": "hello to you"}
BYTES = len(json.dumps(PAYLOAD, separators=(",", ":")))

#: Where the jobs live, for the peers' modules; nothing is stored by who only reads this.
URL = os.environ.get("BENCH_URL", "")


def host_and_port() -> tuple[str, int]:
    """Those of the server in URL."""
    place = URL.partition("://")[2].partition("/")[0].rpartition("@")[2]
    host, _, port = place.partition(":")
    return host, int(port)


def file() -> str:
    """The path of the SQLite file in URL."""
    return URL.removeprefix("sqlite:///")
