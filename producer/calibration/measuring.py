"""The process that measures for a calibration, and its results as they come."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from storage.errors import NightsweepError, UsageError
from storage.job import PlannedJob

#: Environment of the measuring process, for variables that are not set already.
_ENVIRONMENT = {
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # GPUs are counted as nvidia-smi counts them
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}


@contextmanager
def measured(
    jobs: Sequence[PlannedJob], *, log: Path, **wish: Any
) -> Iterator[Iterator[dict[str, Any]]]:
    """Start the measuring process; yield its results as they come.

    The process ends with the block, whatever it is doing.

    Args:
        jobs: What to make.
        log: File for what the process prints besides its results.
        wish: The rest of what `workers.engine.calibration` takes.

    Raises:
        NightsweepError: The process cannot measure, or ended early.
    """
    if find_spec("torch") is None:
        msg = (
            "Measuring needs the GPU packages, but torch is not installed; run "
            "`pip install 'nightsweep[torch]'`."
        )
        raise UsageError(msg)
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-P", "-m", "workers.engine.calibration"],
            env={**_ENVIRONMENT, **os.environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl-C reaches this process only
        ) as process,
    ):
        try:
            yield _results(
                process, {**wish, "jobs": [asdict(j.job) for j in jobs]}, log
            )
        finally:
            process.kill()
            if process.stdin:
                with suppress(BrokenPipeError):
                    process.stdin.close()


def _results(
    process: "subprocess.Popen[str]", wish: Mapping[str, Any], log: Path
) -> Iterator[dict[str, Any]]:
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        return
    # Standard input stays open: closing it would end the process.
    with suppress(BrokenPipeError):
        stdin.write(json.dumps(wish) + "\n")
        stdin.flush()
    for line in stdout:
        result = json.loads(line)
        if "error" in result and "exit_code" in result:
            raise _error(result)
        yield result
    code = process.wait()
    if code:
        msg = (
            f"The measuring process must reach its end, but ended with code {code}: "
            f"{_last_line(log)}; its log is {log}."
        )
        raise NightsweepError(msg)


def _error(result: Mapping[str, Any]) -> NightsweepError:
    kind = (
        UsageError if result["exit_code"] == UsageError.exit_code else NightsweepError
    )
    return kind(result["error"])


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
