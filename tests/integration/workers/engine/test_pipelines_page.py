"""The page on pipelines lists those of the installed diffusers, and what was tried."""

import inspect
import re
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
from diffusers.pipelines import auto_pipeline
from diffusers.pipelines.pag.pag_utils import PAGMixin

from tests.tiny_kinds import ALONE, KINDS

PAGE = (Path(__file__).parents[4] / "docs" / "pipelines.md").read_text()

NEEDED = {"prompt", "num_inference_steps", "width", "height"}
#: Inputs that are pictures, films or sounds, but for those of adapters that are loaded
#: apart.
MEDIA = re.compile(
    r"(?!(negative_)?ip_adapter)(?!num_images)"
    r"(\w+_)?(images?|videos?|audios?|frames|video_length|conditions)$"
)


def is_text_to_image(made_by: Any) -> bool:
    """Return whether a pipeline makes images of a prompt alone.

    Some take an image, too, if there is one; diffusers lists them for text to image.
    """
    if "deprecated" in made_by.__module__:
        return False
    given = inspect.signature(made_by.__call__).parameters
    required = {
        name
        for name, one in given.items()
        if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD
    }
    media = {name for name in given if MEDIA.match(name)}
    listed = auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()
    is_optional = media == {"image"} and "Control" not in made_by.__name__
    return (
        set(given) >= NEEDED
        and required <= {"self", "prompt"}
        and (not media or (is_optional and made_by in listed))
    )


@cache
def installed() -> dict[str, Any]:
    found = {name: getattr(diffusers, name) for name in dir(diffusers)}
    return {
        name: made_by
        for name, made_by in found.items()
        if isinstance(made_by, type)
        and issubclass(made_by, diffusers.DiffusionPipeline)
        and is_text_to_image(made_by)
    }


@cache
def rows() -> dict[str, tuple[str, str]]:
    found = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
    assert len({name for name, *_ in found}) == len(found)
    return {name: (how, tried) for name, how, tried in found}


def test_the_page_lists_every_pipeline_of_the_installed_diffusers() -> None:
    assert list(rows()) == sorted(installed())


def test_the_page_says_what_was_tried() -> None:
    tried = {kind.partition(" ")[0] for kind in KINDS}
    assert {name for name, (_, said) in rows().items() if said != "-"} == tried


def test_the_page_says_how_jobs_run() -> None:
    said = {name: how for name, (how, _) in rows().items()}
    assert {how.partition(":")[0] for how in said.values()} == {
        "in batches",
        "alone",
        "not at all",
    }
    for kind in KINDS:
        name, how = kind.partition(" ")[0], "alone" if kind in ALONE else "in batches"
        assert said[name].startswith(how)


def test_the_page_knows_the_pipelines_that_change_their_network() -> None:
    alone = {name for name, (how, _) in rows().items() if "changes its network" in how}
    assert alone == {
        name for name, made_by in installed().items() if issubclass(made_by, PAGMixin)
    }


def test_the_page_knows_the_pipelines_that_consist_of_others() -> None:
    whole = {name for name, (how, _) in rows().items() if "other pipelines" in how}
    assert whole == {
        name for name, made_by in installed().items() if made_by._load_connected_pipes
    }
