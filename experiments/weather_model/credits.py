"""Authors and licences of the photographs that the weather model was trained on.

python -m experiments.weather_model.credits PHOTOGRAPHS STORE

Writes `photographs.csv` beside the card: file, author, licence, source, and whether the
picture was held out. PHOTOGRAPHS and STORE are those of `prepare`.
"""

import csv
import io
import pathlib
import sys

from wxjax import files, models


def main(root: str, store: str) -> None:
    split = files.read_json(pathlib.Path(store) / "split.json")
    held = set(split["held_out"])
    used = held | set(split["trained"])
    rows = []
    for name in ("free.csv", "index.csv"):
        with open(pathlib.Path(root) / name) as lines:
            for row in csv.DictReader(lines):
                file = pathlib.Path(row["file"]).name
                if file in used:
                    used.remove(file)
                    author = row.get("author") or "see the source"
                    source = f"{row['repository']}: {row['source_path']}"
                    part = "held out" if file in held else "trained"
                    rows.append([file, author, row["licence"], source, part])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "author", "licence", "source", "part"])
    writer.writerows(sorted(rows))
    files.write_text(models.ROOT / models.DEFAULT / "photographs.csv", text.getvalue())
    print(f"{len(rows)} photographs, {len(used)} without a line")


if __name__ == "__main__":
    main(*sys.argv[1:])
