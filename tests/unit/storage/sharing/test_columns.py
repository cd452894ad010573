"""An export has every column, or there is a reason why it has not."""

import pytest
import sqlalchemy as sa

from storage.sharing.gathered_rows import METRIC, RESULT, SCORE
from storage.sharing.manifest import OF_JOB
from storage.sql import schema

#: Rows of this home, and what its workers and its clock say.
OF_THE_HOME = {"id", "job_id", "metric_id", "model_id", "prompt_id", "scheduler_id"}
OF_THE_HOME |= {"sweep_id", "place_id", "folder_id", "environment_id", "reference_id"}
OF_THE_HOME |= {"created_at", "priority", "attempts", "deaths", "owner", "lease_until"}
OF_THE_HOME |= {"payer_id", "owner_id"}  # an export names the owner
OF_THE_HOME |= {"error", "state", "told", "changes", "judged", "reason", "revision"}
#: What other lines say, or what follows from the rest.
TOLD_ELSEWHERE = {"key", "position", "evaluations", "group_key", "total_s", "path"}
TOLD_ELSEWHERE |= {"digest", "job_a", "job_b", "submitting"}
SWEEP = {"name", "spec", "axes", "priority", "min_free_bytes", "reference_of"}


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (schema.jobs, {*OF_JOB}),
        (schema.results, {*RESULT}),
        (schema.scores, {*SCORE}),
        (schema.metrics, {*METRIC}),
        (schema.sweeps, SWEEP),
        (schema.ratings, {"who", "stars", "verdict", "rated_at"}),
        (schema.votes, {"who", "axis", "winner", "query", "voted_at"}),
    ],
)
def test_an_export_has_every_column(table: sa.Table, told: set[str]) -> None:
    left = {column.name for column in table.c} - told - OF_THE_HOME - TOLD_ELSEWHERE
    assert left == set(), f"add them to storage.sharing, or name them here: {left}"
