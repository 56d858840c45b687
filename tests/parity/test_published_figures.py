"""Figures that others published for real checkpoints: run where the Hugging Face hub can be reached."""

import os
import urllib.request

import numpy as np
import pytest

from minibert import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline

pytestmark = pytest.mark.hub
SST2 = "distilbert-base-uncased-finetuned-sst-2-english"
COURSE = "I've been waiting for a HuggingFace course my whole life."


@pytest.fixture(scope="module", autouse=True)
def reachable():
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        urllib.request.urlopen(f"{endpoint}/{SST2}/resolve/main/config.json", timeout=5).close()
    except OSError as error:
        pytest.skip(f"the hub cannot be reached at {endpoint}: {error}")


def ids_of(tokenizer, text):
    return tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))


def test_the_course_s_ids_and_logits():
    tokenizer = AutoTokenizer.from_pretrained(SST2)
    model = AutoModelForSequenceClassification.from_pretrained(SST2)
    long, short = ids_of(tokenizer, COURSE), ids_of(tokenizer, "I hate this.")
    assert long == [1045, 1005, 2310, 2042, 3403, 2005, 1037, 17662, 12172, 2607, 2026, 2878, 2166, 1012]
    assert short == [1045, 5223, 2023, 1012]
    assert np.allclose(model([long]).logits, [[-2.7276, 2.8789]], atol=1e-3)
    assert np.allclose(model([short]).logits, [[3.9497, -3.1357]], atol=1e-3)
    batch = np.array([long, short + [0] * 10])
    assert np.allclose(model(batch).logits[1], [1.5444, -1.3998], atol=1e-3)
    assert np.allclose(model(batch, attention_mask=batch != 0).logits[1], [3.9497, -3.1357], atol=1e-3)


def test_the_pipeline_s_published_answer():
    (answer,) = pipeline("text-classification", model=SST2)("Birds are a type of animal")
    assert answer["label"] == "POSITIVE" and answer["score"] == pytest.approx(0.988, abs=1e-3)


PUBLISHED = {
    "distilbert-base-uncased": [[-0.1639, 0.3299, 0.1648], [-0.1746, 0.3289, 0.1710], [-0.1884, 0.3357, 0.1810]],
    "bert-base-uncased": [[0.4249, 0.1008, 0.7531], [0.3771, 0.1188, 0.7467], [0.4152, 0.1098, 0.7108]],
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_transformers_own_integration_figures(name):
    ids = np.array([[0, 345, 232, 328, 740, 140, 1695, 69, 6078, 1588, 2]])
    mask = np.array([[0] + [1] * 10])
    hidden = AutoModel.from_pretrained(name)(ids, attention_mask=mask).last_hidden_state
    assert np.allclose(hidden[:, 1:4, 1:4], [PUBLISHED[name]], atol=1e-4)


def test_bert_s_published_offsets():
    tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
    encoded = tokenizer("A, naïve [MASK] AllenNLP sentence.", return_offsets_mapping=True)
    assert [tuple(pair) for pair in encoded["offset_mapping"][1:-1]] == [
        (0, 1),
        (1, 2),
        (3, 8),
        (9, 15),
        (16, 21),
        (21, 23),
        (23, 24),
        (25, 33),
        (33, 34),
    ]
