"""The engines a DistilBERT classifier can run on: each a factory from a checkpoint's folder to an `Engine`.

    engine = PEERS["ONNX Runtime int8"].make(folder, threads=2)
    engine.logits(ids, mask)              ids, mask (B, T) -> (B, labels)
    engine.classify(["a text", ...])      the same from texts, its tokenizer included

`export.py` makes what they read. A peer that is not installed raises ImportError; one that does not run on this machine
raises what it raises: `model.py` prints either as missing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Engine(NamedTuple):
    logits: Callable  # (ids, mask) -> (B, labels)
    classify: Callable  # texts -> (B, labels)


class Peer(NamedTuple):
    make: Callable[[Path, int], Engine]
    numbers: str  # "fp32", "bf16" or "int8"


def minibert_with(kernels: str) -> Callable:
    def make(folder: Path, threads: int) -> Engine:
        from minibert import AutoTokenizer, DistilBertForSequenceClassification, set_num_threads

        set_num_threads(threads)
        model = DistilBertForSequenceClassification.from_pretrained(folder, kernels=kernels)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        return Engine(
            lambda ids, mask: model(ids, attention_mask=mask).logits, lambda texts: model(tokenizer.encode_packed(texts)).logits
        )

    return make


def with_tokenizer(folder: Path, logits: Callable) -> Engine:
    """The others' texts go through Hugging Face's `tokenizers`, padded to the longest of a call."""
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.enable_padding()

    def classify(texts: list[str]) -> np.ndarray:
        rows = tokenizer.encode_batch_fast(texts)
        return logits(np.array([row.ids for row in rows]), np.array([row.attention_mask for row in rows]))

    return Engine(logits, classify)


def torch_model(folder: Path, numbers: str):
    import torch
    import transformers

    dtype = {"bf16": torch.bfloat16, "fp64": torch.float64}.get(numbers, torch.float32)
    model = transformers.DistilBertForSequenceClassification.from_pretrained(folder, dtype=dtype).eval()
    if numbers == "int8":
        model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    return model


def torch_with(numbers: str) -> Callable:
    def make(folder: Path, threads: int) -> Engine:
        import torch

        torch.set_num_threads(threads)
        model = torch_model(folder, numbers)

        def logits(ids, mask):
            with torch.inference_mode():
                output = model(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits
            return (output if numbers == "fp64" else output.float()).numpy()

        return with_tokenizer(folder, logits)

    return make


def onnxruntime_with(numbers: str) -> Callable:
    def make(folder: Path, threads: int) -> Engine:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        path = folder / ("model.int8.onnx" if numbers == "int8" else "model.onnx")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return with_tokenizer(folder, lambda ids, mask: session.run(None, {"input_ids": ids, "attention_mask": mask})[0])

    return make


def openvino_with(numbers: str) -> Callable:
    def make(folder: Path, threads: int) -> Engine:
        import openvino

        core, hint = openvino.Core(), {"fp32": "f32", "bf16": "bf16"}[numbers]
        settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
        if numbers == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ImportError("OpenVINO says that this processor has no bf16")
        compiled = core.compile_model(str(folder / "model.onnx"), "CPU", settings)
        return with_tokenizer(folder, lambda ids, mask: compiled([ids, mask])[0])

    return make


def ctranslate2_with(numbers: str) -> Callable:
    """The encoder by CTranslate2; the classifier, which it leaves out, in NumPy."""

    def make(folder: Path, threads: int) -> Engine:
        import ctranslate2
        from safetensors.numpy import load_file

        dtype = {"fp32": "float32", "int8": "int8"}[numbers]
        path = str(folder / f"ctranslate2.{dtype}")
        encoder = ctranslate2.Encoder(path, device="cpu", compute_type=dtype, intra_threads=threads)
        head = {name: tensor for name, tensor in load_file(folder / "model.safetensors").items() if "classifier" in name}

        def logits(ids, mask):
            rows = [row[: int(mask_row.sum())].tolist() for row, mask_row in zip(ids, mask)]
            hidden = np.array(encoder.forward_batch(rows).last_hidden_state)[:, 0]
            inner = np.maximum(hidden @ head["pre_classifier.weight"].T + head["pre_classifier.bias"], 0)
            return inner @ head["classifier.weight"].T + head["classifier.bias"]

        return with_tokenizer(folder, logits)

    return make


PEERS = {
    f"{name} {numbers}": Peer(factory(numbers), numbers)
    for name, factory, dtypes in (
        ("torch", torch_with, ("fp32", "bf16", "int8")),
        ("ONNX Runtime", onnxruntime_with, ("fp32", "int8")),
        ("OpenVINO", openvino_with, ("fp32", "bf16")),
        ("CTranslate2", ctranslate2_with, ("fp32", "int8")),
    )
    for numbers in dtypes
}
