"""Images from images: bit for bit those of diffusers' own image-to-image pipelines."""

import inspect
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import diffusers
import pytest
import torch
from diffusers.pipelines.auto_pipeline import (
    AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
    AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
)
from PIL import ImageOps

from storage.catalogue import schedulers
from storage.catalogue.image_pipelines import IMAGE_PIPELINES, evaluations_skipped
from storage.catalogue.pipeline_calls import parameters_of
from storage.files.inputs import InputFolder
from storage.job import Job
from tests.batches import card_of, make_job
from tests.image_scripts import ImageBench, make_image
from tests.matrices import sample
from tests.tiny_kinds import KINDS

pytestmark = pytest.mark.filterwarnings("ignore")

PAINTED = [kind for kind in KINDS if kind.split()[0] in IMAGE_PIPELINES]
KINDS_TRIED = sample(PAINTED, IMAGE_PIPELINES, quick=("StableDiffusionPipeline",))
STRENGTHS = (0.55, 1.0, 0.3)
#: One of each way in which a scheduler looks back at its earlier steps.
WAYS = ("ddim", "dpmpp_2m", "euler_a", "heun", "pndm", "unipc")


def names() -> list[str]:
    return [row.name for row in schedulers.rows("sd")]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)
    bench_of.cache_clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@cache
def bench_of(folder: Path, kind: str) -> ImageBench:
    shapes = kind == "shapes"
    own = "builtin:shapes" if shapes else str(KINDS[kind](folder / kind))
    pipeline = "StableDiffusionPipeline" if shapes else kind.split()[0]
    sibling = IMAGE_PIPELINES[pipeline].name
    return ImageBench(own, sibling, inputs=InputFolder(folder))


def jobs_of(bench: ImageBench, *, name: str | None = None, count: int = 3) -> list[Job]:
    card = card_of(str(bench.bench.starter.pipe.config["_name_or_path"]))
    own = name or card.scheduler_class
    make = partial(make_job, own, model=card.model.name, prompt="a cat")
    return [
        bench.begin_with(
            make(seed=number, steps=5 + number), make_image(number), strength=strength
        )
        for number, strength in enumerate(STRENGTHS[:count])
    ]


@pytest.mark.parametrize("kind", KINDS_TRIED)
def test_an_image_made_alone_is_that_of_a_plain_script(folder: Path, kind: str) -> None:
    bench = bench_of(folder, kind)
    for number, job in enumerate(jobs_of(bench)):
        made, basket = bench.bench.mixed([job], 1)
        assert not basket.failures
        image, strength = make_image(number), job.extras["strength"]
        assert made[job.key].equals(bench.plain(job, image=image, strength=strength))


@pytest.mark.parametrize("kind", KINDS_TRIED)
def test_a_batch_of_several_strengths_equals_ordinary_batches(
    folder: Path, kind: str
) -> None:
    bench = bench_of(folder, kind)
    jobs = jobs_of(bench)
    made, basket = bench.bench.mixed(jobs, 4)
    assert not basket.failures
    for number, job in enumerate(jobs):
        run = made[job.key].run
        assert run
        images = [make_image(7)] * run.width
        images[run.row] = make_image(number)
        strength = job.extras["strength"]
        equal = bench.ordinary(run, image=images, strength=strength)
        assert made[job.key].equals(equal)


@pytest.mark.parametrize("name", sample(names(), WAYS, quick=WAYS[:3]))
def test_each_scheduler_begins_in_the_middle_as_in_a_script(
    folder: Path, name: str
) -> None:
    bench = bench_of(folder, "shapes")
    [job] = jobs_of(bench, name=name, count=1)
    made, basket = bench.bench.mixed([job], 1)
    assert not basket.failures
    image, strength = make_image(0), job.extras["strength"]
    assert made[job.key].equals(bench.plain(job, image=image, strength=strength))


@pytest.mark.parametrize("name", sample(names(), WAYS, quick=WAYS[:3]))
@pytest.mark.parametrize("strength", [0.2, 0.55, 0.99])
def test_the_calls_of_the_network_are_counted_beforehand(
    folder: Path, name: str, strength: float
) -> None:
    bench = bench_of(folder, "shapes")
    job = bench.begin_with(make_job(name, steps=7), make_image(1), strength=strength)
    made, _ = bench.bench.mixed([job], 1)
    run = made[job.key].run
    of = schedulers.CLASSES[job.scheduler_class]
    whole = schedulers.evaluations(
        job.scheduler_class,
        job.scheduler_options,
        config=bench.bench.config,
        steps=job.steps,
    )
    left_out = evaluations_skipped(job.model.pipeline, of, job.extras, steps=job.steps)
    assert run
    assert run.evaluations == whole - left_out


