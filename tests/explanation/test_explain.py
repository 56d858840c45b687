"""minibert/explanation: every number is the model's own, and every sum adds up, for each task and family."""

import json
import re

import numpy as np
import pytest
from byte_level_cases import our_roberta, trained
from checkpoints import ROBERTA_LIKE, make_checkpoint
from explanations import CASES, FAMILIES, input_for, pipeline_for, sentence_encoder
from paths import ROOT

import minibert
from minibert import InputError, InputTypeError, explain
from minibert.explanation import gradients
from minibert.explanation.panels import PIECES, TOKENIZATION

ALL = [(case, model_type) for case in CASES for model_type in FAMILIES]
COURSE = "I've been waiting for a HuggingFace course my whole life."


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """(case, family) -> the pipeline and its explanation, computed once."""
    folder, computed = tmp_path_factory.mktemp("explained"), {}

    def get(case, model_type="distilbert"):
        if (case, model_type) not in computed:
            pipe = pipeline_for(case, folder, model_type)
            computed[case, model_type] = pipe, explain(pipe, input_for(case, model_type))
        return computed[case, model_type]

    return get


def model_logits(pipe, explanation, **inputs):
    """The model's own answer -> the targets' logits (G,)."""
    own = {name: explanation.array(name) for name in ("input_ids", "token_type_ids", "attention_mask") if name in explanation}
    output = pipe.model(**{**own, **inputs})
    if "start_logits" in output:
        logits = np.stack([output.start_logits[0], output.end_logits[0]], axis=1)
    else:
        logits = output.logits[0] if output.logits.ndim == 3 else output.logits
    return np.array([logits[target.row, target.column] for target in explanation.targets])


@pytest.mark.parametrize(("case", "model_type"), ALL)
def test_targets_are_the_model_s_logits_and_contributions_add_up_to_them(explained, case, model_type):
    pipe, explanation = explained(case, model_type)
    logits = model_logits(pipe, explanation)
    np.testing.assert_allclose(explanation["targets.logits"], logits, atol=1e-5)
    values = explanation.array("contributions")
    assert values.shape == (len(logits), len(explanation.parts))
    np.testing.assert_allclose(values.sum(axis=1), logits, atol=1e-4)
    np.testing.assert_allclose(values.sum(axis=1) - explanation.array("targets.logits"), explanation["contributions.error"])
    heads = [index for index, name in enumerate(explanation.parts) if ".head." in name]
    of_heads = values[:, heads].reshape(len(logits), pipe.model.architecture.layers, -1)
    np.testing.assert_allclose(explanation.array("contributions.heads").sum(axis=3), of_heads, atol=1e-9)


@pytest.mark.parametrize(("case", "model_type"), ALL)
def test_integrated_gradients_add_up_to_the_difference_from_the_baseline(explained, case, model_type):
    pipe, explanation = explained(case, model_type)
    tokenizer, ids = pipe.tokenizer, explanation.array("input_ids").copy()
    special = [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id]
    padding = pipe.model.tensors[f"{pipe.model.encoder_names.words}.weight"]
    baseline = padding[np.where(np.isin(ids, special), ids, tokenizer.pad_token_id)]
    own = {"input_ids": None, "inputs_embeds": baseline}
    if model_type in ROBERTA_LIKE:  # whose positions count padding out, but not the caller's embeddings
        own["position_ids"] = np.arange(ids.shape[1])[None] + 2
    expected = model_logits(pipe, explanation, **own)
    np.testing.assert_allclose(explanation["integrated_gradients.baseline"], expected, atol=1e-5)
    values, error = explanation.array("integrated_gradients"), explanation.array("integrated_gradients.error")
    difference = explanation.array("targets.logits") - expected
    np.testing.assert_allclose(values.sum(axis=1) - difference, error, atol=1e-5)
    np.testing.assert_array_equal(values[:, np.isin(ids[0], special)], 0)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_the_completeness_error_vanishes_with_more_steps(tmp_path, model_type, monkeypatch):
    monkeypatch.setattr(gradients, "STEPS", (400,))
    explanation = explain(pipeline_for("pairs", tmp_path, model_type), input_for("pairs", model_type))
    difference = explanation.array("targets.logits") - explanation.array("integrated_gradients.baseline")
    assert (np.abs(explanation.array("integrated_gradients.error")) < 1e-3 * (1 + np.abs(difference))).all()


