"""The metrics of a real pool and the dashboard in contrib/grafana, on a real Prometheus.

Prometheus adds labels of its own to what it scrapes. Here its scrape job is named "shop".
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from pathlib import Path
from re import findall
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import msgspec

from tests.process.engines import sqlite
from tests.support.project import STANDARD, Project
from tests.support.server import Server, binary, free_port
from tests.support.wait import until

pytestmark = sqlite
BOARD = Path(__file__).parents[2] / "contrib" / "grafana" / "poolq.json"
CONFIG = """
global: {{scrape_interval: 300ms, scrape_timeout: 300ms}}
scrape_configs:
- job_name: shop
  static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
JOBS = (
    STANDARD.read_text()
    + """
from threading import Event
import poolq
from poolq import Concurrent, Limit

@poolq.job(every="1s")
def tick():
    pass

class Alone(Job):
    def rate_limit(self):
        return Concurrent(1, key="alone")

    def run(self):
        Event().wait(0.4)  # long enough to be seen

class Limited(Job):
    def rate_limit(self):
        return Limit(1, **self.payload)

    def run(self):
        pass
"""
)
#: What a dashboard's user selects.
CHOICE = {"$job": "shop", "$instance": ".*", "$__rate_interval": "5s"}


class Prometheus(Server):
    """Scrapes a pool's metrics from the given port."""

    def __init__(self, folder: Path, scraped: int) -> None:
        super().__init__(folder)
        (folder / "prometheus.yml").write_text(CONFIG.format(port=scraped))

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def command(self) -> list[str]:
        return [
            binary("prometheus"), f"--web.listen-address={self.host}:{self.port}",
            f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/data",
        ]  # fmt: skip

    def answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def query(self, expression: str, **choice: str) -> list[dict[str, Any]]:
        """The result: series, each with its labels as `metric` and its `value`."""
        for variable, value in {**CHOICE, **choice}.items():
            expression = expression.replace(variable, value)
        query = urlencode({"query": expression})
        with urlopen(f"{self.url}/api/v1/query?{query}", timeout=10) as answer:
            found = msgspec.json.decode(answer.read())["data"]["result"]
        return [one for one in found if not math.isnan(float(one["value"][1]))]


def dispatch_all(project: Project) -> None:
    """Jobs with every outcome."""
    project.dispatch_many("Quick", 3, queue="emails")
    project.dispatch("Quick", delay="1 hour")
    project.dispatch("Fails")
    project.dispatch("Fails", attempts=2)
    project.dispatch("Alone")
    project.dispatch_many("Limited", [{"seconds": 1, "key": "parks"}] * 2, on_limit="park")
    project.dispatch_many("Limited", [{"seconds": 1, "key": "releases"}] * 2, attempts=9)


def test_every_panel_shows_this_scrape_job_alone(project: Project, tmp_path: Path) -> None:
    board = msgspec.json.decode(BOARD.read_bytes())
    targets = [target for panel in board["panels"] for target in panel["targets"]]
    port, folder = free_port(), tmp_path / "prometheus"
    folder.mkdir()
    project.ready(2, f"--metrics=127.0.0.1:{port}")
    project.dispatch_many("Limited", [{"hours": 1, "key": "hourly"}] * 9, on_limit="park")
    empty, dispatched_at = list(targets), 0.0

    def shown() -> bool:
        nonlocal dispatched_at
        if time.monotonic() - dispatched_at > 1:  # all the time, so that all rates are above 0
            dispatch_all(project)
            dispatched_at = time.monotonic()
        empty[:] = [one for one in empty if not prometheus.query(one["expr"])]
        return not empty

    with Prometheus(folder, port) as prometheus:
        with suppress(AssertionError):
            until(shown)
        assert [one["expr"] for one in empty] == []
        for target in targets:
            expression, labels = target["expr"], findall(r"{{(\w+)}}", target["legendFormat"])
            for series in prometheus.query(expression):
                assert series["metric"].get("job", "shop") == "shop", expression
                assert set(labels) <= set(series["metric"]), expression
            assert prometheus.query(expression, **{"$job": "blog"}) == [], expression
        # A scrape that takes too long, on a busy machine, has none.
        series = until(lambda: prometheus.query('{__name__=~"poolq_.+"}'), what="a scrape")
        found = [one["metric"] for one in series]
        assert {one["job"] for one in found} == {"shop"}
        assert not [name for one in found for name in one if name.startswith("exported_")]
        jobs = {one["job_name"] for one in found if "job_name" in one}
        assert jobs == {"jobs:Quick", "jobs:Fails", "jobs:Limited", "jobs:Alone", "jobs:tick"}
