"""The text encoder, trained together with a small image encoder.

Together they are a CLIP (Radford et al. 2021), which scores how well a picture fits its
prompt. The text encoder alone conditions the demo model.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone knows
from torch import Tensor, nn
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
)

from training.data import WIDTH_PX, PictureSet, to_tensor
from training.loop import Plan, seeded_weights, train
from training.tokenizer import MAX_TOKENS
from training.world import COLOURS, LABELS, SIZE_NAMES

TEXT_WIDTH = 128
JOINT_PLAN = Plan(
    name="clip-joint",
    steps=1000,
    learning_rate=1.2e-3,
    beta2=0.98,
    weight_decay=0.02,
    ema_decay=0.98,
)
VISION_PLAN = Plan(
    name="clip",
    steps=4000,
    learning_rate=1.2e-3,
    beta2=0.98,
    weight_decay=0.02,
    ema_decay=0.99,
)
BATCH = 64
#: Share of the image encoder's own steps, the first ones, of which three in four see
#: only single shapes that are not small. Otherwise it would not learn shapes.
EASY_UNTIL = 0.35
SHAPE_WEIGHT = 2.5


class LabelledClip(nn.Module):
    """CLIP, and linear heads that name colour, shape and so on.

    Both encoders feed the same heads. So they agree on every word of a caption much
    sooner than by the contrastive loss alone. The heads are dropped in the end.
    """

    def __init__(self, clip: CLIPModel) -> None:
        """Wrap a CLIP model with one new head for each label."""
        super().__init__()
        self.clip = clip
        width = clip.config.projection_dim
        self.heads = nn.ModuleDict(
            {name: nn.Linear(width, classes) for name, classes in LABELS.items()}
        )

    def read(self, tokens: Tensor) -> Tensor:
        """Embed texts: (batch, 20), int64, to (batch, 96), float32, of length 1."""
        pooled = self.clip.text_model(input_ids=tokens).pooler_output
        return F.normalize(self.clip.text_projection(pooled).float(), dim=-1)

    def look(self, pixels: Tensor) -> Tensor:
        """Embed pictures: (batch, 3, 64, 64), -1 to 1, to (batch, 96) of length 1."""
        pooled = self.clip.vision_model(pixel_values=pixels).pooler_output
        return F.normalize(self.clip.visual_projection(pooled).float(), dim=-1)

    def name_loss(
        self, embedded: Tensor, labels: Tensor, shape_weight: float
    ) -> Tensor:
        """Return the weighted mean loss of all heads; a label of -1 is not counted."""
        losses = []
        for column, (name, head) in enumerate(self.heads.items()):
            weight = shape_weight if name == "shape" else 1.0
            scores = head(8 * embedded)
            losses.append(
                weight * F.cross_entropy(scores, labels[:, column], ignore_index=-1)
            )
        return torch.stack(losses).mean()


def build_clip(tokenizer: CLIPTokenizer, seed: int) -> CLIPModel:
    """Make an untrained CLIP for 64 x 64 pixels and short prompts."""
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=3 * TEXT_WIDTH,
        projection_dim=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        hidden_act="gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = CLIPVisionConfig(
        hidden_size=96,
        intermediate_size=288,
        projection_dim=96,
        num_hidden_layers=3,
        num_attention_heads=3,
        image_size=WIDTH_PX,
        patch_size=8,
        hidden_act="gelu",
    )
    config = CLIPConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=96
    )
    # Plain attention: the fused one is slow backwards in bfloat16 on a CPU.
    config._attn_implementation = "eager"
    with seeded_weights(seed):
        clip = CLIPModel(config)
        nn.init.normal_(clip.vision_model.embeddings.patch_embedding.weight, std=0.05)
    return clip


def train_clip(
    pictures: PictureSet,
    tokenizer: CLIPTokenizer,
    *,
    folder: Path,
    seed: int,
    device: torch.device,
) -> CLIPModel:
    """Train both encoders together, then the image encoder alone.

    The text encoder is final after the first stage; the UNet needs only that.
    """
    with seeded_weights(seed):
        model = LabelledClip(build_clip(tokenizer, seed)).to(device)
    batches = _Batches(pictures, tokenizer, device)

    def joint_loss(step: int, generator: torch.Generator) -> Tensor:
        return _loss(model, *batches.draw(generator), shape_weight=1.0)

    def vision_loss(step: int, generator: torch.Generator) -> Tensor:
        easy = step < EASY_UNTIL * VISION_PLAN.steps and step % 4 != 0
        batch = batches.draw(generator, easy=easy)
        return _loss(model, *batch, shape_weight=SHAPE_WEIGHT)

    train(model, joint_loss, JOINT_PLAN, folder=folder, seed=seed)
    for part in (model.clip.text_model, model.clip.text_projection, model.heads):
        part.requires_grad_(requires_grad=False)
    train(model, vision_loss, VISION_PLAN, folder=folder, seed=seed + 1)
    return model.clip.eval()


def load_text_half(
    tokenizer: CLIPTokenizer, *, folder: Path, seed: int
) -> CLIPTextModel:
    """Load the text encoder of the finished joint stage, in float32."""
    model = LabelledClip(build_clip(tokenizer, seed))
    model.load_state_dict(torch.load(folder / "clip-joint.pt", weights_only=True))
    return text_encoder_of(model.clip)


def text_encoder_of(clip: CLIPModel) -> CLIPTextModel:
    """Copy the text encoder of a CLIP to a model of its own."""
    encoder = CLIPTextModel(clip.config.text_config)
    encoder.load_state_dict(clip.text_model.state_dict())
    return encoder.eval()


class _Batches:
    """Draws random batches of pixels, tokens and labels."""

    def __init__(
        self, pictures: PictureSet, tokenizer: CLIPTokenizer, device: torch.device
    ) -> None:
        self.images, self.labels = pictures.images, pictures.labels
        self.tokens = tokenize(tokenizer, pictures.captions)
        self.bare = torch.tensor([" on " not in text for text in pictures.captions])
        columns = dict(zip(LABELS, self.labels.T, strict=True))
        plain = columns["relation"] == 0
        small = columns["size"] == SIZE_NAMES.index("small")
        self.easy = (plain & ~small).nonzero().flatten()
        self.device = device

    def draw(
        self, generator: torch.Generator, *, easy: bool = False
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        count = len(self.easy) if easy else len(self.images)
        picks = torch.randint(count, (BATCH,), generator=generator)
        if easy:
            picks = self.easy[picks]
        labels = self.labels[picks]
        said = labels.clone()
        # The last class: the caption names no background.
        said[self.bare[picks], list(LABELS).index("background")] = len(COLOURS)
        pixels = to_tensor(self.images[picks.numpy()])
        parts = (pixels, self.tokens[picks], labels, said)
        return tuple(part.to(self.device) for part in parts)  # type: ignore[return-value] # four of them


def _loss(
    model: LabelledClip,
    pixels: Tensor,
    tokens: Tensor,
    labels: Tensor,
    said: Tensor,
    *,
    shape_weight: float,
) -> Tensor:
    with torch.autocast(pixels.device.type, torch.bfloat16):
        seen, read = model.look(pixels), model.read(tokens)
    scale = model.clip.logit_scale.clamp(max=3.9).exp()
    scores = scale * seen @ read.T
    # A batch may hold the same caption twice, which is no mismatch.
    same = (tokens[:, None] == tokens[None]).all(-1)
    same.fill_diagonal_(fill_value=False)
    scores = scores.masked_fill(same, -1e4)
    target = torch.arange(len(scores), device=scores.device)
    match = F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)
    named = model.name_loss(seen, labels, shape_weight) + model.name_loss(
        read, said, shape_weight
    )
    return match / 2 + named


def tokenize(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """Return the tokens of texts, as the pipeline makes them: (count, 20), int64."""
    tokens: Tensor = tokenizer(
        list(texts),
        padding="max_length",
        max_length=MAX_TOKENS,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    return tokens


@torch.no_grad()
def retrieval_share(
    clip: CLIPModel, tokenizer: CLIPTokenizer, pictures: PictureSet, count: int
) -> float:
    """Return how often a picture's own caption fits it best, as a share of `count`."""
    model = LabelledClip(clip)
    device = clip.device
    tokens = tokenize(tokenizer, pictures.captions[:count]).to(device)
    read = model.to(device).read(tokens)
    seen = model.look(to_tensor(pictures.images[:count]).to(device))
    best = (seen @ read.T).argmax(1)
    # Equal captions are equally right.
    return float((tokens[best] == tokens).all(-1).float().mean())


@torch.no_grad()
def hidden_states(
    encoder: CLIPTextModel, tokenizer: CLIPTokenizer, texts: Sequence[str]
) -> Tensor:
    """Encode texts for the UNet: (count, 20, 128), float16, on the CPU."""
    rows = []
    for start in range(0, len(texts), 500):
        tokens = tokenize(tokenizer, texts[start : start + 500]).to(encoder.device)
        rows.append(encoder(input_ids=tokens).last_hidden_state.half().cpu())
    return torch.cat(rows)
