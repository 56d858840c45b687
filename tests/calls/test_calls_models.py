"""Programs with tokenizers and model classes as users of transformers write them: with the import changed they give the same.

Each is run as it stands with the original, and again with `transformers` replaced by `minibert`; what it leaves in `result`
is compared. CLASSIFIER is the trained DistilBERT in float32, ENCODER the trained BERT, LABELS, ANSWERS, WORDS and CHOICES are small
models at random with the head of that name; FOLDER is empty. The last two programs are of what there is not: each ends in
one error that names the way.
"""

import shutil
from pathlib import Path

import pytest
from checkpoints import make_checkpoint
from programs import assert_same, run_program

import minibert
from minibert import InputError

SST2 = Path(minibert.__file__).parent / "bundled" / "minibert-sst2"
PROGRAMS = {
    "a label with its probability": """
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(CLASSIFIER)
model = AutoModelForSequenceClassification.from_pretrained(CLASSIFIER)
inputs = tokenizer("Hello, my dog is cute", return_tensors="pt")
with torch.no_grad():
    logits = model(**inputs).logits
predicted_class_id = logits.argmax().item()
label = model.config.id2label[predicted_class_id]
probabilities = torch.softmax(logits, dim=-1)[0].tolist()
result = [logits, label, probabilities, model.config.label2id[label]]
""",
    "a batch on a device": """
import torch
import torch.nn.functional as F
from transformers import AutoModelForSequenceClassification, AutoTokenizer

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
tokenizer = AutoTokenizer.from_pretrained(CLASSIFIER)
model = AutoModelForSequenceClassification.from_pretrained(CLASSIFIER).to(device)
model.eval()
texts = ["I've been waiting for a HuggingFace course my whole life.", "I hate this so much!", "So so."]
batch = tokenizer(texts, padding=True, truncation=True, max_length=512, return_tensors="pt").to(device)
with torch.inference_mode():
    outputs = model(**batch)
predictions = F.softmax(outputs.logits, dim=1)
labels = torch.argmax(predictions, dim=1)
result = [predictions, [model.config.id2label[label_id] for label_id in labels.tolist()], outputs.logits.device == model.device]
""",
    "counting parameters": """
from transformers import AutoModel, AutoModelForMaskedLM

model = AutoModel.from_pretrained(ENCODER)
total = sum(p.numel() for p in model.parameters())
trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
print(f"{total / 1e6:.1f}M parameters, {trainable / 1e6:.1f}M trainable")
masked = AutoModelForMaskedLM.from_pretrained(WORDS)
result = [total, trainable, model.num_parameters(), masked.num_parameters(only_trainable=True)]
result += [sorted((name, tuple(param.shape)) for name, param in masked.named_parameters()), str(next(model.parameters()).device)]
result += [sorted(masked.state_dict()), sum(p.nelement() * p.element_size() for p in masked.parameters())]
""",
    "labels and their loss": """
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(CLASSIFIER)
model = AutoModelForSequenceClassification.from_pretrained(CLASSIFIER)
inputs = tokenizer(["This is great!", "This is awful."], padding=True, return_tensors="pt")
labels = torch.tensor([1, 0])
outputs = model(**inputs, labels=labels)
loss, logits = outputs[:2]
loss_again, *_ = model(**inputs, labels=labels, return_dict=False)
result = [loss.item(), logits.detach(), outputs.loss.item(), loss_again.detach()]
""",
    "sentence embeddings by mean pooling": """
import torch
import torch.nn.functional as F
from transformers import AutoModel, AutoTokenizer


def mean_pooling(model_output, attention_mask):
    token_embeddings = model_output[0]
    input_mask_expanded = attention_mask.unsqueeze(-1).expand(token_embeddings.size()).float()
    return torch.sum(token_embeddings * input_mask_expanded, 1) / torch.clamp(input_mask_expanded.sum(1), min=1e-9)


sentences = ["This is an example sentence", "Each sentence is converted"]
tokenizer = AutoTokenizer.from_pretrained(ENCODER)
model = AutoModel.from_pretrained(ENCODER)
encoded_input = tokenizer(sentences, padding=True, truncation=True, return_tensors="pt")
with torch.no_grad():
    model_output = model(**encoded_input)
sentence_embeddings = mean_pooling(model_output, encoded_input["attention_mask"])
sentence_embeddings = F.normalize(sentence_embeddings, p=2, dim=1)
result = [sentence_embeddings, sentence_embeddings @ sentence_embeddings.T]
""",
    "features of the first token": """
import numpy as np
import torch
from transformers import BertModel, BertTokenizer

tokenizer = BertTokenizer.from_pretrained(ENCODER)
model = BertModel.from_pretrained(ENCODER, output_hidden_states=False)
model.eval()
features = []
for text in ["a visually stunning film", "a dull, lifeless movie", "it is what it is"]:
    input_ids = torch.tensor([tokenizer.encode(text, add_special_tokens=True)])
    with torch.no_grad():
        last_hidden_states = model(input_ids)
    features.append(last_hidden_states[0][:, 0, :].detach().cpu().numpy())
features = np.concatenate(features)
result = [features, features.mean(axis=0), model.config.hidden_size]
""",
    "words for a mask": """
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(WORDS)
model = AutoModelForMaskedLM.from_pretrained(WORDS)
inputs = tokenizer("the movie was [MASK] .", return_tensors="pt")
token_logits = model(**inputs).logits
mask_token_index = (inputs["input_ids"] == tokenizer.mask_token_id).nonzero(as_tuple=True)[1]
mask_token_logits = token_logits[0, mask_token_index, :]
top_5_tokens = torch.topk(mask_token_logits, 5, dim=1).indices[0].tolist()
result = [top_5_tokens, [tokenizer.decode([token]) for token in top_5_tokens], token_logits.detach()]
labels = tokenizer("the movie was good .", return_tensors="pt")["input_ids"]
labels = torch.where(inputs.input_ids == tokenizer.mask_token_id, labels, -100)
result.append(model(**inputs, labels=labels).loss.item())
""",
    "an answer in a text": """
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(ANSWERS)
model = AutoModelForQuestionAnswering.from_pretrained(ANSWERS)
question, text = "is it good?", "the film was not very good, it was great!"
inputs = tokenizer(question, text, return_tensors="pt")
with torch.no_grad():
    outputs = model(**inputs)
answer_start_index = torch.argmax(outputs.start_logits)
answer_end_index = torch.argmax(outputs.end_logits)
predict_answer_tokens = inputs.input_ids[0, answer_start_index : answer_end_index + 1]
result = [tokenizer.decode(predict_answer_tokens), answer_start_index, outputs.start_logits, outputs.end_logits]
outputs = model(**inputs, start_positions=torch.tensor([7]), end_positions=torch.tensor([9]))
result += [outputs.loss.item(), torch.sigmoid(outputs.start_logits).detach()]
""",
    "a label for each token": """
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(LABELS)
model = AutoModelForTokenClassification.from_pretrained(LABELS)
inputs = tokenizer("the great film was not bad", add_special_tokens=False, return_tensors="pt")
with torch.no_grad():
    logits = model(**inputs).logits
predicted_token_class_ids = logits.argmax(-1)
predicted_tokens_classes = [model.config.id2label[t.item()] for t in predicted_token_class_ids[0]]
tokens = tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
result = [list(zip(tokens, predicted_tokens_classes)), model(**inputs, labels=predicted_token_class_ids).loss.detach(), model.num_labels]
""",
    "multiple choice": """
import torch
from transformers import AutoTokenizer, BertForMultipleChoice

tokenizer = AutoTokenizer.from_pretrained(CHOICES)
model = BertForMultipleChoice.from_pretrained(CHOICES)
prompt, choice0, choice1 = "i love this movie", "it is great", "it is very dull !"
labels = torch.tensor(0).unsqueeze(0)
encoding = tokenizer([prompt, prompt], [choice0, choice1], return_tensors="pt", padding=True)
outputs = model(**{k: v.unsqueeze(0) for k, v in encoding.items()}, labels=labels)
result = [outputs.loss.detach(), outputs.logits.detach(), outputs.logits.argmax().item()]
""",
    "the last four layers": """
import torch
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(ENCODER)
model = AutoModel.from_pretrained(ENCODER, output_hidden_states=True)
inputs = tokenizer("After stealing money from the bank vault", return_tensors="pt")
with torch.no_grad():
    hidden_states = model(**inputs).hidden_states
token_embeddings = torch.stack(hidden_states, dim=0).squeeze(1).permute(1, 0, 2)
averaged = torch.stack([torch.mean(token[-4:], dim=0) for token in token_embeddings])
concatenated = torch.cat(hidden_states[-4:], dim=-1)
result = [len(hidden_states), averaged, concatenated, torch.mean(hidden_states[-2][0], dim=0)]
""",
    "attention": """
import torch
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(ENCODER)
model = AutoModel.from_pretrained(ENCODER, output_attentions=True, attn_implementation="eager")
inputs = tokenizer("The cat sat on the mat", "The cat lay on the rug", return_tensors="pt")
with torch.no_grad():
    attention = model(**inputs).attentions
tokens = tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist())
averaged = torch.stack(attention).mean(dim=(0, 2))[0]
result = [tokens, len(attention), attention[0].shape[1], averaged, [tokens[index] for index in averaged.argmax(dim=-1)]]
""",
    "saving and loading": """
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DistilBertForSequenceClassification

tokenizer = AutoTokenizer.from_pretrained(CLASSIFIER)
model = AutoModelForSequenceClassification.from_pretrained(CLASSIFIER)
tokenizer.save_pretrained(FOLDER)
model.save_pretrained(FOLDER)
tokenizer = AutoTokenizer.from_pretrained(FOLDER)
loaded = DistilBertForSequenceClassification.from_pretrained(FOLDER, local_files_only=True)
inputs = tokenizer("We are very happy to show you the library.", return_tensors="pt")
result = [loaded(**inputs).logits.detach(), torch.equal(loaded(**inputs).logits, model(**inputs).logits)]
result += [type(model).__name__, loaded.config.architectures, loaded.num_labels, loaded.name_or_path == str(FOLDER)]
""",
    "a configuration of one's own": """
import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel

config = BertConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, num_labels=3)
model = BertForSequenceClassification(config)
ids = torch.tensor([[101, 7592, 2088, 102]])
outputs = model(input_ids=ids, attention_mask=torch.ones_like(ids), token_type_ids=torch.zeros_like(ids))
embeddings = model.get_input_embeddings()
result = [tuple(outputs.logits.shape), model.num_parameters(), config.num_labels, tuple(embeddings.weight.shape)]
result += [tuple(BertModel(config)(ids).last_hidden_state.size()), model.base_model.config.hidden_size, config.model_type]
""",
    "embeddings of words": """
import torch
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(ENCODER)
model = AutoModel.from_pretrained(ENCODER)
embedding_layer = model.get_input_embeddings()
input_ids = tokenizer("king queen apple", add_special_tokens=False, return_tensors="pt").input_ids
vectors = embedding_layer(input_ids).detach()[0]
similar = torch.nn.functional.cosine_similarity(vectors[:1], vectors)
noisy = embedding_layer(input_ids).detach() * 1.1
table = embedding_layer.weight.detach().cpu().numpy()
result = [vectors, similar, model(inputs_embeds=noisy).last_hidden_state.detach(), table.shape, table[input_ids[0, 0].item()]]
""",
    "an evaluation loop": """
import torch
from torch.utils.data import DataLoader, TensorDataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer

device = "cpu"
tokenizer = AutoTokenizer.from_pretrained(CLASSIFIER, use_fast=True)
model = AutoModelForSequenceClassification.from_pretrained(CLASSIFIER, torch_dtype=torch.float32, device_map="cpu")
texts = ["a gripping, funny film", "tedious and dull", "I loved it", "I want my money back", "not bad at all"]
encodings = tokenizer(texts, padding="max_length", truncation=True, max_length=16, return_tensors="pt")
dataset = TensorDataset(encodings["input_ids"], encodings["attention_mask"], torch.tensor([1, 0, 1, 0, 1]))
model.to(device)
model.eval()
correct, total_loss, scores = 0, 0.0, []
for input_ids, attention_mask, labels in DataLoader(dataset, batch_size=2):
    with torch.no_grad():
        outputs = model(input_ids.to(device), attention_mask=attention_mask.to(device), labels=labels.to(device))
    total_loss += outputs.loss.item()
    scores.append(outputs.logits.softmax(dim=-1)[:, 1])
    correct += (outputs.logits.argmax(dim=-1) == labels).sum().item()
result = [correct, total_loss, torch.cat(scores).numpy()]
""",
}
REFUSED = {
    "a training loop": (
        """
import torch
from transformers import AutoModelForSequenceClassification

model = AutoModelForSequenceClassification.from_pretrained(CLASSIFIER)
model.train()
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
""",
        "Train it with minibert.Trainer",
    ),
    "half precision": (
        """
from transformers import AutoModelForSequenceClassification

model = AutoModelForSequenceClassification.from_pretrained(CLASSIFIER).half()
""",
        "kernels='bf16'",
    ),
}


