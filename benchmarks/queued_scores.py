"""CLIP scores through the queue, against a bare loop over the same image files.

    python benchmarks/queued_scores.py [--images N] [--rounds N] [--append]

The turn of a worker claims scores in SQLite, opens the images, measures and writes. The
loop opens the same files and measures them in batches of the same size; it reads each
prompt once, before its time is taken.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import bench
import numpy as np
import report
import sqlalchemy as sa
import torch
from clip_scores import Bare
from PIL import Image
from result_rows import fill

from storage.files.images import ImageFolder
from storage.metrics.identity import identify
from storage.metrics.kinds import KINDS
from storage.models.fingerprint import Digests
from storage.scores import score_claims
from storage.scores.asking import ASKED_ROWS, ask
from storage.scores.identities import ResolvedMetric
from storage.sql.database import Database, open_database
from storage.sql.schema import jobs, prompts, scores
from workers.execution.context import Context
from workers.execution.heartbeat import Heartbeat
from workers.metrics.metric import Sample
from workers.metrics.networks import CPU_BATCH
from workers.scoring.score_turn import ScoreTurn

OWNER = "host:7:7"
CLIP = "builtin:clip"
HEADER = (
    *("images", "queue, CPU ms", "loop, CPU ms", "share"),
    *("queue, ms", "loop, ms", "share of time"),
)
NOTES = """\
Milliseconds of one image, of the CPU (all threads together) and by the clock; the
shares are medians of the ratios within one round. One thread for torch on both sides.
The first turn and the first loop are not counted."""


def make_images(database: Database, folder: ImageFolder, *, count: int) -> None:
    """Store finished images of noise."""
    fill(database, rows=count)
    with database.write() as connection:  # a turn ends if there are images to make
        connection.execute(sa.update(jobs).values(priority=None))
    rng = np.random.default_rng(8)
    with database.read() as connection:
        keys = connection.execute(sa.select(jobs.c.key)).scalars().all()
    for key in keys:
        path = folder.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)


def ask_again(database: Database, metric: ResolvedMetric) -> int:
    """Make the scores of all images pending; return how many there are."""
    done = sa.select(jobs.c.id).where(jobs.c.state == "done").order_by(jobs.c.id)
    with database.write() as connection:
        connection.execute(sa.delete(scores))
        ids = connection.execute(done).scalars().all()
    for start in range(0, len(ids), ASKED_ROWS):
        ask(database, metric, dict.fromkeys(ids[start : start + ASKED_ROWS]))
    return len(ids)


def loop(bare: Bare, files: Sequence[tuple[Path, str]], *, size: int) -> None:
    """Open and score all files, as a user's own loop would."""
    for start in range(0, len(files), size):
        samples = [
            Sample(image=_open(path), prompt=prompt, parameters={})
            for path, prompt in files[start : start + size]
        ]
        bare.score(samples, size, bare.known)


def _open(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _seconds(call: Callable[[], object]) -> tuple[float, float]:
    cpu, clock = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - cpu, time.perf_counter() - clock


def _resolved(home: Path) -> ResolvedMetric:
    kind = KINDS["clip"]
    return ResolvedMetric(
        name=kind.name,
        source=kind.name,
        version=kind.version,
        model=CLIP,
        model_fingerprint=identify(kind, CLIP, digests=Digests(home / "digests.json")),
        higher_is_better=kind.higher_is_better,
    )


def measure(state: bench.State, *, count: int, rounds: int) -> list[list[float]]:
    """Return four lists: CPU and clock seconds of an image in the queue, in a loop."""
    folder = ImageFolder(state.settings.images)
    metric, bare = _resolved(state.settings.home), Bare(CLIP, "cpu")
    times: list[list[float]] = [[], [], [], []]
    with closing(open_database(state.settings.database_url)) as database:
        make_images(database, folder, count=count)
        turn = _turn(state, database, folder)
        said = sa.select(jobs.c.key, prompts.c.text).join(
            prompts, prompts.c.id == jobs.c.prompt_id
        )
        with database.read() as connection:
            rows = connection.execute(said.where(jobs.c.state == "done")).all()
        files = [(folder.path(key), text) for key, text in rows]
        bare.texts = {text: bare.read([text])[0].detach() for _, text in files}
        for number in range(rounds + 1):
            images = ask_again(database, metric)
            queued = _seconds(lambda: turn.take(metric.digest))
            looped = _seconds(lambda: loop(bare, files, size=CPU_BATCH))
            for place, seconds in enumerate((*queued, *looped)):
                times[place] += [seconds / images] if number else []
    return times


def _turn(state: bench.State, database: Database, folder: ImageFolder) -> ScoreTurn:
    context = Context(
        database=database,
        images=folder,
        heartbeat=Heartbeat(database, owner=OWNER, lease_s=90),
        owner=OWNER,
        worker="cpu0",
        lease_s=90.0,
        should_stop=lambda: False,
    )
    heartbeat = Heartbeat(database, owner=OWNER, lease_s=90, renew=score_claims.renew)
    return ScoreTurn(
        context=context,
        heartbeat=heartbeat,
        device="cpu",
        digests=state.settings.home / "digests.json",
    )


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--append", action="store_true", help="to docs/benchmarks.md")
    options = parser.parse_args()
    options.device = "cpu"
    torch.set_num_threads(1)
    with bench.own_state() as state:
        cpu, clock, loop_cpu, loop_clock = measure(
            state, count=options.images, rounds=options.rounds
        )
    row = [f"{options.images:,}"]
    for queued, looped in ((cpu, loop_cpu), (clock, loop_clock)):
        row += [f"{1000 * statistics.median(side):.2f}" for side in (queued, looped)]
        row.append(f"{bench.median_ratio(looped, queued):.2f}")
    title = f"CLIP scores through the queue: {CLIP}, cpu"
    bench.publish(options, title, report.table(HEADER, [row]), notes=NOTES)


if __name__ == "__main__":
    main()
