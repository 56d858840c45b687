"""Methods of transformers 4, and the names with which code tests what a tokenizer is."""

import itertools
import random

import pytest
from tokenization_cases import real_folder, troubled_vocab

import minibert
from minibert import AutoTokenizer, BertTokenizer, DistilBertTokenizer, InputError, InputTypeError, MPNetTokenizer
from minibert.tokenization import AddedToken, PreTrainedTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

IDS, PAIR_IDS = [7592, 2088, 999, 1037, 1038], [2748, 2053, 2748]


@pytest.fixture
def tokenizer():
    return BertTokenizer(troubled_vocab(), model_max_length=16)


@pytest.fixture(scope="module")
def both():
    """Ours, and the class of transformers that has these methods still."""
    legacy = pytest.importorskip("transformers.models.bert.tokenization_bert_legacy")
    ours = AutoTokenizer.from_pretrained(real_folder())
    theirs = legacy.BertTokenizerLegacy(str(real_folder() / "vocab.txt"), model_max_length=ours.model_max_length)
    theirs.model_input_names = ours.model_input_names
    return ours, theirs


@pytest.mark.parity
@pytest.mark.parametrize("pair", [None, PAIR_IDS, []], ids=["one", "pair", "empty pair"])
def test_columns_of_a_row_of_ids_are_transformers(both, pair):
    ours, theirs = both
    for name in ("build_inputs_with_special_tokens", "create_token_type_ids_from_sequences", "get_special_tokens_mask"):
        assert getattr(ours, name)(IDS, pair) == getattr(theirs, name)(IDS, pair), name
    row = ours.build_inputs_with_special_tokens(IDS, pair)
    assert ours.get_special_tokens_mask(row, already_has_special_tokens=True) == theirs.get_special_tokens_mask(
        row, already_has_special_tokens=True
    )


ROW_OPTIONS = {
    "padding": (False, True, "max_length"),
    "truncation": (False, "only_first", "only_second", True),
    "max_length": (None, 6, 8, 16),
    "pad_to_multiple_of": (None, 4, 8),
    "padding_side": (None, "left"),
    "add_special_tokens": (True, False),
    "return_tensors": (None, "np", "pt"),
    "prepend_batch_axis": (False, True),
    "return_special_tokens_mask": (False, True),
    "return_length": (False, True),
}


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:.*max_length.* is ignored")
def test_a_row_of_ids_is_prepared_as_in_transformers(both):
    ours, theirs = both
    draw, answers = random.Random(3), 0
    for _ in range(600):
        options = {name: draw.choice(values) for name, values in ROW_OPTIONS.items()}
        ids, pair = IDS[: draw.randrange(1, 6)], draw.choice([None, PAIR_IDS])
        if options["truncation"] == "only_second" and pair is None or options["truncation"] is True and pair:
            continue  # which of two texts is truncated differs between transformers' classes
        if options["return_tensors"] and not options["prepend_batch_axis"]:
            options["return_length"] = False  # theirs makes no tensor of one number
        try:
            mine = ours.prepare_for_model(ids, pair, **options)
        except InputError as error:
            refused = any(rule in str(error) for rule in ("must leave something", "multiple of pad_to", "leave room for"))
            assert refused, (options, error)  # the first and the last one theirs only logs
            continue
        other = theirs.prepare_for_model(ids, pair, **options)
        names = set(mine) - (set() if options["add_special_tokens"] else {"token_type_ids"})  # all 0 there, as never in a call
        assert set(mine) == set(other)
        assert [as_list(mine[name]) for name in names] == [as_list(other[name]) for name in names], options
        answers += 1
    assert answers > 200


def as_list(value):
    return value.tolist() if hasattr(value, "tolist") else value


