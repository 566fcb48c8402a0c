"""An order that is charged once, waits for an approval, and survives the death of its process at any moment.

In one shell, run a worker; kill it as often as you like, and start it again:

    trio-steps work examples.approval:order --store runs.db

In another one, submit an order, look at it, and approve it:

    trio-steps submit examples.approval:order --input '{"order": 42}' --store runs.db --run-id order-42
    trio-steps show order-42 --store runs.db
    trio-steps answer order-42 --set approved=true --store runs.db

The card company is a file here, ``charges``. Two requests with the same key charge once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import trio

from trio_steps import Pipeline, current_scope

CHARGES = Path("charges")


class Order(TypedDict):
    """The input of an order."""

    order: int


async def charge(order: int) -> str:
    """Charge the card once for each key. A step whose process died before its save asks again with the same key."""
    key = current_scope().key
    (CHARGES / key.replace("/", "-")).write_text(f"{order}\n", encoding="utf-8")
    return f"R-{order}"


async def pack(order: int) -> list[str]:
    """Pack the parcel in the meantime, which takes a while."""
    parts: list[str] = []
    for part in ("paper", "goods", "label"):
        await trio.sleep(0.05)
        parts.append(f"{part} {order}")
    return parts


async def ship(approved: bool, packed: list[str]) -> bool:
    """Ship the parcel if it was approved."""
    return approved and bool(packed)


CHARGES.mkdir(exist_ok=True)
payment = Pipeline("payment", inputs=Order).step("charge", charge, provides="receipt")
payment = payment.wait_for("approval", provides="approved", of=bool)
parcel = Pipeline("parcel", inputs=Order).step("pack", pack, provides="packed")
order = Pipeline("order", inputs=Order).step("prepare", payment, parcel).step("ship", ship, provides="shipped")
