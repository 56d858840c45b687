"""A pool of threads, where sentence-transformers has one of processes: they share the model, and start at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError, read_int, short_repr
from ..tensors import check_device

WORKERS = 4  # if nobody says how many, as in sentence-transformers
LARGEST_CHUNK = 5000  # texts
CHUNKS_PER_WORKER = 10
LARGEST_POOL = 1024  # threads


def start_pool(target_devices=None) -> dict[str, Any]:
    """A list of devices, each the CPU -> a pool of as many threads."""
    devices = ["cpu"] * WORKERS if target_devices is None else target_devices
    if not isinstance(devices, (list, tuple)) or not 1 <= len(devices) <= LARGEST_POOL:
        raise InputTypeError(
            f"target_devices must be a list of devices such as ['cpu', 'cpu']; got {short_repr(target_devices)}."
        )
    for device in devices:
        check_device(device, "each of target_devices")
    executor = ThreadPoolExecutor(len(devices), thread_name_prefix="encode")
    return {"input": None, "output": None, "processes": list(devices), "executor": executor}


def stop_pool(pool) -> None:
    executor_of(pool).shutdown()


def executor_of(pool) -> ThreadPoolExecutor:
    executor = pool.get("executor") if isinstance(pool, Mapping) else None
    if not isinstance(executor, ThreadPoolExecutor):
        raise InputTypeError(f"pool must be what start_multi_process_pool() returned; got {short_repr(pool)}.")
    return executor


def map_chunks(pool, function: Callable[[list], Any], rows: list, chunk_size: int | None) -> list:
    """`function` of each chunk of rows, on the pool's threads -> the results in order."""
    executor = executor_of(pool)
    if chunk_size is None:
        workers = len(pool["processes"])
        chunk_size = max(1, min(ceil(len(rows) / workers / CHUNKS_PER_WORKER), LARGEST_CHUNK))
    chunk_size = read_int("chunk_size", chunk_size, 1)
    chunks = [rows[start : start + chunk_size] for start in range(0, len(rows), chunk_size)]
    try:
        futures = [executor.submit(function, chunk) for chunk in chunks]
    except RuntimeError:
        raise InputError("the pool was stopped; start another with start_multi_process_pool().") from None
    return [future.result() for future in futures]


def map_rows(function: Callable[[Any], Any], rows, pool, device, chunk_size: int | None):
    """`function` of all rows at once; or of chunks of them on the threads of a pool, or on as many as `device` is a list of.

    The results of chunks, arrays or lists, are joined.
    """
    if not isinstance(device, list):
        check_device(device)
        if pool is None:
            return function(rows)
    own = start_pool(device) if pool is None else None
    try:
        parts = map_chunks(pool if own is None else own, function, list(rows), chunk_size)
    finally:
        if own is not None:
            stop_pool(own)
    if not parts:
        return function([])
    return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else [row for part in parts for row in part]
