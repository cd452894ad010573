"""The orders in which a sweep may be made."""

from producer.spec.problems import nearest, shown
from storage.errors import UsageError

BREADTH_FIRST = "breadth-first"
COARSE_FIRST = "coarse-first"
CHEAPEST_FIRST = "cheapest-first"
RANDOM = "random"
ORDERS = (BREADTH_FIRST, COARSE_FIRST, CHEAPEST_FIRST, RANDOM)


def read_order(text: str) -> str:
    """Read the name of an order.

    Raises:
        UsageError: It is none.
    """
    if text not in ORDERS:
        msg = (
            f"order must be one of {', '.join(ORDERS)}, got {shown(text)}; "
            f"{nearest(text, ORDERS)}"
        )
        raise UsageError(msg)
    return text
