"""How many tokens a prompt has, and what is cut off at the text encoder's limit."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import ModelError
from storage.models.located import read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Tokens that CLIP's text encoder has positions for, where nothing else is stated.
CLIP_LIMIT = 77

_START, _END = "<|startoftext|>", "<|endoftext|>"
# How CLIP cuts a text into words before it looks for pairs (OpenAI, simple_tokenizer).
_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"
    r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)


@dataclass(frozen=True)
class ClipTokens:
    """The CLIP tokenizer of a model, read when the first prompt is counted.

    Attributes:
        folder: The tokenizer's folder, with tokenizer.json, or with vocab.json and
            merges.txt.
    """

    folder: Path

    @cached_property
    def limit(self) -> int:
        """Tokens that are read, the two marks at start and end included."""
        config = self.folder / "tokenizer_config.json"
        stated = read_json(config).get("model_max_length") if config.is_file() else None
        # A tokenizer without a limit of its own states 10 ** 30.
        is_limit = isinstance(stated, int) and 0 < stated < 10**6
        return stated if is_limit and isinstance(stated, int) else CLIP_LIMIT

    def count(self, text: str) -> int:
        """Count tokens, the two marks included.

        Raises:
            ModelError: The tokenizer's files cannot be read.
        """
        return len(self._tokenizer.encode(text).ids)

    def cut(self, text: str) -> str | None:
        """Return the end of `text` that is never read, or None where all of it is.

        Raises:
            ModelError: The tokenizer's files cannot be read.
        """
        encoding = self._tokenizer.encode(text)
        if len(encoding.ids) <= self.limit:
            return None
        # The last place belongs to the end mark.
        return text[encoding.offsets[self.limit - 1][0] :].strip()

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        file = self.folder / "tokenizer.json"
        try:
            tokenizer = (
                Tokenizer.from_file(str(file))
                if file.is_file()
                else _build_tokenizer(self.folder)
            )
        except Exception as error:
            msg = f"{self.folder} must hold a CLIP tokenizer, got {error}; restore it"
            raise ModelError(msg) from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer


def _build_tokenizer(folder: Path) -> "Tokenizer":
    """Build CLIP's tokenizer from vocab.json and merges.txt, as transformers does."""
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import BPE

    vocab, merges = BPE.read_file(
        str(folder / "vocab.json"), str(folder / "merges.txt")
    )
    tokenizer = Tokenizer(
        BPE(vocab, merges, unk_token=_END, end_of_word_suffix="</w>", fuse_unk=False)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Lowercase(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.add_special_tokens([_START, _END])
    tokenizer.post_processor = processors.RobertaProcessing(
        (_END, vocab[_END]),
        (_START, vocab[_START]),
        trim_offsets=False,
        add_prefix_space=False,
    )
    return tokenizer
