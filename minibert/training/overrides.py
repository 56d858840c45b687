"""Methods of a subclass, or of a callback, that transformers would call and minibert never does: an error, not silence.

A loss of its own in `compute_loss` would change nothing here, where there is no graph of torch's to follow. Next: `trainer.py`.
"""

from __future__ import annotations

from typing import Any

from ..errors import InputError

OWN_LOOP = "write the loop with loss_and_gradients and AdamW (minibert/README.md, Training)"
LOSS_FIX = f"For another loss, set class_weights or label_smoothing_factor of TrainingArguments, or {OWN_LOOP}."
OPTIMIZER_FIX = (
    "The optimizer is AdamW: set learning_rate, lr_scheduler_type, weight_decay or layerwise_lr_decay of TrainingArguments, or "
    f"{OWN_LOOP}."
)
DATA_FIX = "For other batches, pass train_dataset, eval_dataset and data_collator, and set train_sampling_strategy of TrainingArguments."
EVALUATION_FIX = "For other figures, pass compute_metrics, or define evaluate and predict, which are called."
SAVING_FIX = "For other files, define save_model, which is called, or on_save of a callback."
OTHER_FIX = f"For another training, {OWN_LOOP}."
BY_FIX = {  # a way out -> the methods of transformers' Trainer for which it is one
    LOSS_FIX: "compute_loss training_step compute_loss_context_manager autocast_smart_context_manager get_batch_samples"
    " _get_num_items_in_batch _prepare_input _prepare_inputs _prepare_context_parallel_inputs",
    OPTIMIZER_FIX: "create_optimizer create_scheduler create_optimizer_and_scheduler get_optimizer_cls_and_kwargs"
    " get_decay_parameter_names _get_learning_rate _clip_grad_norm _get_grad_norm _mixed_mesh_grad_norm _has_mixed_mesh_grads",
    DATA_FIX: "get_train_dataloader get_eval_dataloader get_test_dataloader num_examples _get_dataloader _get_train_sampler"
    " _get_eval_sampler _set_signature_columns_if_needed _remove_unused_columns _get_collator_with_removed_columns",
    EVALUATION_FIX: "evaluation_loop prediction_loop prediction_step _evaluate _determine_best_metric",
    SAVING_FIX: "_save _save_checkpoint _save_rng_state _save_optimizer_and_scheduler _save_scaler _get_output_dir"
    " _load_from_checkpoint _load_best_model _load_rng_state _load_optimizer_and_scheduler _load_scaler _load_callback_state"
    " _issue_warnings_after_load _push_from_checkpoint _finish_current_push _tune_save_checkpoint init_hf_repo",
    OTHER_FIX: "_inner_training_loop _init_training_state _prepare_for_training _run_epoch _finalize_training"
    " _maybe_log_save_evaluate _validate_args _build_accelerator_args create_accelerator_and_postprocess call_model_init"
    " set_initial_training_values get_total_train_batch_size get_sp_size get_cp_size get_tp_size"
    " _defer_fsdp_gradient_reduction _sync_replicated_trainable_parameters _wrap_model _update_auto_batch_size"
    " _track_num_input_tokens store_flos floating_point_ops _hp_search_setup _report_to_hp_search _move_model_to_device",
}
NEVER_CALLED = {name: fix for fix, names in BY_FIX.items() for name in names.split()}
NO_EVENTS = ("on_pre_optimizer_step", "on_substep_end")  # of transformers' callbacks: within a step nothing is called


def check_methods(trainer: Any) -> None:
    """InputError if a Trainer, whose own class has none of these methods, has one of a subclass or of its user."""
    names = [name for name in NEVER_CALLED if callable(getattr(trainer, name, None))]
    if names:
        fixes = " ".join(dict.fromkeys(NEVER_CALLED[name] for name in names))
        raise InputError(
            f"a Trainer may define methods that minibert's calls; {type(trainer).__name__} has {', '.join(names)}, of "
            f"transformers', never called here. {fixes}"
        )


def check_events(callback: Any) -> None:
    """InputError if a callback does something at a point of the training that is none here. (A base class of that name, which
    may be transformers' own, does nothing.)"""
    own = {name for cls in type(callback).__mro__ if cls.__name__ != "TrainerCallback" for name in vars(cls)}
    names = [name for name in NO_EVENTS if name in own or name in getattr(callback, "__dict__", ())]
    if names:
        raise InputError(
            f"a callback may define methods that minibert's Trainer calls; {type(callback).__name__} has {', '.join(names)}, "
            "never called here, where a step is one call. Use on_step_begin, on_optimizer_step or on_step_end."
        )


def check_collator_methods(collator: Any) -> None:
    """The same of the methods of transformers' collators."""
    names = [name for name in ("torch_call", "numpy_call", "torch_mask_tokens", "numpy_mask_tokens") if hasattr(collator, name)]
    if names:
        raise InputError(
            f"a collator may define methods that minibert's calls; {type(collator).__name__} has {', '.join(names)}, of "
            "transformers', never called here. Define __call__(features), or pass a function."
        )
