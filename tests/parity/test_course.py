"""The Hugging Face course's chapters on what is behind the pipeline and on fine-tuning, with `transformers` swapped for
minibert: each step runs here on trained weights, the first chapter's once with NumPy arrays and once with torch tensors, and
gives what transformers gives."""

import contextlib
import io
from typing import NamedTuple

import numpy as np
import pytest
from byte_level_cases import our_roberta, train

from minibert import (
    AdamW,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertModel,
    DataCollatorWithPadding,
    DistilBertForSequenceClassification,
    InputError,
    MinibertWarning,
    RobertaConfig,
    Trainer,
    TrainingArguments,
    loss_and_gradients,
    pipeline,
    softmax,
)
from minibert.cli import main
from minibert.quantize import dequantize

CHECKPOINT = "minibert-sst2"
RAW_INPUTS = ["I've been waiting for a HuggingFace course my whole life.", "I hate this so much!"]


class Form(NamedTuple):
    """In what form the ids go in, and the answers come out."""

    return_tensors: str
    array: type
    make: object  # a nested list -> an array


@pytest.fixture(params=["np", "pt"])
def form(request):
    if request.param == "np":
        return Form("np", np.ndarray, np.array)
    torch = pytest.importorskip("torch")
    return Form("pt", torch.Tensor, torch.tensor)


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(CHECKPOINT)


@pytest.fixture(scope="module")
def model():
    return AutoModelForSequenceClassification.from_pretrained(CHECKPOINT)


def test_the_pipeline():
    classifier = pipeline("sentiment-analysis")
    (answer,) = classifier("This course is wonderful.")
    assert answer["label"] == "POSITIVE" and 0.5 < answer["score"] <= 1
    assert [answer["label"] for answer in classifier(["What a great film.", RAW_INPUTS[1]])] == ["POSITIVE", "NEGATIVE"]
    assert [answer["label"] for answer in classifier("I hate this.", top_k=None)] == ["NEGATIVE", "POSITIVE"]


def test_the_pipeline_is_its_three_steps(tokenizer, model, form):
    inputs = tokenizer(RAW_INPUTS, padding=True, truncation=True, return_tensors=form.return_tensors)
    assert set(inputs) == {"input_ids", "attention_mask"}
    assert inputs["input_ids"].shape == inputs["attention_mask"].shape == (2, inputs["input_ids"].shape[1])
    outputs = model(**inputs)
    assert outputs.logits.shape == (2, 2) and isinstance(outputs.logits, form.array)
    predictions = softmax(outputs.logits, axis=-1)
    assert isinstance(predictions, form.array) and np.allclose(predictions.sum(axis=-1), 1)
    assert model.config.id2label == {0: "NEGATIVE", 1: "POSITIVE"}
    best = pipeline("sentiment-analysis", model=model, tokenizer=tokenizer)(RAW_INPUTS)
    assert [answer["score"] for answer in best] == pytest.approx(np.asarray(predictions).max(axis=-1).tolist(), abs=1e-6)


def test_hidden_states_are_by_name_by_key_and_by_number(tokenizer, form):
    inputs = tokenizer(RAW_INPUTS, padding=True, return_tensors=form.return_tensors)
    outputs = AutoModel.from_pretrained(CHECKPOINT)(**inputs)
    width = outputs.last_hidden_state.shape[2]
    assert outputs[0] is outputs["last_hidden_state"] is outputs.last_hidden_state
    assert outputs.last_hidden_state.shape == (2, outputs[0].shape[1], width)


def test_a_model_made_from_a_configuration_is_random(form):
    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    assert str(config).startswith("BertConfig {\n")
    for line in ('"hidden_size": 32', '"max_position_embeddings": 512', '"num_hidden_layers": 2'):
        assert line in str(config)
    outputs = BertModel(config)(form.make([[101, 7592, 102]]))
    assert outputs.last_hidden_state.shape == (1, 3, 32) and isinstance(outputs.last_hidden_state, form.array)


