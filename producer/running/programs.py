"""Programs of the workers that make images for one command, and their answers.

`workers.engine.programs` is the other side. `storage.host.programs` asks a program that
answers one question by one object.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from storage.errors import NightsweepError, UsageError

#: Environment of a program, for variables that are not set already.
_ENVIRONMENT = {
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # GPUs are counted as nvidia-smi counts them
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}


@contextmanager
def answers_of(
    command: Sequence[str], wish: Mapping[str, Any], *, name: str, log: Path
) -> Iterator[Iterator[dict[str, Any]]]:
    """Start a program of `workers`; yield its answers as they come.

    The process ends with the block, whatever it is doing.

    Args:
        command: Starts the program, which serves one wish (`workers.engine.programs`).
        wish: What the program takes, as a JSON object.
        name: What messages call it: `measuring`.
        log: File for what the process prints besides its answers.

    Raises:
        NightsweepError: The program cannot do it, or ended early.
    """
    if find_spec("torch") is None:
        msg = (
            f"{name.capitalize()} needs the GPU packages, but torch is not installed; "
            "run `pip install 'nightsweep[torch]'`."
        )
        raise UsageError(msg)
    with (
        log.open("wb") as errors,
        subprocess.Popen(  # noqa: S603 - a program of ours
            command,
            env={**_ENVIRONMENT, **os.environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl-C reaches this process only
        ) as process,
    ):
        try:
            yield _answers(process, wish, name=name, log=log)
        finally:
            process.kill()
            if process.stdin:
                with suppress(BrokenPipeError):
                    process.stdin.close()


def _answers(
    process: "subprocess.Popen[str]", wish: Mapping[str, Any], *, name: str, log: Path
) -> Iterator[dict[str, Any]]:
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        return
    # Standard input stays open: closing it would end the process.
    with suppress(BrokenPipeError):
        stdin.write(json.dumps(wish) + "\n")
        stdin.flush()
    for line in stdout:
        answer = json.loads(line)
        if "error" in answer and "exit_code" in answer:
            raise _error(answer)
        yield answer
    code = process.wait()
    if code:
        msg = (
            f"The {name} process must reach its end, but ended with code {code}: "
            f"{_last_line(log)}; its log is {log}."
        )
        raise NightsweepError(msg)


def _error(answer: Mapping[str, Any]) -> NightsweepError:
    kind = (
        UsageError if answer["exit_code"] == UsageError.exit_code else NightsweepError
    )
    return kind(answer["error"])


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
