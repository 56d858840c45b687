"""Tiny models of every kind, damaged by chance, loaded and asked: an answer or one of minibert's errors, nothing else.

    python tests/support/fuzzing.py --minutes 10 --seed 1       cases 1, 2, 3, ... until the time is up
    python tests/support/fuzzing.py --cases 1 --seed 1234       case 1234 once more, with its traceback

A case is its seed: the model, the file, the damage. What counts as a fault: another exception, a warning that is not
minibert's, a case that takes SECONDS or more than MEMORY, a file opened outside the model's folder, a name that Python's
own pickle looks up.
tests/robustness/test_fuzzing.py runs some of it; what it found is kept there by name.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from checkpoints import WORDS, make_checkpoint
from mutations import mutate
from torch_files import to_bin

from minibert import AutoTokenizer, KernelError, MinibertError, MinibertWarning, SentenceEncoder, pipeline
from minibert.quantize import quantize

SECONDS = 20  # of the processor; a case takes some 20 ms
MEMORY = 400 << 20  # bytes of address space beyond what the process has when it begins
MOST_WARNINGS = 6  # of one load and its answers
TEXTS = ["a good movie , not bad", "the  film\twas [MASK] waiting !", "", "日本 naïve ##ly\u0301 x" * 3, "dull " * 40]
QUESTION = "what is this ?"
LABELS = {0: "O", 1: "B-PER", 2: "I-PER"}


# --- The models ------------------------------------------------------------------------------------------------------


def classify(folder):
    pipe = pipeline("text-classification", str(folder))
    return pipe(TEXTS, truncation=True), pipe.tokenizer, pipe.model


def find_entities(folder):
    pipe = pipeline("ner", str(folder), aggregation_strategy="average", stride=2)
    return pipe(TEXTS), pipe.tokenizer, pipe.model


def fill_mask(folder):
    pipe = pipeline("fill-mask", str(folder))
    return pipe(TEXTS[1]), pipe.tokenizer, pipe.model


def answer(folder):
    pipe = pipeline("question-answering", str(folder))
    return pipe(question=QUESTION, context=TEXTS[4], top_k=2), pipe.tokenizer, pipe.model


def embed(folder):
    encoder = SentenceEncoder.from_pretrained(str(folder))
    return encoder.encode_query(TEXTS), encoder.tokenizer, encoder.model


MODELS = {  # model type, head, how the tokenizer is stored, who asks
    "classifier": ("distilbert", "ForSequenceClassification", "old", classify),
    "eight bits": ("distilbert", "ForSequenceClassification", "DistilBertTokenizer", classify),
    "shards": ("bert", "ForTokenClassification", "PreTrainedTokenizerFast", find_entities),
    "torch": ("electra", "ForSequenceClassification", "BertTokenizer", classify),
    "old torch": ("bert", "ForSequenceClassification", "BertTokenizer", classify),
    "masks": ("distilbert", "ForMaskedLM", "BertTokenizer", fill_mask),
    "questions": ("bert", "ForQuestionAnswering", "BertTokenizer", answer),
    "sentences": ("bert", "Model", "DistilBertTokenizer", embed),
}


def make_model(folder: Path, name: str) -> dict[str, bytes]:
    """Write one of MODELS -> its files; those that fuzzing damages."""
    model_type, head, tokenizer, _ = MODELS[name]
    labels = {"id2label": LABELS} if head == "ForTokenClassification" else {}
    make_checkpoint(folder, model_type, head, max_position_embeddings=32, vocab_size=len(WORDS) + 2, **labels)  # two are added
    if tokenizer == "old":
        write_old_tokenizer(folder)
    else:
        write_new_tokenizer(folder, tokenizer)
    if name == "shards":
        write_shards(folder)
    if name in ("torch", "old torch"):
        to_bin(folder, "zip" if name == "torch" else "legacy")
    if name == "eight bits":
        with suppress(KernelError):  # where no int8 kernel runs it is one more classifier
            quantize(folder, folder / "int8")
            shutil.copytree(folder / "int8", folder, dirs_exist_ok=True)
            shutil.rmtree(folder / "int8")
    if name == "sentences":
        write_sentence_model(folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def write(folder: Path, name: str, content) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def write_old_tokenizer(folder: Path) -> None:
    """vocab.txt, and special tokens spread over the files that versions before had."""
    write(folder, "special_tokens_map.json", {"mask_token": {"content": "[MASK]", "lstrip": True}, "unk_token": "[UNK]"})
    write(folder, "added_tokens.json", {"<x>": 33, "[MASK]": 4})
    write(folder, "tokenizer_config.json", {"do_lower_case": True, "model_max_length": 32, "padding_side": "right"})


def write_new_tokenizer(folder: Path, tokenizer_class: str) -> None:
    """tokenizer.json, with everything it can hold."""
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=24, truncation_side="left")
    tokenizer.add_tokens(["<new>", "Straße"])
    tokenizer.save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    write(folder, "tokenizer_config.json", {**settings, "tokenizer_class": tokenizer_class})
    content = json.loads((folder / "tokenizer.json").read_text())
    content |= {"truncation": {"direction": "Right"}, "padding": {"direction": "Left"}}
    write(folder, "tokenizer.json", content)


def write_shards(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    names = {f"model-{part}-of-2.safetensors": list(tensors)[part - 1 :: 2] for part in (1, 2)}
    for shard, held in names.items():
        save_file({name: tensors[name] for name in held}, folder / shard)
    weight_map = {name: shard for shard, held in names.items() for name in held}
    write(folder, "model.safetensors.index.json", {"metadata": {"total_size": 1}, "weight_map": weight_map})
    (folder / "model.safetensors").unlink()


def write_sentence_model(folder: Path) -> None:
    from safetensors.numpy import save_file

    steps = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize")]
    modules = [{"idx": i, "name": str(i), "path": path, "type": f"x.{step}"} for i, (path, step) in enumerate(steps)]
    write(folder, "modules.json", modules)
    write(folder, "1_Pooling/config.json", {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True})
    dense = {"in_features": 8, "out_features": 4, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}
    write(folder, "2_Dense/config.json", dense)
    random = np.random.default_rng(0)
    layer = {"linear.weight": random.random((4, 8), np.float32), "linear.bias": random.random(4, np.float32)}
    save_file(layer, folder / "2_Dense" / "model.safetensors")
    write(folder, "sentence_bert_config.json", {"max_seq_length": 20, "do_lower_case": False})
    prompts = {"prompts": {"query": "the "}, "default_prompt_name": "query", "similarity_fn_name": "cosine"}
    write(folder, "config_sentence_transformers.json", prompts)


# --- A case ----------------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    status: str  # answer, error, or fault
    text: str = ""


class Bench:
    """The models on disk, in `folder`, of which a case damages one file and puts it back."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "outside").mkdir()
        self.files = {name: make_model(folder / name, name) for name in MODELS}
        (folder / "outside" / "secret.json").write_text("{}")
        (folder / "outside" / "secret.safetensors").write_bytes(self.files["classifier"]["model.safetensors"])

    def run(self, seed: int) -> tuple[str, Outcome]:
        """What a seed stands for, and what comes of it."""
        chance = random.Random(seed)
        name = chance.choice(list(MODELS))
        filename = chance.choice(list(self.files[name]))
        what, content = mutate(chance, filename, self.files[name][filename])
        path = self.folder / name / filename
        replace(path, content)
        try:
            return f"{name}/{what}", attempt(self.folder, name)
        finally:
            replace(path, self.files[name][filename])


