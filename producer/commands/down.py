"""The command `nightsweep down`."""

import click

from producer.display.messages import talk
from producer.options import program
from producer.running.background import find_runs
from storage.broker.embedded import stop
from storage.settings import read_settings


@click.command(epilog="Example: nightsweep down")
def down() -> None:
    """Stop the embedded Redis; its queue stays.

    The next command that needs it starts it again. Images, database and unmade jobs
    are left as they are.
    """
    settings = read_settings()
    for run in find_runs(settings):
        again = f"{run.sweep} is made in the background, and starts it again"
        talk(f"{again}; `{program()} stop` ends that.")
    if settings.home.exists() and stop(settings):
        talk("The embedded Redis is stopped; its queue is kept.")
    else:
        talk(f"No embedded Redis runs for {settings.home}.")
