"""Mixed batches, diffusers' ordinary batches and plain scripts, for comparison."""

import copy
import functools
import inspect
import string
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch.utils import _pytree as pytree

from producer.models.cards import ModelCard, describe
from storage.catalogue import schedulers
from storage.catalogue.pipeline_calls import fixed_inputs
from storage.errors import JobError
from storage.job import Job
from storage.models.model_files import BUILTIN_FOLDERS
from tests.work import Basket, go_on
from workers.engine.compiling import Compiled
from workers.engine.hub import Hub
from workers.engine.loading import mend_clip_skip
from workers.engine.pipelines import DTYPES
from workers.engine.runs import Run
from workers.engine.stand_ins import StandIn
from workers.engine.starter import Starter
from workers.vitals.tally import Tally

PROMPTS = ("a cat", "two dogs", "a green square", "red", "a blue circle")
#: First those that float16 and bfloat16 cannot hold exactly.
GUIDANCES = (7.3, 2.3, 1.7, 4.0, 11.9)
#: Attributes of a pipeline that may hold such a part.
TEXT_ENCODERS = ("text_encoder", *(f"text_encoder_{n}" for n in (2, 3, 4)))
DECODERS = ("vae", "movq")
GUIDERS = ("guider", "ocr_guider")


@cache
def card_of(name: str) -> ModelCard:
    """Describe a model: `builtin:shapes` or a folder."""
    return describe(name, base_dir=Path())


def make_job(
    name: str = "ddim", *, model: str = "builtin:shapes", **changes: Any
) -> Job:
    """Make a job of 64 by 64 pixels with a scheduler of the catalogue."""
    asked, card = schedulers.resolve(name), card_of(model)
    options = schedulers.effective_options(asked, card.scheduler_config)
    extras = {**asked.extras, **changes.pop("extras", {})}
    return replace(
        Job(
            model=card.model,
            dtype="float32",
            width=64,
            height=64,
            prompt=PROMPTS[0],
            seed=8,
            scheduler_class=asked.class_name,
            scheduler_options=options,
            steps=4,
            guidance=2.3,
            extras=extras,
        ),
        **changes,
    )


