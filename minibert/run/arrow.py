"""`Mapper`: a task of `minibert run` over Arrow tables, for the engines that span machines.

    mapper = Mapper("text-classification", "minibert-sst2", text_column="review")
    mapper(table)                  the table, with the columns label, score and reason added
    mapper.schema(table.schema)    the schema of that, for engines that ask first

A table in, a table out: `map_batches` of Ray Data, `mapInArrow` of Spark, a UDF of Daft and `map_partitions` of Dask take
such a function. Answers are those of `minibert run`, to the bit, however the engine divides the rows. Needs pyarrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ..errors import InputError, InputTypeError, is_integer, short_repr, strict_arguments
from ..kernels.runtime.process_lock import ProcessLock
from ..kernels.runtime.thread_count import set_num_threads
from ..pipelines import pipeline_class
from .columnar import BATCH_ROWS, dicts_of, import_pyarrow
from .columns import Answers, answer_columns, reason_of
from .source import check_names
from .tasks import Task, canonical_task, make_task, rounded

pa = import_pyarrow("a table")
ARROW_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64()}
LOADED_MODELS = 4  # kept in a process
load_lock = ProcessLock()


class Mapper:
    """A task and its options. Pickles to these alone; each process loads the model when it first calls a Mapper.

    `text_column` names the column of texts; `options` are those of the task on the command line (`top_k=3`,
    `question_column="q"`, `truncate=True`). `prefix` is put before the names of the answer's columns. `threads` is how many
    threads a call may use in this process: as many as the engine counts for one worker. A row without an answer has None in
    the answer's columns, and why in `reason_column`; if that is None, such a row is an InputError.
    """

    @strict_arguments
    def __init__(
        self,
        task: str,
        model: str,
        *,
        text_column: str = "text",
        prefix: str = "",
        reason_column: str | None = "reason",
        kernels: str | Mapping[str, str] = "auto",
        revision: str | None = None,
        threads: int = 1,
        **options: Any,
    ) -> None:
        self.task = canonical_task(task)
        texts = {"model": model, "text_column": text_column, "prefix": prefix}
        optional = {"reason_column": reason_column, "revision": revision}
        for name, value in {**texts, **{name: value for name, value in optional.items() if value is not None}}.items():
            if not isinstance(value, str):
                raise InputTypeError(f"{name} must be text; got {short_repr(value)}.")
        if not is_integer(threads) or threads < 1:
            raise InputError(f"threads must be an integer, 1 or more; got {short_repr(threads)}.")
        pairs = kernels.items() if isinstance(kernels, Mapping) else ((kernels, kernels),)
        if not all(isinstance(name, str) for pair in pairs for name in pair):
            raise InputTypeError(f"kernels is a preset, or variants by operation; got {short_repr(kernels)}.")
        check_options(self.task, options)
        self.model, self.text_column, self.prefix, self.reason_column = model, text_column, prefix, reason_column
        self.kernels, self.revision, self.threads, self.options = kernels, revision, int(threads), options

    def __call__(self, table: Any) -> Any:
        """A pyarrow.Table or RecordBatch -> the same with the answer's columns added."""
        if not isinstance(table, (pa.Table, pa.RecordBatch)):
            raise InputTypeError(f"a Mapper takes a pyarrow.Table or RecordBatch; got {type(table).__name__}.")
        schema = self.schema(table.schema)
        set_num_threads(self.threads)
        if isinstance(table, pa.RecordBatch):
            parts = [self.answer_batch(table.slice(start, BATCH_ROWS)) for start in range(0, table.num_rows, BATCH_ROWS)]
            added = pa.Table.from_batches(parts, self.added_schema()).combine_chunks()
            columns = [column.combine_chunks() for column in added.columns]
            return pa.RecordBatch.from_arrays([*table.columns, *columns], schema=schema)
        added = pa.Table.from_batches(map(self.answer_batch, table.to_batches(BATCH_ROWS)), self.added_schema())
        return pa.Table.from_arrays([*table.columns, *added.columns], schema=schema)

    def schema(self, schema: Any) -> Any:
        """The schema of a table -> that of the result. InputError if a column is missing, or already has an answer's name."""
        check_names(schema.names, "a table")
        for flag, name in self.load().input_columns.items():
            if name not in schema.names:
                option = flag.lstrip("-").replace("-", "_")
                has = ", ".join(map(repr, schema.names))
                raise InputError(f"the table must have a column {name!r}; it has {has}. Name another with {option}=...")
        added = self.added_schema()
        if repeated := [name for name in added.names if name in schema.names]:
            raise InputError(
                f"the table already has a column {repeated[0]!r}, which is also the name of a column that is added. "
                "Pass prefix= or reason_column=."
            )
        return pa.schema([*schema, *added], metadata=schema.metadata)

    def added_schema(self) -> Any:
        fields = [(self.prefix + name, arrow_type(declared)) for name, declared in self.load().answer_types.items()]
        return pa.schema([*fields, *([(self.reason_column, pa.string())] if self.reason_column is not None else [])])

    def answer_batch(self, batch: Any) -> Any:
        """A RecordBatch -> the columns that are added."""
        task = self.load()
        answers = answer_rows(batch, list(dict.fromkeys(task.input_columns.values())), task)
        hint = "Cut it with truncate=True."
        reasons = [None if error is None else reason_of(error, hint) for error in answers.errors]
        if self.reason_column is None:
            for row, reason in enumerate(reasons):
                if reason is not None:
                    raise InputError(f"row {row} of a batch of {len(reasons)}: {reason}")
        schema = self.added_schema()
        values = [*answers.columns.values(), reasons]
        arrays = [pa.array(map(rounded, column), column_type) for column, column_type in zip(values, schema.types)]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def load(self) -> Task:
        kernels = self.kernels if isinstance(self.kernels, str) else tuple(self.kernels.items())
        with load_lock:
            return load(self.task, self.model, self.text_column, tuple(self.options.items()), kernels, self.revision)


