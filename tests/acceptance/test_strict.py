"""Under `strict`, an image of the queue is bit for bit that of a plain script."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from storage.catalogue import schedulers
from storage.settings import read_settings
from tests import script
from tests.acceptance.conftest import Bench
from tests.matrices import sample

PROMPT = "a red circle on a blue background"
STEPS = 4
#: One of each way to use what is handed to a step: own noise, that of the generator,
#: former answers, a scaled input, two calls a step.
WAYS = ("ddim_eta", "dpmpp_sde", "euler_a", "dpmpp_3m", "lms", "heun", "pndm", "unipc")


def every_name() -> list[str]:
    """Every name of the catalogue that the model supports, each meaning once."""
    file = script.SHAPES / "scheduler" / "scheduler_config.json"
    config = json.loads(file.read_text())
    meanings: dict[str, str] = {}
    for row in schedulers.rows("sd"):
        asked = schedulers.resolve(row.name)
        options = schedulers.effective_options(asked, config)
        meaning = json.dumps([asked.class_name, options, dict(asked.extras)])
        meanings.setdefault(meaning, row.name)
    return list(meanings.values())


@pytest.fixture(scope="module")
def strict_images(
    request: pytest.FixtureRequest,
    warm: Bench,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, dict[str, Any]]:
    """Make one image with each scheduler that is tried now, through the queue."""
    tests = [test for test in request.session.items if test.path == request.path]
    names = [test.callspec.params["name"] for test in tests]
    spec = {
        "name": "strict",
        "base": {
            "model": "builtin:shapes",
            "prompt": PROMPT,
            "seed": 8,
            "steps": STEPS,
            "strict": True,
        },
        "axes": {"scheduler": [{"class": n, "label": n} for n in names]},
    }
    standing = warm.make(json.dumps(spec), tmp_path_factory.mktemp("strict"))
    assert standing["failed"] == 0
    return {row["scheduler_label"]: row for row in warm.find("--sweep", "strict")}


@pytest.mark.parametrize("name", sample(every_name(), WAYS))
def test_a_strict_image_is_that_of_a_plain_script(
    strict_images: dict[str, dict[str, Any]], warm: Bench, name: str
) -> None:
    row = strict_images[name]
    images = read_settings({"NIGHTSWEEP_HOME": str(warm.home)}).images
    extras = row["extras"]
    extras.pop("strict")
    plain = script.paint(
        row["scheduler_class"],
        row["scheduler_options"],
        prompt=PROMPT,
        steps=STEPS,
        **extras,
    )
    with Image.open(Path(images) / row["path"]) as made:
        assert made.tobytes() == plain.tobytes()
