"""Draw which job had which row in a real run of a small mixed batch.

    python benchmarks/slots_picture.py docs/images/slots.svg

Fourteen jobs of the demo model, eight schedulers, in four rows. Each bar is a job
from its first to its last step; each column is one call of the network.
"""

import random
import sys
from collections import deque
from dataclasses import replace
from pathlib import Path

import torch

from producer.models.cards import describe
from storage.catalogue import schedulers
from storage.errors import JobError
from storage.job import Job
from storage.models.model_files import locate
from workers.engine.hub import Hub
from workers.engine.loading import load_pipeline
from workers.engine.runs import Run
from workers.engine.starter import Starter
from workers.vitals.tally import Tally

WIDTH = 4
NAMES = (
    *("ddim", "euler_a", "heun", "unipc"),
    *("dpmpp_2m_karras", "ddpm", "pndm", "lms"),
)
COLOURS = (
    *("#3b6fb6", "#d1603d", "#4f9d69", "#8a5aa8"),
    *("#c79a2b", "#2a9d9d", "#b54a72", "#6b7280"),
)
STEP, ROW, LEFT, TOP = 19, 46, 70, 62


class Queue:
    """A source of jobs that notes the call at which each job began and ended."""

    def __init__(self, jobs: list[Job], tally: Tally) -> None:
        self._jobs = deque(jobs)
        self._tally = tally
        self.began: dict[str, int] = {}
        self.bars: list[tuple[Job, int, int, int]] = []

    def gather(self, count: int) -> list[Job]:
        """Return the first jobs."""
        return [job for _ in range(count) if (job := self.take())]

    def take(self) -> Job | None:
        """Return the next job, and note when it begins."""
        if not self._jobs:
            return None
        job = self._jobs.popleft()
        self.began[job.key] = self._tally.calls
        return job

    def finish(self, run: Run) -> None:
        """Note when a job ended."""
        began = self.began[run.job.key]
        self.bars.append((run.job, run.row, began, self._tally.calls))

    def fail(self, job: Job, error: JobError) -> None:
        """Raise the error."""
        raise error

    def withdraw(self) -> list[Job]:
        """Return no jobs: all are wanted."""
        return []

    def check(self) -> None:
        """Do nothing."""


def make_jobs() -> list[Job]:
    """Return fourteen jobs that mix schedulers, steps and guidance."""
    card = describe("builtin:shapes", base_dir=Path())
    draw = random.Random(5)  # noqa: S311 - a picture
    jobs = []
    for seed in range(14):
        asked = schedulers.resolve(NAMES[seed % len(NAMES)])
        job = Job(
            model=card.model,
            dtype="float32",
            width=64,
            height=64,
            prompt="a red circle on a blue background",
            seed=seed,
            scheduler_class=asked.class_name,
            scheduler_options=schedulers.effective_options(
                asked, card.scheduler_config
            ),
            steps=draw.choice((4, 5, 6, 8, 10)),
            guidance=draw.choice((1.5, 2.5, 4.0)),
        )
        jobs.append(replace(job, extras=asked.extras))
    return jobs


def draw(bars: list[tuple[Job, int, int, int]], calls: int) -> str:
    """Return the picture as SVG."""
    width, height = LEFT + calls * STEP + 20, TOP + WIDTH * ROW + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="15" fill="#222222">'
        f"{len(bars)} jobs in {WIDTH} rows: {calls} calls of the network</text>",
        f'<text x="{LEFT}" y="42" fill="#555555">Each column is one call, for all '
        "rows. Each bar is a job: its scheduler, steps, guidance.</text>",
    ]
    for call in range(calls + 1):
        x = LEFT + call * STEP
        parts.append(
            f'<line x1="{x}" y1="{TOP - 6}" x2="{x}" y2="{TOP + WIDTH * ROW}" '
            'stroke="#dddddd"/>'
        )
    for index in range(WIDTH):
        y = TOP + index * ROW + 24
        parts.append(f'<text x="12" y="{y}" fill="#222222">row {index}</text>')
    parts += [_bar(*bar) for bar in bars]
    parts.append(
        f'<text x="{LEFT}" y="{height - 12}" fill="#555555">calls of the network, '
        "one after another</text></svg>"
    )
    return "\n".join(parts) + "\n"


def _bar(job: Job, index: int, began: int, ended: int) -> str:
    of_job = (job.scheduler_class, job.scheduler_options, job.extras)
    name = schedulers.short_name(*of_job, config={})  # the model's config adds nothing
    colour = COLOURS[NAMES.index(name)] if name in NAMES else "#6b7280"
    x, y = LEFT + began * STEP + 1, TOP + index * ROW + 4
    wide = (ended - began) * STEP - 2
    short = name.replace("dpmpp_2m_karras", "dpm++ k").replace("_", " ")
    return (
        f'<rect x="{x}" y="{y}" width="{wide}" height="{ROW - 8}" rx="4" '
        f'fill="{colour}"/><text x="{x + 5}" y="{y + 16}" fill="#ffffff">{short}</text>'
        f'<text x="{x + 5}" y="{y + 31}" fill="#ffffff" font-size="10">{job.steps}'
        f" steps, {job.guidance:g}</text>"
    )


def main() -> None:
    """Run the batch and write the picture."""
    found = locate("builtin:shapes", download=False)
    pipe = load_pipeline(found, variant=None, dtype=torch.float32)
    starter = Starter(pipe, dict(pipe.scheduler.config))
    tally = Tally()
    queue = Queue(make_jobs(), tally)
    Hub(starter, queue.gather(WIDTH), queue, width=WIDTH, tally=tally).run()
    Path(sys.argv[1]).write_text(draw(queue.bars, tally.calls))
    print(f"{tally.calls} calls, {tally.occupancy:.2f} of the rows in use")


if __name__ == "__main__":
    main()