def replace(path: Path, content: bytes) -> None:
    """By renaming: a model of the last case may still have the file mapped."""
    aside = path.with_name(f"{path.name}.aside")
    aside.write_bytes(content)
    os.replace(aside, path)


opened: list[str] = []  # by the case that runs


def note_opened(event: str, arguments: tuple) -> None:
    """An audit hook: which files Python opens, and whether it unpickles."""
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        opened.append(os.fsdecode(arguments[0]))
    elif event == "pickle.find_class":
        opened.append(f"a pickle with {arguments[1]}")


def attempt(folder: Path, name: str) -> Outcome:
    """Load a model and ask it."""
    opened.clear()
    outcome = Outcome("answer")
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        try:
            use(folder / name, MODELS[name][3])
        except MinibertError as error:
            outcome = Outcome("error", str(error))
        except KeyboardInterrupt:
            raise
        except BaseException:  # MemoryError, the alarm's, and what a library in Rust calls a panic
            return Outcome("fault", traceback.format_exc(limit=-8))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    foreign = [warning for warning in said if not issubclass(warning.category, MinibertWarning)]
    outside = [path for path in opened if "outside" in path or path.startswith(("a pickle", "/etc/"))]
    if len(outcome.text) > 3000:
        return Outcome("fault", f"a message of {len(outcome.text)} characters: {outcome.text:.300}")
    if len(foreign) > MOST_WARNINGS or len(said) > 2 * MOST_WARNINGS:
        return Outcome("fault", f"{len(said)} warnings, as {said[-1].message}")
    return Outcome("fault", f"opened {outside}") if outside else outcome


