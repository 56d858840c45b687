"""Calls that are noted: made in their order, in the memory that they need at one time; and short texts' passes, kept."""

import numpy as np
import pytest
from callers import at_the_same_time

import minibert
from minibert.errors import InputError, WeightsError
from minibert.kernels.catalog import make_ops, variants
from minibert.kernels.runtime import buffer_pool as buffers
from minibert.kernels.runtime import threads
from minibert.kernels.runtime.capture import here
from minibert.kernels.runtime.thread_count import get_num_threads, set_num_threads
from minibert.models.encoder import Trace, encode
from minibert.models.passes import FEW, LONG, SHORT
from minibert.tokenization.compiled import PackedEncoding

WIDE = {"dim": 128, "n_heads": 4, "n_layers": 3, "hidden_dim": 256, "vocab_size": 500, "max_position_embeddings": 300}
ODD = {**WIDE, "dim": 44, "hidden_dim": 76}  # no whole panels on any machine; and heads of 11
PRESETS = ["fast", "bf16", "int8"]


def model(kernels="fast", sizes=WIDE):
    config = minibert.DistilBertConfig(**sizes, initializer_range=0.2)
    return minibert.DistilBertModel(config, kernels=kernels, seed=0)


def text(length, seed=0):
    return np.random.default_rng(seed).integers(1, 500, (1, length))


def at_once(made, ids, mask=None):
    """Hidden states (N, D) without notes."""
    return encode(made.pack(ids, mask), made.encoder, made.kernels)


@pytest.fixture(params=[1, 2])
def set_threads(request):
    before = get_num_threads()
    set_num_threads(request.param)
    yield
    set_num_threads(before)


@pytest.mark.parametrize("kernels", PRESETS)
@pytest.mark.parametrize("sizes", [WIDE, ODD], ids=["wide", "odd"])
def test_noted_and_made_again_the_bits_are_those_of_calls_made_at_once(kernels, sizes, set_threads):
    made = model(kernels, sizes)
    for length in (1, 7, 40, SHORT, SHORT + 1, 270):
        for seed in (0, 1, 0):
            ids = text(length, seed)
            assert np.array_equal(made(ids).last_hidden_state[0], at_once(made, ids))
    ids, mask = np.concatenate([text(30), text(30, 1)]), np.ones((2, 30), int)
    mask[1, 9:] = 0
    found = made(ids, mask).last_hidden_state
    assert np.array_equal(np.concatenate([found[0], found[1, :9]]), at_once(made, ids, mask))


@pytest.mark.parametrize("kernels", PRESETS)
@pytest.mark.parametrize("sizes", [WIDE, ODD], ids=["wide", "odd"])
def test_a_classifier_s_last_layer_ends_with_first_tokens_and_the_bits_are_those_of_a_whole_one(kernels, sizes, set_threads):
    config = minibert.DistilBertConfig(**sizes, initializer_range=0.2)
    made = minibert.DistilBertForSequenceClassification(config, kernels=kernels, seed=0)
    ids, mask = np.concatenate([text(270), text(270, 1), text(270, 2)]), np.ones((3, 270), int)
    mask[1, 9:], mask[2, 1:] = 0, 0
    for given in ((text(1), None), (text(40), None), (text(40, 1), None), (ids, mask)):
        packed = made.pack(*given)
        alone, seen = made.encode(packed, first_only=True), made.encode(packed, Trace([], None))[packed.first]
        assert alone.shape == (len(given[0]), config.dim) and np.array_equal(alone, seen)
        assert np.array_equal(made(*given).logits, made(*given, output_hidden_states=True).logits)


def test_what_becomes_of_a_text_s_bounds_changes_no_later_answer():
    made, first, other = model(), text(6)[0], text(6, 1)
    packed = PackedEncoding(first, np.array([0, 6]), None, None)
    expected = made(other).last_hidden_state
    made(packed)
    packed.bounds[:] = 10**9
    assert np.array_equal(made(other).last_hidden_state, expected)


