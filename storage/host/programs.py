"""Programs of nightsweep that answer one question by one JSON object, and end.

`producer.running.programs` is for programs that take a wish and answer line by line for
as long as the command runs.
"""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

#: Seconds until an answer; importing torch may take a minute of them.
ANSWER_S = 180.0


def ask_program(command: Sequence[str]) -> dict[str, Any]:
    """Run a program, and return the JSON object that it prints.

    Returns:
        The object; of a program that ends without one, or takes longer than `ANSWER_S`,
            only `reason`: the last line of its standard error, or that it said nothing.
    """
    try:
        done = subprocess.run(  # noqa: S603 - a program of ours
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ANSWER_S,
            check=False,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return {"reason": f"no answer in {ANSWER_S:g} s"}
    except ValueError:
        lines = done.stderr.strip().splitlines()
        return {"reason": lines[-1] if lines else "no answer"}
    return answer
