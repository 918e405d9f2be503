"""Name the subject of collected pictures, for `hfdiff train extractor labels.by=folders`.

    python scripts/list_subjects.py PICTURES

PICTURES is what ``collect_pictures.py`` wrote. The result is ``PICTURES/subjects.csv`` (the columns
file, original, subject: a ``labels.table``) and ``PICTURES/subjects.txt``, the list of its training
pictures. Which subject a picture has follows from the path of its original; others are left out.
"""

import csv
import re
import sys
from collections import defaultdict
from pathlib import Path

_LAND = "badlands|beach|canyon|desert|fields|fog|forest|hills|mountain|sea|sky|snow|water"
SUBJECTS = {
    "reef": r"/krank/levels/",
    "animal": r"/animals/|/erase/resource/",
    "building": r"/explore_monuments/",
    "landscape": rf"/endless-sky-high-dpi/images/land/({_LAND})\d",
    "panel": r"/redeclipse/data/(trak|philipk)/|textures/tex_(trak|buildings)/",
    "ground": r"/black_forest/|/data/textures/|/packages/yo_frankie/|textures/tex_nature/",
}


def main() -> None:
    """Write both files and say how many there are."""
    folder = Path(sys.argv[1])
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "train"]
    chosen = [(row, subject) for row in rows if (subject := _subject(row["original"]))]
    with (folder / "subjects.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "original", "subject"])
        writer.writerows([row["file"], row["original"], subject] for row, subject in chosen)
    lines = "".join(f"{row['file']}\n" for row, _ in chosen)
    (folder / "subjects.txt").write_text(lines, encoding="utf-8")
    originals: dict[str, set[str]] = defaultdict(set)
    for row, subject in chosen:
        originals[subject].add(row["original"])
    for subject, found in originals.items():
        tiles = sum(one == subject for _, one in chosen)
        sys.stdout.write(f"{subject}: {len(found)} originals, {tiles} tiles\n")


def _subject(original: str) -> str:
    return next((name for name, path in SUBJECTS.items() if re.search(path, original)), "")


if __name__ == "__main__":
    main()