@pytest.mark.parametrize("owner", [BertTokenizer, DistilBertTokenizer, MPNetTokenizer])
def test_a_row_of_ids_is_the_row_of_its_text(owner):
    specials = ["<s>", "</s>", "<pad>", "<mask>", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = owner({token: index for index, token in enumerate([*specials, *"abcdefgh"])})
    texts = ("a b c d", "e f g")
    ids, pair = (tokenizer.encode(text, add_special_tokens=False) for text in texts)
    for options in (
        {},
        {"truncation": True, "max_length": 7},
        {"padding": "max_length", "max_length": 14, "padding_side": "left", "return_special_tokens_mask": True},
        {"truncation": "only_second", "max_length": 10, "return_attention_mask": False},
    ):
        assert tokenizer.prepare_for_model(ids, pair, **options) == tokenizer(*texts, **options)
    assert tokenizer.build_inputs_with_special_tokens(ids, pair) == tokenizer.encode(*texts)


def test_encode_plus_is_a_call_for_one_text_or_pair(tokenizer):
    assert tokenizer.encode_plus("a b", "c", False, return_length=True) == tokenizer(
        "a b", "c", add_special_tokens=False, return_length=True
    )
    assert tokenizer.encode_plus(["a", "b"], is_split_into_words=True) == tokenizer(["a", "b"], is_split_into_words=True)
    with pytest.raises(InputTypeError, match="encode_plus takes one text or pair; got list"):
        tokenizer.encode_plus(["a", "b"])
    with pytest.raises(InputTypeError, match="unexpected keyword argument 'nonsense'"):
        tokenizer.encode_plus("a", nonsense=1)


def test_batch_encode_plus_is_a_call_for_a_batch(tokenizer):
    texts = ["a b", "c"]
    assert tokenizer.batch_encode_plus(texts, False, padding=True) == tokenizer(texts, add_special_tokens=False, padding=True)
    assert tokenizer.batch_encode_plus([("a", "b")]) == tokenizer([("a", "b")])
    with pytest.raises(InputTypeError, match="takes a list of texts or pairs; got str"):
        tokenizer.batch_encode_plus("a")


def test_pad_to_max_length_pads_as_in_transformers_4(tokenizer):
    """As the tutorials of that time call it."""
    for text in ("a b", "a b c d e a b"):
        row = tokenizer.encode_plus(text, add_special_tokens=True, max_length=6, pad_to_max_length=True, return_tensors="np")
        assert row["input_ids"].tolist() == [tokenizer.encode(text, padding="max_length", truncation=True, max_length=6)]
    rows = tokenizer.batch_encode_plus(["a", "a b"], pad_to_max_length=True)
    assert rows == tokenizer(["a", "a b"], padding=True)
    assert tokenizer.encode_plus("a", pad_to_max_length=True, max_length=5, truncation=False)["input_ids"][3:] == [0, 0]
    with pytest.raises(InputTypeError, match="has no pad_to_max_length, nor has minibert. Pass padding='max_length' instead"):
        tokenizer("a", pad_to_max_length=True)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda t: t.prepare_for_model("a"), "ids must be a list; got str"),
        (lambda t: t.prepare_for_model(["a"]), "a token id must be an integer"),
        (lambda t: t.prepare_for_model([1], 3), "pair_ids must be a list"),
        (lambda t: t.prepare_for_model([1], return_overflowing_tokens=True), "must be False for ids"),
        (lambda t: t.prepare_for_model([1], return_offsets_mapping=True), "must be False for ids"),
        (lambda t: t.get_special_tokens_mask([1], [2], already_has_special_tokens=True), "takes one row of ids"),
        (lambda t: t.apply_chat_template([{"role": "user", "content": "a"}]), "Join the messages to one text"),
        (lambda t: t.save_vocabulary("folder", "a/b"), "filename_prefix must be the beginning of a file's name"),
        (lambda t: t.save_vocabulary("folder", 3), "filename_prefix must be"),
        (lambda t: t.save_pretrained("folder", legacy_format=True), "legacy_format must be None or False"),
        (lambda t: t.save_pretrained("folder", filename_prefix="a"), "Pass it to save_vocabulary"),
        (lambda t: t.save_pretrained("folder", push_to_hub=True), "Upload the folder with huggingface_hub"),
        (lambda t: BertTokenizer({"[UNK]": 1, "[CLS]": 2, "[SEP]": 7}).save_vocabulary("folder"), "Call save_pretrained"),
    ],
)
def test_what_cannot_be_done_is_one_error(tokenizer, call, message):
    with pytest.raises(InputError, match=message):
        call(tokenizer)


@pytest.mark.parametrize(
    "name, hint",
    [("backend_tokenizer", "tokenizers.Tokenizer.from_file"), ("additional_special_tokens", "extra_special_tokens")],
)
def test_an_attribute_that_is_not_here_says_what_there_is_instead(tokenizer, name, hint):
    assert not hasattr(tokenizer, name)
    with pytest.raises(AttributeError, match=hint):
        getattr(tokenizer, name)


