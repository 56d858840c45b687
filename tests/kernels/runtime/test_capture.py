"""Capture and replay: recorded calls run in order, in no more memory than immediate ones; passes of short texts are kept."""

import numpy as np
import pytest
from concurrency import run_concurrently

import minibert
from minibert.errors import InputError, WeightsError
from minibert.kernels.catalog import Ops, make_ops, variants
from minibert.kernels.registry import REGISTRY
from minibert.kernels.runtime import buffer_pool, threads
from minibert.kernels.runtime.capture import thread_state
from minibert.kernels.runtime.thread_count import get_num_threads, set_num_threads
from minibert.models.encoder import Intermediates, build_encoder, encode
from minibert.models.graph_cache import MAX_TOKENS
from minibert.tokenization.compiled import PackedEncoding

WIDE = {"dim": 128, "n_heads": 4, "n_layers": 3, "hidden_dim": 256, "vocab_size": 500, "max_position_embeddings": 300}
ODD = {**WIDE, "dim": 44, "hidden_dim": 76}  # no whole panels on any machine; and heads of 11
PRESETS = ["fast", "bf16", "int8"]


def make_model(kernels="fast", sizes=WIDE):
    config = minibert.DistilBertConfig(**sizes, initializer_range=0.2)
    return minibert.DistilBertModel(config, kernels=kernels, seed=0)


def text(length, seed=0):
    return np.random.default_rng(seed).integers(1, 500, (1, length))


def immediate(model, ids, mask=None):
    """Hidden states (N, D) without capture."""
    return encode(model.pack(ids, mask), model.encoder, model.kernels)


@pytest.fixture(params=[1, 2])
def set_threads(request):
    before = get_num_threads()
    set_num_threads(request.param)
    yield
    set_num_threads(before)


@pytest.mark.parametrize("kernels", PRESETS)
@pytest.mark.parametrize("sizes", [WIDE, ODD], ids=["wide", "odd"])
def test_captured_and_replayed_the_bits_are_those_of_immediate_calls(kernels, sizes, set_threads):
    model = make_model(kernels, sizes)
    for length in (1, 7, 40, MAX_TOKENS, MAX_TOKENS + 1, 270):
        for seed in (0, 1, 0):
            ids = text(length, seed)
            assert np.array_equal(model(ids).last_hidden_state[0], immediate(model, ids))
    ids, mask = np.concatenate([text(30), text(30, 1)]), np.ones((2, 30), int)
    mask[1, 9:] = 0
    hidden = model(ids, mask).last_hidden_state
    assert np.array_equal(np.concatenate([hidden[0], hidden[1, :9]]), immediate(model, ids, mask))


@pytest.mark.parametrize("kernels", PRESETS)
@pytest.mark.parametrize("sizes", [WIDE, ODD], ids=["wide", "odd"])
def test_a_classifier_computes_only_first_tokens_in_its_last_layer_and_the_bits_are_the_same(kernels, sizes, set_threads):
    config = minibert.DistilBertConfig(**sizes, initializer_range=0.2)
    model = minibert.DistilBertForSequenceClassification(config, kernels=kernels, seed=0)
    ids, mask = np.concatenate([text(270), text(270, 1), text(270, 2)]), np.ones((3, 270), int)
    mask[1, 9:], mask[2, 1:] = 0, 0
    for inputs in ((text(1), None), (text(40), None), (text(40, 1), None), (ids, mask)):
        packed = model.pack(*inputs)
        cls_only, traced = model.encode(packed, cls_only=True), model.encode(packed, Intermediates([], None))[packed.first]
        assert cls_only.shape == (len(inputs[0]), config.dim) and np.array_equal(cls_only, traced)
        assert np.array_equal(model(*inputs).logits, model(*inputs, output_hidden_states=True).logits)


def test_writing_into_a_text_s_bounds_changes_no_later_answer():
    model, first, second = make_model(), text(6)[0], text(6, 1)
    packed = PackedEncoding(first, np.array([0, 6]), None, None)
    expected = model(second).last_hidden_state
    model(packed)
    packed.bounds[:] = 10**9
    assert np.array_equal(model(second).last_hidden_state, expected)


@pytest.mark.parametrize("bounds", [[0, 2], [1, 6], [0, 9, 6], [10**9, 10**9 + 6], []])
def test_bounds_that_are_not_those_of_the_ids_are_refused(bounds):
    with pytest.raises(InputError, match="bounds must rise from 0 to 6, the number of ids; got"):
        make_model()(PackedEncoding(text(6)[0], np.array(bounds), None, None))