def test_saving_writes_the_two_files_of_the_course(model, tokenizer, tmp_path, form):
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    ids = tokenizer(RAW_INPUTS[0], return_tensors=form.return_tensors)
    assert np.array_equal(again(**ids).logits, model(**ids).logits)
    assert isinstance(again, DistilBertForSequenceClassification)


def test_a_checkpoint_without_a_classifier_gets_a_new_one_with_a_warning(minilm):
    with pytest.warns(MinibertWarning, match="classifier.weight, classifier.bias are new, at random"):
        AutoModelForSequenceClassification.from_pretrained(minilm)


def test_tokens_to_ids_and_back(minilm):
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    tokens = tokenizer.tokenize("Using a Transformer network is simple")
    assert tokens == ["using", "a", "transform", "##er", "network", "is", "simple"]
    ids = tokenizer.convert_tokens_to_ids(tokens)
    assert ids == [2478, 1037, 10938, 2121, 2897, 2003, 3722]
    assert tokenizer.decode(ids) == "using a transformer network is simple"
    assert tokenizer.decode(tokenizer.encode("Using a Transformer network is simple")) == (
        "[CLS] using a transformer network is simple [SEP]"
    )
    assert tokenizer.convert_tokens_to_ids(tokenizer.tokenize(RAW_INPUTS[0])) == [
        1045,
        1005,
        2310,
        2042,
        3403,
        2005,
        1037,
        17662,
        12172,
        2607,
        2026,
        2878,
        2166,
        1012,
    ]


def test_one_sentence_s_ids_want_a_batch_axis(tokenizer, model, form):
    ids = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(RAW_INPUTS[0]))
    with pytest.raises(InputError, match=r"Add the batch axis: np.array\(\[ids\]\)"):
        model(form.make(ids))
    assert model(form.make([ids])).logits.shape == (1, 2)


def test_rows_of_different_lengths_want_padding(tokenizer, model, form):
    with pytest.raises(InputError, match="padding=True"):
        model([[200, 200, 200], [200, 200]])
    with pytest.raises(InputError, match="padding=True"):
        tokenizer(RAW_INPUTS, return_tensors=form.return_tensors)


def test_padding_without_its_mask_changes_the_answer_and_with_it_does_not(tokenizer, model, form):
    pad = tokenizer.pad_token_id
    long, short = form.make([[200, 200, 200]]), form.make([[200, 200]])
    alone = model(short).logits
    batch = form.make([[200, 200, 200], [200, 200, pad]])
    assert abs(model(batch).logits[1] - alone[0]).max() > 1e-3
    masked = model(batch, attention_mask=form.make([[1, 1, 1], [1, 1, 0]])).logits
    assert abs(masked[0] - model(long).logits[0]).max() < 1e-6 and abs(masked[1] - alone[0]).max() < 1e-6


def test_long_inputs_are_cut_or_refused(tokenizer, model, form):
    limit = model.config.max_position_embeddings
    long = "so very long " * limit
    assert tokenizer(long, truncation=True, return_tensors=form.return_tensors)["input_ids"].shape == (1, limit)
    with pytest.raises(InputError, match=f"may have {limit} tokens, the positions this model has; got {3 * limit + 2}"):
        model(**tokenizer(long, return_tensors=form.return_tensors, verbose=False))


def test_padding_and_truncation_as_the_course_lists_them(tokenizer):
    rows = tokenizer(RAW_INPUTS)["input_ids"]
    longest = max(map(len, rows))
    assert [len(row) for row in tokenizer(RAW_INPUTS, padding="longest")["input_ids"]] == [longest] * 2
    assert [len(row) for row in tokenizer(RAW_INPUTS, padding="max_length", max_length=20, truncation=True)["input_ids"]] == [
        20
    ] * 2
    assert [len(row) for row in tokenizer(RAW_INPUTS, max_length=8, truncation=True)["input_ids"]] == [8, 8]
    assert tokenizer(RAW_INPUTS[1])["input_ids"] == rows[1]
    assert len(tokenizer(RAW_INPUTS[1], add_special_tokens=False)["input_ids"]) == len(rows[1]) - 2


