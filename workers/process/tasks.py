"""The two Celery tasks: thin shells around turns, for images and for scores."""

import logging
import re
from typing import Any, TypeGuard

from celery import Celery
from celery.worker import state

from storage.broker.queue import MAKE, MESSAGE_KEYS, SCORE
from storage.errors import DeviceError, WrongPlaceError
from storage.files.images import KEY
from workers.execution.heartbeat import Heartbeat
from workers.execution.turn import Turn
from workers.painting import StoppedError
from workers.process.message_filter import MessageFilter
from workers.scoring.score_turn import ScoreTurn
from workers.vitals import outages
from workers.vitals.exits import EXIT_UNFIT, EXIT_WRONG_PLACE

log = logging.getLogger(__name__)


def register(
    app: Celery, turn: Turn, heartbeat: Heartbeat, *, score_turn: ScoreTurn
) -> None:
    """Give `app` the tasks that make jobs with `turn`, and scores with `score_turn`."""
    app.steps["consumer"].add(MessageFilter)

    @app.task(name=MAKE, shared=False)
    def make(keys: object) -> None:
        outages.end(outages.REDIS)
        if known := valid_keys(keys):
            score_turn.release()
            with heartbeat.during():
                _take(turn, known)

    @app.task(name=SCORE, shared=False)
    def score(digest: object) -> None:
        outages.end(outages.REDIS)
        if known := valid_digest(digest):
            _take(score_turn, known)


def valid_keys(keys: object) -> list[str]:
    """Return the keys of a message, or none if it is not a list of keys."""
    if (
        isinstance(keys, list)
        and 0 < len(keys) <= MESSAGE_KEYS
        and all(map(_is_key, keys))
    ):
        return keys
    _tell_malformed()
    return []


def valid_digest(digest: object) -> str:
    """Return the digest of a message, or an empty text if it is none."""
    if _is_key(digest):
        return digest
    _tell_malformed()
    return ""


def should_stop() -> bool:
    """Return whether Celery was asked to end this worker."""
    return state.should_stop is not None or state.should_terminate is not None


def _is_key(text: object) -> TypeGuard[str]:
    return isinstance(text, str) and re.fullmatch(KEY, text) is not None


def _tell_malformed() -> None:
    log.warning("Discarded a malformed message.", extra={"action": "discarded"})


def _take(turn: Turn | ScoreTurn, named: Any) -> None:
    """Take a turn. What it leaves undone is pending in SQL, and is sent again."""
    try:
        turn.take(named)
    except StoppedError:
        log.info("Stopped before the end of the turn.", extra={"action": "stopped"})
    except (DeviceError, WrongPlaceError) as exc:
        log.error("%s", exc, extra={"action": "worker_unfit"})  # noqa: TRY400 - a sentence
        is_device = isinstance(exc, DeviceError)
        code = EXIT_UNFIT if is_device else EXIT_WRONG_PLACE
        state.should_stop = code  # type: ignore[assignment]
