"""`minibert calibrate`: a temperature that is fitted, and divides the head's last layer."""

import numpy as np
import pytest
from checkpoints import make_checkpoint, rewrite_config
from safetensors.numpy import load_file

import minibert
from minibert.calibrate import TEMPERATURES, calibrate, calibration_error, fit_temperature
from minibert.cli import main
from minibert.errors import InputError
from minibert.kernels.reference import softmax
from minibert.quantize import quantize

TEXTS = ["a great movie", "a bad film", "good", "the film is not good"] * 5
LABELS = ["LABEL_1", "LABEL_0", "LABEL_1", "LABEL_0"] * 5


@pytest.fixture
def folder(tmp_path):
    return make_checkpoint(tmp_path / "float", "distilbert")


def logits_of(folder, texts=TEXTS):
    tokenizer = minibert.AutoTokenizer.from_pretrained(folder)
    model = minibert.AutoModelForSequenceClassification.from_pretrained(folder)
    return np.asarray(model(**tokenizer(texts, padding=True, return_tensors="np")).logits)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_made_labels_is_fitted(temperature):
    random = np.random.default_rng(0)
    logits = random.normal(0, 4, (20000, 3))
    chances = np.cumsum(softmax(logits / temperature), axis=1)
    truth = np.minimum((random.random((len(logits), 1)) > chances).sum(axis=1), 2)
    assert abs(fit_temperature(logits, truth) / temperature - 1) < 0.05
    assert calibration_error(softmax(logits / temperature), truth) < 0.012
    assert calibration_error(softmax(logits / temperature / 5), truth) > 0.05


def test_the_fit_is_torch_s_cross_entropy_at_its_least():
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(1)
    logits, truth = random.normal(0, 3, (400, 4)), random.integers(0, 4, 400)
    losses = [
        torch.nn.functional.cross_entropy(torch.tensor(logits / temperature), torch.tensor(truth)).item()
        for temperature in TEMPERATURES
    ]
    assert fit_temperature(logits, truth) == TEMPERATURES[np.argmin(losses)]


def test_the_error_of_ten_bins_by_hand():
    scores = np.repeat([0.55, 0.65, 0.95, 0.85, 0.75], 4)
    probabilities = np.stack([scores, 1 - scores], axis=1)
    truth = np.tile([0, 0, 1, 0], 5)  # three of four are right
    bins = np.sort(scores).reshape(10, 2)
    right = (truth[np.argsort(scores, kind="stable")] == 0).reshape(10, 2)
    expected = np.abs(bins.mean(axis=1) - right.mean(axis=1)).mean()
    assert calibration_error(probabilities, truth) == pytest.approx(expected)
    assert calibration_error(np.array([[1.0, 0.0]] * 20), np.zeros(20, int)) == 0


@pytest.mark.parametrize("family", ["distilbert", "bert", "electra", "mpnet"])
def test_all_logits_are_divided_by_the_temperature(family, tmp_path):
    folder = make_checkpoint(tmp_path / "float", family)
    temperature, *_ = calibrate(folder, tmp_path / "calibrated", TEXTS, LABELS)
    assert temperature != 1
    divided = logits_of(folder) / temperature
    assert np.abs(logits_of(tmp_path / "calibrated") - divided).max() < 1e-5 * np.abs(divided).max()


def test_an_int8_checkpoint_stays_one_and_its_weights_the_same(folder, tmp_path):
    quantize(folder, tmp_path / "int8")
    temperature, *_ = calibrate(tmp_path / "int8", tmp_path / "calibrated", TEXTS, LABELS)
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("int8", "calibrated"))
    assert {name for name in before if not np.array_equal(before[name], after[name])} == {"classifier.weight"}  # the bias is 0
    divided = logits_of(tmp_path / "int8") / temperature
    assert np.abs(logits_of(tmp_path / "calibrated") - divided).max() < 1e-5 * np.abs(divided).max()


def test_the_command(folder, tmp_path, capsys):
    path = tmp_path / "rows.tsv"
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in zip(LABELS, TEXTS)))
    assert main(["calibrate", str(folder), str(tmp_path / "calibrated"), "--rows", str(path)]) == 0
    temperature, before, after = calibrate(folder, tmp_path / "again", TEXTS, LABELS)
    assert capsys.readouterr().out == f"temperature {temperature:.3f}\tcalibration error {before:.4f} -> {after:.4f}\t20 rows\n"
    written = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("calibrated", "again")]
    assert written[0] == written[1]
    assert main(["calibrate", str(folder), str(tmp_path / "x"), "--rows", str(path), "--text-column", "no"]) == 1
    assert "there is no column 'no'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ([], [], "a label for each text, and one text at least; got 0 for 0"),
        (TEXTS[:2], LABELS[:1], "got 1 for 2"),
        (TEXTS[:1], ["FINE"], "a label must be one of the training data's"),
        (TEXTS[:1], [1.5], "a label must be a name or a number; got 1.5"),
        (TEXTS[:1], [True], "a label must be a name or a number; got True"),
    ],
    ids=str,
)
def test_labels_that_do_not_fit_are_refused(folder, tmp_path, texts, labels, message):
    with pytest.raises(InputError, match=message):
        calibrate(folder, tmp_path / "calibrated", texts, labels)


@pytest.mark.parametrize("changes", [{"problem_type": "multi_label_classification"}, {"problem_type": "regression"}], ids=str)
def test_scores_of_others_than_classes_are_refused(folder, tmp_path, changes):
    rewrite_config(folder, **changes)
    with pytest.raises(InputError, match="only classes of which a text has one have scores to calibrate"):
        calibrate(folder, tmp_path / "calibrated", TEXTS, LABELS)


def test_an_int8_model_takes_other_tensors_of_its_own_types(folder, tmp_path):
    quantize(folder, tmp_path / "int8")
    model = minibert.AutoModelForSequenceClassification.from_pretrained(tmp_path / "int8")
    again = model.with_tensors(dict(model.tensors))
    assert {name: array.dtype for name, array in again.tensors.items()} == {n: a.dtype for n, a in model.tensors.items()}
    ids = np.arange(12).reshape(2, 6)
    assert np.array_equal(again(ids).logits, model(ids).logits)
    floats = {name: array.astype(np.float32) for name, array in model.tensors.items()}
    with pytest.raises(InputError, match="tensors must have int8 where model.tensors has; others are"):
        model.with_tensors(floats)
