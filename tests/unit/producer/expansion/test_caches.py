"""Caches of a sweep: what it says, and with which pipelines they work."""

from dataclasses import replace
from pathlib import Path

import pytest

from producer.expansion.expand import Expansion, expand
from producer.reproduction.script import write_script
from producer.spec.sweepfile import read_spec
from storage.catalogue.caches import CACHES, format_cache, parse_cache
from storage.errors import SpecError
from storage.jobs.records import Record
from tests.unit import cards
from tests.unit.cards import FLOW_CARD, describe_fake, write_spec


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("FluxPipeline", "Flux2KleinPipeline", "ZImagePipeline")
    known = {name: replace(FLOW_CARD, pipeline_class=name) for name in names}
    monkeypatch.setattr(cards, "CARDS", known)


def expand_text(
    folder: Path, rest: str, *, model: str = "FluxPipeline", base: str = ""
) -> Expansion:
    text = f"name: s\nbase: {{model: {model}, prompt: a cat{base}}}\n{rest}\n"
    return expand(read_spec(write_spec(folder, text)), describe_fake)


def refused(folder: Path, base: str, *, model: str = "FluxPipeline") -> str:
    with pytest.raises(SpecError) as caught:
        expand_text(folder, "", model=model, base=base)
    return str(caught.value)


def test_a_cache_has_all_its_options_however_few_are_written(tmp_path: Path) -> None:
    axes = (
        "axes: {cache: [null, first_block, {first_block: 0.1}, {first_block:"
        " {threshold: 0.05}}, {taylorseer: {max_order: 2}}, {mag: {}}]}"
    )
    expansion = expand_text(tmp_path, axes)
    jobs = [one.job for one in expansion.jobs()]
    assert [job.parameter("cache") for job in jobs] == [
        "",
        "first_block threshold=0.05",
        "first_block threshold=0.1",
        "taylorseer cache_interval=5 disable_cache_before_step=3 max_order=2",
        "mag threshold=0.06 max_skip_steps=3 retention_ratio=0.2",
    ]
    assert jobs[0].extras == {}
    assert len({job.key for job in jobs}) == len({job.group for job in jobs}) == 5
    assert expansion.duplicates
    labels = [one.cell["cache"] for one in expansion.jobs()]
    assert labels == [
        *("none", "first_block", "first_block 0.1", "taylorseer max_order=2", "mag")
    ]


@pytest.mark.parametrize("name", CACHES)
def test_the_text_of_a_cache_can_be_read_again(name: str) -> None:
    options = {each: known.default for each, known in CACHES[name].options.items()}
    assert parse_cache(format_cache(name, {})) == (name, options)


def test_a_wrong_cache_is_refused(tmp_path: Path) -> None:
    cases = {
        "deep_cache": "cache must be one of first_block, taylorseer, pyramid_attention,"
        " faster and mag, got deep_cache",
        "{first_block: 1, mag: 1}": "cache must name one cache, got first_block, mag",
        "{first_block: much}": "threshold of the cache first_block must be a number"
        " from 0 to 100, got much",
        "{taylorseer: 1}": "cache_interval of the cache taylorseer must be an integer"
        " from 2 to 100, got 1",
        "{mag: {interval: 2}}": "the cache mag has no key `interval`",
        "mag, backend: flax, generator: numpy": "cache must be left out for `backend:",
    }
    for written, said in cases.items():
        assert said in refused(tmp_path, f", cache: {written}"), written


def test_a_cache_is_refused_for_a_pipeline_with_which_it_does_not_work(
    tmp_path: Path,
) -> None:
    message = refused(tmp_path, ", cache: first_block", model="Flux2KleinPipeline")
    assert (
        "cache must work with a Flux2KleinPipeline, and first_block does not; those"
        " that work are taylorseer"
    ) in message
    message = refused(tmp_path, ", cache: mag", model="ZImagePipeline")
    assert "and mag does not; caches work with CogView4Pipeline, Flux2Klein" in message


def test_a_script_switches_the_cache_on(tmp_path: Path) -> None:
    lines = {
        "pyramid_attention": "lambda: pipe.current_timestep,",
        "mag": "mag_ratios=FLUX_MAG_RATIOS,",
        "faster": 'is_guidance_distilled=True, tensor_format="BCHW",',
    }
    for name, line in lines.items():
        [planned] = expand_text(tmp_path, "", base=f", cache: {name}, steps: 9").jobs()
        job = planned.job
        record = Record(key=job.key, job=job, places=(), scheduler="", made=None)
        script = write_script(record)
        compile(script, "script.py", "exec")
        assert line in script
