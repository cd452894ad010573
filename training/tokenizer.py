"""The demo model's tokenizer: byte pairs, merged until each word is one token."""

import itertools
import json
from collections import Counter
from pathlib import Path

from transformers import CLIPTokenizer

from training.world import WORDS

#: Most tokens of a prompt, including its start and end.
MAX_TOKENS = 20
START, END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"


def make_tokenizer(folder: Path) -> CLIPTokenizer:
    """Write a CLIP tokenizer to a folder and load it.

    The words of `training.world` are one token each; other text is tokenized letter by
    letter. The folder suits transformers 4 (vocab.json, merges.txt) and 5
    (tokenizer.json).
    """
    folder.mkdir(parents=True, exist_ok=True)
    merges = _learn_merges(WORDS)
    letters = _byte_letters()
    tokens = [*letters, *(letter + _WORD_END for letter in letters)]
    tokens += [first + second for first, second in merges] + [START, END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    _write(folder / "vocab.json", json.dumps(vocabulary, ensure_ascii=False))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    _write(folder / "merges.txt", "\n".join(lines) + "\n")
    tokenizer = CLIPTokenizer(
        str(folder / "vocab.json"),
        str(folder / "merges.txt"),
        pad_token=END,
        model_max_length=MAX_TOKENS,
    )
    tokenizer.save_pretrained(str(folder))
    return tokenizer


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _learn_merges(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """Merge the most frequent pair until none is left (Sennrich et al. 2016)."""
    pieces = [[*word[:-1], word[-1] + _WORD_END] for word in words]
    merges: list[tuple[str, str]] = []
    while True:
        pairs = Counter(pair for word in pieces for pair in itertools.pairwise(word))
        if not pairs:
            return merges
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        pieces = [_merge(word, best) for word in pieces]


def _merge(word: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for piece in word:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def _byte_letters() -> list[str]:
    """Return a printable letter for each byte, those of GPT-2."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in sorted(printable)] + [
        chr(256 + place) for place in range(len(others))
    ]
