"""The shop's web process: `uvicorn app:app`."""

from decimal import Decimal

from fastapi import FastAPI
from pydantic import BaseModel

from jobs import Order, confirm

app = FastAPI()


class Given(BaseModel):
    item: str
    price: Decimal
    to: str


@app.post("/orders", status_code=202)
async def order(given: Given) -> dict[str, str]:
    job = await confirm.adispatch(Order(given.item, given.price, given.to))
    return {"job": job}
