"""The root command: names to commands, each loaded only when it is called."""

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from producer.display.messages import talk, wrapped
from producer.interrupts import interruptible
from producer.options import INTERRUPTED
from storage.errors import NightsweepError, QueueError
from storage.texts import is_text, shown_bytes

#: Command name to the module and the click command in it.
COMMANDS: Mapping[str, str] = {
    "run": "producer.commands.run:run",
    "stop": "producer.commands.stop:stop",
    "plan": "producer.commands.plan:plan",
    "fetch": "producer.commands.fetch:fetch",
    "submit": "producer.commands.submit:submit_command",
    "worker": "workers.cli:worker",
    "status": "producer.commands.status:status",
    "list": "producer.commands.list_sweeps:list_command",
    "logs": "producer.commands.logs:logs",
    "watch": "producer.commands.watch:watch",
    "metrics": "producer.commands.metrics_export:metrics",
    "pause": "producer.commands.lifecycle:pause",
    "resume": "producer.commands.lifecycle:resume",
    "cancel": "producer.commands.lifecycle:cancel",
    "priority": "producer.commands.lifecycle:priority",
    "quota": "producer.commands.quota:quota",
    "retry": "producer.commands.retry:retry",
    "extend": "producer.commands.extend:extend",
    "find": "producer.commands.find:find",
    "show": "producer.commands.show:show",
    "open": "producer.commands.open_images:open_command",
    "score": "producer.commands.score:score",
    "reproduce": "producer.commands.reproduce:reproduce",
    "compare": "producer.commands.compare:compare",
    "report": "producer.commands.report_page:report",
    "grid": "producer.commands.contact_sheet:grid",
    "view": "producer.commands.view:view",
    "schedulers": "producer.commands.schedulers:schedulers",
    "calibrate": "producer.commands.calibrate:calibrate",
    "verify": "producer.commands.verify:verify",
    "rename": "producer.commands.rename:rename",
    "archive": "producer.commands.archive:archive",
    "unarchive": "producer.commands.archive:unarchive",
    "rm": "producer.commands.rm:rm",
    "prune": "producer.commands.prune:prune",
    "vacuum": "producer.commands.vacuum:vacuum",
    "export": "producer.commands.export:export",
    "import": "producer.commands.import_images:import_command",
    "copy-store": "producer.commands.copy_store:copy_store_command",
    "doctor": "producer.commands.doctor:doctor",
    "down": "producer.commands.down:down",
    "completion": "producer.commands.completion:completion",
    "man": "producer.commands.man:man",
}


class _Failure(click.ClickException):
    """One of our errors, for click to show: its sentence, with its exit code."""

    def __init__(self, error: NightsweepError) -> None:
        again = " Nothing is lost: run the command again."
        super().__init__(f"{error}{again if isinstance(error, QueueError) else ''}")
        self.exit_code = error.exit_code  # type: ignore[misc]

    def show(self, _file: object = None) -> None:
        """Print the sentence, wrapped to fit a terminal."""
        talk(f"Error: {self.format_message()}")


