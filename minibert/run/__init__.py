"""`minibert run`: files of any size through a model. Rows in, rows with answers out, in the same order.

    source.py        a Row, and the Source that every reader returns
    open.py          a file's name or stdin -> Source: chooses the reader, decompresses .gz
    text_readers.py  txt, csv, tsv, jsonl -> rows
    columnar.py      parquet, arrow -> rows, through pyarrow
    tasks.py         a task's declarations -> how a row becomes an input, and an answer columns
    columns.py       the core: columns -> the columns of their answers
    job.py           rows of a file -> chunks -> answers -> lines
    arrow.py         Mapper: the core over Arrow tables, for engines that span machines
    writers.py       a row and its answer -> a line of jsonl, csv or tsv
    output.py        lines -> a part file with a journal, from which a killed run is resumed; or a stream
    progress.py      rows done, rows a second, time left, on a terminal

Many files on many machines:

    filesystem.py    folders, and URLs that fsspec reads
    blocks.py        a file -> blocks of rows, each of which can be read by itself
    parts.py         a block -> a part of the output; the folder of parts, from which a killed run is resumed
    environment.py   versions and processor, which all workers must share
    ray_engine.py    blocks on the actors of a Ray cluster

Memory holds one chunk (pipelines/streaming.py), whatever the file's size. Read next: job.py.
"""