@pytest.mark.parametrize("kind", KINDS_TRIED)
def test_each_pipeline_skips_as_many_steps_as_its_row_says(
    folder: Path, kind: str
) -> None:
    script = bench_of(folder, kind).script
    known = IMAGE_PIPELINES[kind.split()[0]]
    for steps in range(1, 60):
        for strength in (0.01, 0.29, 0.3, 0.35, 0.55, 0.7, 0.99, 1.0):
            script.scheduler.timesteps = torch.arange(steps)
            found, _ = script.get_timesteps(steps, strength, "cpu")
            assert steps - len(found) == known.skipped(steps, strength)


def test_images_with_and_without_an_input_share_a_batch(folder: Path) -> None:
    bench = bench_of(folder, "shapes")
    [begun] = jobs_of(bench, name="ddim", count=1)
    plain = make_job("ddim", seed=3)
    made, basket = bench.bench.mixed([begun, plain], 4)
    assert not basket.failures
    assert made[plain.key].equals(bench.bench.ordinary(made[plain.key].run))


@pytest.mark.parametrize(
    ("how", "cut"),
    [
        ("crop", lambda image: ImageOps.fit(image, (64, 64))),
        ("pad", lambda image: ImageOps.pad(image, (64, 64))),
        ("stretch", lambda image: image.resize((64, 64))),
    ],
)
def test_an_image_of_another_size_is_resized_as_pillow_does(
    folder: Path, how: str, cut: object
) -> None:
    bench = bench_of(folder, "shapes")
    image = make_image(2, (80, 48))
    job = bench.begin_with(make_job(), image, strength=0.5, resize=how)
    made, _ = bench.bench.mixed([job], 1)
    assert callable(cut)
    assert made[job.key].equals(bench.plain(job, image=cut(image), strength=0.5))


def test_a_job_whose_input_is_gone_fails_alone(folder: Path) -> None:
    bench = bench_of(folder, "shapes")
    gone, *_ = jobs_of(bench, name="ddim")
    inputs = InputFolder(folder / "others")
    bench.bench.starter._inputs = inputs
    try:
        made, basket = bench.bench.mixed([gone, make_job()], 2)
    finally:
        bench.bench.starter._inputs = InputFolder(folder)
    assert list(made) == [make_job().key]
    assert list(basket.failures) == [gone.key]
    assert "there is no file; submit the sweep" in str(basket.failures[gone.key])


def test_the_table_of_siblings_is_that_of_diffusers() -> None:
    own = {v.__name__: k for k, v in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.items()}
    for pipeline, known in IMAGE_PIPELINES.items():
        found = AUTO_IMAGE2IMAGE_PIPELINES_MAPPING[own[pipeline]]
        assert found.__name__ == known.name
        takes = inspect.signature(found.__call__).parameters
        assert takes["strength"].default == known.strength
        assert ("width" in takes) == ("height" in takes) == known.takes_size
        calls = parameters_of(pipeline)
        lacks = {name for name in calls if name.removeprefix("call.") not in takes}
        assert lacks == known.lacks
        for name in calls.keys() - lacks:
            text = inspect.signature(getattr(diffusers, pipeline).__call__).parameters
            plain = name.removeprefix("call.")
            assert text[plain].default == takes[plain].default


def test_all_siblings_of_diffusers_are_known_or_left_out_for_a_reason() -> None:
    left = {
        # They change their network while they run, or draw no noise of their own.
        *("StableDiffusionPAGPipeline", "StableDiffusionXLPAGPipeline"),
        *("StableDiffusion3PAGPipeline", "IFPipeline"),
        # The strength is an argument of its scheduler.
        "LatentConsistencyModelPipeline",
        # They consist of several pipelines, or skip steps of their scheduler alone.
        *("KandinskyCombinedPipeline", "KandinskyV22CombinedPipeline"),
        "Kandinsky3Pipeline",
    }
    found = set()
    for key, sibling in AUTO_IMAGE2IMAGE_PIPELINES_MAPPING.items():
        text = AUTO_TEXT2IMAGE_PIPELINES_MAPPING.get(key)
        takes = inspect.signature(sibling.__call__).parameters
        if text and "strength" in takes and "control" not in key:
            found.add(text.__name__)
    assert found == {*IMAGE_PIPELINES, *left}