def test_an_answer_stays_the_same_when_its_pass_is_replayed():
    model = make_model()
    first = model(text(12, 0)).last_hidden_state
    copied = first.copy()
    model(text(12, 1))
    assert np.array_equal(first, copied)


def cached_lengths(model):
    """The lengths of the texts whose passes a model keeps."""
    return {length for length, *_ in model.graph_cache.passes}


def test_the_passes_of_short_texts_are_kept_one_for_each_length():
    model = make_model()
    for seed in range(3):
        for length in (5, MAX_TOKENS, MAX_TOKENS + 1):
            model(text(length, seed))
        model(np.concatenate([text(6), text(6, 1)]))
    assert cached_lengths(model) == {5, MAX_TOKENS} and len(model.graph_cache.passes) == 2


def test_a_short_text_whose_first_token_is_masked_is_captured_and_not_kept():
    """It has a key mask, which a replay would not see."""
    model, mask = make_model(), np.ones((1, 9), int)
    mask[0, 0] = 0
    for seed in range(2):
        ids = text(9, seed)
        assert np.array_equal(model(ids, mask).last_hidden_state[0, 1:], immediate(model, ids, mask)[1:])
    assert not model.graph_cache.passes


def test_a_classifier_s_narrow_head_is_captured_for_a_batch_as_well():
    model = minibert.DistilBertForSequenceClassification(minibert.DistilBertConfig(**WIDE), kernels="fast", seed=0)
    ids = np.concatenate([text(9, seed) for seed in range(3)])
    alone = np.concatenate([model(row[None]).logits for row in ids])
    for _ in range(3):
        assert np.array_equal(model(ids).logits, alone)
    assert None not in model.graph_cache.passes.values() and cached_lengths(model) == {9}


def test_a_pass_in_which_numpy_reads_a_result_is_not_kept():
    model = make_model(sizes=ODD)
    model(text(5))
    assert list(model.graph_cache.passes.values()) == [None]


@pytest.mark.parametrize(
    "kernels", ["reference", "naive", {"softmax": "naive"}, {"attention": "transposed"}, {"linear": "naive"}]
)
def test_operations_that_are_not_only_kernels_are_never_captured(kernels):
    model = make_model(kernels)
    assert not make_ops(kernels).capturable
    model(text(5))
    assert not model.graph_cache.passes


@pytest.mark.parametrize(
    "kernels",
    [
        {"linear": "register"},
        {"linear": "bf16"},
        {"linear": "int8_tile"},
        {"gelu": "vector"},
        {"softmax": "vector"},
        {"linear": "register", "gelu": "vector"},
        {"linear": "bf16", "gelu": "vector"},
        {"layer_norm": "vector"},
    ],
)
def test_a_mapping_of_capturable_variants_keeps_capture_on(kernels, set_threads):
    model = make_model(kernels)
    assert model.kernels.capturable
    for seed in range(3):
        assert np.array_equal(model(text(5, seed)).last_hidden_state[0], immediate(model, text(5, seed)))
    assert cached_lengths(model) == {5} and None not in model.graph_cache.passes.values()


def test_a_composition_of_kernels_alone_is_captured_and_replayed():
    """The activation by itself, after the product."""
    model, composed = make_model(), make_model()
    parts = {name: REGISTRY.compositions[name] for name in ("linear_gelu", "query_key_value")}
    composed.kernels = Ops(make_ops("fast").chosen | parts)
    names, architecture = model.encoder_names, model.config.architecture
    composed.encoder = build_encoder(composed.tensors, names, architecture, composed.kernels)
    assert composed.kernels.names["linear_gelu"] == "linear + gelu" and composed.kernels.capturable
    for seed in range(3):
        assert np.array_equal(composed(text(5, seed)).last_hidden_state, model(text(5, seed)).last_hidden_state)
    assert cached_lengths(composed) == {5} and None not in composed.graph_cache.passes.values()


def test_printing_kernels_marks_the_variants_that_disable_capture():
    printed = str(make_model({"attention": "transposed"}).kernels).splitlines()
    assert printed[0] == "capture: off (the operations marked * prevent it)"
    assert [line.split() for line in printed if line.endswith(" *")] == [["attention", "transposed", "*"]]
    assert "capture" not in str(make_ops("fast")) and "*" not in str(make_ops("fast"))
    marked = [line.split()[0] for line in str(make_ops({"linear": "naive"})).splitlines() if line.endswith(" *")]
    assert {"linear", "linear_add", "linear_gelu", "query_key_value"} <= set(marked) and "attention" not in marked


