"""The supervisor: one process per seat, started again when it dies, ended together."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from storage import claims
from storage.database import Database
from storage.errors import NightsweepError
from storage.owners import process_name
from workers.devices import Seat

log = logging.getLogger(__name__)

#: Seconds between two looks at the workers.
TICK_S = 0.2
#: Seconds between two repairs.
REPAIR_S = 10.0
#: Seconds that a dead worker's seat stays empty: doubled with each death, to the most.
BACK_OFF_S = 1.0
MOST_BACK_OFF_S = 60.0
#: Seconds alive after which a death counts as the first again.
HEALTHY_S = 120.0
#: Seconds that a worker may take to end when told to.
STOP_S = 60.0

#: What a worker's environment has unless it is set already.
WORKER_ENVIRONMENT = {
    # Idle OpenMP threads that spin would take the cores from other workers.
    "OMP_WAIT_POLICY": "PASSIVE",
    # What transformers misses is of no use here: torchvision, for one.
    "TRANSFORMERS_VERBOSITY": "error",
}


@dataclass(slots=True)
class _Worker:
    seat: Seat
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    deaths: int = 0
    not_before: float = 0.0


class Supervisor:
    """Keeps one worker process per seat alive until it is told to stop.

    A worker sees the end of its standard input, and stops, when this process is gone.
    """

    def __init__(
        self,
        seats: Sequence[Seat],
        *,
        database: Database,
        repair: Callable[[], object],
        give_up_after: int | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            seats: One for each worker.
            database: Where a dead worker's jobs are freed.
            repair: Called now and then; its errors are logged.
            give_up_after: Deaths in a row of every worker after which there is no
                hope; None to try for ever.
        """
        self._workers = [_Worker(seat) for seat in seats]
        self._database = database
        self._repair = repair
        self._give_up_after = give_up_after
        self._stopping = threading.Event()
        self._broken = False

    def stop(self) -> None:
        """Ask for the end; a second time, end the workers at once."""
        if self._stopping.is_set():
            self._signal_all(signal.SIGKILL)
        self._stopping.set()

    def run(self) -> int:
        """Keep the workers alive until `stop`; give the exit code."""
        repaired = -REPAIR_S
        while not self._stopping.is_set() and not self._is_hopeless():
            for worker in self._workers:
                self._tend(worker)
            if time.monotonic() - repaired >= REPAIR_S:
                self._try_repair()
                repaired = time.monotonic()
            self._stopping.wait(TICK_S)
        self._end_all()
        return 1 if self._is_hopeless() else 0

    def _tend(self, worker: _Worker) -> None:
        if worker.process is not None and worker.process.poll() is not None:
            self._bury(worker)
        if worker.process is None and time.monotonic() >= worker.not_before:
            _start(worker)

    def _bury(self, worker: _Worker) -> None:
        process = worker.process
        if process is None:
            return
        alive_s = time.monotonic() - worker.started
        worker.deaths = 1 if alive_s > HEALTHY_S else worker.deaths + 1
        wait_s = min(BACK_OFF_S * 2 ** (worker.deaths - 1), MOST_BACK_OFF_S)
        worker.not_before = time.monotonic() + wait_s
        worker.process = None
        _close(process)
        log.error(
            "Worker %s ended with code %s; it starts again in %.0f s.",
            worker.seat.name,
            process.returncode,
            wait_s,
            extra={"action": "worker_died"},
        )
        try:
            claims.free_owner(
                self._database, process_name(process.pid) + ":", died=True
            )
        except NightsweepError as exc:
            log.warning("%s", exc, extra={"action": "free_failed"})
        self._try_repair()

    def _try_repair(self) -> None:
        try:
            self._repair()
        except NightsweepError as exc:
            if not self._broken:
                log.warning("Waiting: %s", exc, extra={"action": "repair_failed"})
            self._broken = True
        else:
            self._broken = False

    def _is_hopeless(self) -> bool:
        limit = self._give_up_after
        return limit is not None and all(w.deaths >= limit for w in self._workers)

    def _end_all(self) -> None:
        self._signal_all(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for worker in self._workers:
            if worker.process is None:
                continue
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            _close(worker.process)

    def _signal_all(self, number: int) -> None:
        for worker in self._workers:
            if worker.process is not None and worker.process.poll() is None:
                worker.process.send_signal(number)


def _start(worker: _Worker) -> None:
    seat = worker.seat
    env = {**WORKER_ENVIRONMENT, **os.environ}
    if seat.visible is not None:
        env["CUDA_VISIBLE_DEVICES"] = seat.visible
    command = [
        *(sys.executable, "-P", "-m", "workers.process", "--name", seat.name),
        *("--device", seat.device, "--threads", str(seat.threads)),
    ]
    worker.process = subprocess.Popen(  # noqa: S603 - our own module
        command, env=env, stdin=subprocess.PIPE, start_new_session=True
    )
    worker.started = time.monotonic()


def _close(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin:
        process.stdin.close()
