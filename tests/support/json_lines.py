"""Files and output that hold a JSON object in each line."""

import json
from pathlib import Path


def objects(lines):
    return [json.loads(line) for line in lines]


def read(path):
    return objects(Path(path).read_text(encoding="utf-8").splitlines())
