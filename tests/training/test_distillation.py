"""Learning from a teacher's logits: the loss against torch's, its slope, and what the options change."""

import numpy as np
import pytest
from training_batches import batch, model_of
from training_rows import labeled_rows, same_tensors, tiny_model

import minibert
from minibert import InputError, InputTypeError, Trainer, TrainingArguments, loss_and_gradients
from minibert.models.losses import distillation, distillation_grad
from minibert.training.data import Rows

CLASSIFIERS = ["BertForSequenceClassification", "MPNetForTokenClassification", "DistilBertForMultipleChoice"]


@pytest.mark.parity
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_loss_and_gradient_are_torch_s(temperature):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    logits, teacher = np.random.default_rng(0).normal(size=(2, 7, 4)) * 3
    student = torch.tensor(logits, requires_grad=True)
    targets = functional.log_softmax(torch.tensor(teacher) / temperature, dim=-1)
    loss = functional.kl_div(
        functional.log_softmax(student / temperature, dim=-1), targets, reduction="batchmean", log_target=True
    )
    (loss * temperature**2).backward()
    assert distillation(logits, teacher, temperature) == pytest.approx(loss.item() * temperature**2, rel=1e-12)
    assert np.abs(distillation_grad(logits, teacher, temperature) - student.grad.numpy()).max() < 1e-14


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_gradient_of_a_model_is_the_slope_of_its_loss(name):
    model, (inputs, labels) = model_of(name), batch(name)
    logits = model(**inputs).logits
    teacher = np.random.default_rng(0).normal(size=logits.shape)
    parameters = {key: tensor.astype(np.float64) for key, tensor in model.tensors.items()}
    weight = next(key for key in parameters if key.endswith("classifier.weight"))
    options = {"teacher_logits": teacher, "temperature": 2.0, "distillation_weight": 0.7}

    def run():
        return loss_and_gradients(model, **inputs, **labels, parameters=parameters, **options)

    gradient = run()[1][weight][0, 1]
    parameters[weight][0, 1] += 1e-6
    above = run()[0]
    parameters[weight][0, 1] -= 2e-6
    assert (above - run()[0]) / 2e-6 == pytest.approx(gradient, abs=1e-8)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_teacher_that_agrees_adds_no_loss_and_a_weight_of_0_none_of_it(name):
    model, (inputs, labels) = model_of(name), batch(name)
    logits = model(**inputs).logits
    plain, _ = loss_and_gradients(model, **inputs, **labels)
    agreed, _ = loss_and_gradients(model, **inputs, **labels, teacher_logits=logits, distillation_weight=0.25)
    assert agreed == pytest.approx(0.75 * plain, rel=1e-5)
    assert loss_and_gradients(model, **inputs, **labels, teacher_logits=logits + 3, distillation_weight=0)[0] == plain


def student_of(folder, teacher, **options):
    model = tiny_model(dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0)
    args = TrainingArguments(folder, learning_rate=1e-2, disable_tqdm=True, save_steps=4, **{"max_steps": 8, **options})
    return Trainer(model, args, train_dataset=labeled_rows(), teacher=teacher)


def test_a_student_comes_to_its_teacher_s_logits(tmp_path):
    teacher = tiny_model("bert", seed=3)
    trainer = student_of(tmp_path, teacher, max_steps=400, distillation_weight=1.0)

    def distance():
        rows = labeled_rows()
        return np.mean(
            [distillation(trainer.model([row["input_ids"]]).logits, teacher([row["input_ids"]]).logits, 2.0) for row in rows]
        )

    before = distance()
    trainer.train()
    assert distance() < 0.05 * before


def test_rows_with_the_teacher_s_logits_train_to_the_same_bits_as_the_teacher(tmp_path):
    teacher = tiny_model("bert", seed=3)
    computed = student_of(tmp_path / "computed", teacher, per_device_train_batch_size=1)
    read = student_of(tmp_path / "read", None, per_device_train_batch_size=1)
    logits = [teacher([row["input_ids"]]).logits[0] for row in labeled_rows()]
    read.train_rows = Rows("train_dataset", [{**row, "teacher_logits": one} for row, one in zip(labeled_rows(), logits)])
    computed.train(), read.train()
    assert same_tensors(computed.model.tensors, read.model.tensors)
    both = student_of(tmp_path / "both", teacher)
    both.train_rows = read.train_rows
    with pytest.raises(InputError, match="train_dataset have teacher_logits, and there is a teacher too"):
        both.train()


@pytest.mark.parametrize("options", [{"distillation_weight": 0.1}, {"distillation_temperature": 1.0}, {}], ids=str)
def test_weight_temperature_and_teacher_change_the_weights(tmp_path, options):
    one = student_of(tmp_path, tiny_model("bert", seed=3))
    other = student_of(tmp_path, tiny_model("bert", seed=3 if options else 4), **options)
    one.train(), other.train()
    assert not same_tensors(one.model.tensors, other.model.tensors)


def test_a_resumed_student_ends_with_the_same_bits_and_needs_the_same_teacher(tmp_path):
    whole = student_of(tmp_path, tiny_model(seed=3))
    whole.train()
    again = student_of(tmp_path, tiny_model(seed=3))
    again.train(resume_from_checkpoint=tmp_path / "checkpoint-4")
    assert same_tensors(whole.model.tensors, again.model.tensors)
    with pytest.raises(InputError, match="teacher was .* is "):
        student_of(tmp_path, tiny_model(seed=4)).train(resume_from_checkpoint=True)


def test_mistakes(tmp_path):
    with pytest.raises(InputTypeError, match="teacher must be a model of minibert"):
        student_of(tmp_path, "bert")
    with pytest.raises(InputError, match="the heads must be classifiers alike"):
        student_of(tmp_path, tiny_model(head="ForTokenClassification"))
    with pytest.raises(InputError, match="the labels of the model, in the same order"):
        student_of(tmp_path, tiny_model(num_labels=4))
    model, (inputs, labels) = model_of(CLASSIFIERS[0]), batch(CLASSIFIERS[0])
    with pytest.raises(InputError, match=r"teacher_logits must have the shape of the logits, \(6, 3\); got \(6, 4\)"):
        loss_and_gradients(model, **inputs, **labels, teacher_logits=np.zeros((6, 4)))
    with pytest.raises(InputError, match="distillation_weight must be from 0 to 1"):
        loss_and_gradients(model, **inputs, **labels, teacher_logits=np.zeros((6, 3)), distillation_weight=2)
    regression = minibert.BertForSequenceClassification(model.config, kernels="reference")
    regression.config.problem_type = "regression"
    with pytest.raises(InputError, match="a teacher are for classes, one each"):
        loss_and_gradients(regression, **inputs, labels=np.zeros((6, 3)), teacher_logits=np.zeros((6, 3)))
