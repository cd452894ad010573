"""Fair shares: which of several owners comes next, at equal priority.

Each owner's share is the GPU seconds that images took, to which jobs in hand are added
with the owner's mean. The owner with the least comes next.

The shares of owners who have work stay close together. An owner without work falls
behind, but counts as one slice behind the highest share at most: the first image lifts
the share there, by `owners.lift_s`. So a newcomer comes first at once, for about a
slice, and nobody saves up credit that makes others wait.
"""

from collections.abc import Collection, Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.jobs.owner_uses import select_owners, sum_of
from storage.sql.schema import HELD, jobs, owner_uses, owners

#: GPU seconds by which an owner may be ahead of another one before a worker changes to
#: the other's model: loading it takes time.
SLICE_S = 300.0
#: What an image takes if none was made yet.
_UNKNOWN_S = 1.0


def lift(connection: Connection, payer: int) -> None:
    """Lift the share of an owner who is more than a slice behind; mostly, nobody is.

    Call it before what the owner used is counted. It locks the row only if it is
    changed.
    """
    others = owners.alias()
    shares = sa.select(others.c.lift_s + sum_of(owner_uses.c.used_s, others))
    top = shares.subquery()
    least = sa.select(sa.func.max(top.c[0]) - SLICE_S).scalar_subquery()
    used_s = sum_of(owner_uses.c.used_s)
    connection.execute(
        sa.update(owners)
        .where(owners.c.id == payer, owners.c.lift_s + used_s < least)
        .values(lift_s=least - used_s)
    )


def order_payers(connection: Connection, payers: Collection[int]) -> list[int]:
    """Return owners in the order in which their jobs are to be claimed."""
    if len(payers) < 2:
        return list(payers)
    shares = read_shares(connection)
    return sorted(payers, key=lambda each: (shares.get(each, 0.0), each))


def read_shares(connection: Connection) -> dict[int, float]:
    """Return the GPU seconds of each owner, jobs in hand included.

    It reads the rows of owners and of jobs in hand, however many jobs wait.
    """
    rows = connection.execute(select_owners()).all()
    held = sa.select(jobs.c.payer_id, sa.func.count()).where(HELD)
    held = held.group_by(jobs.c.payer_id)
    in_hand = {payer: int(count) for payer, count in connection.execute(held)}
    least = max((row.lift_s + row.used_s for row in rows), default=0.0) - SLICE_S
    usual_s = _mean_s(sum(r.used_s for r in rows), sum(r.made for r in rows))
    return {
        row.id: max(row.lift_s + row.used_s, least)
        + in_hand.get(row.id, 0) * _mean_s(row.used_s, row.made, usual_s)
        for row in rows
    }


def slices_ahead(
    shares: Mapping[int, float], payers_of: Mapping[str, Iterable[int]]
) -> dict[str, int]:
    """Return by how many whole slices groups are ahead of the one that comes first.

    Args:
        shares: What `read_shares` returned.
        payers_of: The owners of the waiting jobs of each group. The one with the least
            counts, since the group's next jobs are that owner's.
    """
    least = {
        group: min(shares.get(each, 0.0) for each in payers)
        for group, payers in payers_of.items()
    }
    first = min(least.values(), default=0.0)
    return {group: int((share - first) // SLICE_S) for group, share in least.items()}


def _mean_s(used_s: float, made: int, usual_s: float = _UNKNOWN_S) -> float:
    return used_s / made if made else usual_s
