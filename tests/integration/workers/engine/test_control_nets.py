"""Images with ControlNets: bit for bit those of diffusers' own pipelines."""

import inspect
import runpy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from producer.reproduction.script import write_script
from storage.catalogue.control_pipelines import CONTROL_PIPELINES, controls_of
from storage.catalogue.image_pipelines import IMAGE_PIPELINES
from storage.catalogue.pipeline_calls import parameters_of
from storage.errors import FingerprintError
from storage.files.inputs import InputFolder
from storage.job import Job, Model
from storage.jobs.records import Record
from storage.models.control_nets import describe_control_net
from storage.models.fingerprint import Digests
from storage.models.part_files import describe_part
from tests.batches import Made, make_job, row_by_row
from tests.image_scripts import ImageBench, make_image
from tests.matrices import sample
from tests.tiny_control_nets import make_control_net
from tests.tiny_kinds import KINDS
from tests.unit.lora_files import peft, write_tensors
from tests.work import Basket, Notes, paint
from workers.engine.control_nets import ControlNets
from workers.engine.control_stand_ins import network_name
from workers.engine.runs import Run
from workers.engine.torch_painter import TorchPainter

pytestmark = pytest.mark.filterwarnings("ignore")

SD, SDXL, FLUX = "StableDiffusionPipeline", "StableDiffusionXLPipeline", "FluxPipeline"
SCHEDULERS = {SD: "ddim", SDXL: "euler", FLUX: "flow_euler"}
SEVERAL = {
    "ControlNetModel": diffusers.MultiControlNetModel,
    "FluxControlNetModel": diffusers.FluxMultiControlNetModel,
}
CASES = [
    (kind, scales, from_image)
    for kind, known in CONTROL_PIPELINES.items()
    for scales in ((0.7,), (0.4, 1.2))
    for from_image in (False, True)
    if known.several_from_image or not (from_image and scales[1:])
]
TRIED = [
    (SD, (0.7,), False),
    (SD, (0.4, 1.2), True),
    (SDXL, (0.4, 1.2), False),
    (FLUX, (0.7,), False),
]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)
    desk_of.cache_clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@dataclass(frozen=True, eq=False, kw_only=True)
class Desk:
    """A pipeline in the engine, its ControlNets, and scripts that do the same.

    Attributes:
        kind: The pipeline's class.
        model: The model's folder.
        parts: Its ControlNets.
        nets: The engine's ControlNets.
        benches: The script that begins with an image, and the other one.
        inputs: The images of jobs.
    """

    kind: str
    model: Path
    parts: Sequence[Model]
    nets: ControlNets
    benches: dict[bool, ImageBench]
    inputs: InputFolder

    def job(self, *scales: float, times: Sequence[float] = (), **changes: Any) -> Job:
        """Return a job with as many ControlNets as scales."""
        seed = changes.setdefault("seed", 1)
        rows = [
            [part.fingerprint, self.inputs.save(make_image(seed + n)), scale, *times]
            for n, (part, scale) in enumerate(zip(self.parts, scales, strict=False))
        ]
        job = make_job(
            SCHEDULERS[self.kind],
            model=str(self.model),
            extras={"controlnet": rows},
            **{"steps": 3, "guidance": 3.0, **changes},
        )
        return replace(job, parts=tuple(self.parts))

    def begun(self, job: Job) -> Job:
        """Return the job that begins with an image."""
        return self.benches[True].begin_with(
            job, make_image(9 + job.seed), strength=0.7
        )

    def make(self, *jobs: Job, width: int) -> dict[str, Made]:
        """Make jobs in a mixed batch."""
        self.nets.put(jobs[0], dtype=torch.float32)
        bench = self.benches[False].bench
        made, basket = bench.mixed(jobs, width)
        assert not basket.failures
        return made

    def plain(self, job: Job) -> Made:
        """Make a job as a plain script does."""
        bench, given = self._script(job)
        return bench.plain(job, **given)

    def ordinary(self, run: Run) -> Made:
        """Make a run's job in its row of an ordinary batch, with other images."""
        bench, given = self._script(run.job)
        script = bench.script
        prepare = getattr(script, "control_image_processor", script.image_processor)
        for name in {"image", "control_image"} & given.keys():
            if isinstance(given[name], list):  # a batch for each ControlNet
                rows = (_in_row(each, run) for each in given[name])
                given[name] = [prepare.preprocess(each) for each in rows]
            else:
                given[name] = _in_row(given[name], run)
        return bench.ordinary(run, **given)

    def _script(self, job: Job) -> tuple[ImageBench, dict[str, Any]]:
        """Return the script of a job, and the inputs that only ControlNets have."""
        controls, from_image = controls_of(job.extras), bool(job.parameter("image"))
        known, bench = CONTROL_PIPELINES[self.kind], self.benches[from_image]
        nets = [_load(part) for part in self.parts[: len(controls)]]
        net = SEVERAL[known.net](nets) if len(nets) > 1 else nets[0]
        bench.script.register_modules(controlnet=net)
        values = {
            known.image_for(from_image=from_image): [
                self.inputs.read(each.image) for each in controls
            ],
            "controlnet_conditioning_scale": [each.scale for each in controls],
            "control_guidance_start": [each.start for each in controls],
            "control_guidance_end": [each.end for each in controls],
        }
        given: dict[str, Any] = dict(values)
        if len(nets) == 1:
            given = {name: value for name, [value] in values.items()}
        if from_image:
            given["image"] = self.inputs.read(job.parameter("image"))
            given["strength"] = job.parameter("strength")
        return bench, given


