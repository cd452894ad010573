"""Pipelines of diffusers share their networks' calls: each against its own script.

All are of diffusers' own classes, with small networks of random weights. No line of the
engine knows any of them.
"""

import inspect
import itertools
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import diffusers
import pytest
import torch

from storage.catalogue import schedulers
from storage.catalogue.schedulers import Scheduler
from storage.job import Job
from tests.batches import GUIDANCES, Bench, Made, card_of, make_job
from tests.matrices import sample
from tests.tiny_kinds import ALONE, KINDS, allow_small_sizes
from workers.engine.network_calls import UnshareableError
from workers.engine.runs import Run

#: What diffusers and transformers say of small models that stand in for large ones.
pytestmark = pytest.mark.filterwarnings("ignore")

#: A network's call is an image's own matter in one of these ways each: guidance as rows
#: of one call, dictionaries of tensors, many text encoders, packed latents, two calls a
#: step, lists of rows, guiders, a decoder of another name, and both that are `ROUGH`.
TRIED = (
    "StableDiffusionPipeline",
    "StableDiffusionXLPipeline",
    "StableDiffusion3Pipeline",
    "FluxPipeline",
    "QwenImagePipeline",
    "ZImagePipeline",
    "HunyuanImagePipeline guided",
    "Kandinsky3Pipeline",
    "PRXPipeline",
    "Kandinsky5T2IPipeline",
)
#: Guidance as rows of one call, packed latents, and guiders.
QUICK = ("StableDiffusionPipeline", "FluxPipeline", "HunyuanImagePipeline guided")
SHARED = [kind for kind in KINDS if kind not in ALONE]
#: Why the same row of an ordinary batch may differ in the last bits.
ROUGH: Mapping[str, str] = {
    "PRXPipeline": "the pipeline cannot be called with several guided prompts",
    "Kandinsky5T2IPipeline": "the decoder gets latents in another layout in memory",
}
#: Schedulers of each way to use what is handed to a step.
CANDIDATES = ("ddim_eta", "euler_a", "dpmpp_2m", "flow_unipc", "tcd")
#: Some models in half precision, which is slow on a CPU.
HALVES = {
    ("StableDiffusionXLPipeline", "float16"),
    ("StableDiffusionPipeline", "bfloat16"),
}
DTYPES = sample(
    itertools.product(SHARED, ("float32", "float16", "bfloat16")),
    HALVES | {(kind, "float32") for kind in TRIED},
    quick={(kind, "float32") for kind in QUICK},
)

WIDTH = 4
#: Largest difference of a pixel, 0 to 1, that is rounding: in float32 a quarter of the
#: levels of an 8-bit image. Networks of random weights enlarge that of half precision.
ROUNDING = {"float32": 1e-3, "float16": 0.1, "bfloat16": 0.5}
#: Prompts of equal length, with negative prompts of equal length.
ALIKE = (("a cat", "red"), ("a dog", "tan"), ("a cow", "hot"), ("a hen", "wet"))
#: A longer one, and one without a negative prompt, which has no guidance either.
OTHERS = (("two red cats on a hill", "a green square"), ("a cat", ""))

#: Results of plain scripts, by the job's key.
PLAIN: dict[str, Made] = {}
#: The widths and rows of the lanes in which a job sat, by key.
ROWS_TAKEN: dict[str, set[tuple[int, int]]] = {}


@pytest.fixture(autouse=True, scope="module")
def _small() -> Iterator[None]:
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    take_row = Run.take_row

    def note(run: Run, width: int, row: int) -> None:
        ROWS_TAKEN.setdefault(run.job.key, set()).add((width, row))
        take_row(run, width, row)

    with pytest.MonkeyPatch.context() as patch:
        allow_small_sizes(patch)
        patch.setattr(Run, "take_row", note)
        yield
    torch.set_num_threads(usual)
    mix_all.cache_clear()
    model_of.cache_clear()
    bench_of.cache_clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@cache
def model_of(folder: Path, kind: str) -> str:
    return str(KINDS[kind](folder / kind.replace(" ", "-")))


@cache
def bench_of(folder: Path, kind: str, dtype: str) -> Bench:
    return Bench(model_of(folder, kind), dtype=dtype)


def plain_of(bench: Bench, job: Job) -> Made:
    if job.key not in PLAIN:
        PLAIN[job.key] = bench.plain(job)
    return PLAIN[job.key]


def takes(kind: str, name: str) -> bool:
    call = getattr(diffusers, kind.partition(" ")[0]).__call__
    return name in inspect.signature(call).parameters


def names_for(model: str, kind: str, candidates: Iterable[str]) -> list[str]:
    """Return the model's own scheduler, and the candidates that it can have."""
    card = card_of(model)

    def is_fit(asked: Scheduler) -> bool:
        has_eta = bool(asked.extras.get("eta"))
        return not card.check_scheduler(asked) and (not has_eta or takes(kind, "eta"))

    own = card.scheduler_config["_class_name"]
    fit = [name for name in candidates if is_fit(schedulers.resolve(name))]
    return [own, *fit]


