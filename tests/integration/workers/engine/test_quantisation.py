"""Quantised weights make the images of a plain script, bit for bit.

torchao is in the extra `quantize`. Where it is missing, these tests are skipped;
`make test-quantize` has it.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from storage.errors import UnfitError
from storage.job import Job
from tests.batches import make_job
from tests.tiny_pipelines import make_sd
from tests.work import paint
from tests.written_scripts import make_painter, run_script
from workers.engine import quantised_weights
from workers.engine.fixed_jobs import paint_all
from workers.engine.pipelines import Pipelines

#: What torchao says of weights that are not bfloat16, and of its other parts.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("one_thread"),
]
is_missing = importlib.util.find_spec("torchao") is None
needs_torchao = pytest.mark.skipif(is_missing, reason="make test-quantize has torchao")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a small Stable Diffusion."""
    return make_sd(tmp_path_factory.mktemp("models") / "sd")


@pytest.fixture
def quantised(folder: Path) -> Callable[..., Job]:
    """Make jobs of that model."""

    def make(text: str, *, strict: bool = False, **changes: object) -> Job:
        extras = {"quantize": text, "strict": strict}
        return make_job(model=str(folder), extras=extras, **changes)

    return make


@needs_torchao
@pytest.mark.parametrize(
    "text", ["unet=int8", "unet=int8_dynamic", "text_encoder=int8 unet=fp8"]
)
def test_an_image_is_that_of_the_script_and_results_say_by_which_torchao(
    text: str,
    quantised: Callable[..., Job],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = quantised(text, strict=True)
    painter = make_painter(tmp_path)
    [made] = paint(painter, job)
    assert made.batch_width == 1
    script = run_script(job, tmp_path, monkeypatch)
    assert made.image.tobytes() == script.tobytes()
    assert made.environment.details["torchao"]
    # The same model as it is, from the same painter.
    plain = quantised("", strict=True)
    [beside] = paint(painter, plain)
    assert beside.image.tobytes() != made.image.tobytes()
    assert "torchao" not in beside.environment.details


@needs_torchao
@pytest.mark.parametrize("scheme", ["int8", "int8_dynamic", "fp8"])
def test_a_row_does_not_depend_on_its_neighbours(
    scheme: str, quantised: Callable[..., Job], tmp_path: Path
) -> None:
    jobs = [
        quantised(f"unet={scheme}", seed=seed, prompt=prompt)
        for seed, prompt in enumerate(("a cat", "a dog", "red"))
    ]
    with Pipelines("cpu", digests=tmp_path / "digests.json").lend(jobs[0]) as resident:
        [first, *_], [again, *_] = (
            paint_all(resident.starter, [jobs[0], other]) for other in jobs[1:]
        )
    assert first.width == again.width == 2
    assert torch.equal(first.result, again.result)


@needs_torchao
def test_a_scheme_that_needs_a_gpu_is_refused_on_a_processor(
    quantised: Callable[..., Job], tmp_path: Path
) -> None:
    rule = (
        "`quantize: fp8_dynamic` needs a GPU of CUDA compute capability 8.9 or newer,"
        " but this worker paints on cpu; start a worker on such a GPU"
    )
    with pytest.raises(UnfitError, match=rule):
        paint(make_painter(tmp_path), quantised("unet=fp8_dynamic"))


def test_a_worker_without_the_package_says_how_to_install_it(
    quantised: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantised_weights, "version_of", lambda _: "")
    with pytest.raises(UnfitError) as caught:
        paint(make_painter(tmp_path), quantised("unet=int8"))
    assert str(caught.value) == (
        "this worker needs the package torchao for `quantize: unet=int8`, and does not"
        " have it; install it with `pip install 'nightsweep[quantize]'`"
    )