def test_hidden_states_are_those_of_immediate_calls():
    model = make_model()
    plain, traced = model(text(9)), model(text(9), output_hidden_states=True, output_attentions=True)
    assert np.array_equal(plain.last_hidden_state, traced.hidden_states[-1])
    assert np.allclose(np.sum(traced.attentions[0], axis=-1), 1, atol=1e-5)


def pooled_bytes(work):
    """Bytes of the buffers that some work leaves behind."""
    buffer_pool.free_buffers()
    work()
    return sum(array.nbytes for arrays in buffer_pool.pool.arrays.values() for array in arrays)


def test_capture_takes_no_more_memory_than_immediate_calls():
    model, ids = make_model({"linear": "register"}), np.concatenate([text(200), text(200, 1)])
    assert pooled_bytes(lambda: model(ids)) == pooled_bytes(lambda: immediate(model, ids))


def test_kept_passes_share_their_buffers_which_can_be_freed():
    model = make_model()
    longest = pooled_bytes(lambda: model(text(MAX_TOKENS)))
    lengths = range(MAX_TOKENS - 20, MAX_TOKENS + 1)
    assert pooled_bytes(lambda: [model(text(length)) for length in lengths]) <= 2 * longest
    assert len(model.graph_cache.passes) == 21
    buffer_pool.free_buffers()
    assert not model.graph_cache.passes
    assert np.array_equal(model(text(9)).last_hidden_state[0], immediate(model, text(9)))


def test_a_recorded_result_that_is_still_used_is_not_overwritten():
    """A sum of three products, all recorded: each operand must be there when its turn comes."""
    linear = variants("linear")["register"]
    random = np.random.default_rng(0)
    x, weight = random.normal(size=(96, 96)).astype(np.float32), random.normal(size=(96, 96)).astype(np.float32)
    packed = linear.pack_weights(weight, np.zeros(96, np.float32))
    add = variants("linear_add")["register"].function
    with threads.capture() as recorded:
        first = linear.function(x, *packed)
        second = linear.function(first, *packed)
        third = add(second, first, *packed)  # first + second weightᵀ
        threads.execute(recorded)
    expected = linear.function(x, *packed)
    expected = add(linear.function(expected, *packed), expected, *packed)
    assert np.array_equal(third, expected) and thread_state.capture is None


def test_a_kernel_called_through_numba_is_not_recorded_and_first_flushes_what_was(monkeypatch):
    linear, x = variants("linear")["register"], np.ones((96, 96), np.float32)
    packed = linear.pack_weights(np.eye(96, dtype=np.float32) * 2, np.zeros(96, np.float32))
    bind = threads.bind

    def bind_alternately(kernel, *arguments):
        call = bind(kernel, *arguments)
        bound.append(call)
        return call if len(bound) % 2 else lambda: call()

    monkeypatch.setattr(threads, "bind", bind_alternately)
    monkeypatch.setattr(threads, "run_on_executor", lambda call, workers: call())
    for _ in range(2):
        bound, products = [], [x]
        with threads.capture() as recorded:
            for _ in range(6):
                products.append(linear.function(products[-1], *packed))
            threads.execute(recorded)
        assert [array[0, 0] for array in products] == [2.0**n for n in range(7)] and not recorded.replayable


def test_threads_that_call_one_model_get_their_own_answers():
    model, wrong = make_model("int8"), []
    texts = [text(11, seed) for seed in range(4)]
    expected = [immediate(model, ids) for ids in texts]

    def work(i):
        for _ in range(100):
            if not np.array_equal(model(texts[i]).last_hidden_state[0], expected[i]):
                wrong.append(i)

    run_concurrently(work, 4)
    assert not wrong


def test_an_error_in_a_pass_ends_its_capture():
    model = make_model()
    model.tensors["embeddings.word_embeddings.weight"][3] = np.nan
    with pytest.raises(WeightsError):
        model(np.full((1, 5), 3))
    assert thread_state.capture is None and np.isfinite(model(np.full((1, 5), 4)).last_hidden_state).all()


def test_packed_ids_are_the_model_s_own():
    """They are checked once: what the caller writes into them later must not reach a kernel."""
    ids = text(7).astype(np.intp)
    packed = make_model().pack(ids)
    ids[:] = 10**9
    assert packed.token_ids.max() < 500