def make_jobs(folder: Path, kind: str, dtype: str) -> list[Job]:
    """Make jobs that differ in all that jobs of the pipeline can differ in."""
    model = model_of(folder, kind)
    names = names_for(model, kind, CANDIDATES)
    return [
        make_job(
            names[place % len(names)],
            model=model,
            dtype=dtype,
            prompt=prompt,
            negative_prompt=negative if takes(kind, "negative_prompt") else "",
            seed=place,
            steps=2 + place % 2,
            guidance=scale if takes(kind, "guidance_scale") else 1.0,
        )
        for place, ((prompt, negative), scale) in enumerate(
            zip(ALIKE + OTHERS, (*GUIDANCES, 1.0), strict=True)
        )
    ]


def mix(bench: Bench, jobs: list[Job]) -> list[tuple[Made, Run]]:
    """Make jobs in one batch."""
    ROWS_TAKEN.clear()
    made, basket = bench.mixed(jobs, WIDTH)
    assert not basket.failures
    runs = [(made[job.key], made[job.key].run) for job in jobs]
    return [(one, run) for one, run in runs if run]


@cache
def mix_all(
    folder: Path, kind: str, dtype: str
) -> list[tuple[Made, Run, set[tuple[int, int]]]]:
    """Make all jobs in one batch; return each with the widths and rows it had."""
    bench, jobs = bench_of(folder, kind, dtype), make_jobs(folder, kind, dtype)
    return [(made, run, ROWS_TAKEN[run.job.key]) for made, run in mix(bench, jobs)]


@pytest.mark.parametrize("kind", sample(KINDS, TRIED, quick=QUICK))
def test_an_image_alone_is_that_of_a_plain_script(folder: Path, kind: str) -> None:
    bench, jobs = bench_of(folder, kind, "float32"), make_jobs(folder, kind, "float32")
    for job in (jobs[0], jobs[-1]):
        made, _ = bench.mixed([job], 1)
        assert made[job.key].equals(plain_of(bench, job)), job


@pytest.mark.parametrize(("kind", "dtype"), DTYPES)
def test_a_mixed_image_is_that_of_a_plain_script_but_for_rounding(
    folder: Path, kind: str, dtype: str
) -> None:
    bench = bench_of(folder, kind, dtype)
    made = mix_all(folder, kind, dtype)
    for one, run, _ in made:
        plain = plain_of(bench, run.job)
        difference = (one.pixels - plain.pixels).abs().max().item()
        assert difference < ROUNDING[dtype], run.job
    # They shared calls: each would have had its own otherwise.
    assert any(width > 1 for *_, rows in made for width, _ in rows)


@pytest.mark.parametrize(("kind", "dtype"), DTYPES)
def test_a_mixed_image_is_that_of_the_same_row_of_an_ordinary_batch(
    folder: Path, kind: str, dtype: str
) -> None:
    if kind in ROUGH:
        pytest.skip(ROUGH[kind])
    made, run, rows = mix_all(folder, kind, dtype)[2]
    assert rows == {(WIDTH, 2)}
    assert made.equals(bench_of(folder, kind, dtype).ordinary(run)), run.job


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("kind", SHARED)
def test_every_scheduler_of_the_catalogue_mixes_exactly(
    folder: Path, kind: str, dtype: str
) -> None:
    if kind in ROUGH:
        pytest.skip(ROUGH[kind])
    bench, model = bench_of(folder, kind, dtype), model_of(folder, kind)
    names = names_for(model, kind, [row.name for row in schedulers.rows()])
    jobs = [
        make_job(name, model=model, dtype=dtype, seed=seed, steps=4 + seed % 2)
        for seed, name in enumerate(names * (1 + WIDTH // len(names)))
    ]
    ROWS_TAKEN.clear()
    mixed, basket = bench.mixed(jobs, WIDTH)
    assert not basket.failures
    for job in jobs:
        if len(ROWS_TAKEN[job.key]) == 1:
            run = mixed[job.key].run
            assert run
            assert mixed[job.key].equals(bench.ordinary(run)), job


def test_the_rows_of_lumina_depend_on_the_longest_text_beside_them(
    folder: Path,
) -> None:
    # Its network cuts all texts of a batch to the longest one, so the last bits differ.
    kind = "Lumina2Pipeline"
    bench, jobs = bench_of(folder, kind, "float32"), make_jobs(folder, kind, "float32")
    (alike, _), *_ = mix(bench, jobs[:WIDTH])
    (other, _), *_ = mix(bench, [*jobs[: WIDTH - 1], jobs[WIDTH]])
    difference = (alike.pixels - other.pixels).abs().max()
    assert 0 < difference < ROUNDING["float32"]


@pytest.mark.parametrize("kind", sample(ALONE, ALONE[:1]))
def test_a_pipeline_that_changes_its_network_is_not_shared(
    folder: Path, kind: str
) -> None:
    bench, jobs = bench_of(folder, kind, "float32"), make_jobs(folder, kind, "float32")
    with pytest.raises(
        UnshareableError,
        match=r"^it changes its network while it runs \(`attn_processors`\)$",
    ):
        bench.mixed(jobs, WIDTH)
