"""A worker process, as its supervisor sees it: started, heard, ended."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field

import psutil

from storage.host.worker_ids import name_of, process_name
from workers.devices.placements import Placement
from workers.supervision.restart_backoff import RestartBackoff
from workers.vitals import phases
from workers.vitals.reports import Listener, Report

#: Variables of a worker's environment, unless they are set already.
WORKER_ENVIRONMENT = {
    # Idle OpenMP threads that spin would take the cores from other workers.
    "OMP_WAIT_POLICY": "PASSIVE",
    # GPUs are counted as nvidia-smi counts them.
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    # Batches of many sizes leave fewer gaps in a GPU's memory.
    "PYTORCH_ALLOC_CONF": "expandable_segments:True",
    # Packages that transformers misses are of no use here: torchvision, for one.
    "TRANSFORMERS_VERBOSITY": "error",
}
#: Phases in which a lack of progress may be the fault of what is in hand.
OF_JOBS = frozenset({phases.COMPILING, phases.PAINTING, phases.SCORING})


@dataclass(slots=True, kw_only=True)
class Process:
    """A running worker.

    Attributes:
        popen: The process; when the supervisor is gone, its standard input ends, and
            it stops.
        listener: Receives its reports.
        started: When it was started; by the monotonic clock.
        stuck_in: Phase in which it was stuck, and for which it was killed.
        told: Its report at the last look of `Summary`.
        announced: What it prepares, as last logged.
    """

    popen: "subprocess.Popen[bytes]"
    listener: Listener
    started: float = field(default_factory=time.monotonic)
    stuck_in: str | None = None
    told: Report = field(default_factory=Report)
    announced: str = ""

    @property
    def name(self) -> str:
        """Its name in claims; only the beginning if it is gone already."""
        try:
            return name_of(self.popen.pid)
        except psutil.Error:
            return self.owner

    @property
    def owner(self) -> str:
        """What its name in claims begins with."""
        return process_name(self.popen.pid) + ":"

    @property
    def under_way(self) -> tuple[tuple[str, float], ...]:
        """What its threads do, each with the moment of the last progress."""
        if self.listener.report is None:
            return ((phases.STARTING, self.started),)
        return self.listener.report.under_way

    @property
    def report(self) -> Report:
        """Its last report; an empty one before the first."""
        return self.listener.report or Report()

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing to do."""
        return not self.under_way

    @property
    def is_preparing(self) -> bool:
        """Whether nothing is lost if it is ended at once, as no job is begun."""
        return bool(self._doing) and self._doing <= phases.PREPARING

    @property
    def is_loading(self) -> bool:
        """Whether it does nothing but fetch or load a model."""
        return self.is_preparing and phases.STARTING not in self._doing

    @property
    def _doing(self) -> set[str]:
        return {phase for phase, _ in self.under_way}

    @property
    def is_jobs_fault(self) -> bool:
        """Whether its end may be its jobs' fault, if there was no other reason."""
        if self.stuck_in:
            return self.stuck_in in OF_JOBS
        return not self.is_preparing

    def close(self) -> None:
        """Close the pipes to it, once it is gone."""
        self.listener.close()
        if self.popen.stdin:
            self.popen.stdin.close()


@dataclass(slots=True)
class Child:
    """A placement, and the process on it, if there is one.

    Attributes:
        placement: The device, and what the worker is called.
        backoff: How often the process ended.
        process: The worker, running or just ended.
    """

    placement: Placement
    backoff: RestartBackoff = field(default_factory=RestartBackoff)
    process: Process | None = None

    @property
    def has_placement(self) -> bool:
        """Whether the placement is ours to use."""
        return self.placement.lock is None or self.placement.lock.file is not None

    def take_placement(self) -> bool:
        """Take the placement if no other worker has it; return whether it is ours."""
        return self.placement.lock is None or self.placement.lock.take()

    def leave_placement(self) -> None:
        """Release the placement; others can take it once the worker is gone too."""
        if self.placement.lock:
            self.placement.lock.release()

    def start(self, *, peers: int) -> None:
        """Start a worker.

        Args:
            peers: Workers of this supervisor, itself included.

        Raises:
            OSError: There is no memory, process or file descriptor left for it.
        """
        ours, its = os.pipe()
        lock = self.placement.lock
        kept = [its, *([lock.file] if lock and lock.file else ())]
        try:
            popen = subprocess.Popen(  # noqa: S603 - our own module
                _command(self.placement, peers=peers, report=its),
                env=_environment(self.placement),
                stdin=subprocess.PIPE,
                # Celery writes there about Ctrl-C, which only the supervisor receives.
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=kept,
            )
        except Exception:
            os.close(ours)
            raise
        finally:
            os.close(its)
        self.process = Process(popen=popen, listener=Listener(ours))

    def listen(self) -> None:
        """Read the worker's reports; an image forgives earlier ends."""
        if self.process is not None:
            self.process.listener.listen()
            if self.process.report.images:
                self.backoff.forgive()


def _command(placement: Placement, *, peers: int, report: int) -> list[str]:
    return [
        *(sys.executable, "-P", "-m", "workers.process.main", "--name", placement.name),
        *("--device", placement.device, "--threads", str(placement.threads)),
        *("--backend", placement.backend),
        *("--gpu", placement.gpu, "--peers", str(peers), "--report", str(report)),
    ]


def _environment(placement: Placement) -> dict[str, str]:
    env = {**WORKER_ENVIRONMENT, **os.environ}
    if placement.visible is not None:
        env["CUDA_VISIBLE_DEVICES"] = placement.visible
    return env
