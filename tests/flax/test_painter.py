"""The painter with JAX: its images are torch's, with whatever neighbours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from storage.job import Job, Model
from storage.models.fingerprint import Digests, fingerprint
from storage.models.model_files import locate
from tests.builders import make_job
from tests.flax import cases
from tests.work import Basket, paint
from workers.flax.painter import FlaxPainter

#: Steps of the tests whose pictures are compared with each other only.
FEW = 4
TOLERANCE = 0.01


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    found = locate("builtin:shapes", download=True)
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


def run(painter: FlaxPainter, jobs: Sequence[Job]) -> Basket:
    basket = Basket(*jobs)
    painter.paint(basket)
    basket.fetch()
    assert not basket.in_hand
    assert not basket.waiting
    return basket


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