def use(folder: Path, ask) -> None:
    """Everything that a user does with a model."""
    _, tokenizer, model = ask(folder)
    for text in TEXTS:
        tokenizer.tokenize(text)
        encoded = tokenizer(text, return_offsets_mapping=True, verbose=False)
        tokenizer.decode(encoded["input_ids"], skip_special_tokens=True)
    tokenizer(TEXTS[:2], TEXTS[2:4], truncation=True, max_length=12, padding="max_length", return_tensors="np")
    tokenizer.encode_packed(TEXTS, return_offsets=True)
    repr(tokenizer), repr(model), repr(model.config)
    saved = folder.parent / "saved"
    model.save_pretrained(saved)
    tokenizer.save_pretrained(saved)
    AutoTokenizer.from_pretrained(saved).encode(TEXTS[1])


# --- The command -----------------------------------------------------------------------------------------------------


def ring(*_):
    raise TimeoutError(f"more than {SECONDS} s")


def limit_memory() -> None:
    """A case that wants more gets MemoryError."""
    try:
        import resource
    except ImportError:  # Windows
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if os.path.exists("/proc/self/statm") else 0
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + MEMORY,) * 2)


def main() -> int:
    options = argparse.ArgumentParser(description="Damage tiny models by chance; load and ask them.")
    options.add_argument("--seed", type=int, default=0, help="the first case")
    options.add_argument("--cases", type=int, default=10**9)
    options.add_argument("--minutes", type=float, default=10**6)
    chosen = options.parse_args()
    sys.addaudithook(note_opened)
    signal.signal(signal.SIGPROF, ring)
    end, counts, seed = time.monotonic() + chosen.minutes * 60, Counter(), chosen.seed
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for name in MODELS:
            use(bench.folder / name, MODELS[name][3])  # without the alarm: kernels may have to be compiled first
            assert attempt(bench.folder, name).status == "answer", attempt(bench.folder, name)
        limit_memory()
        while seed < chosen.seed + chosen.cases and time.monotonic() < end:
            what, outcome = bench.run(seed)
            counts[outcome.status] += 1
            if outcome.status == "fault":
                print(f"seed {seed}: {what}\n{outcome.text}\n", flush=True)
            seed += 1
    print(f"{counts['answer']} answers, {counts['error']} errors, {counts['fault']} faults")
    return min(counts["fault"], 1)


if __name__ == "__main__":
    raise SystemExit(main())
