"""The bundled model's explanation of the course's first sentence, computed once."""

import pytest

import minibert

COURSE = "I've been waiting for a HuggingFace course my whole life."


@pytest.fixture(scope="session")
def course():
    """(pipeline, explanation, page)"""
    pipe = minibert.pipeline("sentiment-analysis", "minibert-sst2", kernels="reference")
    explanation = minibert.explain(pipe, COURSE, beside="I hate this so much!")
    return pipe, explanation, explanation.to_html()
