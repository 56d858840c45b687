"""Files of any size through a model: `minibert run`. Rows in, each with its answer out, in the same order.

    reading.py    a file -> rows: txt, csv, tsv, jsonl (each also as .gz), or from stdin
    columnar.py   the same of parquet and arrow, through pyarrow
    tasks.py      a row -> what the model is asked, and its answer -> columns
    job.py        the engine: portions of rows -> answers -> lines
    writing.py    lines -> a file aside, with a journal of what is safely in it; or stdout
    progress.py   how far, how fast, how long still, on a terminal

Memory holds one portion (pipelines/streaming.py) whatever the file's size. Read next: job.py.
"""
