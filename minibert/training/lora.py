"""LoRA (arXiv:2106.09685): W stays, and W + (alpha / r) B A is used in its place; A (r, in) and B (out, r) are trained.

The passes know nothing of it: they compute with the sum, and the chain rule takes the gradient of the sum to A and B:

    dA = (alpha / r) Bᵀ dW        dB = (alpha / r) dW Aᵀ

These products are those of linear layers, so their bits are the same on any number of threads. `save_adapter` writes PEFT's
files. Next: `steps.py`, which trains A and B in the place of W.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError, short_repr, strict_arguments
from ..files import as_folder, write_json
from ..models.base import PreTrainedModel
from ..weights import save_tensors
from .freezing import frozen_tensors
from .operations import choose_ops
from .option_readers import read_count, read_real

A, B = "lora_A", "lora_B"
TASK_TYPES = {"sequence": "SEQ_CLS", "token": "TOKEN_CLS", "position": "QUESTION_ANS"}  # a head's form -> PEFT's name


class LoraConfig:
    """Under PEFT's names: the rank `r`, `lora_alpha`, and `target_modules`, the ends of linear layers' names; by default the
    queries and values of all layers. The head is trained as a whole."""

    @strict_arguments
    def __init__(self, r: int = 8, lora_alpha: float = 8, target_modules: list[str] | tuple[str, ...] | None = None):
        self.r = read_count("r", r, 1)
        self.lora_alpha = read_real("lora_alpha", lora_alpha, above=0)
        if target_modules is not None and not (
            isinstance(target_modules, (list, tuple)) and target_modules and all(isinstance(one, str) for one in target_modules)
        ):
            raise InputTypeError(f"target_modules must be a list of names of modules; got {short_repr(target_modules)}.")
        self.target_modules = None if target_modules is None else list(target_modules)

    def to_dict(self) -> dict[str, Any]:
        return {"r": self.r, "lora_alpha": self.lora_alpha, "target_modules": self.target_modules}


class Adapter:
    """A and B for each target of a model, and the head's own tensors; `base` holds the weights without them."""

    def __init__(
        self, model: PreTrainedModel, config: LoraConfig, seed: int, freeze_layers: int | None = None, kernels: str = "auto"
    ):
        self.config, self.scale, self.kernels = config, config.lora_alpha / config.r, kernels
        self.base = model.tensors
        self.targets = target_weights(model, config, frozen_tensors(model, freeze_layers))
        self.head = [name for name in model.head_shapes(model.config) if name in model.tensors]
        random = np.random.default_rng([seed, config.r])
        self.matrices: dict[str, np.ndarray] = {}
        for name in self.targets:  # as PEFT draws them: A uniform, B 0, so that the sum is W at first
            outputs, inputs = self.base[name].shape
            bound = inputs**-0.5
            self.matrices[f"{name}.{A}"] = random.uniform(-bound, bound, (config.r, inputs)).astype(np.float32)
            self.matrices[f"{name}.{B}"] = np.zeros((outputs, config.r), np.float32)

    def trainable(self, parameters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {**self.matrices, **{name: parameters[name] for name in self.head}}

    def gradients(self, gradients: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the sums -> those of A, B and the head."""
        result = {}
        for name in self.targets:
            if name not in gradients:  # a batch in which nothing has a label
                continue
            grad, a, b = gradients[name], self.matrices[f"{name}.{A}"], self.matrices[f"{name}.{B}"]
            result[f"{name}.{A}"] = np.float32(self.scale) * self.product(b.T, grad)
            result[f"{name}.{B}"] = np.float32(self.scale) * self.product(grad, a.T)
        return result | {name: gradients[name] for name in self.head if name in gradients}

    def apply(self, parameters: Mapping[str, np.ndarray]) -> None:
        """Write the sums W + (alpha / r) B A into the parameters."""
        for name in self.targets:
            product = self.product(self.matrices[f"{name}.{B}"], self.matrices[f"{name}.{A}"])
            parameters[name][...] = self.base[name] + np.float32(self.scale) * product

    def product(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """a (M, K), b (K, N) -> (M, N). NumPy's own product may have other bits on another number of threads."""
        ops, zeros = choose_ops(self.kernels, a.dtype), np.zeros(b.shape[1], a.dtype)
        return ops.linear(np.ascontiguousarray(a), *ops.pack_weights("linear", np.ascontiguousarray(b.T), zeros))

    def save(self, model: PreTrainedModel, folder: str | PathLike, base_model: str | None = None) -> None:
        """Write adapter_config.json and adapter_model.safetensors, which PEFT loads onto the model that was trained."""
        folder, names = as_folder(folder), model.encoder_names
        prefix = f"base_model.model.{names.prefix if model.has_head else ''}"
        tensors = {}
        for name in self.targets:
            for part in (A, B):
                tensors[f"{prefix}{name.removesuffix('.weight')}.{part}.weight"] = self.matrices[f"{name}.{part}"]
        for name in self.head:
            tensors[f"{prefix if names.in_pooler(name) else 'base_model.model.'}{name}"] = model.tensors[name]
        form = model.loss_heads(model.config)[0].form
        save_tensors(folder / "adapter_model.safetensors", tensors)
        values = {
            "peft_type": "LORA",
            "task_type": TASK_TYPES.get(form),
            "base_model_name_or_path": base_model,
            "r": self.config.r,
            "lora_alpha": self.config.lora_alpha,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": False,
            "inference_mode": True,
            "target_modules": [name.removesuffix(".weight") for name in self.targets],
            "modules_to_save": sorted({name.partition(".")[0] for name in self.head}),
        }
        write_json(folder / "adapter_config.json", values)


def target_weights(model: PreTrainedModel, config: LoraConfig, frozen: set[str]) -> list[str]:
    """The weights of the linear layers whose names end with a target's. InputError for one that no layer has."""
    names, arch = model.encoder_names, model.config.architecture
    parts = ("query", "key", "value", "attention_out", "feed_forward_in", "feed_forward_out")
    modules = {part: [names.of_layer(index, part) for index in range(arch.layers)] for part in parts}
    if config.target_modules is None:
        chosen = modules["query"] + modules["value"]
    else:
        known = [module for of_part in modules.values() for module in of_part]
        chosen = [one for one in known if any(f".{one}".endswith(f".{target}") for target in config.target_modules)]
        for target in config.target_modules:
            if not any(f".{one}".endswith(f".{target}") for one in chosen):
                ends = sorted({module.rpartition(".")[2] for module in known})
                raise InputError(
                    f"target_modules must be ends of names of linear layers: {', '.join(ends)}; got {short_repr(target)}."
                )
    chosen = [f"{module}.weight" for module in chosen if f"{module}.weight" not in frozen]
    if not chosen:
        raise InputError("LoRA needs a layer that is not frozen; set a smaller freeze_layers.")
    return chosen
