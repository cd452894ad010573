"""The supervisor: a process per placement, started again when it dies."""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from storage.errors import NightsweepError
from storage.fleet.registry import Entry
from storage.host.worker_ids import my_host, my_name
from storage.sql.database import Database, utc_now
from workers.devices.placements import Placement
from workers.supervision.child import Child, Process
from workers.supervision.exit_rules import ExitRules
from workers.supervision.maintenance import Maintenance
from workers.supervision.restart_backoff import MANY_ENDS
from workers.supervision.summary import Summary
from workers.supervision.watchdog import Watchdog, read_limits
from workers.vitals import phases
from workers.vitals.exits import EXIT_UNFIT, EXIT_WRONG_PLACE, STOP_S

log = logging.getLogger(__name__)

#: Seconds between two looks at the workers.
SUPERVISOR_TICK_S = 0.2
#: Seconds between two attempts to take a placement that another worker has.
LOCK_S = 2.0
#: Seconds that a worker may take to end if nothing is lost by ending it at once.
GRACE_S = 1.0
#: Seconds that even a killed process, or freeing its jobs, may take.
KILL_S = 2.0


class Supervisor:
    """Keeps one worker process per placement alive until it is told to stop.

    When this process is gone, a worker sees its standard input end, and stops.
    """

    def __init__(
        self,
        placements: Sequence[Placement],
        *,
        database: Database,
        repair: Callable[[], object],
        keep_redis: Callable[[], object] | None = None,
        give_up_after: int | None = None,
        exit_rules: ExitRules | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            placements: One for each worker, all of one back end.
            database: Where a dead worker's jobs are freed.
            repair: Called now and then, in a thread; its errors are logged.
            keep_redis: Called every second, likewise.
            give_up_after: Ends in a row of every worker after which there is no
                hope; None to try for ever.
            exit_rules: When to end by itself; by default never.
        """
        # Read now, so that nothing is missing when a dead worker's jobs must be freed.
        self._name = my_name()
        self._children = [Child(placement) for placement in placements]
        self._maintenance = Maintenance(
            database,
            repair=repair,
            keep_redis=keep_redis,
            backend=placements[0].backend,
        )
        self._give_up_after = give_up_after
        self._exit_rules = exit_rules or ExitRules()
        self._summary = Summary()
        self._watchdog = Watchdog(read_limits())
        self._next_lock = 0.0
        self._stopping = False
        self._hurried = False
        #: Whether a worker ended because its database or folder must not be used.
        self._is_in_vain = False

    def take_placements(self) -> list[Placement]:
        """Take every placement that no other worker has; return those that are ours.

        The others are taken when they become free, as long as `run` lasts.

        Raises:
            DeviceError: The lock of a placement cannot be opened.
        """
        self._next_lock = time.monotonic() + LOCK_S
        return [child.placement for child in self._children if child.take_placement()]

    def stop(self) -> None:
        """Ask for the end: workers hand their jobs back and keep what is finished.

        It only sets a flag, so that a signal handler may call it at any moment.
        """
        self._stopping = True

    def stop_at_once(self) -> None:
        """End the workers without waiting for them; their jobs are freed."""
        self._stopping = self._hurried = True

    def run(self) -> int:
        """Keep the workers alive until `stop`; return the exit code."""
        while not self._is_over():
            self._watchdog.look()
            if time.monotonic() >= self._next_lock:
                self._next_lock = time.monotonic() + LOCK_S
                self._try(Child.take_placement, self._children)
            self._try(self._tend, self._placed())
            self._maintenance.tick(wants_work=self._exit_rules.when_idle_s is not None)
            time.sleep(SUPERVISOR_TICK_S)
        self._end_all()
        if self._maintenance.trouble:
            log.error("%s", self._maintenance.trouble, extra={"action": "wrong_place"})
        self._summary.close(self._why())
        return 1 if self._is_hopeless() else 0

    def _placed(self) -> list[Child]:
        return [child for child in self._children if child.has_placement]

    def _is_over(self) -> bool:
        is_idle = self._maintenance.has_work is False and all(
            child.process is None or child.process.is_idle for child in self._children
        )
        return (
            self._stopping
            or self._is_hopeless()
            or self._exit_rules.is_due(is_idle=is_idle)
        )

    def _why(self) -> str:
        if self._is_hopeless():
            return "no worker can go on"
        return "it was told to" if self._stopping else self._exit_rules.why

    def _is_hopeless(self) -> bool:
        if self._is_in_vain or self._maintenance.trouble:
            return True
        limit, placed = self._give_up_after, self._placed()
        if limit is None or not placed:
            return False
        return all(child.backoff.is_hopeless(limit) for child in placed)

    def _try(self, act: Callable[[Child], object], children: Sequence[Child]) -> None:
        """Call `act` for each; if it fails, others go on and it is tried later."""
        for child in children:
            if not child.backoff.is_over:
                continue
            try:
                act(child)
            except (OSError, NightsweepError) as exc:
                self._postpone(child, exc)

    def _postpone(self, child: Child, exc: Exception) -> None:
        is_in_vain = child.has_placement and child.process is None
        pause_s = child.backoff.begin(frozenset() if is_in_vain else None)
        log.error(
            "Worker %s cannot be started or looked after now: %s; it is tried again "
            "in %.0f s.",
            child.placement.name,
            exc,
            pause_s,
            extra={"action": "worker_postponed"},
        )

    def _tend(self, child: Child) -> None:
        process = child.process
        has_ended = process is not None and process.popen.poll() is not None
        child.listen()  # also to its last words
        if process is not None:
            self._summary.look(child.placement.name, process)
        if process is None:
            self._start(child)
        elif has_ended:
            self._handle_end(child, process)
        else:
            self._watch(child.placement, process)

    def _start(self, child: Child) -> None:
        if child.backoff.ends:
            self._maintenance.strike(self._backoff_name(child.placement))
        child.start(peers=len(self._placed()))
        if child.process:
            # Nobody gives up as long as there is a worker that has tried nothing yet.
            entry = _entry(child.placement, child.process.name, phase=phases.STARTING)
            self._maintenance.announce(entry)

    def _watch(self, placement: Placement, process: Process) -> None:
        """Kill a worker that makes no more progress, however lively its heartbeat."""
        stuck = self._watchdog.find_stuck(process.under_way)
        if stuck is None or process.stuck_in:
            return
        process.stuck_in = stuck.phase
        log.error(
            "Worker %s was stuck in %s for %.0f s and is killed.",
            placement.name,
            stuck.phase,
            stuck.seconds,
            extra={"action": "worker_stuck"},
        )
        process.popen.kill()

    def _handle_end(self, child: Child, process: Process) -> None:
        code = process.popen.returncode
        process.close()
        child.process = None
        if code == EXIT_WRONG_PLACE:
            self._is_in_vain = True
            self._maintenance.free(process.owner, died=False)
            return
        is_unfit = code == EXIT_UNFIT
        died = code != 0 and not is_unfit
        is_jobs_fault = died and process.is_jobs_fault
        is_loading = died and process.is_loading
        if is_loading:
            self._note_in_vain(child, process, code)
        held = self._maintenance.free_and_wake(process.owner, died=is_jobs_fault)
        if is_unfit or (held and not is_jobs_fault):
            held = None  # what it held, or gave back, says nothing
        if code:
            pause_s = child.backoff.begin(
                held, is_unfit=is_unfit, is_loading=is_loading
            )
        else:  # it was told to end, which may happen again
            pause_s = child.backoff.begin_short()
        log.error(
            "Worker %s ended with code %s; it starts again in %.0f s.",
            child.placement.name,
            code,
            pause_s,
            extra={"action": "worker_died"},
        )
        if is_unfit or child.backoff.ends >= MANY_ENDS:
            self._tell_backoff(child, code, pause_s=pause_s)

    def _note_in_vain(self, child: Child, process: Process, code: int) -> None:
        """Block, for a while, a model that ends the worker again and again."""
        ends = child.backoff.loading + 1
        if ends < MANY_ENDS:
            return
        name = child.placement.name
        how = "it made no more progress" if process.stuck_in else f"code {code}"
        reason = (
            f"ended worker {name} {ends} times in a row ({how}); see {name}.log, and "
            "whether memory is short"
        )
        self._maintenance.block(process.owner, worker=name, reason=reason)

    def _tell_backoff(self, child: Child, code: int, *, pause_s: float) -> None:
        until = datetime.now(UTC) + timedelta(seconds=pause_s)
        why = (
            "its device failed" if code == EXIT_UNFIT else f"it ended with code {code}"
        )
        name = child.placement.name
        detail = (
            f"{why}, {child.backoff.ends} in a row without an image; see {name}.log; "
            f"until {until:%H:%M:%S} UTC"
        )
        owner = self._backoff_name(child.placement)
        entry = _entry(child.placement, owner, phase=phases.BACKOFF, detail=detail)
        self._maintenance.note(entry)

    def _end_all(self) -> None:
        running = [child.process for child in self._children if child.process]
        for process in running:
            process.popen.terminate()
        self._await(running, asked=time.monotonic())
        for child in self._children:
            if child.process:
                child.process.listener.listen()
                self._summary.look(child.placement.name, child.process)
                child.process.close()
                # We ended it.
                self._maintenance.free(child.process.owner, died=False)
            if child.backoff.ends:
                self._maintenance.strike(self._backoff_name(child.placement))
            child.leave_placement()
        self._maintenance.finish(KILL_S)

    def _await(self, running: Sequence[Process], *, asked: float) -> None:
        """Wait for processes that were told to end; kill those that take too long."""
        while alive := [one for one in running if one.popen.poll() is None]:
            waited_s = time.monotonic() - asked
            for process in alive:
                process.listener.listen()
                grace_s = GRACE_S if process.is_preparing else STOP_S
                if self._hurried or waited_s > grace_s:
                    process.popen.kill()
            if waited_s > STOP_S + KILL_S:
                return  # not even a kill ends them
            time.sleep(SUPERVISOR_TICK_S / 4)

    def _backoff_name(self, placement: Placement) -> str:
        return f"{self._name}/{placement.name}"


def _entry(placement: Placement, owner: str, *, phase: str, detail: str = "") -> Entry:
    now = utc_now()
    return Entry(
        owner=owner,
        name=placement.name,
        host=my_host(),
        gpu=placement.gpu,
        backend=placement.backend,
        phase=phase,
        detail=detail,
        started_at=now,
        phase_at=now,
    )