@lru_cache(LOADED_MODELS)
def load(task: str, model: str, text_column: str, options: tuple, kernels: str | tuple, revision: str | None) -> Task:
    """As `make_task`; its mappings come as tuples of their items."""
    variants = kernels if isinstance(kernels, str) else dict(kernels)
    return make_task(task, model, text_column, dict(options), kernels=variants, revision=revision)


def check_options(task: str, options: Mapping[str, Any]) -> None:
    """InputTypeError for a value that the command line could not have passed. `make_task` checks the names."""
    for option in pipeline_class(task).command_options:
        value = options.get(option.name)
        if value is None:
            continue
        if option.type is int and not (is_integer(value) and value >= 1):
            raise InputTypeError(f"{option.name} must be an integer, 1 or more; got {short_repr(value)}.")
        if option.type is bool and not isinstance(value, bool):
            raise InputTypeError(f"{option.name} must be True or False; got {short_repr(value)}.")
        if option.type not in (int, bool) and not isinstance(value, str):
            raise InputTypeError(f"{option.name} must be text; got {short_repr(value)}.")


def arrow_type(declared: Any) -> Any:
    """A declaration of `answer_types` -> Arrow's type: [{"label": str}] -> list<struct<label: string>>"""
    if isinstance(declared, list):
        return pa.list_(arrow_type(declared[0]))
    if isinstance(declared, dict):
        return pa.struct([(name, arrow_type(inner)) for name, inner in declared.items()])
    return ARROW_TYPES[declared]


def answer_rows(batch: Any, names: list[str], task: Task) -> Answers:
    """The answers of a batch's rows. A row with a value that Python has no object for has an error."""
    rows = list(dicts_of(batch.select(names)))
    readable = [index for index, (columns, _) in enumerate(rows) if columns is not None]
    columns_read = {name: [columns[name] for columns, _ in rows if columns is not None] for name in names}
    answered = answer_columns(columns_read, task)
    errors: list[InputError | None] = [InputError(error) if columns is None else None for columns, error in rows]
    answers = Answers({name: [None] * len(rows) for name in answered.columns}, errors)
    for position, index in enumerate(readable):
        errors[index] = answered.errors[position]
        for name, values in answered.columns.items():
            answers.columns[name][index] = values[position]
    return answers
