"""What is known of metrics before they are loaded, and the files they depend on."""

from pathlib import Path

import pytest

from storage.errors import MetricError, ModelError
from storage.metrics import identity
from storage.metrics.identity import find_kind, fingerprint_of, identify
from storage.metrics.kinds import KINDS, default_network
from storage.models.fingerprint import Digests, fingerprint
from storage.models.networks import locate_network
from tests.unit.tiny_folders import make_network


@pytest.mark.parametrize("name", KINDS)
def test_a_built_in_metric_is_found_by_its_name(name: str) -> None:
    kind = find_kind(name)
    assert (kind, kind.name, kind.source) == (KINDS[name], name, name)


def test_images_of_the_demo_model_are_scored_by_its_own_clip() -> None:
    own = {name: default_network(KINDS[name], "builtin:shapes") for name in KINDS}
    assert own == {
        "clip": "builtin:clip",
        "pickscore": "yuvalkirstain/PickScore_v1",
        "rmse": "",
        "ssim": "",
        "clip_distance": "builtin:clip",
        "dino_distance": "facebook/dinov2-base",
        "psnr": "",
    }
    assert default_network(KINDS["clip"], "org/name") == "openai/clip-vit-large-patch14"


def test_a_metric_is_identified_by_the_files_of_its_network(tmp_path: Path) -> None:
    folder = make_network(tmp_path)
    found = locate_network(str(folder), types=["clip"], download=False)
    expected = fingerprint(found, Digests())
    assert identify(KINDS["clip"], str(folder), digests=Digests()) == expected
    assert identify(KINDS["clip_distance"], str(folder), digests=Digests()) == expected
    assert identify(KINDS["rmse"], "", digests=Digests()) == ""


def test_a_processor_from_elsewhere_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    prints = set()
    network = locate_network(
        str(make_network(tmp_path / "network")), types=["clip"], download=False
    )
    for number in (1, 2):
        folder = make_network(tmp_path / f"{number}")
        (folder / "vocab.json").write_text(f'{{"a": {number}}}')
        processor = locate_network(str(folder), types=(), weights=False, download=False)
        found = identity.Found(network=network, processor=processor)
        prints.add(fingerprint_of(found, digests=Digests()))
    assert len(prints) == 2
    assert fingerprint(network, Digests()) not in prints


def test_a_network_without_what_prepares_its_images_is_refused(tmp_path: Path) -> None:
    folder = make_network(tmp_path)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError) as raised:
        identify(KINDS["clip_distance"], str(folder), digests=Digests())
    assert str(raised.value) == (
        f"{folder} must have preprocessor_config.json for the metric clip_distance;"
        " restore what is missing from where the model came"
    )


def test_a_metric_of_pixels_takes_no_model() -> None:
    with pytest.raises(MetricError) as raised:
        identify(KINDS["rmse"], "builtin:clip", digests=Digests())
    assert str(raised.value) == (
        "the metric rmse takes no model, got builtin:clip; leave it out"
    )
