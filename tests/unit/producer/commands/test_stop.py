"""`nightsweep stop`: which runs it ends."""

import os

from producer.commands.stop import _chosen
from producer.running.background import _path, _taken, in_background
from storage.settings import Settings


def test_a_run_that_is_named_twice_gets_one_signal(settings: Settings) -> None:
    settings.make_home()
    lock = _taken(_path(settings, "night"))
    assert lock is not None
    with in_background(lock, "night"):
        runs = _chosen(settings, ["night", "night"])
    os.close(lock)
    assert [(run.sweep, run.pid) for run in runs] == [("night", os.getpid())]
