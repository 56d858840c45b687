"""A random DistilBERT-base classifier in a folder, in every form that an engine reads; the vocabulary is the real one.

    config.json, model.safetensors, tokenizer.json, vocab.txt      minibert, transformers
    model.onnx, model.int8.onnx                                    ONNX Runtime, OpenVINO
    ctranslate2.float32/, ctranslate2.int8/                        CTranslate2

A form whose converter is not installed is left out; its engine is then missing too.
"""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from pathlib import Path

from .tokenization_peers import model_folder

VOCABULARY = 30522
COMPLETE = "complete"  # a file that is written last: all others are complete


def export(folder: Path, sizes: dict | None = None) -> None:
    """Fill the folder, unless it has been filled before. `sizes` go over DistilBERT-base's own."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if (folder / COMPLETE).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    config = transformers.DistilBertConfig(vocab_size=VOCABULARY, **(sizes or {}))
    model = transformers.DistilBertForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    vocabulary = (model_folder() / "vocab.txt").read_text(encoding="utf-8")
    (folder / "vocab.txt").write_text(vocabulary, encoding="utf-8")
    transformers.DistilBertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    with contextlib.suppress(ImportError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export_onnx(model, folder)
    if importlib.util.find_spec("ctranslate2"):
        from ctranslate2.converters import TransformersConverter

        for quantization in ("float32", "int8"):
            TransformersConverter(str(folder)).convert(
                str(folder / f"ctranslate2.{quantization}"), quantization=quantization, force=True
            )
    (folder / COMPLETE).touch()


def export_onnx(model, folder: Path, inputs: tuple[str, ...] = ("input_ids", "attention_mask")) -> None:
    """Write model.onnx and model.int8.onnx, which take these inputs (B, T) and return logits."""
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    ids = torch.zeros(2, 8, dtype=torch.long)
    torch.onnx.export(
        model,
        kwargs={name: ids + (name == "attention_mask") for name in inputs},
        f=str(folder / "model.onnx"),
        input_names=list(inputs),
        output_names=["logits"],
        dynamic_axes={name: {0: "B", 1: "T"} for name in inputs},
        dynamo=False,
        opset_version=17,
    )
    quantize_dynamic(folder / "model.onnx", folder / "model.int8.onnx", weight_type=QuantType.QInt8)
