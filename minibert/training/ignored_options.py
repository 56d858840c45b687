"""Options of transformers that minibert's TrainingArguments and Trainer do not have: those that mean nothing here, and why the
others are refused, with what to do instead. Next: `arguments.py` and `trainer.py`, which read these tables.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from ..errors import check_option_names
from ..tensors import check_without_effect
from .overrides import OWN_LOOP


class Refusal(NamedTuple):
    """The values that change nothing; with another, the error says the reason and the fix."""

    harmless: tuple
    reason: str
    fix: str = "Leave it out."


OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_apex_fused")  # the same formula
OTHER_OPTIMIZER = "For another optimizer, write the loop with loss_and_gradients (minibert/README.md, Training)."
NO_HALF = "minibert has no float16"
ONE_PROCESS = "a training is one process, on the CPU"
ALL_ROWS = "compute_metrics gets the predictions and the labels of all rows at once"
REFUSALS = {  # of TrainingArguments
    "optim": Refusal(OPTIMIZERS, "AdamW is the one optimizer", OTHER_OPTIMIZER),
    "optim_args": Refusal((None,), "AdamW's options have names of their own", "Set adam_beta1, adam_beta2, adam_epsilon."),
    "optim_target_modules": Refusal((None,), "AdamW treats all layers alike", "To train some alone, set freeze_layers."),
    "lr_scheduler_kwargs": Refusal(
        (None, {}), "a schedule has no options but its warm-up", "Set lr_scheduler_type and warmup_steps."
    ),
    "fp16": Refusal((False, None), NO_HALF, "For less precision set bf16=True."),
    "fp16_full_eval": Refusal((False, None), NO_HALF, "For less precision load the model with kernels='bf16'."),
    "bf16_full_eval": Refusal(
        (False, None), "an evaluation has the kernels that the model was loaded with", "Load it with kernels='bf16'."
    ),
    "auto_find_batch_size": Refusal(
        (False, None),
        "there is no memory of a GPU to try batches on",
        "Set per_device_train_batch_size; gradient_accumulation_steps makes a step of several batches.",
    ),
    "neftune_noise_alpha": Refusal((None,), "there is no noise on embeddings"),
    "push_to_hub": Refusal((False, None), "nothing is uploaded", "Upload output_dir with huggingface_hub."),
    "deepspeed": Refusal((None,), ONE_PROCESS),
    "fsdp": Refusal((None, "", False, []), ONE_PROCESS),
    "parallelism_config": Refusal((None,), ONE_PROCESS),
    "local_rank": Refusal((-1, 0, None), ONE_PROCESS),
    "use_cpu": Refusal((True, False, None), ONE_PROCESS),
    "no_cuda": Refusal((True, False, None), ONE_PROCESS),
    "eval_delay": Refusal(
        (0, None),
        "evaluations begin with the first that is due",
        "Set eval_strategy and eval_steps, or let a callback set control.should_evaluate.",
    ),
    "batch_eval_metrics": Refusal((False, None), ALL_ROWS),
    "include_for_metrics": Refusal((None, []), ALL_ROWS, "Compute other figures from trainer.predict(rows)."),
    "save_only_model": Refusal(
        (False, None),
        "a checkpoint always holds what a resumed training needs",
        "For the model alone, set save_strategy='no' and call trainer.save_model(); save_total_limit limits how many are kept.",
    ),
    "ignore_data_skip": Refusal((False, None), "a resumed training goes on with the rows that are next"),
}
MEANINGLESS_NAMES = """
    accelerator_config average_tokens_across_devices activation_checkpointing activation_checkpointing_kwargs
    gradient_checkpointing gradient_checkpointing_kwargs torch_compile torch_compile_backend torch_compile_mode tf32
    use_liger_kernel liger_kernel_config use_cache torch_empty_cache_steps log_on_each_node log_level
    log_level_replica include_num_input_tokens_seen report_to run_name logging_dir project trackio_space_id
    trackio_bucket_id trackio_static_space_id logging_nan_inf_filter prediction_loss_only eval_do_concat_batches
    eval_use_gather_object eval_accumulation_steps save_on_each_node save_safetensors enable_jit_checkpoint hub_token
    hub_private_repo hub_model_id hub_strategy hub_always_push hub_revision overwrite_output_dir
    restore_callback_states_from_checkpoint full_determinism dataloader_num_workers dataloader_pin_memory
    dataloader_persistent_workers dataloader_prefetch_factor dataloader_multiprocessing_context dataloader_in_order
    remove_unused_columns label_names length_column_name debug ddp_find_unused_parameters ddp_bucket_cap_mb
    ddp_broadcast_buffers ddp_static_graph ddp_backend ddp_timeout fsdp_config skip_memory_metrics do_train do_eval
    do_predict resume_from_checkpoint
"""
MEANINGLESS = frozenset(MEANINGLESS_NAMES.split())  # of TrainingArguments, whatever their values
TRAINER_REFUSALS = {
    "model_init": Refusal((None,), "a Trainer trains the model that it is given", "Pass model=model_init()."),
    "compute_loss_func": Refusal(
        (None,),
        "the loss and its gradient are the head's own, without torch",
        f"Set class_weights or label_smoothing_factor of TrainingArguments, or {OWN_LOOP}.",
    ),
    "optimizers": Refusal(
        (None, (None, None)),
        "AdamW is the one optimizer",
        f"Set learning_rate, lr_scheduler_type and weight_decay of TrainingArguments, or {OWN_LOOP}.",
    ),
    "optimizer_cls_and_kwargs": Refusal((None,), "AdamW is the one optimizer", OTHER_OPTIMIZER),
    "preprocess_logits_for_metrics": Refusal(
        (None,), "compute_metrics gets the logits as they are", "Begin compute_metrics with it."
    ),
}


def check_others(
    function: str, options: Mapping[str, Any], known: Collection[str], refusals: Mapping[str, Refusal], ignored: Collection[str]
) -> None:
    """InputTypeError for an option that nobody knows, with those that are; InputError for one that would change the result."""
    check_option_names(function, options, known, (*refusals, *ignored))
    for name, value in options.items():
        if name in refusals:
            harmless, reason, fix = refusals[name]
            check_without_effect(name, getattr(value, "value", value), harmless, fix, reason)
