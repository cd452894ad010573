"""Programs that make images for one command, outside of the queue.

    python -P -m workers.engine.programs calibrate

A program reads its wish from standard input, one line of JSON, and writes its answers
to standard output as lines of JSON; the last one may be the error that ended it. It
also ends when its standard input ends. `producer.running.programs` is the command's
side.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Any

from storage.errors import NightsweepError, UsageError
from storage.host.gpus import has_nvidia
from storage.job import Job, Model
from workers.devices.placements import probe
from workers.heavy_imports import import_function

#: Module and function of each program.
PROGRAMS = {
    "calibrate": "workers.engine.calibration:calibrate",
    "reproduce": "workers.engine.reproduction:reproduce",
}

#: Sends one answer, a JSON object.
Send = Callable[[Mapping[str, Any]], None]


def serve(program: Callable[[Mapping[str, Any], Send], None]) -> None:
    """Read a wish, have `program` answer it, and end with its error's code, if any.

    Args:
        program: Called with the wish, and with a function that sends an answer.
    """
    out = sys.stdout

    def send(answer: Mapping[str, Any]) -> None:
        out.write(json.dumps(answer) + "\n")
        out.flush()

    wish = json.loads(sys.stdin.readline())
    _end_with_parent()
    try:
        with redirect_stdout(sys.stderr):  # keep what packages print off
            program(wish, send)
    except NightsweepError as exc:
        send({"error": str(exc), "exit_code": exc.exit_code})
        sys.exit(exc.exit_code)


def choose_device(asked: str | None) -> str:
    """Return the device to make images on.

    Args:
        asked: Its name; None for the first GPU, or for the CPU if there is no GPU.

    Raises:
        UsageError: There is no such device.
        DeviceError: There is a GPU that torch cannot use.
    """
    if asked == "cpu" or (asked is None and not has_nvidia()):
        return "cpu"
    devices = [f"cuda:{index}" for index in range(len(probe()))]
    if asked not in (None, *devices):
        msg = f"--device must be one of cpu, {', '.join(devices)}, got {asked}."
        raise UsageError(msg)
    return asked or devices[0]


def read_job(row: Mapping[str, Any]) -> Job:
    """Return the job that a wish holds as a JSON object of its fields."""
    parts = tuple(map(read_model, row["parts"]))
    return Job(**{**row, "model": read_model(row["model"]), "parts": parts})


def read_model(row: Mapping[str, Any]) -> Model:
    """Return the model that a wish holds as a JSON object of its fields."""
    return Model(**{**row, "former_fingerprints": tuple(row["former_fingerprints"])})


def _end_with_parent() -> None:
    def wait() -> None:
        while os.read(0, 4096):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    serve(import_function(PROGRAMS[sys.argv[1]]))
