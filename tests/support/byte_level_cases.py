"""What tests of byte-level BPE share: vocabularies trained here, the reference beside ours, and texts weighted to trouble."""

import json
import random
from functools import cache

from hypothesis import strategies as st
from tokenization_cases import random_texts, texts

from benchmarks.multilingual import lines
from minibert.tokenization import AddedToken, GPT2Tokenizer, RobertaTokenizer

MASK = AddedToken("<mask>", lstrip=True, special=True, normalized=False)  # as in RoBERTa's own files
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
# What surrounds a character in a sweep: a space, letters, digits and punctuation, white space.
CONTEXTS = ("{}", "a{}b", "1{}!", "'s\t{}\n")
FLAGS = [{"add_prefix_space": prefix, "trim_offsets": trim} for prefix in (False, True) for trim in (True, False)]
# fmt: off
PARTS = [
    *("'s", "'re", "'S", "'", "don't", "they'll", "' s", "Ġ", "Ċ", "ĠĠ", "<mask>", "<s>", " <mask> ", "<mask", "</s>", "1", "12", "٣", "Ⅷ", "½"),
    *("  ", "   ", "\t", "\n\n", " \n", "\u3000", "\xa0", "\x85", "\u2028 ", "hello", " hello", "HELLO", "naïve", "中国", "😀", "👩‍👩‍👧", "e\u0301", "\0", "!!", "--"),
]
# fmt: on
troubled = st.lists(st.one_of(st.sampled_from([*PARTS, *" " * 8]), texts), max_size=8).map("".join)


@cache
def trained(size, seed=0, count=500):
    """(vocab, merges) of the reference's trainer on `count` lines in sixteen scripts, and on the troublesome parts."""
    return train([*lines(count, seed), *PARTS * 3, "the movie is a good film , but it 's not very funny .\n" * 5], size)


def train(some, size):
    """Texts -> (vocab, merges) of at most `size` pieces."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(some, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [" ".join(pair) for pair in model["merges"]]


def random_troubled(count, seed):
    """The same kind of texts without hypothesis."""
    draw = random.Random(seed)
    for text in random_texts(count, seed):
        parts = [draw.choice([text, " ", " ", *PARTS]) for _ in range(draw.randrange(1, 7))]
        yield "".join(parts)


def our_roberta(model, added=(), **flags):
    vocab, merges = model
    tokenizer = RobertaTokenizer(dict(vocab), list(merges), mask_token=MASK, **flags)
    if added:
        tokenizer.add_tokens(list(added))
    return tokenizer


def pair_of_robertas(model, added=(), *, unk_token=None, fuse_unk=False, add_prefix_space=False, trim_offsets=True):
    """(ours, the reference of the tokenizers library); with unk_token or fuse_unk, ours comes from the reference's file."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, processors

    vocab, merges = model
    pairs = [tuple(merge.split(" ")) for merge in merges]
    theirs = tokenizers.Tokenizer(models.BPE(vocab=dict(vocab), merges=pairs, unk_token=unk_token, fuse_unk=fuse_unk))
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    theirs.decoder = decoders.ByteLevel()
    theirs.post_processor = processors.RobertaProcessing(
        ("</s>", vocab["</s>"]), ("<s>", vocab["<s>"]), trim_offsets, add_prefix_space
    )
    special = [*(AddedToken(t, special=True, normalized=False) for t in ("<pad>", "<unk>", "<s>", "</s>")), MASK]
    names = ("single_word", "lstrip", "rstrip", "normalized", "special")
    for tokens in (special, added):
        flags = [{name: getattr(token, name) for name in names if getattr(token, name) is not None} for token in tokens]
        theirs.add_tokens([tokenizers.AddedToken(token.content, **each) for token, each in zip(tokens, flags)])
    if unk_token is None and not fuse_unk:
        ours = our_roberta(model, added, add_prefix_space=add_prefix_space, trim_offsets=trim_offsets)
    else:
        ours = from_reference(theirs)
    return ours, theirs


def from_reference(theirs):
    """PreTrainedTokenizerFast of a reference's own file."""
    import tempfile
    from pathlib import Path

    from minibert.tokenization import PreTrainedTokenizerFast

    with tempfile.TemporaryDirectory() as folder:
        theirs.save(str(Path(folder) / "tokenizer.json"))
        return PreTrainedTokenizerFast(tokenizer_file=Path(folder) / "tokenizer.json", pad_token="<pad>", mask_token="<mask>")


def our_gpt2(model, **flags):
    vocab, merges = model
    return GPT2Tokenizer(dict(vocab), list(merges), **flags)
