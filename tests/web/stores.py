"""The store that most tests of pages share: real rows and real files."""

from dataclasses import dataclass
from pathlib import Path

from storage.job import PlannedJob
from storage.settings import Settings
from tests.unit.filled_store import finish, make_settings, plan, submit
from tests.web.pictures import PALETTE_AXES, paint_quarters

KOREAN = (
    "눈 덮인 산속의 작은 오두막, 굴뚝에서 피어오르는 연기, 새벽안개, 부드러운 빛, "
    "세밀한 묘사 🦊❄️🏔️👨‍👩‍👧‍👦 — a red star on a blue background"
)
SCRIPT = (
    "<script>document.title = 'pwned'</script><img src=x onerror=\"document.title = "
    "'pwned'\"> {{ 7 * 7 }} a green star on a pink background"
)
LONG = "a very detailed " * 40 + "red circle on a blue background"
#: A word without a space, in which no line can break by itself.
UNBROKEN = "x" * 300 + " a red circle on a blue background"
LETTERS = (KOREAN, SCRIPT, LONG, UNBROKEN)


@dataclass(frozen=True, slots=True)
class FilledStore:
    """A state folder with finished sweeps.

    Attributes:
        settings: Where it is.
        palette: Jobs of the sweep `palette`, 320 by 256 pixels, in quarters of colour:
            90 made, two failed, three waiting; one of its cells was never submitted.
        letters: Jobs of the sweep `letters`, with prompts that pages may stumble over.
        single: The job of the sweep `single`, the only one.
    """

    settings: Settings
    palette: list[PlannedJob]
    letters: list[PlannedJob]
    single: list[PlannedJob]

    def key(self, **cell: object) -> str:
        """Return the key of the job of `palette` in a cell."""
        wanted = {axis: str(value) for axis, value in cell.items()}
        for one in self.palette:
            if wanted.items() <= dict(one.cell).items():
                return one.job.key
        msg = f"no such cell: {cell}"
        raise LookupError(msg)


def fill_store(home: Path) -> FilledStore:
    """Fill a state folder."""
    settings = make_settings(home)
    palette = plan(PALETTE_AXES, width=320, height=256)[:-1]
    submit(settings, "palette", palette)
    failed = {one.job.key for one in palette[5:7]}
    finish(settings, palette[:-3], fail=failed, paint=paint_quarters)
    letters = plan({"prompt": LETTERS, "steps": (2, 20)}, width=64, height=64)
    submit(settings, "letters", letters)
    finish(settings, letters)
    single = plan({"steps": (8,)}, width=640, height=640, seed=77)
    submit(settings, "single", single)
    finish(settings, single)
    return FilledStore(settings, palette, letters, single)
