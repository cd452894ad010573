"""Ctrl-C that is never lost, whenever it comes."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: Seconds after which a Ctrl-C that Python dropped is repeated.
AGAIN_S = 0.01


@contextmanager
def interruptible() -> Iterator[None]:
    """Make every Ctrl-C end the block with `KeyboardInterrupt`.

    Python drops the exception if it is raised in a finalizer or in the callback of a
    weak reference, and the command would go on. Python 3.11 turns it into a
    `RuntimeError` if it is raised while a class is created, as in an import.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    before = sys.unraisablehook

    def repeat(dropped: Any) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            before(dropped)
            return
        while True:
            try:
                _interrupt_later()
            except KeyboardInterrupt:
                continue  # Python would drop this one and not call the hook
            return

    sys.unraisablehook = repeat
    try:
        yield
    except RuntimeError as exc:
        if isinstance(exc.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from exc
        raise
    finally:
        sys.unraisablehook = before


def _interrupt_later() -> None:
    timer = threading.Timer(AGAIN_S, _interrupt)
    timer.daemon = True
    timer.start()


def _interrupt() -> None:
    # Like the terminal's signal, this one also ends a wait of the main thread.
    main = threading.main_thread().ident
    assert main is not None  # noqa: S101 - it runs
    signal.pthread_kill(main, signal.SIGINT)
