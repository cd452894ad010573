"""LoRAs and textual inversions: images are those of plain scripts, bit for bit."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from storage.errors import FingerprintError, ModelError
from storage.job import Job, Model
from storage.models.fingerprint import Digests
from storage.models.part_files import describe_part
from tests.batches import Bench, Made, make_job
from tests.lora_layouts import (
    KLEIN,
    KREA2,
    QWEN,
    SD3,
    TRANSFORMERS,
    Z_IMAGE,
    of_comfy,
    of_comfy_lokr,
    of_kohya_flux2,
    of_kohya_z_image,
    of_krea,
    of_lokr,
    of_peft_with_texts,
    sizes,
)
from tests.matrices import sample
from tests.single_files import write_sd
from tests.tiny_kinds import KINDS
from tests.unit.lora_files import Tensors, kohya, peft, write_tensors
from tests.work import Notes, paint
from workers.engine.loading import without_mending
from workers.engine.torch_painter import OWN_THREADS, TorchPainter

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("one_thread"),
]

SD, SDXL = "StableDiffusionPipeline", "StableDiffusionXLPipeline"
LCM, FLUX = "LatentConsistencyModelPipeline", "FluxPipeline"
#: Layers of Flux in its original code, by those of diffusers.
FLUX_LAYERS = {
    "attn.to_out.0": "img_attn_proj",
    "attn.to_add_out": "txt_attn_proj",
    "ff.net.0.proj": "img_mlp_0",
    "ff.net.2": "img_mlp_2",
}


def unet_and_texts(
    model: Path, layout: Callable[..., Tensors], **names: str
) -> Tensors:
    tensors: dict[str, Any] = {}
    for seed, (part, prefix) in enumerate(names.items()):
        wanted = "self_attn" if part.startswith("text") else r"\.attn"
        tensors |= layout(sizes(model, part, wanted=wanted), prefix=prefix, seed=seed)
    return tensors


def of_kohya(model: Path) -> Tensors:
    return unet_and_texts(
        model, kohya, unet="lora_unet_", text_encoder="lora_te_text_model_"
    )


def of_peft(model: Path) -> Tensors:
    return unet_and_texts(model, peft, unet="unet.", text_encoder="text_encoder.")


def of_peft_xl(model: Path) -> Tensors:
    names = ("text_encoder", "text_encoder_2")
    texts = {name: f"{name}.text_model." for name in names}
    return unet_and_texts(model, peft, unet="unet.", **texts)


def of_kohya_xl(model: Path) -> Tensors:
    """Name the blocks of the UNet as the original code does."""
    config = json.loads((model / "unet/config.json").read_text())
    each = config["layers_per_block"] + 1

    def renamed(name: str) -> str:
        side, block, layer, rest = re.fullmatch(
            r"(down|up|mid)_block(?:s\.(\d+))?\.attentions\.(\d+)\.(.+)", name
        ).groups()  # type: ignore[union-attr]
        if side == "mid":
            return f"middle_block.1.{rest}"
        number = int(block) * each + int(layer) + (side == "down")
        return f"{'input' if side == 'down' else 'output'}_blocks.{number}.1.{rest}"

    unet = sizes(model, "unet", wanted=r"\.attn")
    tensors = {**kohya({renamed(k): v for k, v in unet.items()}, prefix="lora_unet_")}
    for seed, (part, short) in enumerate(
        (("text_encoder", "te1"), ("text_encoder_2", "te2"))
    ):
        layers = sizes(model, part, wanted="self_attn")
        tensors |= kohya(layers, prefix=f"lora_{short}_text_model_", seed=seed)
    return tensors


def of_peft_flux(model: Path) -> Tensors:
    names = {"transformer": "transformer.", "text_encoder": "text_encoder."}
    return unet_and_texts(model, peft, **names)


def of_kohya_flux(model: Path) -> Tensors:
    layers = sizes(model, "transformer", wanted=r"^transformer_blocks")
    found = {
        f"double_blocks.{number}.{FLUX_LAYERS[rest]}": size
        for name, size in layers.items()
        for _, number, rest in [name.split(".", 2)]
        if rest in FLUX_LAYERS
    }
    return kohya(found, prefix="lora_unet_")


CASES: Sequence[tuple[str, Callable[[Path], Tensors]]] = (
    (SD, of_kohya),
    (SD, of_peft),
    (SDXL, of_kohya_xl),
    (SDXL, of_peft_xl),
    (LCM, of_peft),
    (FLUX, of_kohya_flux),
    (FLUX, of_peft_flux),
    ("ChromaPipeline", of_kohya_flux),
    *TRANSFORMERS,
)
TRIED = (
    (SD, of_kohya),
    (SDXL, of_kohya_xl),
    (FLUX, of_peft_flux),
    (SD3, of_peft_with_texts),
    (Z_IMAGE, of_kohya_z_image),
    (Z_IMAGE, of_comfy_lokr),
    (KREA2, of_krea),
    (KLEIN, of_kohya_flux2),
)


@dataclass(frozen=True, slots=True)
class Shelf:
    """A folder for small models and files beside them."""

    folder: Path

    def model(self, kind: str) -> Path:
        path = self.folder / kind
        return path if path.exists() else Path(KINDS[kind](path))

    def part(self, name: str, tensors: Mapping[str, np.ndarray]) -> Model:
        file = write_tensors(self.folder / f"{name}.safetensors", tensors)
        return describe_part(Model(fingerprint="", name=str(file)), Digests())[0]

    def painter(self, **more: Any) -> TorchPainter:
        digests = self.folder / "digests.json"
        return TorchPainter("cpu", threads=1, digests=digests, widths=Notes(2), **more)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    yield Shelf(tmp_path)
    torch.set_num_threads(1)


def job_of(kind: str, model: Path, **changes: Any) -> Job:
    name = {SD: "ddim", SDXL: "ddim", LCM: "lcm"}.get(kind, "flow_euler")
    return make_job(name, model=str(model), **{"steps": 2, "guidance": 3.0, **changes})


def with_loras(job: Job, *loras: tuple[Model, float], strict: bool = False) -> Job:
    extras = {
        **job.extras,
        "loras": [[part.fingerprint, scale] for part, scale in loras],
        "strict": strict,
    }
    return replace(job, extras=extras, parts=tuple(part for part, _ in loras))


def add(bench: Bench, *loras: tuple[Model, float]) -> None:
    """Add LoRAs as a plain script does."""
    names = [f"lora_{number}" for number, _ in enumerate(loras)]
    with without_mending(bench.pipe):
        for name, (part, _) in zip(names, loras, strict=True):
            file = Path(part.name)
            bench.pipe.load_lora_weights(
                str(file.parent), weight_name=file.name, adapter_name=name
            )
    bench.pipe.set_adapters(names, [scale for _, scale in loras])


def levels(made: Made) -> np.ndarray:
    pixels = made.pixels[0].permute(1, 2, 0).numpy()
    return (pixels * 255).round().astype("uint8")


def alone(painter: TorchPainter, job: Job) -> np.ndarray:
    [painting] = paint(painter, job)
    return np.asarray(painting.image)


def plain(bench: Bench, job: Job) -> np.ndarray:
    torch.set_num_threads(OWN_THREADS)
    try:
        return levels(bench.plain(job))
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(("kind", "layout"), sample(CASES, TRIED, quick=TRIED[:1]))
def test_an_image_with_a_lora_is_that_of_a_plain_script(
    shelf: Shelf, kind: str, layout: Callable[[Path], Tensors]
) -> None:
    model = shelf.model(kind)
    part = shelf.part("ink", layout(model))
    job, bench, painter = job_of(kind, model), Bench(str(model)), shelf.painter()
    without = plain(bench, job)
    add(bench, (part, 0.8))
    strict = with_loras(job, (part, 0.8), strict=True)
    inked = alone(painter, strict)
    assert np.array_equal(inked, plain(bench, job))
    assert not np.array_equal(inked, without)
    # In a batch, it is that of the same row of an ordinary batch.
    jobs = [with_loras(replace(job, seed=seed), (part, 0.8)) for seed in (1, 2)]
    made, _ = bench.mixed(jobs, 2)
    for each, painting in zip(jobs, paint(painter, *jobs), strict=True):
        run = made[each.key].run
        assert run is not None
        assert made[each.key].equals(bench.ordinary(run))
        assert np.array_equal(np.asarray(painting.image), levels(made[each.key]))
    # Nothing stays behind, and a scale of 0 is none.
    nothing = replace(job, extras={**job.extras, "strict": True})
    assert np.array_equal(alone(painter, nothing), without)
    zero = with_loras(job, (part, 0.0), strict=True)
    assert np.array_equal(alone(painter, zero), without)


def test_loras_are_swapped_and_none_leaves_a_trace(shelf: Shelf) -> None:
    model = shelf.model(SD)
    ink = shelf.part("ink", of_kohya(model))
    unet = sizes(model, "unet", wanted=r"\.attn")
    pencil = shelf.part("pencil", peft(unet, prefix="unet.", seed=9))
    job, painter = job_of(SD, model), shelf.painter()
    tour: list[list[tuple[Model, float]]] = [
        [(ink, 1.0)],
        [(pencil, 0.5)],
        [(ink, 0.3), (pencil, 1.0)],
        [(pencil, 1.0), (ink, 0.3)],
        [],
        [(ink, 1.0)],
    ]
    for loras in tour:
        bench = Bench(str(model))
        if loras:
            add(bench, *loras)
        made = alone(painter, with_loras(job, *loras, strict=True))
        assert np.array_equal(made, plain(bench, job)), loras


@pytest.mark.long
def test_loras_and_lokrs_are_swapped_and_none_leaves_a_trace(shelf: Shelf) -> None:
    model = shelf.model(Z_IMAGE)
    ink, wash = shelf.part("ink", of_comfy(model)), shelf.part("wash", of_lokr(model))
    job, painter = job_of(Z_IMAGE, model), shelf.painter()
    for part in (ink, wash, ink, None, wash):
        bench, loras = Bench(str(model)), [(part, 0.8)] if part else []
        if loras:
            add(bench, *loras)
        made = alone(painter, with_loras(job, *loras, strict=True))
        assert np.array_equal(made, plain(bench, job)), part


def test_loras_beyond_their_share_of_memory_are_dropped(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.engine.adapters.SHARE", 0.0)
    model = shelf.model(SD)
    unet = sizes(model, "unet", wanted=r"\.attn")
    parts = [
        shelf.part(str(seed), peft(unet, prefix="unet.", seed=seed)) for seed in (1, 2)
    ]
    job, painter = job_of(SD, model), shelf.painter()
    for part in parts:
        alone(painter, with_loras(job, (part, 1.0), strict=True))
    with painter._pipelines.lend(with_loras(job, (parts[1], 1.0))) as resident:
        held = resident.starter.pipe.get_list_adapters()
    assert held == {"unet": [f"lora_{parts[1].fingerprint}"]}


def test_a_lora_that_changed_since_it_was_planned_is_refused(shelf: Shelf) -> None:
    model = shelf.model(SD)
    part = shelf.part("ink", of_kohya(model))
    job = with_loras(job_of(SD, model), (part, 1.0))
    shelf.part("ink", of_peft(model))
    with pytest.raises(FingerprintError, match="must be the file that was planned"):
        alone(shelf.painter(), job)


def test_a_lora_of_another_base_is_refused_by_the_worker_too(shelf: Shelf) -> None:
    model = shelf.model(SD)
    layer, (outputs, _) = next(
        iter(sizes(model, "unet", wanted=r"attn2\.to_k").items())
    )
    part = shelf.part("wide", peft({layer: (outputs, 768)}, prefix="unet."))
    job, painter = job_of(SD, model), shelf.painter()
    with pytest.raises(ModelError, match=r"wide\.safetensors has 768 inputs for"):
        alone(painter, with_loras(job, (part, 1.0), strict=True))
    # The pipeline is as it was.
    nothing = replace(job, extras={**job.extras, "strict": True})
    assert np.array_equal(alone(painter, nothing), plain(Bench(str(model)), job))


def test_a_lora_of_which_diffusers_reads_nothing_is_refused(shelf: Shelf) -> None:
    model = shelf.model(QWEN)
    layers = sizes(model, "transformer", wanted=r"\.attn\.to_q")
    part = shelf.part("bare", peft(layers, prefix=""))
    job, painter = job_of(QWEN, model), shelf.painter()
    with pytest.raises(ModelError, match="of a style that diffusers does not read"):
        alone(painter, with_loras(job, (part, 1.0), strict=True))


def test_a_single_file_takes_a_lora_and_a_textual_inversion(shelf: Shelf) -> None:
    folder = shelf.model(SD)
    tensors, words = of_kohya(folder), vectors(folder, "text_encoder", 3)
    ink, blob = shelf.part("ink", tensors), shelf.part("blob", {"emb_params": words})
    file = write_sd(folder, shelf.folder / "x.safetensors")
    word = "<blob>"
    job = job_of(SD, Path(f"{file}?config={folder}"), prompt=f"a {word} on a hill")
    job = with_loras(job, (ink, 0.8), strict=True)
    extras = {**job.extras, "embeddings": [[blob.fingerprint, word]]}
    made = alone(shelf.painter(), replace(job, extras=extras, parts=(ink, blob)))
    bench = Bench(str(folder))
    bench.pipe = diffusers.StableDiffusionPipeline.from_single_file(
        str(file), config=str(folder), dtype=torch.float32, local_files_only=True
    )
    add(bench, (ink, 0.8))
    bench.pipe.load_textual_inversion(blob.name, token=word)
    assert np.array_equal(made, plain(bench, job))


WIDTHS = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}


def vectors(model: Path, part: str, seed: int) -> np.ndarray:
    [(_, width)] = sizes(model, part, wanted="token_embedding").values()
    return np.random.default_rng(seed).standard_normal((2, width))


INVERSIONS = [
    (SD, ("emb_params",)),
    (SD, ("<blob>",)),
    (SDXL, ("clip_l", "clip_g")),
]


@pytest.mark.parametrize(
    ("kind", "names"),
    sample(INVERSIONS, (INVERSIONS[0], INVERSIONS[-1]), quick=INVERSIONS[:1]),
)
def test_an_image_with_a_textual_inversion_is_that_of_a_plain_script(
    shelf: Shelf, kind: str, names: tuple[str, ...]
) -> None:
    model, token = shelf.model(kind), "<blob>"
    encoders = list(WIDTHS)[: len(names)]
    tensors = {
        name: vectors(model, part, seed)
        for seed, (name, part) in enumerate(zip(names, encoders, strict=True))
    }
    part = shelf.part("blob", tensors)
    job = job_of(kind, model, prompt=f"a {token} on a hill")
    without = plain(Bench(str(model)), job)
    bench, painter = Bench(str(model)), shelf.painter()
    loaded = load_file(part.name)
    for name, encoder in zip(names, encoders, strict=True):
        bench.pipe.load_textual_inversion(
            {token: loaded[name]},
            token=token,
            text_encoder=getattr(bench.pipe, encoder),
            tokenizer=getattr(bench.pipe, encoder.replace("text_encoder", "tokenizer")),
        )
    extras = {**job.extras, "embeddings": [[part.fingerprint, token]], "strict": True}
    made = alone(painter, replace(job, extras=extras, parts=(part,)))
    assert np.array_equal(made, plain(bench, job))
    assert not np.array_equal(made, without)
    nothing = replace(job, extras={**job.extras, "strict": True})
    assert np.array_equal(alone(painter, nothing), without)
