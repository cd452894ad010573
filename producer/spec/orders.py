"""The orders in which a sweep may be made."""

from producer.spec.problems import closest, shown
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
        close = closest(text, ORDERS)
        way_out = f"did you mean `{close}`?" if close else "write one of them"
        msg = f"order must be one of {', '.join(ORDERS)}, got {shown(text)}; {way_out}"
        raise UsageError(msg)
    return text
