"""P values of several questions asked together."""

from collections.abc import Sequence


def adjust(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p values so that one error among all of them is as rare as promised.

    Holm 1979. It holds however the questions depend on each other.

    Args:
        p_values: None for a question without an answer, which stays None and does not
            count.
    """
    known = sorted((p, at) for at, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p_value, at) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p_value))
        adjusted[at] = largest
    return adjusted
