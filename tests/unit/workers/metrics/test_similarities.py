"""Scores by the features of networks: real classes, the demo's CLIP and tiny ones."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from storage.errors import FingerprintError, ModelError
from storage.metrics.identity import Found, find_networks, identify
from storage.metrics.kinds import KINDS
from storage.models.fingerprint import Digests
from storage.models.located import Located
from storage.models.networks import locate_network
from tests import script
from tests.samples import make_noise, make_sample, pixels_of
from tests.tiny_networks import (
    POSITIONS,
    make_clip,
    make_dinov2,
    make_whole_clip,
)
from workers.metrics.networks import ClipNetwork
from workers.metrics.registry import load
from workers.metrics.similarities import Clip, ClipDistance, DinoDistance, PickScore

#: Captions of which each differs from the first in one word.
PROMPTS = (
    "a red circle on a blue background",
    "a green circle on a blue background",
    "a red square on a blue background",
    "a red circle on a yellow background",
)


def found_in(folder: Path, name: str = "clip") -> Found:
    found = find_networks(KINDS[name], str(folder), download=True)
    assert found is not None
    return found


def noises(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    return [make_noise(rng, width=40, height=48) for _ in range(count)]


def plain(folder: Path, image: np.ndarray, prompt: str) -> tuple[float, float]:
    """Return cosine and logit as the page of every CLIP on the Hub computes them."""
    model = transformers.CLIPModel.from_pretrained(folder, dtype=torch.float32)
    tokens = transformers.CLIPTokenizer.from_pretrained(folder)(
        [prompt], return_tensors="pt", truncation=True, max_length=POSITIONS
    )
    pixels = transformers.AutoImageProcessor.from_pretrained(folder)(
        [Image.fromarray(image)], return_tensors="pt"
    )
    with torch.no_grad():
        out = model(**tokens, **pixels)
    cosine = torch.nn.functional.cosine_similarity(out.image_embeds, out.text_embeds)
    return float(cosine), float(out.logits_per_image)


def test_the_demos_clip_scores_the_right_prompt_above_wrong_ones() -> None:
    clip = load("clip", model="builtin:clip", device="cpu")
    images = [pixels_of(each) for each in script.paint_together(PROMPTS, steps=12)]
    table = np.array(
        [
            clip.score([make_sample(image=image, prompt=text) for text in PROMPTS])
            for image in images
        ]
    )
    right = table.diagonal()
    wrong = table[~np.eye(len(PROMPTS), dtype=bool)]
    assert (table.argmax(1) == range(len(PROMPTS))).all()
    assert right.min() > 0.6
    assert right.mean() - wrong.mean() > 0.2


def test_the_demos_clip_scores_a_finished_picture_above_an_unfinished_one() -> None:
    clip = load("clip", model="builtin:clip", device="cpu")
    unfinished, finished = (
        clip.score(
            [
                make_sample(image=pixels_of(image), prompt=prompt)
                for image, prompt in zip(
                    script.paint_together(PROMPTS, steps=steps), PROMPTS, strict=True
                )
            ]
        )
        for steps in (1, 12)
    )
    assert all(b > a + 0.1 for a, b in zip(unfinished, finished, strict=True))


def test_a_clip_score_is_the_plain_cosine_of_the_model(tmp_path: Path) -> None:
    folder = make_whole_clip(tmp_path)
    clip = Clip(found_in(folder), "cpu")
    for image in noises(3):
        cosine, _ = plain(folder, image, "cat")
        score = clip.score([make_sample(image=image, prompt="cat")])[0]
        assert score == pytest.approx(cosine, abs=1e-5)
        assert -1 <= score <= 1


def test_a_pickscore_is_the_cosine_times_the_models_own_scale(tmp_path: Path) -> None:
    folder = make_whole_clip(tmp_path)
    metric = PickScore(found_in(folder, "pickscore"), "cpu")
    for image in noises(3):
        _, logit = plain(folder, image, "cat")
        score = metric.score([make_sample(image=image, prompt="cat")])[0]
        assert score == pytest.approx(logit, rel=1e-4, abs=1e-4)


def test_a_pickscore_without_a_processor_takes_that_of_its_parent(
    tmp_path: Path,
) -> None:
    # The parent's weights are others; only what prepares the input is taken.
    whole, parent = (
        found_in(make_whole_clip(tmp_path / f"{seed}", seed=seed), "pickscore")
        for seed in (8, 9)
    )
    bare = make_clip(tmp_path / "bare")
    apart = replace(whole, processor=parent.processor, network=located(bare))
    sample = make_sample(image=noises(1)[0], prompt="cat")
    expected = PickScore(whole, "cpu").score([sample])
    assert PickScore(apart, "cpu").score([sample]) == expected
    assert PickScore(parent, "cpu").score([sample]) != expected


def test_another_clip_without_a_processor_is_refused(tmp_path: Path) -> None:
    bare = make_clip(tmp_path)
    with pytest.raises(ModelError) as raised:
        find_networks(KINDS["clip"], str(bare), download=True)
    assert str(raised.value) == (
        f"{bare} must have preprocessor_config.json and tokenizer.json for the metric"
        " clip; restore what is missing from where the model came"
    )


def located(folder: Path) -> Located:
    return locate_network(str(folder), types=["clip"], download=True)


def test_scores_do_not_depend_on_the_rest_of_the_batch(tmp_path: Path) -> None:
    clip = Clip(found_in(make_whole_clip(tmp_path)), "cpu")
    samples = [
        make_sample(image=image, prompt=prompt)
        for image, prompt in zip(noises(4), ("cat", "a", "a cat", "cat"), strict=True)
    ]
    alone = [clip.score([each])[0] for each in samples]
    assert clip.score(samples) == pytest.approx(alone, abs=1e-6)
    assert len(set(alone)) == 4


def test_images_of_different_sizes_share_a_batch(tmp_path: Path) -> None:
    clip = Clip(found_in(make_whole_clip(tmp_path)), "cpu")
    rng = np.random.default_rng(6)
    sizes = [(32, 32), (64, 32), (17, 90)]
    samples = [
        make_sample(image=make_noise(rng, width=w, height=h), prompt="cat")
        for w, h in sizes
    ]
    assert len(clip.score(samples)) == 3


def test_a_text_longer_than_the_model_reads_is_cut_off(tmp_path: Path) -> None:
    clip = Clip(found_in(make_whole_clip(tmp_path)), "cpu")
    # A letter is a token, and two more mark the ends.
    room = POSITIONS - 2
    prompts = ("x " * room, "x " * room + "y", "x " * (room - 1) + "y")
    image = noises(1)[0]
    scores = clip.score([make_sample(image=image, prompt=each) for each in prompts])
    assert scores[1] == pytest.approx(scores[0], abs=1e-6)
    assert scores[2] != pytest.approx(scores[0], abs=1e-5)


def test_a_text_is_read_once(tmp_path: Path) -> None:
    network = ClipNetwork(found_in(make_whole_clip(tmp_path)), "cpu")
    asked: list[int] = []
    network.network.text_model.register_forward_pre_hook(
        lambda _module, _given, options: asked.append(len(options["input_ids"])),
        with_kwargs=True,
    )
    first = network.read(["cat", "a", "cat"])
    again = network.read(["a", "b", "cat"])
    assert asked == [2, 1]
    assert torch.equal(first[[1, 0]], again[[0, 2]])
    assert torch.equal(first[0], first[2])


@pytest.mark.parametrize("name", ["clip_distance", "dino_distance"])
def test_a_distance_of_features_is_one_minus_their_cosine(
    tmp_path: Path, name: str
) -> None:
    make: Any = make_whole_clip if name == "clip_distance" else make_dinov2
    kind: Any = ClipDistance if name == "clip_distance" else DinoDistance
    folder = make(tmp_path)
    image, reference = noises(2)
    samples = [
        make_sample(image=image, reference=reference),
        make_sample(image=image, reference=image),
    ]
    far, none = kind(found_in(folder, name), "cpu").score(samples)
    a, b = (features(folder, each) for each in (image, reference))
    cosine = float(torch.nn.functional.cosine_similarity(a, b))
    assert far == pytest.approx(1 - cosine, abs=1e-5)
    assert far > 1e-3
    assert 0 <= none < 1e-6


def features(folder: Path, image: np.ndarray) -> torch.Tensor:
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)
    pixels = transformers.AutoImageProcessor.from_pretrained(folder)(
        [Image.fromarray(image)], return_tensors="pt"
    )
    with torch.no_grad():
        if hasattr(model, "get_image_features"):
            seen: torch.Tensor = model.get_image_features(**pixels).pooler_output
            return seen
        states: torch.Tensor = model(**pixels).last_hidden_state
    return states[:, 0]


def test_the_network_must_be_the_planned_one(tmp_path: Path) -> None:
    folder = str(make_whole_clip(tmp_path))
    planned = identify(KINDS["clip"], folder, digests=Digests())
    assert load("clip", model=folder, device="cpu", planned=planned).name == "clip"
    make_whole_clip(tmp_path, seed=9)
    current = identify(KINDS["clip"], folder, digests=Digests())
    with pytest.raises(FingerprintError) as raised:
        load("clip", model=folder, device="cpu", planned=planned)
    assert str(raised.value) == (
        f"{folder} must have the files that the scores were planned with, fingerprint"
        f" {planned}, but has {current}; restore them, or ask for the scores again to"
        " use the new ones"
    )


def test_weights_that_do_not_load_are_the_models_fault(tmp_path: Path) -> None:
    folder = make_whole_clip(tmp_path)
    (folder / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(
        ModelError, match=rf"^a model must load with transformers, but {folder} does "
    ):
        load("clip", model=str(folder), device="cpu")
