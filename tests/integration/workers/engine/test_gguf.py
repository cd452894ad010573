"""GGUF files make the images of a plain script, bit for bit.

gguf is in the extra `quantize`. Where it is missing, these tests are skipped;
`make test-quantize` has it.
"""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from storage.errors import UnfitError
from storage.job import Job
from storage.models.gguf_headers import read_gguf_header
from tests.batches import card_of, make_job
from tests.single_files import without_weights, write_network, write_sd3
from tests.tiny_packed import make_qwen
from tests.tiny_pipelines import make_sd3
from tests.work import paint
from tests.written_scripts import make_painter, run_script
from workers.engine import quantised_weights
from workers.engine.fixed_jobs import paint_all
from workers.engine.pipelines import Pipelines

#: What diffusers and transformers say of small models that stand in for large ones.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("one_thread"),
]
is_missing = importlib.util.find_spec("gguf") is None
needs_gguf = pytest.mark.skipif(is_missing, reason="make test-quantize has gguf")
#: A layout of an author's own, and the names of diffusers.
MODELS: dict[str, tuple[Any, Any]] = {
    "Stable Diffusion 3": (make_sd3, write_sd3),
    "Qwen-Image": (make_qwen, write_network),
}


def write_gguf(file: Path, weights: dict[str, torch.Tensor], kind: str) -> Path:
    """Write weights as programs do: those of layers quantised, all others as F32."""
    import gguf

    writer = gguf.GGUFWriter(file, "test")
    asked = gguf.GGMLQuantizationType[kind]
    for name, weight in weights.items():
        fits = weight.ndim == 2 and weight.shape[1] % 32 == 0
        own = asked if fits else gguf.GGMLQuantizationType.F32
        data = gguf.quants.quantize(weight.float().numpy(), own)
        writer.add_tensor(
            name.removeprefix("model.diffusion_model."), data, raw_dtype=own
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def make_gguf(kind: str, model: str, folder: Path) -> tuple[Path, Path]:
    """Return a file, and the folder of its model, which has no transformer."""
    make, write = MODELS[model]
    config = make(folder / "model")
    weights = load_file(write(config, folder / "x.safetensors"))
    without_weights(config, "transformer")
    return write_gguf(folder / "x.gguf", weights, kind), config


def job_of(file: Path, config: Path, **changes: Any) -> Job:
    own = card_of(f"{file}?config={config}").scheduler_config["_class_name"]
    return make_job(own, model=f"{file}?config={config}", **changes)


@needs_gguf
@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("F16", "Stable Diffusion 3"),
        ("Q8_0", "Stable Diffusion 3"),
        ("Q4_0", "Stable Diffusion 3"),
        ("Q4_0", "Qwen-Image"),
    ],
)
def test_an_image_is_that_of_the_script(
    kind: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, config = make_gguf(kind, model, tmp_path)
    types = {each.dtype for each in read_gguf_header(file).tensors.values()}
    assert types == {kind, "F32"}
    job = job_of(file, config)
    [made] = paint(make_painter(tmp_path), job)
    assert made.environment.details["gguf"]
    script = run_script(job, tmp_path, monkeypatch)
    assert made.image.tobytes() == script.tobytes()


@needs_gguf
def test_a_row_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    file, config = make_gguf("Q4_0", "Stable Diffusion 3", tmp_path)
    jobs = [
        job_of(file, config, seed=seed, prompt=prompt)
        for seed, prompt in enumerate(("a cat", "a dog", "a cow"))
    ]
    with Pipelines("cpu", digests=tmp_path / "digests.json").lend(jobs[0]) as resident:
        [first, *_], [again, *_] = (
            paint_all(resident.starter, [jobs[0], other]) for other in jobs[1:]
        )
    assert first.width == again.width == 2
    assert torch.equal(first.result, again.result)


@needs_gguf
def test_a_worker_without_the_package_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(*make_gguf("Q8_0", "Stable Diffusion 3", tmp_path))
    monkeypatch.setattr(quantised_weights, "version_of", lambda _: "")
    with pytest.raises(UnfitError, match="this worker needs the package gguf for"):
        paint(make_painter(tmp_path), job)
