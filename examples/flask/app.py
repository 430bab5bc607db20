"""The shop's web process: `flask run`."""

from flask import Flask, request

import poolq
from jobs import SendMail
from poolq.contrib.flask import init_app


def create_app() -> Flask:
    app = Flask("shop")
    app.config["SENDER"] = "shop@example.com"
    init_app(app)

    @app.post("/orders")
    def order() -> tuple[dict[str, str], int]:
        given = request.get_json()
        text = f"Thank you for ordering {given['item']} for {given['price']}."
        job = SendMail.dispatch({"to": given["to"], "text": text})
        return {"job": job}, 202

    @app.get("/health")
    def health() -> dict[str, int]:
        return {"failed": sum(1 for _ in poolq.list(state="failed"))}

    return app
