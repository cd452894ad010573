"""What has an effect: small models of every family are painted, and pixels compared.

Nothing here looks at the table of families but through its verdicts: two jobs that
mean the same have the same pixels, and two that do not have others.
"""

import itertools
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from producer.expansion.resolution import defaults, resolve, settled, word_job
from producer.models.cards import ModelCard, describe
from producer.spec.parameters import Prompt
from storage.catalogue.pipeline_families import FAMILIES, OWN_SCALE
from storage.errors import JobError
from storage.job import Job
from storage.models.model_files import locate
from tests.matrices import sample, shorten
from tests.tiny_families import MAKERS
from tests.tiny_kinds import allow_small_sizes
from tests.tiny_pipelines import make_flux, make_sd, make_sd3, make_sdxl
from workers.engine.fixed_jobs import paint_all
from workers.engine.loading import load_pipeline
from workers.engine.pipelines import DTYPES
from workers.engine.starter import Starter
from workers.vitals import phases

#: What diffusers and transformers say of small models that stand in for large ones.
pytestmark = pytest.mark.filterwarnings("ignore")

Maker = Callable[[Path], Path]
ALL: Mapping[str, Maker] = {
    "StableDiffusionPipeline": make_sd,
    "StableDiffusionPipeline distilled": partial(make_sd, time_cond_proj_dim=8),
    "StableDiffusionXLPipeline": make_sdxl,
    "StableDiffusion3Pipeline": make_sd3,
    "FluxPipeline": partial(make_flux, embeds_guidance=True),
    "FluxPipeline schnell": partial(make_flux, embeds_guidance=False),
    **MAKERS,
}
#: A guidance scale as rows of a call, in the network, and beside another one.
QUICK = ("StableDiffusionPipeline", "FluxPipeline", "QwenImagePipeline")
#: Guidance scales and negative prompts: few ones with and without guidance, and many.
Asked = Sequence[Sequence[Any]]
FEW: Asked = [(0.0, 1.0, 7.0), ("", "blue")]
MANY: Asked = [(0.0, 0.5, 1.0, 3.0, 7.0), ("", "ugly", "blue")]
#: Those whose scheduler fails with a single step.
TWO_STEPS = ("PixArtAlphaPipeline",)


@dataclass(frozen=True, slots=True)
class Studio:
    """A loaded model that paints jobs, and gives the pixels as floats."""

    card: ModelCard
    starter: Starter

    def parameters(self, **changes: Any) -> Mapping[str, Any]:
        base = {
            **defaults(self.card),
            "dtype": "float32",
            "prompt": Prompt("a cat"),
            "width": 64,
            "height": 64,
        }
        return resolve({**base, **changes}, self.card)

    def paint(self, job: Job) -> bytes:
        (run,) = paint_all(self.starter, [job])
        assert run.result.isfinite().all()
        return run.result.numpy().tobytes()


@pytest.fixture(autouse=True, scope="module")
def _small(one_thread: None) -> Iterator[None]:
    del one_thread
    with pytest.MonkeyPatch.context() as patch:
        allow_small_sizes(patch)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("models")
    open_studio.cache_clear()


@cache
def open_studio(folder: Path, kind: str) -> Studio:
    name = str(ALL[kind](folder / kind.replace(" ", "-")))
    pipe = load_pipeline(
        locate(name, download=False), variant=None, dtype=DTYPES["float32"]
    )
    starter = Starter(pipe, dict(pipe.scheduler.config))
    return Studio(describe(name, base_dir=folder), starter)


@pytest.mark.parametrize("asked", sample((FEW, MANY), (FEW,)), ids=("few", "many"))
@pytest.mark.parametrize("kind", shorten(ALL, QUICK))
def test_jobs_have_the_same_pixels_just_where_they_mean_the_same(
    folder: Path, kind: str, asked: Asked
) -> None:
    studio = open_studio(folder, kind)
    assert studio.card.pipeline_class == kind.partition(" ")[0]
    assert studio.card.effects is not None
    steps = 2 if kind in TWO_STEPS else 1
    check_pixels(studio, itertools.product(*asked), steps=steps)


def each(name: str, *values: Any) -> list[Mapping[str, Any]]:
    return [{name: value} for value in values]


