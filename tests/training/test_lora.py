"""LoRA: gradients of its matrices, what it trains, and PEFT's files."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from paths import ROOT
from training_rows import labeled_rows, same_tensors, tiny_model, trainer_of

import minibert
from minibert import InputError, InputTypeError, LoraConfig, Trainer, TrainingArguments, loss_and_gradients
from minibert.training.lora import Adapter

FAMILIES = ["bert", "distilbert", "electra", "roberta", "longformer", "mpnet"]


def lora_trainer(folder, model, config, **options):
    args = TrainingArguments(folder, max_steps=6, learning_rate=1e-2, disable_tqdm=True, save_steps=2, **options)
    return Trainer(model, args, train_dataset=labeled_rows(), peft_config=config)


def test_gradients_of_both_matrices_are_slopes_of_the_loss():
    model = tiny_model()
    adapter = Adapter(model, LoraConfig(2, 3), seed=0)
    random = np.random.default_rng(0)
    for matrix in adapter.matrices.values():
        matrix[...] = random.normal(size=matrix.shape)
    parameters = {name: tensor.astype(np.float64) for name, tensor in model.tensors.items()}
    adapter.base = {name: array.copy() for name, array in parameters.items()}
    adapter.matrices = {name: matrix.astype(np.float64) for name, matrix in adapter.matrices.items()}
    rows = {"input_ids": [[2, 5, 7, 3]], "labels": [1]}

    def loss():
        adapter.apply(parameters)
        return loss_and_gradients(model, **rows, parameters=parameters)

    gradients = adapter.gradients(loss()[1])
    for name, matrix in adapter.matrices.items():
        step = 1e-6
        matrix[1, 0] += step
        above = loss()[0]
        matrix[1, 0] -= 2 * step
        below = loss()[0]
        matrix[1, 0] += step
        assert (above - below) / (2 * step) == pytest.approx(gradients[name][1, 0], abs=1e-7), name


@pytest.mark.parametrize("model_type", [each for each in FAMILIES if each != "longformer"])  # its global [CLS] has others
def test_only_targets_and_head_change(tmp_path, model_type):
    model = tiny_model(model_type)
    before = model.tensors
    lora_trainer(tmp_path, model, LoraConfig(2)).train()
    changed = {name for name in before if not np.array_equal(before[name], model.tensors[name])}
    names = model.encoder_names
    layers = 2 if model.architecture.windows is None else 1  # the last one's first token has global projections, and is all
    targets = {f"{names.of_layer(index, part)}.weight" for index in range(layers) for part in ("query", "value")}
    assert changed == targets | set(model.head_shapes(model.config))
    for name in targets:
        assert np.linalg.matrix_rank(model.tensors[name].astype(np.float64) - before[name], tol=1e-4) <= 2


CONFIGS = {"r": LoraConfig(4), "alpha": LoraConfig(2, 16), "targets": LoraConfig(2, 8, ["lin1", "out_lin"])}


@pytest.mark.parametrize("name", CONFIGS)
def test_an_option_changes_the_weights(tmp_path, name):
    weights = []
    for config in (LoraConfig(2), CONFIGS[name]):
        model = tiny_model()
        lora_trainer(tmp_path, model, config).train()
        weights.append(model.tensors)
    assert not same_tensors(*weights)


def test_a_training_with_lora_resumes_to_the_same_bits(tmp_path):
    whole = tiny_model()
    lora_trainer(tmp_path, whole, LoraConfig(2)).train()
    for step in (2, 4, 6):
        model = tiny_model()
        trainer = lora_trainer(tmp_path, model, LoraConfig(2))
        trainer.train(resume_from_checkpoint=tmp_path / f"checkpoint-{step}")
        assert same_tensors(model.tensors, whole.tensors)
    with pytest.raises(InputError, match="peft_config was .* is "):
        lora_trainer(tmp_path, tiny_model(), LoraConfig(4)).train(resume_from_checkpoint=True)
    with pytest.raises(ValueError, match="resumed on the model that it began with"):
        lora_trainer(tmp_path, tiny_model(seed=5), LoraConfig(2)).train(resume_from_checkpoint=True)


def test_a_batch_without_a_label_changes_nothing(tmp_path):
    model, rows = tiny_model(head="ForTokenClassification"), [{"input_ids": [2, 5, 7, 3], "labels": [-100] * 4}] * 8
    before = {name: tensor.copy() for name, tensor in model.tensors.items()}
    args = TrainingArguments(tmp_path, max_steps=2, disable_tqdm=True, save_strategy="no", distillation_hidden_weight=1.0)
    teacher = tiny_model("bert", "ForTokenClassification", hidden_size=24, num_attention_heads=3)
    Trainer(model, args, train_dataset=rows, peft_config=LoraConfig(2), teacher=teacher).train()
    assert same_tensors(before, model.tensors)


PRODUCTS = """
import sys
sys.path.insert(0, {root!r})
import numpy as np, minibert
from minibert.training.lora import Adapter, LoraConfig
minibert.set_num_threads({threads})
config = minibert.BertConfig(vocab_size=9, hidden_size=384, num_hidden_layers=1, intermediate_size=8)
adapter = Adapter(minibert.BertForSequenceClassification(config, seed=0), LoraConfig(8), seed=0)
random = np.random.default_rng(0)
for matrix in adapter.matrices.values():
    matrix[...] = random.normal(size=matrix.shape)