@pytest.mark.parametrize(("case", "model_type"), ALL)
def test_words_left_out_and_changed_are_computed_by_the_model(explained, case, model_type):
    pipe, explanation = explained(case, model_type)
    ids = explanation.array("input_ids")[0].tolist()
    types = explanation.array("token_type_ids")[0].tolist() if "token_type_ids" in explanation else [0] * len(ids)

    def logits_of(word, replacement):
        rows = [values[: word.first] + filled + values[word.last :] for values, filled in replacement]
        output = pipe.model(
            np.array([rows[0]]), token_type_ids=np.array([rows[1]]), attention_mask=np.ones((1, len(rows[0])), int)
        )
        if "start_logits" in output:
            return np.stack([output.start_logits[0], output.end_logits[0]], axis=1)
        return output.logits[0] if output.logits.ndim == 3 else output.logits

    for index, word in enumerate(explanation.words[0]):
        logits = logits_of(word, [(ids, []), (types, [])])
        for column, target in enumerate(explanation.targets):
            drop = explanation.array("leave_one_out")[column, index]
            if word.first <= target.row < word.last:
                assert np.isnan(drop)
                continue
            row = target.row if target.row < word.first else target.row - (word.last - word.first)
            expected = explanation.array("targets.logits")[column] - logits[row, target.column]
            np.testing.assert_allclose(drop, expected, atol=2e-5)
    assert len(explanation.changes) == len(explanation.array("changes")) > 0
    for (index, text), scores in zip(explanation.changes, explanation.array("changes")):
        word = explanation.words[0][index]
        filled = pipe.tokenizer.encode(text, add_special_tokens=False)
        logits = logits_of(word, [(ids, filled), (types, [types[word.first]] * len(filled))])
        for column, target in enumerate(explanation.targets):
            row = target.row if target.row < word.first else target.row + len(filled) - (word.last - word.first)
            row = word.first if word.first <= target.row < word.last else row
            if target.score == "none":
                expected = logits[row, target.column]
            elif target.score == "sigmoid":
                expected = 1 / (1 + np.exp(-logits[row, target.column].astype(float)))
            else:
                values = (logits[:, target.column] if "tokens" in target.score else logits[row]).astype(float)
                shares = np.exp(values - values.max())
                expected = shares[row if "tokens" in target.score else target.column] / shares.sum()
            np.testing.assert_allclose(scores[column], expected, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_the_last_layer_s_scores_are_the_pipeline_s(explained, case):
    pipe, explanation = explained(case)
    scores = explanation.array("targets.scores")
    np.testing.assert_array_equal(explanation.array("layer_scores")[-1], scores)
    text = input_for(case, "distilbert")
    if case in ("text-classification", "pairs", "one label", "regression"):
        answers = pipe(text, top_k=None)
        assert [answer["label"] for answer in answers] == [target.label for target in explanation.targets]
        np.testing.assert_allclose([answer["score"] for answer in answers], scores, atol=1e-6)
    elif case == "fill-mask":
        answers = pipe(text, top_k=len(scores))
        assert [answer["token_str"] for answer in answers] == [target.label for target in explanation.targets]
        np.testing.assert_allclose([answer["score"] for answer in answers], scores, atol=1e-6)
    elif case == "token-classification":
        answers = {answer["index"]: answer["score"] for answer in pipe(text, ignore_labels=[])}
        np.testing.assert_allclose([answers[target.row] for target in explanation.targets], scores, atol=1e-6)
    else:
        assert explanation.answer == pipe(**text)["answer"]


def test_the_held_linear_map_is_that_of_a_forward_pass_with_held_norms(explained):
    """Scaling one part by 1 + t changes the logit by t times its share, if norms' divisors are those of the text: the
    residual stream is written out here, in the other direction than the computation's."""
    pipe, explanation = explained("text-classification", "bert")
    model, names, arch = pipe.model, pipe.model.encoder_names, pipe.model.architecture

    def weights(module):
        return model.tensors[f"{module}.weight"].astype(float), model.tensors[f"{module}.bias"].astype(float)

    def held_norm(part, name, module):
        x = explanation.array(name)[0, 0].astype(float)
        return (part - part.mean()) / np.sqrt(x.var() + arch.eps) * weights(module)[0]

    layer, head = 0, 1
    context = explanation.array(f"layer.{layer}.context")[0, 0].astype(float).copy()
    width = len(context) // arch.heads
    mask = np.zeros_like(context)
    mask[head * width : (head + 1) * width] = 1
    part = weights(names.of_layer(layer, "attention_out"))[0] @ (context * mask)
    part = held_norm(part, f"layer.{layer}.attention_sum", names.of_layer(layer, "attention_norm"))
    part = held_norm(part, f"layer.{layer}.output_sum", names.of_layer(layer, "output_norm"))
    part = held_norm(part, "layer.1.attention_sum", names.of_layer(1, "attention_norm"))
    part = held_norm(part, "layer.1.output_sum", names.of_layer(1, "output_norm"))
    dense = explanation.array("head.pooler.dense")[0].astype(float)
    logits = weights("classifier")[0] @ (np.tanh(dense) / dense * (weights("pooler.dense")[0] @ part))
    index = explanation.parts.index(f"layer.{layer}.head.{head}")
    columns = [target.column for target in explanation.targets]
    np.testing.assert_allclose(explanation.array("contributions")[:, index], logits[columns], atol=1e-6)


def test_the_bundled_model_s_explanation_of_the_course_s_sentence():
    pipe = minibert.pipeline("sentiment-analysis", "minibert-sst2", kernels="reference")
    explanation = explain(pipe, COURSE, beside="I hate this so much!", replacements=["joy", "trash"])
    (answer,) = pipe(COURSE)
    assert explanation.answer == answer["label"]
    assert explanation.normalized[0] == COURSE.lower()
    np.testing.assert_allclose(explanation.array("targets.scores")[0], answer["score"], atol=1e-5)
    assert np.abs(explanation.array("contributions.error")).max() < 1e-4
    assert {text for _, text in explanation.changes} == {"[MASK]", "joy", "trash"}
    (cut,) = [word for word in explanation.words[0] if len(word.pieces) > 1]
    assert cut.text == "HuggingFace" and "is no token of the vocabulary" in cut.reason


def test_a_shorter_text_is_padded_and_without_the_mask_answers_otherwise(tmp_path):
    pipe = pipeline_for("text-classification", tmp_path, "bert")
    explanation = explain(pipe, "it is good", beside="it is not very good, it is very dull and bad!")
    mask = explanation.array("beside.attention_mask")
    assert mask[0].sum() == 5 and mask.shape[1] == mask[1].sum() > 5
    logits = explanation.array("targets.logits")
    np.testing.assert_allclose(explanation["beside.logits.with_mask"], logits, atol=1e-5)
    without = pipe.model(explanation.array("beside.input_ids"), np.ones_like(mask)).logits[0]
    expected = [without[target.column] for target in explanation.targets]
    np.testing.assert_allclose(explanation["beside.logits.without_mask"], expected, atol=1e-5)
    assert np.abs(explanation.array("beside.logits.without_mask") - logits).max() > 1e-3


def test_matches_of_two_texts_add_up_to_their_similarity(tmp_path):
    encoder = sentence_encoder(tmp_path)
    texts = ("the movie is good", "i love this film, it was great!")
    explanation = explain(encoder, texts)
    vectors = encoder.encode(list(texts))
    cosine = encoder.similarity(vectors[:1], vectors[1:], "cosine")[0, 0]
    assert explanation["matches"].shape == tuple(map(len, (explanation.array("attention_mask")[0, :6], explanation.tokens[1])))
    np.testing.assert_allclose(explanation.array("matches").sum(), cosine, atol=1e-6)
    for index, word in enumerate(explanation.words[0]):
        shorter = " ".join(other.text for other in explanation.words[0] if other is not word)
        expected = cosine - encoder.similarity(encoder.encode([shorter]), vectors[1:], "cosine")[0, 0]
        np.testing.assert_allclose(explanation.array("leave_one_out.0")[index], expected, atol=1e-5)


def test_json_has_every_array_with_its_shape_and_function(explained):
    _, explanation = explained("token-classification")
    data = json.loads(explanation.to_json())
    assert set(data["arrays"]) == set(explanation)
    for name, step in explanation.items():
        stored = data["arrays"][name]
        assert tuple(stored["shape"]) == step.shape and stored["function"] == step.function
        np.testing.assert_array_equal(np.array(stored["values"], dtype=float), step.array.astype(float))


def test_what_cannot_be_explained_is_one_error(tmp_path, explained):
    pipe, explanation = explained("text-classification")
    with pytest.raises(InputTypeError, match="pipe must be a pipeline or a SentenceEncoder of minibert; got str"):
        explain("text-classification", "a film")
    features = minibert.pipeline("feature-extraction", make_checkpoint(tmp_path / "f", "bert", "Model"))
    with pytest.raises(InputTypeError, match="explain takes a pipeline of text-classification, .*; got feature-extraction"):
        explain(features, "a film")
    with pytest.raises(InputTypeError, match="each input is a text"):
        explain(pipe, 3)
    with pytest.raises(InputTypeError, match="beside must be a text"):
        explain(pipe, "a film", beside=3)
    with pytest.raises(InputError, match="if it stands alone; got a pair"):
        explain(pipe, ("a film", "a movie"), beside="a")
    with pytest.raises(InputTypeError, match="replacements must be a list of words"):
        explain(pipe, "a film", replacements=3)
    with pytest.raises(InputTypeError, match="two texts"):
        explain(explained("question-answering")[0], "is it good?")
    with pytest.raises(InputError, match=r"must have a \[MASK\] to fill"):
        explain(explained("fill-mask")[0], "a film")
    with pytest.raises(InputError, match="a sequence may have 32 tokens"):
        explain(pipe, "good " * 40)
    with pytest.raises(InputError, match="an explanation has embeddings.words, .*; got 'nothing'"):
        explanation["nothing"]
    windows = pipeline_for("text-classification", tmp_path, "longformer")
    with pytest.raises(InputError, match="a LongformerForSequenceClassification has windows"):
        explain(windows, "a film")
    encoder = sentence_encoder(tmp_path)
    with pytest.raises(InputTypeError, match="pass two texts"):
        explain(encoder, "a film")
    encoder.sentence_config = encoder.sentence_config._replace(poolings=("cls",))
    with pytest.raises(InputError, match="vectors must be the means of hidden states; this encoder's are cls"):
        explain(encoder, ("a film", "a movie"))
    with pytest.raises(InputError, match="leave beside and replacements out"):
        explain(encoder, ("a film", "a movie"), beside="a")


def test_a_pipeline_that_cuts_long_texts_has_them_cut_here(tmp_path):
    pipe = pipeline_for("text-classification", tmp_path)
    cutting = minibert.pipeline("text-classification", pipe.model, pipe.tokenizer, truncation=True, padding="max_length")
    explanation = explain(cutting, "very good " * 30)
    assert len(explanation.tokens[0]) == 32 and explanation["integrated_gradients"].shape == (3, 32)
    np.testing.assert_allclose(explanation.array("targets.scores")[0], cutting("very good " * 30)[0]["score"], atol=1e-6)


def test_an_empty_text_and_one_of_unknown_signs_are_explained(explained):
    pipe, _ = explained("text-classification")
    assert explain(pipe, "").array("leave_one_out").shape == (3, 0)
    (word,) = explain(pipe, "☃").words[0]
    assert word.pieces == ("[UNK]",) and word.reason.startswith("no tokens of the vocabulary")


def test_byte_level_pieces_are_explained_by_their_merges():
    """Words that are put in the place of another are whole words of the vocabulary, with the blank before them."""
    tokenizer = our_roberta(trained(2000))
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = minibert.RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes)
    pipe = minibert.pipeline("text-classification", minibert.RobertaForSequenceClassification(config, seed=0), tokenizer)
    explanation = minibert.explain(pipe, "A good movie with great acting, naïve though")
    assert explanation.subword == "BPE" and explanation.words[0][1].pieces == ("Ġgood",)
    assert "no more pair" in next(word.reason for word in explanation.words[0] if word.text == "acting")
    replacements = {word for _, word in explanation.changes} - {"<mask>"}
    assert replacements and all(
        word.isalpha() and f"Ġ{word}" in tokenizer.get_vocab() for word in replacements if word.isascii()
    )
    page = explanation.to_html()
    assert "byte_level_bpe.py: ByteLevelBPE.merge" in page and "wordpiece.py" not in page


@pytest.mark.parametrize("subword", PIECES)
def test_the_page_names_files_that_there_are(subword):
    for name in PIECES[subword][1]:
        file, _, function = name.partition(": ")
        source = (ROOT / TOKENIZATION / file).read_text(encoding="utf-8")
        assert all(re.search(rf"(def|class) {part}\b", source) for part in filter(None, function.split(".")))