#: Values of inputs that only some pipelines have, and that may have no effect.
_ALL_STEPS = {
    "call.skip_layer_guidance_start": -1.0,  # after the step before the first
    "call.skip_layer_guidance_stop": 1.0,
}
SIZE = (64, 64)
CALLS = [
    ("FluxPipeline", each(OWN_SCALE, 0.5, 1.0, 3.0, 6.0)),
    ("FluxPipeline schnell", each(OWN_SCALE, 1.0, 3.0)),
    ("QwenImagePipeline", each(OWN_SCALE, 0.5, 1.0, 4.0, 6.0)),
    ("StableDiffusionPipeline", each("call.guidance_rescale", 0.0, 0.3, 0.7)),
    ("StableDiffusionPipeline distilled", each("call.guidance_rescale", 0.0, 0.7)),
    ("StableDiffusionXLPipeline", each("call.guidance_rescale", 0.0, 0.7)),
    ("StableDiffusionXLPipeline", each("call.original_size", None, SIZE, (64, 32))),
    ("StableDiffusionXLPipeline", each("call.target_size", None, SIZE, (64, 32))),
    (
        "StableDiffusion3Pipeline",
        [
            {**_ALL_STEPS, "call.skip_guidance_layers": layers}
            for layers in (None, (0,))
        ],
    ),
    ("ZImagePipeline", each("call.cfg_normalization", False, True)),
    ("ZImagePipeline", each("call.cfg_truncation", 0.1, 1.0)),
    ("Lumina2Pipeline", each("call.cfg_normalization", False, True)),
    ("Lumina2Pipeline", each("call.cfg_trunc_ratio", 0.5, 1.0)),
]


@pytest.mark.parametrize(("kind", "calls"), shorten(CALLS, CALLS[:4:3]))
def test_an_input_of_the_pipeline_changes_pixels_just_where_it_is_meant(
    folder: Path, kind: str, calls: Sequence[Mapping[str, Any]]
) -> None:
    studio = open_studio(folder, kind)
    pairs = itertools.product((0.0, 1.0, 3.0), ("", "blue"))
    check_pixels(studio, pairs, steps=2, calls=calls)


def check_pixels(
    studio: Studio,
    pairs: Iterable[tuple[float, str]],
    *,
    steps: int,
    calls: Sequence[Mapping[str, Any]] = ({},),
) -> None:
    """Paint with each guidance and negative prompt; compare what has one meaning.

    Args:
        studio: Paints.
        pairs: Guidance and negative prompt.
        steps: Of each image.
        calls: Further parameters, each with every pair.
    """
    meant: dict[tuple[Any, ...], set[bytes]] = {}
    for (guidance, negative), call in itertools.product(pairs, calls):
        worded = studio.parameters(
            guidance=guidance, negative_prompt=negative, steps=steps, **call
        )
        names = ("guidance", "negative_prompt", *call)
        parameters = settled(worded, studio.card)
        meaning = tuple(parameters[name] for name in names)
        try:
            pixels = studio.paint(word_job(worded, studio.card))
        except JobError:
            # The pipeline has no such input: then it is not meant either.
            assert meaning != tuple(worded[name] for name in names)
            continue
        meant.setdefault(meaning, set()).add(pixels)
    assert {meaning: len(found) for meaning, found in meant.items()} == dict.fromkeys(
        meant, 1
    )
    assert len(set.union(*meant.values())) == len(meant)


@pytest.mark.parametrize("kind", ["StableDiffusionPipeline", "QwenImagePipeline"])
def test_both_unicode_forms_of_a_text_have_the_same_pixels_where_they_are_one(
    folder: Path, kind: str
) -> None:
    studio = open_studio(folder, kind)
    assert studio.card.composes
    forms = [unicodedata.normalize(form, "un caf\u00e9") for form in ("NFC", "NFD")]
    assert forms[0] != forms[1]
    words = studio.parameters(guidance=3.0, negative_prompt="ugly")
    joined, apart, other = (
        studio.paint(word_job({**words, "prompt": Prompt(text)}, studio.card))
        for text in (*forms, "un cafe")
    )
    assert joined == apart
    assert joined != other


@pytest.mark.parametrize("kind", ["FluxPipeline", "PixArtSigmaPipeline"])
def test_unicode_forms_are_not_joined_where_a_tokenizer_may_tell_them_apart(
    tmp_path: Path, kind: str
) -> None:
    name = str(ALL[kind](tmp_path / "tiny"))
    assert not describe(name, base_dir=tmp_path).composes


def test_every_family_of_the_table_is_tried_but_those_that_say_so() -> None:
    tried = {kind.partition(" ")[0] for kind in ALL}
    assert tried == {name for name, one in FAMILIES.items() if one.is_tried}


def test_the_steps_of_a_call_for_one_image_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    monkeypatch.setattr(phases, "get_to", lambda part, *, rows: told.append(part))
    studio = open_studio(folder, "StableDiffusionPipeline")
    studio.paint(word_job(studio.parameters(steps=4), studio.card))
    # Nothing is under way once the last step has led to pixels.
    assert told == [*((step + 1) / len(told) for step in range(len(told) - 1)), 0.0]