def make_various(names: Iterable[str], **changes: Any) -> list[Job]:
    """Make a job for each scheduler, with varying prompt, seed, steps and guidance."""
    return [
        make_job(
            name,
            prompt=PROMPTS[place % len(PROMPTS)],
            seed=place,
            steps=4 + place % 3,
            guidance=GUIDANCES[place // 2 % len(GUIDANCES)],
            **changes,
        )
        for place, name in enumerate(names)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The result of a job, on the CPU.

    Attributes:
        pixels: (1, 3, height, width), 0 to 1.
        run: The run that made it; None if it was made without the engine.
    """

    pixels: torch.Tensor
    run: Run | None = None

    def equals(self, other: "Made") -> bool:
        """Return whether both are equal bit for bit; all numbers must be finite."""
        assert self.pixels.isfinite().all()
        return torch.equal(self.pixels, other.pixels)


@dataclass(frozen=True, slots=True)
class Feed:
    """A `Source` with the jobs of a basket."""

    basket: Basket
    finish: Callable[[Run], None]
    fail: Callable[[Job, JobError], None]

    def take(self) -> Job | None:
        """Return the next job of the basket."""
        return self.basket.take()

    def withdraw(self) -> list[Job]:
        """Return the jobs that nobody wants any more."""
        return self.basket.withdraw()

    def check(self) -> None:
        """Do what the basket's check does."""
        self.basket.check()


class Bench:
    """A loaded pipeline, and three ways to make its images.

    Attributes:
        compiled: Its compiled networks, in `with_compiled`; else None.
    """

    def __init__(self, model: str, *, dtype: str = "float32", device: str = "cpu"):
        """Load `builtin:shapes` or a folder."""
        self.pipe: Any = diffusers.DiffusionPipeline.from_pretrained(
            BUILTIN_FOLDERS.get(model, model),
            dtype=DTYPES[dtype],
            use_safetensors=True,
        ).to(device)
        self.pipe.set_progress_bar_config(disable=True)
        mend_clip_skip(self.pipe)  # without it, no script can use clip_skip
        for name in (*TEXT_ENCODERS, *DECODERS):
            if part := getattr(self.pipe, name, None):
                row_by_row(part, "decode" if name in DECODERS else "forward")
        self.config = dict(self.pipe.scheduler.config)
        parts = {name: getattr(self.pipe, name, None) for name in GUIDERS}
        self._guiders = {name: part for name, part in parts.items() if part}
        self.starter = Starter(self.pipe, self.config)
        self.tally = Tally()
        self.compiled: Compiled | None = None

    @contextmanager
    def with_compiled(self) -> Iterator[None]:
        """Have batches and scripts call the compiled networks within the block.

        A script passes one timestep for all rows. Here it gets one for each, or its
        networks would be compiled for other arguments.
        """
        self.compiled = Compiled(self.starter)
        own = self.pipe.unet
        with self.compiled.in_place():
            vars(self.pipe)["unet"] = _Stepped(self.starter.networks["unet"])
            try:
                yield
            finally:
                vars(self.pipe)["unet"] = own
                self.compiled = None

    def hub(
        self,
        jobs: Sequence[Job],
        source: Basket,
        width: int,
        *,
        finish: Callable[[Run], None],
        fail: Callable[[Job, JobError], None],
    ) -> Hub:
        """Make a batch of these jobs and the further jobs of the source."""
        feed = Feed(source, finish, fail)
        return Hub(
            self.starter,
            jobs,
            feed,
            width=width,
            tally=self.tally,
            compiled=self.compiled,
        )

    def mixed(
        self, jobs: Iterable[Job], width: int, *, check: Callable[[], None] = go_on
    ) -> tuple[dict[str, Made], Basket]:
        """Make jobs in a mixed batch; return the results by key, and the source."""
        done: dict[str, Made] = {}

        def finish(run: Run) -> None:
            assert run.pixels is not None
            done[run.job.key] = Made(pixels=run.pixels.cpu().float(), run=run)
            basket.in_hand.remove(run.job)

        basket = Basket(*jobs, check=check)
        while basket.waiting:
            first = basket.gather(width)
            self.hub(first, basket, width, finish=finish, fail=basket.fail).run()
        assert not basket.in_hand
        return done, basket

    @torch.no_grad()
    def ordinary(self, run: Run) -> Made:
        """Make a run's job in an ordinary batch of equal width, in the same row.

        All rows have the job's scheduler, steps and guidance, but prompts and seeds of
        their own. The prompts have equal lengths: an ordinary batch fills up shorter
        ones.
        """
        rows = [
            replace(run.job, prompt=_turn(run.job.prompt, by=row), seed=100 + row)
            for row in range(run.width)
        ]
        rows[run.row] = run.job
        made = self._call(
            run.job,
            seeds=[job.seed for job in rows],
            prompt=[job.prompt for job in rows],
            **_if_any(negative_prompt=[job.negative_prompt for job in rows]),
            generator=[self._generator(job) for job in rows],
        )
        return Made(pixels=made.pixels[run.row : run.row + 1])

    def plain(self, job: Job, **given: Any) -> Made:
        """Make a job as a plain script does, with these arguments besides."""
        return self._call(
            job,
            **given,
            seeds=job.seed,
            prompt=job.prompt,
            **_if_any(negative_prompt=job.negative_prompt),
            generator=self._generator(job),
        )

    def _call(self, job: Job, *, seeds: int | list[int], **given: Any) -> Made:
        own = dict(job.scheduler_options)
        if job.scheduler_class == "DPMSolverSDEScheduler":
            own["noise_sampler_seed"] = seeds
        made_by = getattr(diffusers, job.scheduler_class)
        self.pipe.scheduler = made_by.from_config(self.config, **own)
        # They remember the answers of earlier steps; a new script has new ones.
        for name, part in self._guiders.items():
            setattr(self.pipe, name, copy.deepcopy(part))
        taken = inspect.signature(self.pipe.__call__).parameters
        if "guidance_scale" in taken:
            given["guidance_scale"] = job.guidance
        pixels = self.pipe(
            num_inference_steps=job.steps,
            width=job.width,
            height=job.height,
            **_if_any(eta=job.parameter("eta"), clip_skip=job.parameter("clip_skip")),
            **{n: tuple(v) if isinstance(v, list) else v for n, v in job.call.items()},
            **job.schedule,
            output_type="np",
            return_dict=False,
            **fixed_inputs(type(self.pipe).__name__),
            **given,
        )[0]
        return Made(pixels=torch.from_numpy(pixels).permute(0, 3, 1, 2))

    def _generator(self, job: Job) -> torch.Generator:
        device = self.pipe.device if job.generator == "cuda" else "cpu"
        return torch.Generator(device).manual_seed(job.seed)


class _Stepped(StandIn):
    """A network that gets a timestep for each row."""

    def __call__(self, sample: torch.Tensor, timestep: Any, **others: Any) -> Any:
        """Call the network."""
        timesteps = timestep.float().expand(len(sample)).contiguous()
        return self._own(sample, timesteps.to(sample.device), **others)


def check_compiled(bench: Bench, jobs: Sequence[Job], width: int) -> None:
    """Check that compiled images equal those of ordinary batches that are compiled."""
    made, basket = bench.mixed(jobs, width)
    assert not basket.failures
    assert bench.compiled
    count = bench.compiled.count
    wrong = [
        job.scheduler_class
        for job in jobs
        if (run := made[job.key].run) and not made[job.key].equals(bench.ordinary(run))
    ]
    assert not wrong
    # The scripts called what was compiled for the batch.
    assert bench.compiled.count == count


def _turn(text: str, *, by: int) -> str:
    """Return a text with other letters."""
    letters = string.ascii_lowercase
    by %= len(letters)
    return text.translate(str.maketrans(letters, letters[by:] + letters[:by]))


def row_by_row(part: Any, name: str) -> None:
    """Have a part of a pipeline take the rows of a batch one by one.

    Otherwise an ordinary batch would encode its texts and decode its images together,
    in other low bits.
    """
    own = getattr(part, name)

    def each(*args: Any, **kwargs: Any) -> Any:
        leaves = pytree.tree_leaves((args, kwargs))
        rows = next(len(leaf) for leaf in leaves if isinstance(leaf, torch.Tensor))
        if rows == 1:
            return own(*args, **kwargs)
        answers = []
        for row in range(rows):
            cut = partial(_cut, row=row, rows=rows)
            given, named = pytree.tree_map(cut, (args, kwargs))
            answers.append(own(*given, **named))
        return pytree.tree_map(_stack, *answers)

    setattr(part, name, functools.wraps(own)(each))


def _cut(value: Any, *, row: int, rows: int) -> Any:
    """Return a row of a tensor; the rows of positions are their second dimension."""
    if not isinstance(value, torch.Tensor):
        return value
    if len(value) == rows:
        return value[row : row + 1]
    has_rows = value.ndim > 2 and value.shape[1] == rows
    return value[:, row : row + 1] if has_rows else value


def _stack(*rows: Any) -> Any:
    return torch.cat(rows) if isinstance(rows[0], torch.Tensor) else rows[0]


def _if_any(**given: Any) -> dict[str, Any]:
    """Return the arguments without neutral values, as a plain script has them."""

    def is_set(value: Any) -> bool:
        return any(value) if isinstance(value, list) else bool(value)

    return {name: value for name, value in given.items() if is_set(value)}
