"""Reviews with labels for `minibert train`, and how rows are written into a file."""

GOOD, BAD = ("a good film", "great movie !", "i love it"), ("a bad film", "dull movie .", "i hate it")


def write_lines(path, header, rows):
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in [header, *rows]), encoding="utf-8")
    return str(path)
