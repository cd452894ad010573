"""The painter with JAX: its images are torch's, with whatever neighbours."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from diffusers import FlaxStableDiffusionPipeline
from flax.jax_utils import replicate

from storage.errors import NonFiniteError, UnfitError
from storage.job import Job, Model
from storage.models.fingerprint import Digests, fingerprint
from tests.builders import make_job
from tests.flax import cases
from tests.flax import changed_models as models
from tests.work import Basket, paint, run
from workers.flax import flax_schedulers, sampling
from workers.flax.network_loading import load_networks
from workers.flax.painter import FlaxPainter
from workers.flax.sharded_calls import Programs
from workers.noise import draw
from workers.painting import StoppedError
from workers.vitals import phases
from workers.vitals.phases import WatchedPainter

#: Steps of the tests whose pictures are compared with each other only.
FEW = 4
TOLERANCE = 0.01


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    found = models.find()
    digests = Digests(tmp_path_factory.mktemp("digests") / "digests.json")
    return Model(fingerprint=fingerprint(found, digests), name="builtin:shapes")


@pytest.fixture(scope="session")
def painter(tmp_path_factory: pytest.TempPathFactory) -> FlaxPainter:
    digests = tmp_path_factory.mktemp("painter") / "digests.json"
    made = FlaxPainter("cpu", digests=digests)
    assert made.width == 2
    return made


@pytest.fixture
def make(model: Model) -> Any:
    def of(**changes: Any) -> Job:
        values: dict[str, Any] = {
            "model": model,
            "backend": "flax",
            "generator": "numpy",
            "dtype": "float32",
            "width": cases.SIZE,
            "height": cases.SIZE,
            "prompt": cases.PROMPT,
            "seed": cases.SEED,
            "scheduler_class": "DDIMScheduler",
            "steps": FEW,
            "guidance": 7.5,
        }
        return make_job(**{**values, **changes})

    return of


def pixels(painting: Any) -> np.ndarray[Any, Any]:
    return np.asarray(painting.image)


@pytest.mark.parametrize("case", cases.CASES, ids=str)
def test_an_image_is_that_of_torch_from_the_same_noise(
    case: cases.Case, painter: FlaxPainter, make: Any
) -> None:
    job = make(
        negative_prompt=cases.NEGATIVE,
        scheduler_class=case.scheduler_class,
        scheduler_options=case.options,
        steps=case.steps,
        guidance=case.guidance,
    )
    [painting] = paint(painter, job)
    wanted = np.load(cases.PIXELS)[str(case)].astype(np.float64)
    found = pixels(painting)[:: cases.STRIDE, :: cases.STRIDE] / 255
    assert wanted.std() > 0.1
    # Half a step of 8 bits is the picture's own.
    assert np.abs(found - wanted).max() < TOLERANCE + 0.5 / 255
    extra = case.scheduler_class.startswith("PNDM")
    skips = case.options.get("skip_prk_steps", True)
    assert painting.evaluations == case.steps + extra * (1 if skips else 9)


def test_an_image_depends_on_no_neighbour(painter: FlaxPainter, make: Any) -> None:
    job = make()
    [alone] = paint(painter, job)
    others = make(seed=5, guidance=2.0), make(seed=6, prompt="a blue star", guidance=9)
    first, _ = paint(painter, job, others[0])
    _, second = paint(painter, others[1], job)
    assert (alone.slot, first.slot, second.slot) == (0, 0, 1)
    assert (pixels(alone) == pixels(first)).all()
    assert (pixels(alone) == pixels(second)).all()


def test_two_devices_paint_what_one_does(painter: FlaxPainter, make: Any) -> None:
    jobs = [make(seed=1), make(seed=2)]
    together = paint(painter, *jobs)
    one = Programs(
        load_networks(models.find(), dtype="float32"), jax.local_devices()[:1]
    )
    for job, painting in zip(jobs, together, strict=True):
        alone = (one.paint([job]).pixels[0] * 255).round()
        assert (pixels(painting) == alone).all()


def test_jobs_of_all_kinds_are_painted_each_in_a_call_of_its_kind(
    painter: FlaxPainter, make: Any
) -> None:
    kinds = ({}, {"guidance": 1.0}, {"steps": FEW + 1})
    jobs = [make(seed=seed, **kind) for seed in range(3) for kind in kinds]
    basket = run(painter, jobs)
    assert basket.paintings.keys() == {job.key for job in jobs}
    slots = [[basket.paintings[job.key].slot for job in jobs[at::3]] for at in range(3)]
    # Three jobs on two devices: the last one of each kind has a call of its own.
    assert slots == [[0, 1, 0]] * 3
    assert {one.batch_width for one in basket.paintings.values()} == {2}


def test_a_scheduler_never_gets_the_program_of_another(
    painter: FlaxPainter, make: Any
) -> None:
    plain = make(scheduler_options={})
    other = make(scheduler_options={"clip_sample": True})
    first, changed, again = paint(painter, plain, other, make(extras={"tag": "again"}))
    assert (pixels(first) != pixels(changed)).any()
    assert (pixels(first) == pixels(again)).all()


def test_a_pipeline_of_diffusers_does_get_it() -> None:
    """Why each scheduler has a program of its own."""
    networks = load_networks(models.find(), dtype="float32")
    pipe = FlaxStableDiffusionPipeline(
        vae=networks.vae,
        text_encoder=networks.text_encoder,
        tokenizer=networks.tokenizer,
        unet=networks.unet,
        scheduler=None,
        safety_checker=None,
        feature_extractor=None,
    )

    def call(clip_sample: bool) -> Any:
        scheduler, state = flax_schedulers.build(
            "DDIMScheduler",
            {"clip_sample": clip_sample},
            config=networks.scheduler_config,
        )
        pipe.scheduler = scheduler
        shape = networks.latents_shape(cases.SIZE, cases.SIZE)
        noise = np.stack([draw(seed, shape) for seed in (1, 2)])
        ids = networks.token_ids([cases.PROMPT] * 2)[:, None]
        return pipe(
            ids,
            replicate({**networks.parameters, "scheduler": state}),
            jax.random.split(jax.random.PRNGKey(0), 2),
            num_inference_steps=FEW,
            height=cases.SIZE,
            width=cases.SIZE,
            latents=noise,
            neg_prompt_ids=ids,
            jit=True,
        ).images

    assert (call(clip_sample=False) == call(clip_sample=True)).all()


def test_a_picture_of_nan_fails_alone(painter: FlaxPainter, make: Any) -> None:
    good, bad = make(), make(guidance=3e38)
    basket = run(painter, [good, bad])
    assert basket.paintings.keys() == {good.key}
    assert isinstance(basket.failures[bad.key], NonFiniteError)


def test_what_flax_lacks_fails_the_jobs_that_want_it(
    painter: FlaxPainter, make: Any
) -> None:
    good = make()
    wrong = make(extras={"eta": 0.5}), make(scheduler_class="UniPCMultistepScheduler")
    basket = run(painter, [wrong[0], good, wrong[1]])
    assert basket.paintings.keys() == {good.key}
    assert str(basket.failures[wrong[0].key]) == (
        "eta must be left out for `backend: flax`, which has no such input, got 0.5; "
        "leave it out, or use `backend: torch`"
    )
    assert "must be DDIMScheduler" in str(basket.failures[wrong[1].key])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"generator": "cpu"},
            "generator must be numpy for a worker with JAX",
        ),
        ({"dtype": "float16"}, "dtype must be float32 or bfloat16 for a worker"),
        ({"backend": "torch"}, "backend must be flax for a worker with JAX, got torch"),
        ({"extras": {"strict": True}}, "strict must be False for a worker with JAX"),
    ],
)
def test_a_group_for_other_workers_is_refused(
    painter: FlaxPainter, make: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnfitError, match=message):
        paint(painter, make(**changes))


def test_times_of_loading_and_compiling_are_those_of_the_first_job(
    tmp_path: Path, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    spread = sampling.spread

    def see(*args: Any) -> Any:
        seen.append(phases.most_telling(phases.under_way()).phase)
        return spread(*args)

    monkeypatch.setattr(sampling, "spread", see)
    painter = WatchedPainter(FlaxPainter("cpu", digests=tmp_path / "digests.json"))
    first, second, third = paint(painter, *(make(seed=seed) for seed in range(3)))
    assert first.load_s > 0
    assert (second.load_s, third.load_s) == (0, 0)
    assert (first.warm_up, second.warm_up, third.warm_up) == (True, True, False)
    assert min(third.encode_s, third.denoise_s, third.decode_s) > 0
    # The text encoder, the UNet and the decoder, each once.
    assert seen == [phases.COMPILING] * 3


def test_the_environment_names_packages_and_devices(
    painter: FlaxPainter, make: Any
) -> None:
    [painting] = paint(painter, make())
    details = painting.environment.details
    assert details["diffusers"] == "0.39.0"
    assert details["devices"] == "2 x cpu"
    assert all(details[name] for name in ("jax", "jaxlib", "flax", "transformers"))
    assert painting.environment.gpu.startswith("CPU")
    assert painting.place is not None
    assert painting.place.name == "builtin:shapes"


def test_bfloat16_paints_nearly_the_same(painter: FlaxPainter, make: Any) -> None:
    [half] = paint(painter, make(dtype="bfloat16"))
    [full] = paint(painter, make())
    assert half.decode_dtype == "bfloat16"
    difference = np.abs(pixels(half) / 255 - pixels(full) / 255)
    assert 0 < difference.mean() < 0.02


def test_stopping_leaves_the_jobs_in_hand(painter: FlaxPainter, make: Any) -> None:
    def stop() -> None:
        raise StoppedError

    basket = Basket(make(), check=stop)
    with pytest.raises(StoppedError):
        painter.paint(basket)
    assert len(basket.in_hand) == 1


def test_a_job_that_nobody_wants_is_not_painted(
    painter: FlaxPainter, make: Any
) -> None:
    wanted, unwanted = make(), make(seed=9)
    basket = Basket(unwanted, wanted)
    basket.unwanted = {unwanted.key}
    painter.paint(basket)
    basket.fetch()
    assert basket.paintings.keys() == {wanted.key}
    assert basket.withdrawn == [unwanted]
