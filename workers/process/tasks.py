"""The one Celery task: a thin shell around a turn."""

import logging
import re

from celery import Celery
from celery.worker import state

from storage.broker.queue import MAKE, MESSAGE_KEYS
from storage.errors import DeviceError, WrongPlaceError
from storage.files.images import KEY
from workers.execution.heartbeat import Heartbeat
from workers.execution.turn import Turn
from workers.painting import StoppedError
from workers.process.message_filter import MessageFilter
from workers.vitals import outages
from workers.vitals.exits import EXIT_UNFIT, EXIT_WRONG_PLACE

log = logging.getLogger(__name__)


def register(app: Celery, turn: Turn, heartbeat: Heartbeat) -> None:
    """Give `app` the task that makes jobs with `turn`."""
    app.steps["consumer"].add(MessageFilter)

    @app.task(name=MAKE, shared=False)
    def make(keys: object) -> None:
        outages.end(outages.REDIS)
        known = valid_keys(keys)
        if not known:
            log.warning("Discarded a malformed message.", extra={"action": "discarded"})
            return
        with heartbeat.during():
            _take(turn, known)


def valid_keys(keys: object) -> list[str]:
    """Return the keys of a message, or none if it is not a list of keys."""
    if not isinstance(keys, list) or not 0 < len(keys) <= MESSAGE_KEYS:
        return []
    whole = all(isinstance(key, str) and re.fullmatch(KEY, key) for key in keys)
    return keys if whole else []


def should_stop() -> bool:
    """Return whether Celery was asked to end this worker."""
    return state.should_stop is not None or state.should_terminate is not None


def _take(turn: Turn, keys: list[str]) -> None:
    """Take a turn. Jobs it leaves unmade are pending in SQL, and are sent again."""
    try:
        turn.take(keys)
    except StoppedError:
        log.info("Handed back what was in hand.", extra={"action": "handed_back"})
    except (DeviceError, WrongPlaceError) as exc:
        log.error("%s", exc, extra={"action": "worker_unfit"})  # noqa: TRY400 - a sentence
        is_device = isinstance(exc, DeviceError)
        code = EXIT_UNFIT if is_device else EXIT_WRONG_PLACE
        state.should_stop = code  # type: ignore[assignment]
