"""How far it is from a text to its label for somebody who reads along, with the reference kernels."""

import numpy as np
from count_call_path import call_path, path_of_one_text

from minibert.models.packing import check_range

MAX_FUNCTIONS, MAX_FILES = 53, 14


def test_one_text_passes_few_functions_in_few_files():
    files = path_of_one_text()
    functions = [f"{file}: {name}" for file, names in files.items() for _, name in names]
    assert len(functions) <= MAX_FUNCTIONS and len(files) <= MAX_FILES, "\n".join(functions)
    assert {"minibert/tokenization/fast_pipeline.py", "minibert/models/encoder.py", "kernels/reference.py"} <= files.keys()


def test_what_is_called_twice_counts_once_and_other_libraries_do_not():
    def call():
        for _ in range(2):
            check_range(np.zeros(1, int), 2, "ids", "")

    assert [[name for _, name in names] for names in call_path(call).values()] == [["check_range"]]
