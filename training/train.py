"""The command that makes the demo model, from drawing pictures to its folders."""

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click
import torch

from training.classifier import train_classifier
from training.clip import hidden_states, load_text_half, train_clip
from training.data import load_pictures, make_pictures
from training.evaluate import measure
from training.export import export_clip, export_pipeline
from training.loop import Team
from training.tokenizer import make_tokenizer
from training.unet import Lesson, number_captions, train_unet
from training.vae import encode, train_vae

logger = logging.getLogger(__name__)

#: One seed for each stage; together they decide everything random.
SEEDS = {"train": 1, "check": 2, "vae": 1, "clip": 2, "unet": 4, "classifier": 5}
PICTURES = {"train": 40_000, "check": 1_000}
BUILTIN = Path(__file__).parents[1] / "storage" / "models" / "builtin"


def train_vae_stage(work: Path, device: torch.device) -> None:
    """Train the autoencoder."""
    pictures = load_pictures(work / "train")
    train_vae(pictures, folder=work, seed=SEEDS["vae"], device=device)


def train_clip_stage(work: Path, device: torch.device) -> None:
    """Train the text encoder, the image encoder, and the classifier."""
    pictures = load_pictures(work / "train")
    tokenizer = make_tokenizer(work / "tokenizer")
    train_clip(pictures, tokenizer, folder=work, seed=SEEDS["clip"], device=device)
    train_classifier(folder=work, seed=SEEDS["classifier"], device=device)


def encode_stage(work: Path, device: torch.device) -> None:
    """Encode pictures and captions for the UNet."""
    if (work / "check.lesson").exists():
        return
    tokenizer = make_tokenizer(work / "tokenizer")
    text = load_text_half(tokenizer, folder=work, seed=SEEDS["clip"])
    train_set = load_pictures(work / "train")
    vae = train_vae(train_set, folder=work, seed=SEEDS["vae"], device=device)
    for name in ("train", "check"):
        pictures = load_pictures(work / name)
        captions, caption_of = number_captions(pictures.captions)
        lesson = Lesson(
            latents=encode(vae, pictures.images) * vae.config.scaling_factor,
            states=hidden_states(text, tokenizer, captions),
            caption_of=caption_of,
        )
        lesson.save(work / f"{name}.lesson")


def train_unet_stage(
    work: Path, device: torch.device, rank: int, size: int, meeting: Path
) -> None:
    """Train the UNet as one of `size` processes, which meet at the file `meeting`."""
    if size > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{meeting}", rank=rank, world_size=size
        )
    train_unet(
        Lesson.load(work / "train.lesson"),
        Lesson.load(work / "check.lesson"),
        folder=work,
        seed=SEEDS["unet"],
        device=device,
        team=Team(rank=rank, size=size),
    )


def export_stage(work: Path, out: Path) -> None:
    """Write both folders from the finished stages."""
    cpu = torch.device("cpu")
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(work / "tokenizer")
    pictures = load_pictures(work / "train")
    lesson = Lesson.load(work / "check.lesson")
    clip = train_clip(pictures, tokenizer, folder=work, seed=SEEDS["clip"], device=cpu)
    export_pipeline(
        out / "shapes",
        vae=train_vae(pictures, folder=work, seed=SEEDS["vae"], device=cpu),
        unet=train_unet(lesson, lesson, folder=work, seed=SEEDS["unet"], device=cpu),
        text=load_text_half(tokenizer, folder=work, seed=SEEDS["clip"]),
    )
    export_clip(out / "clip", clip)


def run_together(tasks: Sequence[Callable[[], None]], processes: int) -> None:
    """Run each task in its own process; if `processes` is 1, run them in this one.

    Raises:
        click.ClickException: One of the processes failed; its log says why.
    """
    if processes == 1:
        for task in tasks:
            task()
        return
    # Two processes of one thread each are faster than one of two threads.
    threads = max(1, (os.cpu_count() or 1) // processes)
    context = multiprocessing.get_context("spawn")
    running = [
        context.Process(target=_run_child, args=(task, threads)) for task in tasks
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
    if any(process.exitcode for process in running):
        message = "a training process failed; start the command again to go on"
        raise click.ClickException(message)


def _run_child(task: Callable[[], None], threads: int) -> None:
    _log_to_stderr()
    torch.set_num_threads(threads)
    # Children must not outlive a killed parent: after its next start, old and new ones
    # would write the same files.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    task()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")


def _pick_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for pictures and checkpoints, about 1 GB; start again with the "
    "same folder to go on after an interruption.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=BUILTIN,
    help=(
        "Where the folders shapes and clip are written."
        "  [default: storage/models/builtin]"
    ),
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to train; auto takes a GPU where there is one.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 8),
    default=2,
    show_default=True,
    help="Processes at a time on a CPU; with a GPU there is always one.",
)
@click.option(
    "--report",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(__file__).parent,
    help="Where quality.json and samples.png are written.  [default: training]",
)
def main(work: Path, out: Path, device: str, processes: int, report: Path) -> None:
    """Train the demo model from nothing, write its folders, and measure it.

    Example: python -m training.train --work /tmp/shapes
    """
    _log_to_stderr()
    place = _pick_device(device)
    if place.type == "cuda":
        processes = 1
    # Keep freed memory: returning it to the system at each step costs time.
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", "4000000000")
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", "16000000000")
    work = work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    for name, count in PICTURES.items():
        make_pictures(work / name, count=count, seed=SEEDS[name], processes=processes)
    stages = [train_vae_stage, train_clip_stage]
    run_together([partial(stage, work, place) for stage in stages], processes)
    encode_stage(work, place)
    meeting = work / f"meeting-{os.getpid()}"
    meeting.unlink(missing_ok=True)
    team = [
        partial(train_unet_stage, work, place, rank, processes, meeting)
        for rank in range(processes)
    ]
    run_together(team, processes)
    meeting.unlink(missing_ok=True)
    export_stage(work, out)
    classifier = train_classifier(
        folder=work, seed=SEEDS["classifier"], device=torch.device("cpu")
    )
    measure(out, classifier, load_pictures(work / "check"), report=report)
    click.echo(f"wrote {out / 'shapes'} and {out / 'clip'}", err=True)


if __name__ == "__main__":
    main()
