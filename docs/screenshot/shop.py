"""The jobs of the pictures, beside those of `poolq demo`: three as they go wrong in real pools."""

import socket
from pathlib import Path
from time import sleep

import poolq
from poolq import Limit
from poolq.demo import jobs as demo

_rows: list[list[bytes]] = []


class SendMail(demo.SendMail):
    """The demo's, where the mail server takes fewer; a mail over the limit waits in line."""

    on_limit = "park"

    def rate_limit(self) -> Limit:
        return Limit(20, minutes=2)


@poolq.job(queue="stock")
def sync_stock(port: int, shop: int) -> None:
    """Ask a shop for its stock, without a timeout: one that never answers is waited for."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(f"{shop}\n".encode())
        line.recv(1024)


@poolq.job(queue="imports")
def import_catalog(files: list[str]) -> None:
    """Read one file after the other, and let go of none."""
    for number, file in enumerate(files, 1):
        _rows.append(Path(file).read_bytes().splitlines())
        poolq.current().progress(number, len(files), Path(file).name)
        sleep(0.04)
