"""What the budgets of sweeps allow to claim."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.jobs.budgets import OPEN, budget_of, find_payers, is_led_by
from storage.sql.clocks import clock
from storage.sql.schema import HELD, budgets, jobs, sweep_jobs, sweeps


class Allowances:
    """How many jobs of each sweep with limits may be claimed; for one transaction.

    On PostgreSQL it locks the budgets, so that two workers do not claim the last job
    of a budget together.
    """

    def __init__(self, connection: Connection, *, wanted: int) -> None:
        """Read what is left of the budgets of active sweeps, for so many jobs."""
        self._connection = connection
        # In the order of their ids, as all rows that are locked.
        query = OPEN.order_by(budgets.c.sweep_id).with_for_update(of=budgets)
        rows = connection.execute(query).all()
        now = clock(connection) if rows else 0.0
        self._left = {
            row.sweep_id: self._allow(row, now, wanted=wanted) for row in rows
        }

    def choose(self, found: Sequence[Any]) -> Sequence[Any]:
        """Return those of the rows of jobs that may be claimed."""
        if not self._left:
            return found
        payers = find_payers(self._connection, [row.id for row in found])
        return [row for row in found if self._spend(payers.get(row.id))]

    def _allow(self, row: Any, now: float, *, wanted: int) -> int | None:
        """Return how many jobs may be claimed; None for any number.

        The answer may be too low as long as it is no lower than `wanted`.
        """
        budget = budget_of(row)
        # To find out whose jobs in hand are takes long, and workers wait meanwhile.
        # While much is left, it is enough to count those of all sweeps.
        held = sa.select(sa.func.count()).select_from(jobs).where(HELD)
        if budget.allow(now, in_hand=0) is None:
            return None
        least = budget.allow(now, in_hand=self._connection.execute(held).scalar_one())
        if least is None or least >= wanted:
            return least
        mine = sa.select(sweeps.c.id).where(is_led_by(row.sweep_id))
        is_mine = sa.exists().where(
            sweep_jobs.c.job_id == jobs.c.id, sweep_jobs.c.sweep_id.in_(mine)
        )
        in_hand = self._connection.execute(held.where(is_mine)).scalar_one()
        return budget.allow(now, in_hand=in_hand)

    def _spend(self, sweep_id: int | None) -> bool:
        left = None if sweep_id is None else self._left.get(sweep_id)
        if sweep_id is not None and left:
            self._left[sweep_id] = left - 1
        return left is None or left > 0