STEP_BY_STEP = """
import torch

tokenizer = AutoTokenizer.from_pretrained(NAME)
model = AutoModelForSequenceClassification.from_pretrained(NAME)
sequence = "I've been waiting for a HuggingFace course my whole life."
tokens = tokenizer.tokenize(sequence)
ids = tokenizer.convert_tokens_to_ids(tokens)
with torch.no_grad():
    input_ids = torch.tensor([ids])
    print("Input IDs:", input_ids)
    output = model(input_ids)
    print("Logits:", output.logits)
    batched_ids = [[200, 200, 200], [200, 200, tokenizer.pad_token_id]]
    print(model(torch.tensor([[200, 200, 200]])).logits)
    print(model(torch.tensor([[200, 200]])).logits)
    attention_mask = [[1, 1, 1], [1, 1, 0]]
    outputs = model(torch.tensor(batched_ids), attention_mask=torch.tensor(attention_mask))
    print(outputs.logits)
    print(torch.nn.functional.softmax(outputs.logits, dim=-1), outputs.logits.shape, outputs.logits.dtype)
    print(model.config.id2label)
"""


@pytest.mark.parity
def test_with_torch_it_prints_the_same(tmp_path):
    pytest.importorskip("torch")
    dequantize(CHECKPOINT, tmp_path)
    printed = []
    for library in ("transformers", "minibert"):
        program = f"from {library} import AutoModelForSequenceClassification, AutoTokenizer\n{STEP_BY_STEP}"
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(program, "<course>", "exec"), {"NAME": str(tmp_path)})
        printed.append(out.getvalue())
    assert printed[0] == printed[1] and "Logits: tensor([[" in printed[1]


# --- Chapter 3: fine-tuning ------------------------------------------------------------------------------------------

SENTENCES = [
    "A gripping, funny film.",
    "It is a waste of time.",
    "I would watch it again.",
    "The plot makes no sense.",
    "Fine acting, a wonderful story.",
    "Dull from the first minute to the last.",
]
LABELS = [1, 0, 1, 0, 1, 0]


def compute_metrics(eval_preds):
    logits, labels = eval_preds
    predictions = np.argmax(logits, axis=-1)
    return {"accuracy": float((predictions == labels).mean())}


def test_a_training_step_of_one_s_own(tokenizer):
    """The chapter's first example, with our optimizer in the place of torch's."""
    model = AutoModelForSequenceClassification.from_pretrained(CHECKPOINT, kernels="fast")
    batch = tokenizer(SENTENCES[:2], padding=True, truncation=True, return_tensors="np")
    parameters = {name: tensor.copy() for name, tensor in model.tensors.items()}
    optimizer = AdamW(parameters)
    before, gradients = loss_and_gradients(model, **batch, labels=[0, 1], parameters=parameters)
    optimizer.step(gradients)
    after, _ = loss_and_gradients(model, **batch, labels=[0, 1], parameters=parameters)
    assert after < before


@pytest.mark.parametrize("end", ["train", "save and load back"])
def test_fine_tuning_with_the_trainer(tmp_path, tokenizer, end):
    def tokenize_function(example):
        return tokenizer(example["sentence"], truncation=True)

    raw_datasets = [{"sentence": text, "label": label} for text, label in zip(SENTENCES, LABELS)]
    tokenized_datasets = [{**example, **tokenize_function(example)} for example in raw_datasets]
    data_collator = DataCollatorWithPadding(tokenizer=tokenizer)
    model = AutoModelForSequenceClassification.from_pretrained(CHECKPOINT, num_labels=2, kernels="fast")
    training_args = TrainingArguments(
        tmp_path / "test-trainer", eval_strategy="epoch", num_train_epochs=4, learning_rate=2e-4, report_to="none", use_cpu=True
    )
    trainer = Trainer(
        model,
        training_args,
        train_dataset=tokenized_datasets,
        eval_dataset=tokenized_datasets,
        data_collator=data_collator,
        processing_class=tokenizer,
        compute_metrics=compute_metrics,
    )
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    predictions = trainer.predict(tokenized_datasets)
    assert predictions.predictions.shape == (6, 2) and predictions.metrics["test_accuracy"] == 1
    assert trainer.evaluate()["eval_loss"] < before
    if end == "train":
        return
    trainer.save_model(tmp_path / "finetuned")
    again = pipeline("sentiment-analysis", model=tmp_path / "finetuned")
    assert [answer["label"] for answer in again(SENTENCES)] == [("NEGATIVE", "POSITIVE")[label] for label in LABELS]
    logits = AutoModelForSequenceClassification.from_pretrained(tmp_path / "finetuned")(
        **data_collator(tokenized_inputs(tokenizer))
    )
    assert np.abs(logits.logits - predictions.predictions).max() < 1e-6


