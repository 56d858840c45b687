"""Metrics against scikit-learn's and SciPy's, which transformers' dependencies bring; entities by hand."""

import numpy as np
import pytest

from minibert.training import metrics
from minibert.training.evaluation import EvalPrediction
from minibert.training.tasks import class_figures

RANDOM = np.random.default_rng(0)


@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.parametrize("classes", [2, 5])
def test_figures_of_classes_are_those_of_scikit_learn(classes):
    reference = pytest.importorskip("sklearn.metrics")
    for rows in (1, 2, 50):
        predicted, labels = RANDOM.integers(0, classes, (2, rows))
        assert metrics.accuracy(predicted, labels) == pytest.approx(reference.accuracy_score(labels, predicted))
        average = "binary" if classes == 2 else "macro"
        expected = reference.f1_score(labels, predicted, average=average, zero_division=0)
        assert metrics.f1(predicted, labels, classes) == pytest.approx(expected)
        assert metrics.matthews(predicted, labels) == pytest.approx(reference.matthews_corrcoef(labels, predicted))


def test_f1_is_of_the_classes_that_have_names_not_of_those_in_the_rows():
    """Three names, but the rows hold the first two alone: the mean, not that of class 1."""
    labels, predicted = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    prediction = EvalPrediction(np.eye(3)[predicted], labels)
    assert class_figures(prediction, ["a", "b", "c"])["f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert class_figures(prediction._replace(predictions=np.eye(2)[predicted]), ["a", "b"])["f1"] == pytest.approx(2 / 3)


def test_figures_of_several_labels_are_those_of_scikit_learn():
    reference = pytest.importorskip("sklearn.metrics")
    predicted, labels = RANDOM.integers(0, 2, (2, 40, 3))
    assert metrics.accuracy(predicted, labels) == pytest.approx(reference.accuracy_score(labels, predicted))
    assert metrics.f1(predicted, labels) == pytest.approx(reference.f1_score(labels, predicted, average="micro"))


def test_correlations_are_those_of_scipy():
    reference = pytest.importorskip("scipy.stats")
    x, y = RANDOM.normal(size=(2, 100))
    y[:40] = np.round(y[:40] + x[:40])  # ties
    assert metrics.pearson(x, y) == pytest.approx(reference.pearsonr(x, y)[0])
    assert metrics.spearman(x[:, None], y) == pytest.approx(reference.spearmanr(x, y)[0])
    assert np.isnan(metrics.pearson(x, np.ones(100))) and np.isnan(metrics.spearman(np.ones(100), y))


def test_no_prediction_and_no_label_is_zero():
    assert metrics.f1(np.zeros(3, int), np.zeros(3, int)) == 0
    assert metrics.matthews(np.zeros(3, int), np.array([0, 1, 0])) == 0
    assert metrics.entity_f1([["O"]], [["O"]]) == 0


def test_an_entity_counts_if_all_of_it_is_right():
    labels = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-ORG"]]
    assert metrics.entity_f1(labels, labels) == 1
    assert metrics.entity_f1([["B-PER", "O", "O", "B-LOC"], ["O", "B-ORG"]], labels) == pytest.approx(2 * 2 / 6)
    assert metrics.entity_f1([["B-PER", "I-PER", "O", "B-ORG"], ["O", "O"]], labels) == pytest.approx(2 * 1 / 5)


@pytest.mark.parametrize(
    ("tags", "entities"),
    [
        (["B-A", "I-A", "B-A"], [(0, 0, 2, "A"), (0, 2, 3, "A")]),
        (["I-A", "I-B", "O", "I-B"], [(0, 0, 1, "A"), (0, 1, 2, "B"), (0, 3, 4, "B")]),
        (["A", "A", "O", "B-per-son"], [(0, 0, 2, "A"), (0, 3, 4, "per-son")]),
        ([], []),
    ],
)
def test_entities_of_tags(tags, entities):
    assert metrics.entities(tags) == entities