def _in_row(value: Any, run: Run) -> Any:
    """Return images for all rows: other ones, but for the row of the run."""
    others = [make_image(70 + row) for row in range(run.width)]
    return [value if row == run.row else each for row, each in enumerate(others)]


def _load(part: Model) -> Any:
    config = diffusers.ControlNetModel.load_config(part.name)
    return getattr(diffusers, config["_class_name"]).from_pretrained(part.name)


def part_of(model: Path, folder: Path, **more: Any) -> Model:
    place = Model(
        fingerprint="", name=str(make_control_net(model, folder, **more)), family="x"
    )
    return describe_control_net(place, Digests())[0]


@cache
def desk_of(folder: Path, kind: str) -> Desk:
    model = Path(KINDS[kind](folder / kind))
    parts = [part_of(model, folder / f"{kind} {n}", seed=n) for n in (1, 2)]
    known, inputs = CONTROL_PIPELINES[kind], InputFolder(folder)
    benches = {
        from_image: ImageBench(
            str(model),
            known.name_for(from_image=from_image),
            inputs=inputs,
            controlnet=_load(parts[0]),
        )
        for from_image in (False, True)
    }
    if kind == FLUX:  # it encodes the control images of a batch together
        for bench in benches.values():
            row_by_row(bench.script.vae, "_encode")
    nets = ControlNets(
        benches[False].bench.starter, digests=folder / "digests.json", places=None
    )
    return Desk(
        kind=kind, model=model, parts=parts, nets=nets, benches=benches, inputs=inputs
    )


@pytest.mark.parametrize(
    ("kind", "scales", "from_image"), sample(CASES, TRIED, quick=TRIED[:1])
)
def test_an_image_with_control_nets_is_that_of_a_plain_script(
    folder: Path, kind: str, scales: tuple[float, ...], from_image: bool
) -> None:
    desk = desk_of(folder, kind)
    jobs = [
        desk.job(*scales, seed=1, guidance=1.0),
        desk.job(*scales, seed=2, times=(0.0, 0.6)),
        desk.job(*[2 * each for each in scales], seed=3, steps=4),
    ]
    if from_image:
        jobs = [desk.begun(job) for job in jobs]
    assert len({job.group for job in jobs}) == 1
    for job in jobs:
        made = desk.make(job, width=1)[job.key]
        assert made.equals(desk.plain(job))
    # In a batch, it is that of the same row of an ordinary batch.
    mixed = desk.make(*jobs, width=4)
    for job in jobs:
        run = mixed[job.key].run
        assert run
        assert mixed[job.key].equals(desk.ordinary(run))
        assert run.evaluations == run.taken * (1 + len(scales))


def painter_of(folder: Path, patch: pytest.MonkeyPatch) -> TorchPainter:
    """Make a painter that finds the images of a desk in the same folder."""
    patch.setenv("NIGHTSWEEP_IMAGES", str(folder))
    digests = folder / "digests.json"
    return TorchPainter("cpu", threads=1, digests=digests, widths=Notes(2))