grads = adapter.gradients({{name: random.normal(size=(384, 384)).astype(np.float32) for name in adapter.targets}})
sums = {{name: np.empty((384, 384), np.float32) for name in adapter.targets}}
adapter.apply(sums)
sys.stdout.buffer.write(b"".join(array.tobytes() for array in [*grads.values(), *sums.values()]))
"""


def test_products_have_the_same_bits_on_any_number_of_threads_numpy_s_too():
    outputs = []
    for threads in ("1", "2"):
        code = PRODUCTS.format(root=str(ROOT), threads=threads)
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment, timeout=120)
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1] and len(outputs[0]) > 2 * 384 * 384 * 4


def test_a_training_with_lora_has_the_same_bits_on_one_thread_and_on_three(tmp_path):
    before, weights = minibert.get_num_threads(), []
    try:
        for count in (1, 3):
            minibert.set_num_threads(count)
            model = tiny_model("bert", hidden_size=48, intermediate_size=100)
            lora_trainer(tmp_path, model, LoraConfig(3)).train()
            weights.append(model.tensors)
    finally:
        minibert.set_num_threads(before)
    assert same_tensors(*weights)


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("model_type", "head"),
    [
        (model_type, head)
        for model_type in FAMILIES
        for head in ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")
        if (model_type, head) != ("longformer", "ForQuestionAnswering")  # transformers' needs three separators in each row
    ],
)
def test_peft_loads_the_adapter_and_gives_the_same_logits(tmp_path, model_type, head):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")
    model = tiny_model(model_type, head, num_labels=2 if head.endswith("Answering") else 3)
    model.save_pretrained(tmp_path / "base")
    rows = labeled_rows()
    for row in rows:
        label = row.pop("label")
        if head.endswith("SequenceClassification"):
            row["label"] = label
        elif head.endswith("TokenClassification"):
            row["labels"] = [label] * len(row["input_ids"])
        else:
            row["start_positions"], row["end_positions"] = 1, 2
    args = TrainingArguments(tmp_path, max_steps=6, learning_rate=1e-2, disable_tqdm=True, save_strategy="no")
    trainer = Trainer(model, args, train_dataset=rows, peft_config=LoraConfig(2, 5))
    trainer.train()
    trainer.save_adapter(tmp_path / "adapter", str(tmp_path / "base"))
    base = getattr(transformers, type(model).__name__).from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    ids = [[2, 7, 9, 11, 3]]
    with torch.no_grad():
        expected = theirs.double()(torch.tensor(ids))  # its own float32 is up to 1.1e-5 off
    ours = model(ids)
    for field in ("start_logits", "end_logits") if head.endswith("Answering") else ("logits",):
        assert np.abs(ours[field] - expected[field].numpy()).max() < 1e-5
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["r"] == 2 and config["base_model_name_or_path"] == str(tmp_path / "base")


def test_mistakes(tmp_path):
    with pytest.raises(InputError, match="ends of names of linear layers: .*q_lin.*; got 'query'"):
        lora_trainer(tmp_path, tiny_model(), LoraConfig(2, 4, ["query"])).train()
    with pytest.raises(InputError, match="LoRA needs a layer that is not frozen"):
        lora_trainer(tmp_path, tiny_model(), LoraConfig(2), freeze_layers=2).train()
    with pytest.raises(InputTypeError, match="peft_config must be minibert's LoraConfig"):
        lora_trainer(tmp_path, tiny_model(), {"r": 8})
    with pytest.raises(InputError, match="an adapter is what train"):
        trainer_of(tmp_path).save_adapter(tmp_path)
    with pytest.raises(InputError, match="r must be an integer from 1 up; got 0"):
        LoraConfig(0)
