"""The other engines a DistilBERT classifier can run on: each a factory from a checkpoint's folder to a callable.

    logits = PEERS["onnxruntime"](folder, threads=2)(ids, mask)      ids, mask (B, T) -> (B, labels)

`export(folder)` makes what they read: a DistilBERT-base at random, as safetensors, as ONNX, and for CTranslate2. A peer
that is not installed raises ImportError; `benchmarks/model.py` prints it as missing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from minibert import DistilBertForSequenceClassification, set_num_threads

VOCABULARY = 30522


def export(folder: Path, sizes: dict | None = None) -> None:
    """A random classifier into folder: model.safetensors, vocab.txt, model.onnx, ctranslate2/."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.DistilBertConfig(vocab_size=VOCABULARY, **(sizes or {}))
    model = transformers.DistilBertForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    tokens = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += [f"token{i}" for i in range(VOCABULARY - len(tokens))]
    (folder / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    transformers.DistilBertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    export_onnx(model, folder / "model.onnx")
    export_ctranslate2(folder)


def export_onnx(model, path: Path) -> None:
    import torch

    ids = torch.zeros(2, 8, dtype=torch.long)
    torch.onnx.export(
        model, (ids, ids + 1), str(path), input_names=["input_ids", "attention_mask"], output_names=["logits"],
        dynamic_axes={name: {0: "B", 1: "T"} for name in ("input_ids", "attention_mask")}, dynamo=False,
        opset_version=17,
    )  # fmt: skip


def export_ctranslate2(folder: Path) -> None:
    try:
        from ctranslate2.converters import TransformersConverter
    except ImportError:
        return
    TransformersConverter(str(folder)).convert(str(folder / "ctranslate2"), force=True)


def minibert_with(kernels: str) -> Callable:
    def make(folder: Path, threads: int) -> Callable:
        set_num_threads(threads)
        model = DistilBertForSequenceClassification.from_pretrained(folder, kernels=kernels)
        return lambda ids, mask: model(ids, attention_mask=mask).logits

    return make


def torch_float32(folder: Path, threads: int) -> Callable:
    import torch
    import transformers

    torch.set_num_threads(threads)
    model = transformers.DistilBertForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()

    def call(ids, mask):
        with torch.inference_mode():
            return model(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits.numpy()

    return call


def onnxruntime_float32(folder: Path, threads: int) -> Callable:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    return lambda ids, mask: session.run(None, {"input_ids": ids, "attention_mask": mask})[0]


def openvino_float32(folder: Path, threads: int) -> Callable:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(str(folder / "model.onnx"), "CPU", settings)
    return lambda ids, mask: compiled([ids, mask])[0]


def ctranslate2_float32(folder: Path, threads: int) -> Callable:
    """The encoder by CTranslate2; the classifier, which it leaves out, in NumPy."""
    import ctranslate2

    encoder = ctranslate2.Encoder(str(folder / "ctranslate2"), device="cpu", intra_threads=threads)
    head = DistilBertForSequenceClassification.from_pretrained(folder, kernels="reference").tensors

    def call(ids, mask):
        rows = [row[: int(kept.sum())].tolist() for row, kept in zip(ids, mask)]
        hidden = np.array(encoder.forward_batch(rows).last_hidden_state)[:, 0]
        inner = np.maximum(hidden @ head["pre_classifier.weight"].T + head["pre_classifier.bias"], 0)
        return inner @ head["classifier.weight"].T + head["classifier.bias"]

    return call


PEERS: dict[str, Callable[[Path, int], Callable]] = {
    "torch": torch_float32,
    "onnxruntime": onnxruntime_float32,
    "openvino": openvino_float32,
    "ctranslate2": ctranslate2_float32,
}