@pytest.fixture(scope="module")
def names(tmp_path_factory, minilm):
    root = tmp_path_factory.mktemp("models")
    heads = {
        "LABELS": ("bert", "ForTokenClassification", {"num_labels": 4}),
        "ANSWERS": ("distilbert", "ForQuestionAnswering", {}),
        "WORDS": ("bert", "ForMaskedLM", {}),
        "CHOICES": ("bert", "ForMultipleChoice", {}),
    }
    folders = {
        name: str(make_checkpoint(root / name, model_type, head, max_position_embeddings=32, **changes))
        for name, (model_type, head, changes) in heads.items()
    }
    classifier = root / "CLASSIFIER"
    minibert.AutoModelForSequenceClassification.from_pretrained("minibert-sst2", kernels="fast").save_pretrained(classifier)
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(SST2 / name, classifier)
    return {"CLASSIFIER": str(classifier), "ENCODER": str(minilm), **folders}


def with_import_changed(program: str) -> str:
    return program.replace("from transformers import", "from minibert import")


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("title", PROGRAMS)
def test_a_program_gives_the_same_with_its_import_changed(title, names, tmp_path):
    program = PROGRAMS[title]
    theirs = run_program(program, **names, FOLDER=tmp_path / "theirs")
    assert_same(run_program(with_import_changed(program), **names, FOLDER=tmp_path / "ours"), theirs)


@pytest.mark.parametrize("title", REFUSED)
def test_a_program_that_cannot_run_ends_in_one_error_that_names_the_way(title, names):
    pytest.importorskip("torch")
    program, message = REFUSED[title]
    with pytest.raises(InputError, match=message):
        run_program(with_import_changed(program), **names)
