"""Blocks of rows on the actors of a Ray cluster. Ray Data schedules them, and repeats those of a worker that was lost.

A worker is one actor, which loads the model once and answers a block at a time. Only places of blocks and counts pass
through Ray: workers read their inputs and write their parts themselves (parts.py), in folders that all nodes see.

Ray Data's own checkpoints are not used: they hold the ids of all rows in memory, and need a CPU of their own.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError, MinibertError
from ..kernels.runtime.thread_count import available_cpus, set_num_threads
from .blocks import Block
from .columnar import import_pyarrow
from .environment import check_environment
from .job import Job
from .parts import Counts, answer_block
from .tasks import make_task

OBJECT_STORE_BYTES = 128 << 20  # of a Ray started here; only counts pass through it
SECONDS_FOR_SLOTS = 60.0  # that a killed run may take to give its CPUs back
ISA_VARIABLE = "MINIBERT_ISA"


class Work(NamedTuple):
    """What a worker does with each block; it pickles to names."""

    task: str
    model: str
    text_column: str
    options: Mapping[str, Any]
    kernels: Any
    revision: str | None
    prefix: str
    order_column: str
    strict: bool
    folder: str  # of the parts
    threads: int
    environment: Mapping[str, str]  # the driver's
    isa: str | None  # the driver's MINIBERT_ISA


class Cluster(NamedTuple):
    """Which Ray, and how much of it."""

    address: str | None  # None is a Ray on this machine, which ends with the run
    workers: int | None  # None is as many as there are slots
    cpus_per_worker: int


class Worker:
    """An actor of Ray Data: a table of blocks in, a table of their counts out."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.job: Job | None = None

    def __call__(self, table: Any) -> Any:
        pa = import_pyarrow("a table")
        counts = [self.answer(Block(*json.loads(text))) for text in table["block"].to_pylist()]
        return pa.Table.from_pylist(counts)

    def answer(self, block: Block) -> dict[str, Any]:
        """The counts of a block; `error` is why the run cannot go on. Ray would repeat an exception with its traceback."""
        counts, message = Counts(0, 0, ""), ""
        try:
            if self.job is None:
                self.job = self.make_job()
            counts = answer_block(block, self.job, self.work.order_column, Path(self.work.folder), lambda: None)
        except MinibertError as error:
            message = str(error)
        return {**counts._asdict(), "error": message}

    def make_job(self) -> Job:
        work = self.work
        if work.isa is not None:  # before the kernels' compiler is imported
            os.environ.setdefault(ISA_VARIABLE, work.isa)
        check_environment(work.environment, platform.node())
        set_num_threads(work.threads)  # OMP_NUM_THREADS, which Ray sets for its workers, has no part in it
        if not os.path.isdir(work.folder):
            raise InputError(f"all nodes must see the output's folder; {platform.node()} has no {work.folder}.")
        names = {"kernels": work.kernels, "revision": work.revision}
        task = make_task(work.task, work.model, work.text_column, work.options, **names)
        return Job(task, lambda row: b"", work.prefix, work.strict)


def answer_blocks(blocks: list[Block], work: Work, cluster: Cluster) -> Iterator[Counts]:
    """Answer blocks on a Ray cluster; the counts of each as it is done. InputError if a worker refuses."""
    ray = import_ray()
    with connected(ray, cluster):
        from ray import data

        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        workers = min(reserve_slots(ray, cluster), len(blocks))
        items = [{"block": json.dumps(block)} for block in blocks]
        counts = data.from_items(items, override_num_blocks=len(items)).map_batches(
            Worker,
            fn_constructor_args=[work],
            batch_size=1,
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(size=workers),
            num_cpus=cluster.cpus_per_worker,
        )
        for row in translate_ray_errors(ray, counts.iter_rows()):
            if error := row.pop("error"):
                raise InputError(error)
            yield Counts(**row)


def translate_ray_errors(ray: Any, rows: Iterator[dict]) -> Iterator[dict]:
    """The same rows. What ends a worker and is none of minibert's errors is an InputError with the last line of its traceback."""
    try:
        yield from rows
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(
            f"a worker cannot go on: {reason}. All nodes must have the same minibert. Ray's logs are in the folder "
            "session_latest/logs of its temporary folder."
        ) from None


def import_ray() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray is imported
    import_pyarrow("a table")
    try:
        import ray
    except ImportError:
        raise InputError(
            "--engine ray needs Ray, which is not installed. Install it: pip install 'minibert-cpu[ray]'"
        ) from None
    return ray


@contextmanager
def connected(ray: Any, cluster: Cluster) -> Iterator[None]:
    logging.getLogger("ray").setLevel(logging.ERROR)
    options: dict[str, Any] = {"address": cluster.address}
    if cluster.address is None:
        workers = cluster.workers or max(available_cpus() // cluster.cpus_per_worker, 1)
        options = {
            "address": "local",
            "num_cpus": workers * cluster.cpus_per_worker,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**options, logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:  # Ray raises Exception itself if it does not come up in time, else one of many classes
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise InputError(
            f"Ray cannot be reached at {cluster.address or 'this machine'}: {reason}. A cluster that was started with a token "
            "wants the same one here: RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or ~/.ray/auth_token."
        ) from None
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray has set its own
        yield
    finally:
        ray.shutdown()


def reserve_slots(ray: Any, cluster: Cluster) -> int:
    """How many workers to start. InputError if the cluster has no room for them, or is in use by others for too long."""
    cpus = cluster.cpus_per_worker
    sizes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    slots = sum(size // cpus for size in sizes)
    workers = cluster.workers or slots
    if not 1 <= workers <= slots:
        raise InputError(
            f"each worker needs {cpus} CPUs of one node (--cpus-per-worker), so there is room for {slots} workers; "
            f"--workers is {workers}. The nodes have {', '.join(map(str, sizes))} CPUs."
        )
    deadline = time.monotonic() + SECONDS_FOR_SLOTS
    while (free := int(ray.available_resources().get("CPU", 0))) < workers * cpus:
        if time.monotonic() > deadline:
            raise InputError(
                f"{workers} workers need {workers * cpus} CPUs, of which others of this cluster use all but {free}. Wait for "
                "them, or take fewer workers."
            )
        time.sleep(0.5)
    return workers