def strict(job: Job) -> Job:
    return replace(job, extras={**job.extras, "strict": True})


def pixels(painter: TorchPainter, job: Job) -> np.ndarray:
    [painting] = paint(painter, job)
    return np.asarray(painting.image)


def levels(made: Made) -> np.ndarray:
    shown = made.pixels[0].permute(1, 2, 0).numpy()
    return (shown * 255).round().astype("uint8")


def test_a_worker_swaps_control_nets_and_none_leaves_a_trace(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, painter = desk_of(folder, SD), painter_of(folder, monkeypatch)
    monkeypatch.setattr("workers.engine.torch_painter.OWN_THREADS", 1)
    one, both = desk.job(0.7), desk.job(0.4, 1.2)
    none = replace(one, extras={})
    assert len({job.group for job in (one, both, none)}) == 3
    for job in (one, none, both, one):
        made = pixels(painter, strict(job))
        script = desk.make(job, width=1)[job.key] if job is none else desk.plain(job)
        assert np.array_equal(made, levels(script))


def test_lora_and_noise_of_numpy_go_with_a_control_net(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, painter = desk_of(folder, SD), painter_of(folder, monkeypatch)
    layer = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
    tensors = peft({layer: (32, 16)}, prefix="unet.")
    file = write_tensors(tmp_path / "ink.safetensors", tensors)
    lora, _ = describe_part(Model(fingerprint="", name=str(file)), Digests())
    job = desk.job(0.7, generator="numpy")
    extras = {**job.extras, "loras": [[lora.fingerprint, 5.0]]}
    inked = replace(job, extras=extras, parts=(*job.parts, lora))
    made, plain = pixels(painter, inked), pixels(painter, job)
    assert not np.array_equal(made, plain)
    for each, wanted in ((inked, made), (job, plain)):
        record = Record(key=each.key, job=each, places=(), scheduler="", made=None)
        (tmp_path / "script.py").write_text(write_script(record))
        monkeypatch.chdir(tmp_path)
        runpy.run_path("script.py", run_name="__main__")
        with Image.open(f"{each.key}.png") as image:
            assert np.array_equal(np.asarray(image), wanted)


def test_a_net_that_pools_its_answers_shares_calls_at_equal_scales(
    folder: Path, tmp_path: Path
) -> None:
    desk = desk_of(folder, SD)
    part = part_of(desk.model, tmp_path / "net", global_pool_conditions=True)
    pooling = replace(desk, parts=[part])
    jobs = [
        pooling.job(scale, seed=seed, steps=4)
        for seed, scale in enumerate((0.5, 0.5, 0.8, 0.8))
    ]
    made = pooling.make(*jobs, width=4)
    for job in jobs:
        run = made[job.key].run
        assert run
        assert made[job.key].equals(pooling.ordinary(run))


def test_control_nets_beyond_their_share_of_memory_are_dropped(tmp_path: Path) -> None:
    desk = desk_of.__wrapped__(tmp_path, SD)  # of its own
    starter = desk.benches[False].bench.starter
    nets = ControlNets(
        starter, digests=tmp_path / "digests.json", places=None, most_bytes=0
    )
    other = replace(desk, nets=nets)
    [first, second] = (network_name(part.fingerprint) for part in desk.parts)
    other.make(job := desk.job(0.5), width=1)
    assert first in starter.networks
    row = [desk.parts[1].fingerprint, *job.extras["controlnet"][0][1:]]
    other.make(replace(job, extras={"controlnet": [row]}), width=1)
    assert first not in starter.networks
    assert second in starter.networks
    nets.put(replace(job, extras={}), dtype=torch.float32)
    assert set(starter.networks) == {"unet"}


def test_a_control_net_that_changed_since_it_was_planned_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    desk, painter = desk_of(folder, SD), painter_of(folder, monkeypatch)
    part = part_of(desk.model, tmp_path / "net", seed=5)
    job = desk.job(0.7)
    row = [part.fingerprint, *job.extras["controlnet"][0][1:]]
    job = replace(job, extras={"controlnet": [row]}, parts=(part,))
    pixels(painter, job)
    part_of(desk.model, tmp_path / "net", seed=6)
    with pytest.raises(FingerprintError, match="must have the files that were planned"):
        pixels(painter, job)


def test_a_control_image_that_is_gone_fails_its_job_alone(folder: Path) -> None:
    desk = desk_of(folder, SD)
    job = desk.job(0.7, seed=6)
    [[mark, *_]] = job.extras["controlnet"]
    gone = replace(job, extras={"controlnet": [[mark, "0" * 64, 1.0]]})
    desk.nets.put(job, dtype=torch.float32)
    made, basket = desk.benches[False].bench.mixed([gone, job], 2)
    assert list(made) == [job.key]
    assert "there is no file; submit the sweep" in str(basket.failures[gone.key])


def test_jobs_that_come_and_go_keep_one_width_in_both_networks(folder: Path) -> None:
    desk = desk_of(folder, SD)
    jobs = [
        desk.job(0.5 + seed / 10, seed=seed, steps=2 + seed % 3) for seed in range(7)
    ]
    made = desk.make(*jobs, width=2)
    for job in jobs:
        run = made[job.key].run
        assert run
        assert made[job.key].equals(desk.ordinary(run))


def test_a_cancelled_job_makes_room_and_harms_nobody(folder: Path) -> None:
    desk = desk_of(folder, SD)
    long = desk.job(0.5, seed=11, steps=40)
    jobs = [desk.job(0.3 * seed, seed=seed) for seed in (1, 2, 3)]
    steps, done = 0, dict[str, Made]()

    def cancel() -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            source.unwanted = {long.key}

    def finish(run: Run) -> None:
        assert run.pixels is not None
        done[run.job.key] = Made(pixels=run.pixels, run=run)

    desk.nets.put(long, dtype=torch.float32)
    source = Basket(long, *jobs, check=cancel)
    bench = desk.benches[False].bench
    hub = bench.hub(source.gather(2), source, 2, finish=finish, fail=source.fail)
    hub.run()
    assert source.withdrawn == [long]
    assert done.keys() == {job.key for job in jobs}
    for made in done.values():
        assert made.run
        assert made.equals(desk.ordinary(made.run))


def test_a_batch_that_is_too_wide_for_a_control_net_is_halved(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, painter = desk_of(folder, SD), painter_of(folder, monkeypatch)
    jobs = [desk.job(0.7, seed=seed) for seed in range(4)]
    own = diffusers.ControlNetModel.forward

    def limited(net: Any, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if len(sample) > 4:  # two rows for each image
            raise torch.OutOfMemoryError
        return own(net, sample, *args, **kwargs)

    monkeypatch.setattr(diffusers.ControlNetModel, "forward", limited)
    painter._widths = notes = Notes(4)
    paintings = paint(painter, *jobs)
    assert [each.batch_width for each in paintings] == [2, 2, 2, 2]
    assert notes.noted == [{"width": 2, "reason": "memory"}]


def test_the_table_is_that_of_diffusers() -> None:
    for pipeline, known in CONTROL_PIPELINES.items():
        assert hasattr(diffusers, known.net)
        for from_image in (False, True):
            name = known.name_for(from_image=from_image)
            takes = inspect.signature(getattr(diffusers, name).__call__).parameters
            assert known.image_for(from_image=from_image) in takes
            assert ("image" in takes and "strength" in takes) >= from_image
            calls = parameters_of(pipeline)
            lacks = {name for name in calls if name.removeprefix("call.") not in takes}
            assert lacks == known.lacks_for(from_image=from_image)


@pytest.mark.parametrize("kind", CONTROL_PIPELINES)
def test_both_siblings_that_begin_with_an_image_skip_the_same_steps(kind: str) -> None:
    known = CONTROL_PIPELINES[kind]
    names = (IMAGE_PIPELINES[kind].name, known.from_image)
    for strength in (0.29, 0.3, 0.35, 0.55, 0.7, 0.99):
        found = []
        for name in names:
            given = [10, strength, "cpu"]
            pipe = SimpleNamespace(scheduler=_Steps())
            found.append(
                getattr(diffusers, name).get_timesteps(pipe, *given)[0].tolist()
            )
        assert found[0] == found[1]


class _Steps:
    """A scheduler with ten timesteps."""

    order = 1
    timesteps = torch.arange(10)

    def set_begin_index(self, _index: int) -> None:
        """Begin anywhere."""
