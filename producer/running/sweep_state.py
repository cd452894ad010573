"""How far a sweep is, in numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from producer.display.amounts import images
from producer.options import program
from producer.running.budget_text import describe_budget, describe_spent
from storage.jobs import sweep_counts, sweeps
from storage.jobs.blocked_groups import Blocked, blocked_jobs
from storage.jobs.budgets import QUOTA, Budget, find_budget
from storage.jobs.companions import find_companion
from storage.jobs.completeness import Incomplete, find_incomplete
from storage.jobs.sweeps import Sweep
from storage.scores import score_counts
from storage.scores.score_counts import count_open
from storage.sql.database import Database
from storage.sql.schema import JOB_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a sweep is.

    Attributes:
        sweep: Its name.
        state: Of `storage.sql.schema.SWEEP_STATES`.
        reason: Why it is paused, if it paused itself.
        priority: 0, first, to 9, last.
        total: Jobs that it wants.
        pending: Jobs that wait.
        leased: Jobs in a worker's hands.
        done: Finished images.
        failed: Jobs that failed; `nightsweep find --state failed` says why.
        quarantined: Jobs that crashed their worker again and again.
        evicted: Images whose files were removed.
        images_per_s: Rate over the last minute.
        eta_s: Seconds until the end at that rate; None if nobody works on it.
        blocked: What holds unmade jobs up, and where.
        incomplete: How far its submission got; None if all its jobs are stored.
        references: Jobs for its scores to compare with that are still to be made.
        open_scores: Scores of its images that will be computed, if workers go on.
        scores: All scores of its images by state.
        budget: What stops it before all is made; None for nothing.
        owner: The person who submitted it first; None if it has none.
    """

    sweep: str
    state: str
    reason: str | None = None
    priority: int = sweeps.NORMAL_PRIORITY
    total: int
    pending: int
    leased: int
    done: int
    failed: int
    quarantined: int
    evicted: int = 0
    images_per_s: float
    eta_s: float | None
    blocked: Sequence[Blocked] = ()
    incomplete: Incomplete | None = None
    references: int = 0
    open_scores: int = 0
    scores: Mapping[str, int] = field(default_factory=dict)
    budget: Budget | None = None
    owner: str | None = None

    @property
    def unmade(self) -> int:
        """Jobs that are still to be made."""
        return self.pending + self.leased

    @property
    def is_at_limit(self) -> bool:
        """Whether it is paused since a limit is reached."""
        reached = self.budget and self.budget.reached
        return self.state == "paused" and bool(reached)

    @property
    def is_at_quota(self) -> bool:
        """Whether that limit is the quota of its owner."""
        return bool(self.budget and self.budget.reached == QUOTA)

    @property
    def is_open(self) -> bool:
        """Whether anything is left to make or to compute."""
        return bool(self.unmade or self.references or self.open_scores)

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens: all is made, or it is paused or cancelled.

        A sweep at its limit is over once its jobs in hand are finished.
        """
        is_finishing = self.is_at_limit and self.leased > 0
        return not self.is_open or (self.state != "active" and not is_finishing)


def standing(
    database: Database, sweep: Sweep, counts: Mapping[str, int] | None = None
) -> Standing:
    """Return how far a sweep is, with its present state.

    Args:
        database: Where it is.
        sweep: The sweep.
        counts: Its jobs by state; None to count them, which takes a second for a
            million.
    """
    now = sweeps.read_again(database, sweep)
    if counts is None:
        counts = sweep_counts.count_states(database, sweep)
    rate = sweep_counts.recent_rate(database, sweep)
    unmade = counts.get("pending", 0) + counts.get("leased", 0)
    scores = score_counts.count_states(database, sweep.id).get(sweep.id, {})
    is_open = any(scores.get(state) for state in ("waiting", "pending", "leased"))
    return Standing(
        sweep=now.name,
        state=now.state,
        reason=now.reason,
        priority=now.priority,
        total=sum(counts.values()),
        **{state: counts.get(state, 0) for state in JOB_STATES},
        images_per_s=round(rate, 3),
        eta_s=round(unmade / rate, 1) if rate and counts.get("leased") else None,
        blocked=blocked_jobs(database, sweep),
        incomplete=find_incomplete(database, sweep),
        references=_unmade_references(database, sweep) if scores else 0,
        open_scores=count_open(database, sweep_id=sweep.id) if is_open else 0,
        scores=scores,
        budget=find_budget(database, sweep.id),
        owner=now.owner,
    )


def _unmade_references(database: Database, sweep: Sweep) -> int:
    companion = find_companion(database, sweep)
    if companion is None or companion.state != "active":
        return 0
    counts = sweep_counts.count_states(database, companion)
    return counts.get("pending", 0) + counts.get("leased", 0)


def describe_counts(states: Mapping[str, int]) -> str:
    """Say how many of some jobs are made, failed or unmade, by their states."""
    unmade = sum(states.get(state, 0) for state in sweeps.UNMADE)
    failed = sum(states.get(state, 0) for state in sweeps.FAILED)
    parts = [f"{images(states.get('done', 0))} made"]
    parts += [f"{failed:,} failed"] if failed else []
    parts += [f"{unmade:,} unmade"] if unmade else []
    return ", ".join(parts)


def describe_notes(now: Standing) -> Iterator[str]:
    """Yield why a sweep paused, what stops it, what is not stored, and its scores."""
    if now.reason:
        yield f"{now.sweep} is {now.state}: {now.reason}"
    if limits := describe_limits(now):
        yield limits
    if now.incomplete and now.state != "cancelled":
        yield describe_incomplete(now.sweep, now.incomplete)
    if scores := describe_scores(now):
        yield scores


def describe_scores(now: Standing) -> str:
    """Say in a line how far the scores of a sweep are; empty if there are none."""
    words = {
        "done": "done",
        "leased": "being computed",
        "pending": "pending",
        "waiting": "waiting for images",
        "failed": "failed",
    }
    said = [
        f"{now.scores[s]:,} {word}" for s, word in words.items() if now.scores.get(s)
    ]
    return f"{now.sweep}: scores: {', '.join(said)}." if said else ""


def describe_incomplete(sweep: str, found: Incomplete) -> str:
    """Say in a sentence that jobs of a sweep are not stored, and what to do."""
    return (
        f"{sweep}: its submission was cut off, or is still at work: "
        f"{found.stored:,} of {images(found.wanted)} stored; go on with "
        f"`{program()} submit {sweep}`."
    )


def describe_limits(now: Standing) -> str:
    """Say what will stop a sweep, or how to go on at its limit; empty for nothing."""
    if now.is_at_limit:
        return describe_limit(now)
    if now.budget and now.state == "active" and now.is_open:
        return f"{now.sweep} stops {describe_budget(now.budget)}."
    return ""


def describe_limit(now: Standing) -> str:
    """Say how to go on with a sweep that has reached a limit."""
    if now.is_at_quota:
        return (
            f"{now.sweep}: {images(now.unmade)} left. It goes on by itself when the "
            f"quota is raised or its next period begins; see `{program()} quota`."
        )
    spent = describe_spent(now.budget) if now.budget else ""
    return (
        f"{now.sweep}: {spent}{images(now.unmade)} left. `{program()} resume "
        f"{now.sweep}` goes on without limits, or with those that you give it, such as "
        "--gpu-hours 4."
    )


def describe(blocked: Blocked) -> str:
    """Say in a sentence what cannot be made, by whom and why."""
    workers = ", ".join(blocked.workers)
    return (
        f"{images(blocked.images)} cannot be made by {workers} on {blocked.host}: "
        f"{blocked.reason}"
    )
