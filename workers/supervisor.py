"""The supervisor: one process per seat, started again when it dies, ended together."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from storage import claims
from storage.database import Database
from storage.errors import NightsweepError
from storage.owners import process_name
from workers.devices import Seat
from workers.tasks import EXIT_UNFIT

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
    # GPUs are counted as nvidia-smi counts them.
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    # What transformers misses is of no use here: torchvision, for one.
    "TRANSFORMERS_VERBOSITY": "error",
}


@dataclass(slots=True)
class _Worker:
    seat: Seat
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    deaths: int = 0
    in_vain: int = 0
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
        self._stopping = False
        self._hurried = False
        self._broken = False

    def stop(self) -> None:
        """Ask for the end: workers hand their jobs back and keep what is finished.

        It only notes the wish, so that a signal handler may call it at any moment.
        """
        self._stopping = True

    def stop_at_once(self) -> None:
        """End the workers without waiting for them; their jobs are freed."""
        self._stopping = self._hurried = True

    def run(self) -> int:
        """Keep the workers alive until `stop`; give the exit code."""
        repaired = -REPAIR_S
        while not self._stopping and not self._is_hopeless():
            for worker in self._workers:
                self._tend(worker)
            if time.monotonic() - repaired >= REPAIR_S:
                self._try_repair()
                repaired = time.monotonic()
            time.sleep(TICK_S)
        self._end_all()
        return 1 if self._is_hopeless() else 0

    def _tend(self, worker: _Worker) -> None:
        if worker.process is not None and worker.process.poll() is not None:
            self._bury(worker)
        if worker.process is None and time.monotonic() >= worker.not_before:
            _start(worker, peers=len(self._workers))

    def _bury(self, worker: _Worker) -> None:
        process = worker.process
        if process is None:
            return
        _close(process)
        worker.process = None
        died = process.returncode not in (0, EXIT_UNFIT)
        held = self._free(process, died=died)
        worker.deaths = 1 if _was_healthy(worker) else worker.deaths + 1
        # Jobs that kill are set aside in the end; a worker that dies with none in
        # hand will die again.
        worker.in_vain = 0 if held or _was_healthy(worker) else worker.in_vain + 1
        wait_s = min(BACK_OFF_S * 2 ** (worker.deaths - 1), MOST_BACK_OFF_S)
        worker.not_before = time.monotonic() + wait_s
        log.error(
            "Worker %s ended with code %s; it starts again in %.0f s.",
            worker.seat.name,
            process.returncode,
            wait_s,
            extra={"action": "worker_died"},
        )
        self._try_repair()

    def _free(self, process: "subprocess.Popen[bytes]", *, died: bool) -> int:
        """Free what a worker held that is gone; give how many jobs that were."""
        owner = process_name(process.pid) + ":"
        try:
            return claims.free_owner(self._database, owner, died=died)
        except NightsweepError as exc:
            log.warning("%s", exc, extra={"action": "free_failed"})
            return 0

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
        return limit is not None and all(w.in_vain >= limit for w in self._workers)

    def _end_all(self) -> None:
        alive = [w.process for w in self._workers if w.process is not None]
        for process in alive:
            process.terminate()
        deadline = time.monotonic() + STOP_S
        while any(process.poll() is None for process in alive):
            if self._hurried or time.monotonic() > deadline:
                for process in alive:
                    process.kill()
                    process.wait()
                    self._free(process, died=False)  # our doing, not the job's
            time.sleep(TICK_S / 4)
        for process in alive:
            _close(process)


def _was_healthy(worker: _Worker) -> bool:
    return time.monotonic() - worker.started > HEALTHY_S


def _start(worker: _Worker, *, peers: int) -> None:
    seat = worker.seat
    env = {**WORKER_ENVIRONMENT, **os.environ}
    if seat.visible is not None:
        env["CUDA_VISIBLE_DEVICES"] = seat.visible
    command = [
        *(sys.executable, "-P", "-m", "workers.process", "--name", seat.name),
        *("--device", seat.device, "--threads", str(seat.threads)),
        *("--peers", str(peers)),
    ]
    worker.process = subprocess.Popen(  # noqa: S603 - our own module
        command, env=env, stdin=subprocess.PIPE, start_new_session=True
    )
    worker.started = time.monotonic()


def _close(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin:
        process.stdin.close()