@pytest.mark.parity
def test_attributes_are_transformers():
    transformers = pytest.importorskip("transformers")
    ours, theirs = (library.from_pretrained(real_folder()) for library in (AutoTokenizer, transformers.AutoTokenizer))
    for name in ("pad_token_type_id", "max_len_single_sentence", "max_len_sentences_pair", "chat_template", "name_or_path"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("do_lower_case", "tokenize_chinese_chars", "model_max_length", "padding_side", "name_or_path"):
        assert ours.init_kwargs[name] == theirs.init_kwargs[name], name
    assert ours.num_special_tokens_to_add(pair=True) == theirs.num_special_tokens_to_add(pair=True)


def test_the_vocabulary_alone_is_saved(tokenizer, tmp_path):
    tokenizer.add_tokens("newtoken")
    (path,) = tokenizer.save_vocabulary(tmp_path, "mine")
    assert path == str(tmp_path / "mine-vocab.txt") and BertTokenizer(path).get_vocab() == troubled_vocab()
    assert tokenizer.save_vocabulary(str(tmp_path)) == (str(tmp_path / "vocab.txt"),)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mine-vocab.txt", "vocab.txt"]
    paths = tokenizer.save_pretrained(save_directory=tmp_path, legacy_format=False, push_to_hub=False)
    assert len(paths) == 3 and AutoTokenizer.from_pretrained(tmp_path).get_vocab() == tokenizer.get_vocab()


def test_every_tokenizer_is_a_pretrained_tokenizer(tokenizer):
    for one in (tokenizer, DistilBertTokenizer(), MPNetTokenizer()):
        assert isinstance(one, PreTrainedTokenizerBase) and isinstance(one, PreTrainedTokenizer) and one.is_fast
    assert issubclass(PreTrainedTokenizerFast, PreTrainedTokenizerBase)
    assert minibert.PreTrainedTokenizer is minibert.PreTrainedTokenizerBase is PreTrainedTokenizerBase
    for call in (PreTrainedTokenizerBase, lambda: PreTrainedTokenizer.from_pretrained(real_folder())):
        with pytest.raises(InputTypeError, match="Call AutoTokenizer.from_pretrained"):
            call()


# --- AddedTokens of the tokenizers library ---------------------------------------------------------------------------


@pytest.fixture
def theirs():
    return pytest.importorskip("tokenizers").AddedToken


FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def test_added_tokens_of_the_tokenizers_library_are_accepted_everywhere(theirs):
    vocab = troubled_vocab()
    for flags in itertools.product((False, True), repeat=5):
        options = dict(zip(FLAGS, flags))
        mine, other = AddedToken("<X>", **options), theirs("<X>", **options)
        ours, same = BertTokenizer(vocab), BertTokenizer(vocab)
        assert ours.add_tokens(mine) == same.add_tokens(other) == 1 and same.add_tokens([other]) == 0
        assert ours.added_tokens_decoder == same.added_tokens_decoder
        assert same.added_tokens_decoder[len(vocab)] == mine and hash(same.added_tokens_decoder[len(vocab)]) == hash(mine)
        text = "a <X>b <x> c"
        assert ours(text) == same(text)
        for construct in (
            lambda token: BertTokenizer(vocab, mask_token=token),
            lambda token: BertTokenizer({**vocab, "<X>": len(vocab)}, unk_token=token, extra_special_tokens=[token]),
            lambda token: BertTokenizer(vocab, added_tokens=[token]),
            lambda token: BertTokenizer(vocab, image_token=token),
            lambda token: BertTokenizer(vocab, extra_special_tokens={"image_token": token}),
            lambda token: MPNetTokenizer(mask_token=token),
            lambda token: AutoTokenizer.from_pretrained(real_folder(), mask_token=token),
            lambda token: with_special(BertTokenizer(vocab), {"mask_token": token}),
            lambda token: with_special(BertTokenizer(vocab), {"extra_special_tokens": [token]}),
        ):
            one, two = construct(mine), construct(other)
            assert one.added_tokens_decoder == two.added_tokens_decoder
            assert one.all_special_tokens == two.all_special_tokens and one(text) == two(text)


def with_special(tokenizer, tokens):
    tokenizer.add_special_tokens(tokens)
    return tokenizer


def test_a_special_token_may_be_set_to_one_of_them(tokenizer, theirs):
    tokenizer.mask_token = theirs("[SEP]")
    tokenizer.pad_token = "[UNK]"
    tokenizer.extra_special_tokens = [theirs("<x>")]
    assert (tokenizer.mask_token, tokenizer.mask_token_id) == ("[SEP]", 3) and tokenizer.extra_special_tokens == ["<x>"]
    assert tokenizer(["a", "a b"], padding=True)["input_ids"][0][-1] == tokenizer.pad_token_id == 1
    for value in (theirs, object(), 3):
        with pytest.raises(InputTypeError, match="mask_token must be a string or an AddedToken"):
            tokenizer.mask_token = value


@pytest.mark.parity
def test_added_tokens_are_equal_as_those_of_the_library(theirs):
    for values in itertools.product((False, True), repeat=5):
        options = dict(zip(FLAGS, values))
        for name, value in options.items():
            changed = {**options, name: not value}
            assert (AddedToken("a", **options) == AddedToken("a", **changed)) == (
                theirs("a", **options) == theirs("a", **changed)
            )
        assert AddedToken("a", **options) == AddedToken("a", **options) != AddedToken("b", **options)
    assert AddedToken("a") != "a" and str(AddedToken("a")) == str(theirs("a"))
