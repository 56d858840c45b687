"""Folders as sentence-transformers writes them, texts for them, and how near two vectors are."""

import json

import numpy as np
from safetensors.numpy import save_file

TEXTS = ["A man is eating food.", "Someone  eats.", "", "The cat slept on the mat all day long.", "x " * 400]


def write_sentence_config(folder, pooling=None, steps=("Transformer", "Pooling"), limits=None, prompts=None):
    """Make a sentence-transformers folder of a checkpoint."""
    paths = ["" if index == 0 else f"{index}_{step}" for index, step in enumerate(steps)]
    modules = [{"idx": i, "path": path, "type": f"a.b.{step}"} for i, (step, path) in enumerate(zip(steps, paths))]
    (folder / "1_Pooling").mkdir(exist_ok=True)
    files = {
        "modules.json": modules,
        "1_Pooling/config.json": pooling or {"pooling_mode_mean_tokens": True},
        "sentence_bert_config.json": limits or {},
        "config_sentence_transformers.json": prompts or {},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


def write_dense(folder, inputs, outputs, activation="Tanh", bias=True, index=2, **changes):
    """Add a Dense step to a sentence-transformers folder; returns its tensors."""
    home = folder / f"{index}_Dense"
    home.mkdir()
    random = np.random.default_rng(index)
    tensors = {"linear.weight": random.normal(0, 0.3, (outputs, inputs)).astype(np.float32)}
    if bias:
        tensors["linear.bias"] = random.normal(0, 0.3, outputs).astype(np.float32)
    save_file(tensors, home / "model.safetensors")
    settings = {
        "in_features": inputs,
        "out_features": outputs,
        "bias": bias,
        "activation_function": f"torch.nn.modules.activation.{activation}",
    }
    (home / "config.json").write_text(json.dumps({**settings, **changes}))
    steps = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense")]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{step}"}
        for i, (path, step) in enumerate(steps)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    return tensors


def cosines(one, other):
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
