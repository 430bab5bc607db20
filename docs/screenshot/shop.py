"""The jobs of the pictures, besides those of `poolq demo`: three with typical problems."""

import socket
from pathlib import Path
from time import sleep

import poolq
from poolq import Limit
from poolq.demo import jobs as demo

_rows: list[list[bytes]] = []


class SendMail(demo.SendMail):
    """The demo's job with a lower limit; mails over the limit are parked."""

    on_limit = "park"

    def rate_limit(self) -> Limit:
        return Limit(20, minutes=2)


@poolq.job(queue="stock")
def sync_stock(port: int, shop: int) -> None:
    """Request a shop's stock without a timeout, so it waits forever for a shop that never
    answers."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(f"{shop}\n".encode())
        line.recv(1024)


@poolq.job(queue="imports")
def import_catalog(files: list[str]) -> None:
    """Read one file after the other, and keep them all in memory."""
    for number, file in enumerate(files, 1):
        _rows.append(Path(file).read_bytes().splitlines())
        poolq.current().progress(number, len(files), Path(file).name)
        sleep(0.04)