@pytest.mark.parametrize("bounds", [[0, 2], [1, 6], [0, 9, 6], [10**9, 10**9 + 6], []])
def test_bounds_that_are_not_those_of_the_ids_are_refused(bounds):
    with pytest.raises(InputError, match="bounds must rise from 0 to 6, the number of ids; got"):
        model()(PackedEncoding(text(6)[0], np.array(bounds), None, None))


def test_an_answer_that_is_held_stays_when_its_pass_is_made_again():
    made = model()
    first = made(text(12, 0)).last_hidden_state
    copied = first.copy()
    made(text(12, 1))
    assert np.array_equal(first, copied)


def kept(made):
    """The bounds of the passes that a model keeps."""
    return {tuple(np.frombuffer(key, np.int64).tolist()) for key, *_ in made.passes.kept}


def test_short_texts_passes_are_kept_and_one_for_each_length():
    made = model()
    for seed in range(3):
        for length in (5, SHORT, SHORT + 1 + seed):
            made(text(length, seed))
    made(np.concatenate([text(5), text(5, 1)]))
    assert kept(made) == {(0, 5), (0, SHORT)}


@pytest.mark.parametrize("kernels", ["fast", "int8"])
def test_what_comes_twice_in_a_row_is_kept_by_the_lengths_of_its_texts(kernels):
    made = model(kernels)
    batches = [np.concatenate([text(90, seed), text(90, seed + 1)]) for seed in range(4)]
    uneven = np.ones((2, 90), int)
    uneven[0, 80:] = 0
    for _ in range(3):
        for ids in batches:
            assert np.array_equal(made(ids).last_hidden_state.reshape(-1, made.config.dim), at_once(made, ids))
    assert kept(made) == {(0, 90, 180)}
    for number in range(2):
        whole = [made(batches[0][row : row + 1, : 80 + 10 * row]).last_hidden_state[0] for row in (0, 1)]
        found = made(batches[0], uneven).last_hidden_state
        assert np.array_equal(found[0, :80], whole[0]) and np.array_equal(found[1], whole[1])
        assert ((0, 80, 170) in kept(made)) == (number == 1)
    made(text(200)), made(text(201)), made(text(200))
    assert (0, 200) not in kept(made)


def test_a_classifier_s_narrow_head_is_noted_for_a_batch_as_well():
    made = minibert.DistilBertForSequenceClassification(minibert.DistilBertConfig(**WIDE), kernels="fast", seed=0)
    ids = np.concatenate([text(9, seed) for seed in range(3)])
    alone = np.concatenate([made(row[None]).logits for row in ids])
    for _ in range(3):
        assert np.array_equal(made(ids).logits, alone)
    assert None not in made.passes.kept.values() and kept(made) == {(0, 9), (0, 9, 18, 27)}