def _fitted(error: click.UsageError) -> click.UsageError:
    """Return a click error with its sentence wrapped to fit a terminal."""
    title, said = "Error: ", error.format_message()  # the title is click's
    fitted = wrapped(f"{title}{said}").removeprefix(title)
    return error if fitted == said else click.UsageError(fitted, ctx=error.ctx)


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and shows our errors."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """Return the names of the commands, in the order in which people meet them."""
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """Import a command."""
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Refuse words that are not text, for any command and option."""
        for word in args:
            if not is_text(word):
                context.fail(
                    "words of the command line must be UTF-8 text, got "
                    f"{shown_bytes(word)}; write it in UTF-8, and rename a file that "
                    "has such a name."
                )
        return super().parse_args(context, args)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or suggest the one with the most similar name."""
        near = difflib.get_close_matches(args[0], COMMANDS, n=1)
        if args[0] not in COMMANDS and near:
            context.fail(f"No such command {args[0]!r}; did you mean {near[0]!r}?")
        return super().resolve_command(context, args)

    def shell_complete(
        self, context: click.Context, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Return commands and options that begin so, without importing commands."""
        return [
            *click.Command.shell_complete(self, context, incomplete),
            *(
                CompletionItem(name, help=summary)
                for name, summary in SUMMARIES.items()
                if name.startswith(incomplete)
            ),
        ]

    def format_commands(
        self, context: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))

    def invoke(self, context: click.Context) -> Any:
        """Run a command, and show one of our errors as one sentence."""
        try:
            with interruptible():
                return super().invoke(context)
        except NightsweepError as exc:
            raise _Failure(exc) from exc
        except click.UsageError as exc:
            raise _fitted(exc) from exc.__cause__
        except KeyboardInterrupt:
            click.echo("\nInterrupted; the same command goes on from here.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None


#: What `nightsweep --help` says of each command; a test compares it with their help.
SUMMARIES: Mapping[str, str] = {
    "run": "Make a whole sweep on this machine.",
    "stop": "Stop runs in the background, as Ctrl-C stops others.",
    "plan": "Say what a sweep would make; write nothing.",
    "fetch": "Fetch what a sweep's models need from the Hub.",
    "submit": "Put a sweep into the queue, for workers anywhere.",
    "worker": "Serve the queue with this machine's GPUs, or its CPU.",
    "status": "Say how far every sweep is.",
    "list": "List sweeps, one a line: state, images, size on the disk, times.",
    "logs": "Show what workers and background runs of this machine wrote, by time.",
    "watch": "Tell when something happens to sweeps, until nothing of them is left.",
    "metrics": "Export metrics of sweeps, workers and disk to Prometheus.",
    "pause": "Make no more of a sweep until it is resumed.",
    "resume": "Go on with a sweep that was paused or cancelled.",
    "cancel": "Make no more of a sweep; its images stay.",
    "priority": "Make a sweep more or less urgent than others.",
    "quota": "Show what owners of sweeps used, and limit it.",
    "retry": "Try a sweep's failed and quarantined jobs again.",
    "extend": "Add values or combinations to a sweep, and submit it again.",
    "find": "List images that a QUERY describes.",
    "show": "Show all that is known of one image, or of a few.",
    "open": "Open an image, or a few, in the system's viewer.",
    "score": "Score images by metrics, in the queue, each image once.",
    "reproduce": "Make images again, here, and compare their pixels.",
    "compare": "Say which settings are as good as the best one, and what they cost.",
    "report": "Write one page that answers a sweep's question, with images.",
    "grid": "Draw one labelled contact sheet of a sweep.",
    "view": "Look at sweeps and images in the browser.",
    "schedulers": "List the schedulers and their names.",
    "calibrate": "Measure how fast schedulers are, and how wide batches pay.",
    "verify": "Compare image files with what SQL says of them.",
    "rename": "Give a sweep another name.",
    "archive": "Put a sweep away: lists leave it out, and nothing removes its images.",
    "unarchive": "Take a sweep back from the archive.",
    "rm": "Remove a sweep, or the images that a QUERY describes.",
    "prune": "Remove what nobody needs any more, of all sweeps.",
    "vacuum": "Give the space that deleted rows left back to the disk.",
    "export": "Copy images out, with readable names and all that is known of them.",
    "import": "Take in what `export` wrote, nothing twice.",
    "copy-store": "Copy the database from SQLite to PostgreSQL, or back.",
    "doctor": "Check this machine and what it reaches, and say what to do.",
    "down": "Stop the embedded Redis; its queue stays.",
    "completion": "Print what lets a shell complete commands, sweeps and queries.",
    "man": "Write manual pages, one for each command.",
}


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="Example: nightsweep run examples/first-sweep.yaml",
)
@click.version_option(None, "-V", "--version", package_name="nightsweep")
def cli() -> None:
    """Make every image of a grid of diffusion settings, and ask about them."""