def tokenized_inputs(tokenizer):
    return [dict(tokenizer(text, truncation=True)) for text in SENTENCES]


@pytest.mark.parity
def test_transformers_reads_what_was_fine_tuned(tmp_path, tokenizer, model):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    rows = [{**tokenizer(text), "label": label} for text, label in zip(SENTENCES, LABELS)]
    fresh = AutoModelForSequenceClassification.from_pretrained(CHECKPOINT, kernels="fast")
    trainer = Trainer(fresh, TrainingArguments(tmp_path, max_steps=3), train_dataset=rows, processing_class=tokenizer)
    trainer.train()
    trainer.save_model()
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    inputs = transformers.AutoTokenizer.from_pretrained(tmp_path)(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = theirs(**inputs).logits.numpy()
    assert np.abs(trainer.predict(rows).predictions - expected).max() < 1e-5
    assert np.abs(expected - model(**tokenizer(SENTENCES, padding=True)).logits).max() > 1e-3


# --- longer texts: the course names Longformer ---


@pytest.fixture(scope="module")
def longformer(tmp_path_factory, sst2):
    """The folder of a RoBERTa of four layers, trained on SST-2 from random weights and converted."""
    folder = tmp_path_factory.mktemp("longformer")
    header, *lines = (sst2 / "train.tsv").read_text(encoding="utf-8").splitlines()[:4001]
    (folder / "rows.tsv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    tokenizer = our_roberta(train([line.split("\t")[1] for line in lines], 2000))
    tokenizer.save_pretrained(folder / "tokenizer")
    RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=130,
    ).save_pretrained(folder / "config")
    start = ["--config", folder / "config" / "config.json", "--tokenizer", folder / "tokenizer"]
    files = ["--train", folder / "rows.tsv", "--text-column", "sentence", "-o", folder / "roberta"]
    recipe = ["--epochs", 2, "--lr", 1e-3, "--max-length", 64, "--no-progress"]
    assert main(["train", *map(str, [*start, *files, *recipe])]) == 0
    assert main(["convert", str(folder / "roberta"), str(folder / "longformer"), "--to", "longformer"]) == 0
    return folder / "longformer"


@pytest.mark.parity
def test_a_text_of_three_thousand_tokens_is_classified_whole(longformer, sst2):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    tokenizer = AutoTokenizer.from_pretrained(longformer)
    model = AutoModelForSequenceClassification.from_pretrained(longformer)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(longformer).eval()
    sentences = (sst2 / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    text = " ".join(sentence.split("\t")[1] for sentence in sentences)
    ids = tokenizer(text, truncation=True, max_length=3000, return_tensors="np")["input_ids"]
    assert ids.shape == (1, 3000)
    changed = ids.copy()
    changed[0, 2500] += 1
    ours = [model(row).logits for row in (ids, changed)]
    with torch.no_grad():
        expected = [theirs(torch.tensor(row)).logits.numpy() for row in (ids, changed)]
    assert all(np.abs(mine - other).max() < 1e-5 for mine, other in zip(ours, expected))
    assert np.abs(ours[0] - ours[1]).max() > 1e-6  # [CLS] sees all tokens
    answers = pipeline("text-classification", longformer)(["a wonderful , moving film", "a dull and awful mess"])
    assert [answer["label"] for answer in answers] == ["LABEL_1", "LABEL_0"]