def test_few_passes_of_many_tokens_are_kept_and_none_of_more():
    made = model()
    many = np.concatenate([text(LONG // 4, seed) for seed in range(5)])
    for ids in (*(text(length) for length in range(SHORT + 1, SHORT + FEW + 2)), many):
        made(ids), made(ids)
    assert kept(made) == {(0, SHORT + FEW + 1)}


def test_a_pass_in_which_numpy_looks_at_a_result_is_not_kept():
    made = model(sizes=ODD)
    made(text(5))
    assert list(made.passes.kept.values()) == [None]


@pytest.mark.parametrize("kernels", ["reference", "naive", {"softmax": "naive"}, {"attention": "turned"}])
def test_what_is_not_made_of_kernels_alone_is_never_noted(kernels):
    made = model(kernels)
    assert not make_ops(kernels).capturable
    made(text(5))
    assert not made.passes.kept


def test_traces_are_those_of_calls_made_at_once():
    made = model()
    whole, traced = made(text(9)), made(text(9), output_hidden_states=True, output_attentions=True)
    assert np.array_equal(whole.last_hidden_state, traced.hidden_states[-1])
    assert np.allclose(np.sum(traced.attentions[0], axis=-1), 1, atol=1e-5)


def used(work):
    """Bytes of the buffers that some work leaves behind."""
    buffers.free_buffers()
    work()
    return sum(array.nbytes for kept in buffers.buffers.kept.values() for array in kept)


def test_notes_take_no_more_memory_than_calls_made_at_once():
    made, ids = model(), np.concatenate([text(200), text(200, 1)])
    assert used(lambda: made(ids)) == used(lambda: at_once(made, ids))


def test_kept_passes_share_their_buffers_which_are_given_back():
    made = model()
    longest = used(lambda: made(text(SHORT)))
    assert used(lambda: [made(text(length)) for length in range(SHORT - 20, SHORT + 1)]) <= 2 * longest
    assert len(made.passes.kept) == 21
    buffers.free_buffers()
    assert not made.passes.kept
    assert np.array_equal(made(text(9)).last_hidden_state[0], at_once(made, text(9)))


def test_what_is_still_held_is_not_written_over_by_later_notes():
    """A sum of three products, all noted: each operand must be there when its turn comes."""
    linear = variants("linear")["register"]
    random = np.random.default_rng(0)
    x, weight = random.normal(size=(96, 96)).astype(np.float32), random.normal(size=(96, 96)).astype(np.float32)
    packed = linear.pack_weights(weight, np.zeros(96, np.float32))
    add = variants("linear_add")["register"].function
    with threads.noting() as notes:
        first = linear.function(x, *packed)
        second = linear.function(first, *packed)
        third = add(second, first, *packed)  # first + second weightᵀ
        threads.make(notes)
    expected = linear.function(x, *packed)
    expected = add(linear.function(expected, *packed), expected, *packed)
    assert np.array_equal(third, expected) and here.notes is None


def test_a_kernel_that_is_called_through_numba_is_not_noted_and_finds_what_was(monkeypatch):
    linear, x = variants("linear")["register"], np.ones((96, 96), np.float32)
    packed = linear.pack_weights(np.eye(96, dtype=np.float32) * 2, np.zeros(96, np.float32))
    bind = threads.bind

    def bind_alternately(kernel, *arguments):
        call = bind(kernel, *arguments)
        bound.append(call)
        return call if len(bound) % 2 else lambda: call()

    monkeypatch.setattr(threads, "bind", bind_alternately)
    monkeypatch.setattr(threads, "run_parallel", lambda call, workers: call())
    for _ in range(2):
        bound, found = [], [x]
        with threads.noting() as notes:
            for _ in range(6):
                found.append(linear.function(found[-1], *packed))
            threads.make(notes)
        assert [array[0, 0] for array in found] == [2.0**n for n in range(7)] and not notes.whole


def test_threads_that_call_one_model_get_what_is_theirs():
    made, wrong = model("int8"), []
    texts = [text(11, seed) for seed in range(4)]
    expected = [at_once(made, ids) for ids in texts]

    def work(number):
        for _ in range(100):
            if not np.array_equal(made(texts[number]).last_hidden_state[0], expected[number]):
                wrong.append(number)

    at_the_same_time(work, 4)
    assert not wrong


def test_an_error_in_a_pass_leaves_nothing_noted():
    made = model()
    made.tensors["embeddings.word_embeddings.weight"][3] = np.nan
    with pytest.raises(WeightsError):
        made(np.full((1, 5), 3))
    assert here.notes is None and np.isfinite(made(np.full((1, 5), 4)).last_hidden_state).all()


def test_packed_ids_are_the_models_own():
    """They are checked once: what becomes of the caller's later must not reach a kernel."""
    ids = text(7).astype(np.intp)
    packed = model().pack(ids)
    ids[:] = 10**9
    assert packed.token_ids.max() < 500
