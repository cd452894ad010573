"""Jobs that begin with an image: what they are, how long, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from producer.expansion.expand import Expansion, expand
from producer.spec.sweepfile import read_spec
from storage.catalogue.pipeline_families import Guidance
from storage.errors import SpecError
from storage.files.inputs import InputFolder, digest_of
from storage.job import PlannedJob
from tests.unit import cards
from tests.unit.cards import CARD, describe_fake, write_spec

SD = replace(
    CARD,
    model=replace(CARD.model, pipeline="StableDiffusionPipeline"),
    effects=Guidance(),
    width=64,
    height=64,
)
SDXL = replace(
    SD,
    model=replace(
        CARD.model,
        name="xl",
        fingerprint="1" * 32,
        pipeline="StableDiffusionXLPipeline",
    ),
    pipeline_class="StableDiffusionXLPipeline",
)
SANA = replace(
    SD,
    model=replace(CARD.model, name="sana", fingerprint="2" * 32),
    pipeline_class="SanaPipeline",
)
NAMES = {"sd": "'builtin:shapes'", "xl": "xl", "sana": "sana"}


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = {card.model.name: card for card in (SD, SDXL, SANA)}
    monkeypatch.setattr(cards, "CARDS", known)
    ramp = Image.linear_gradient("L").convert("RGB")
    ramp.resize((64, 64)).save(tmp_path / "cat.png")
    ramp.resize((64, 64)).save(tmp_path / "same.bmp")
    ramp.resize((80, 48)).save(tmp_path / "wide.png")


def expand_text(folder: Path, rest: str, *, model: str = "sd") -> Expansion:
    head = f"name: s\nbase: {{model: {NAMES[model]}, prompt: a cat"
    return expand(read_spec(write_spec(folder, f"{head}, {rest}\n")), describe_fake)


def jobs_of(folder: Path, rest: str, *, model: str = "sd") -> list[PlannedJob]:
    expansion = expand_text(folder, rest, model=model)
    jobs = list(expansion.jobs())
    assert expansion.count == len(jobs) == len({one.job.key for one in jobs})
    return jobs


def problems_of(folder: Path, rest: str, *, model: str = "sd") -> str:
    with pytest.raises(SpecError) as caught:
        expand_text(folder, rest, model=model)
    return "\n".join(f"{each.where}: {each.message}" for each in caught.value.problems)


def test_the_key_has_the_content_and_not_the_path(tmp_path: Path) -> None:
    [one] = jobs_of(tmp_path, "image: cat.png}")
    [other] = jobs_of(tmp_path, "image: same.bmp}")
    picture = Image.open(tmp_path / "cat.png")
    assert one.job.extras == {"image": digest_of(picture), "strength": 0.8}
    assert one.job.key == other.job.key


def test_the_strength_is_that_of_the_pipeline_unless_the_sweep_names_one(
    tmp_path: Path,
) -> None:
    [own] = jobs_of(tmp_path, "image: cat.png}", model="xl")
    [null] = jobs_of(tmp_path, "image: cat.png, strength: null}", model="xl")
    [named] = jobs_of(tmp_path, "image: cat.png, strength: 0.3}", model="xl")
    assert own.job.key == null.job.key == named.job.key
    assert own.job.extras["strength"] == 0.3


def test_a_cell_shows_the_name_of_the_file_or_its_label(tmp_path: Path) -> None:
    axes = "image: [cat.png, {file: wide.png, label: dog}], strength: [0.5]"
    jobs = jobs_of(tmp_path, f"resize: crop}}\naxes: {{{axes}}}")
    assert [one.cell["image"] for one in jobs] == ["cat.png", "dog"]


def test_without_an_image_strength_and_resize_make_no_jobs_of_their_own(
    tmp_path: Path,
) -> None:
    axes = "image: [null, cat.png], strength: [0.5, 0.7], resize: [crop]"
    expansion = expand_text(tmp_path, f"scheduler: ddim, steps: 10}}\naxes: {{{axes}}}")
    jobs = list(expansion.jobs())
    assert [one.job.extras.get("strength") for one in jobs] == [None, 0.5, 0.7]
    assert [one.evaluations for one in jobs][1:] == [5, 7]
    assert (
        jobs[0].job.key == jobs_of(tmp_path, "scheduler: ddim, steps: 10}")[0].job.key
    )
    assert any("no effect without an image: 2" in w for w in expansion.duplicates)


@pytest.mark.parametrize(
    ("scheduler", "steps", "strength", "evaluations"),
    [
        ("ddim", 20, 0.6, 12),
        ("ddim", 20, 0.33, 6),
        ("heun", 10, 0.5, 9),
        ("pndm", 10, 0.5, 6),
        ("ddim", 7, 1, 7),
    ],
)
def test_only_the_last_steps_are_counted(
    tmp_path: Path, scheduler: str, steps: int, strength: float, evaluations: int
) -> None:
    given = f"scheduler: {scheduler}, steps: {steps}, strength: {strength}"
    [one] = jobs_of(tmp_path, f"image: cat.png, {given}}}")
    assert one.evaluations == evaluations


def test_jobs_with_and_without_an_image_share_a_group(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, "steps: 4}\naxes: {image: [null, cat.png]}")
    assert len({one.job.group for one in jobs}) == 1
    assert [one.cell["image"] for one in jobs] == ["none", "cat.png"]


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("image: gone.png}", "gone.png (No such file or directory); check the path"),
        ("image: {label: x}}", "image must name a file, got a mapping without `file`"),
        (
            "image: wide.png}",
            "must have the 64x64 pixels of the job, got 80x48 in wide.png; write"
            " `resize: crop` (or stretch, or pad)",
        ),
        (
            "image: cat.png, steps: 4, strength: 0.2}",
            "steps x strength must be at least 1 for an input image, got 4 x 0.2;"
            " raise one",
        ),
        ("image: cat.png, strength: 0}", "strength must be a number from 0.001 to 1"),
        (
            "image: cat.png, schedule: {timesteps: [800, 400, 1]}}",
            "schedule must be left out beside an image",
        ),
        (
            "image: cat.png, resize: fill}",
            "resize must be one of crop, stretch and pad",
        ),
        ("strength: 0.5}", "strength must stand beside an input image, got 0.5"),
        ("resize: pad}", "resize must stand beside an input image, got pad"),
        ("image: cat.png, generator: numpy}", "generator must be cpu or cuda for a"),
        (
            "image: cat.png, call.guidance_rescale: 0.5}",
            "call.guidance_rescale must be left out beside an input image",
        ),
        (
            "image: cat.png, backend: flax}",
            "image must be left out for `backend: flax`",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_a_way_out(
    tmp_path: Path, rest: str, said: str
) -> None:
    assert said in problems_of(tmp_path, rest)


def test_a_file_that_is_no_image_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_text("no picture")
    assert "line 2: an input image must be a picture" in problems_of(
        tmp_path, "image: cat.png}"
    )


def test_a_pipeline_without_a_sibling_is_refused(tmp_path: Path) -> None:
    found = problems_of(tmp_path, "image: cat.png}", model="sana")
    assert "image must be left out for a SanaPipeline" in found
    assert "those that can are StableDiffusionPipeline, " in found


def test_a_changed_picture_is_another_sweep_and_each_is_copied_once(
    tmp_path: Path,
) -> None:
    folder = InputFolder(tmp_path / "images")
    rest = "steps: 4, resize: crop}\naxes: {image: [cat.png, wide.png], seed: [1, 2]}"
    before = expand_text(tmp_path, rest)
    for image in before.inputs:
        image.copy_to(folder)
        image.copy_to(folder)
    copies = sorted(each.stem for each in folder.path("x").parent.iterdir())
    assert copies == sorted(image.digest for image in before.inputs)
    Image.new("RGB", (64, 64)).save(tmp_path / "cat.png")
    assert expand_text(tmp_path, rest).digest != before.digest
