"""How many names of a file a label list holds, as a class or as an alias.

    python -m training.measure_nouns --names class-descriptions-boxable.csv

prints the share and the names that are missing. A line of the file is one name, or a row of the
class descriptions of Open Images (`/m/01yrx,Cat,`), which can be downloaded from its site. A name
counts whatever its capitals, spaces and hyphens, in the singular or in the plural; "Human eye"
counts as "eye" and "Drill (Tool)" as "drill".
"""

import argparse
import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "label_lists"
# What Open Images adds to a name to tell it from others of its classes.
ADDED = re.compile(r"^human (?=[a-z])| \([^)]*\)$")


def spellings(name: str) -> Iterator[str]:
    """A name in lower case without spaces and hyphens, and what may be its singulars."""
    plain = ADDED.sub("", name.strip().casefold())
    spelt = re.sub("[ -]", "", plain)
    yield spelt
    for plural, singular in (("ies", "y"), ("es", ""), ("s", ""), ("ves", "f")):
        if spelt.endswith(plural):
            yield spelt.removesuffix(plural) + singular


def names_in_list(path: Path) -> set[str]:
    """The spellings of every class and alias of a label list."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for row in rows for name in (row["class"], *row["aliases"].split("|")) if name]
    return {spelt for name in names for spelt in spellings(name)}


def missing_names(names: Iterable[str], path: Path) -> list[str]:
    """The names that a label list does not hold, in their order."""
    held = names_in_list(path)
    return [name for name in names if held.isdisjoint(spellings(name))]


def read_names(path: Path) -> list[str]:
    """The names of a file: its lines, or the second column where the first is an id."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    return [row[1] if row[0].startswith("/m/") else row[0] for row in rows]


def main() -> None:
    """Measure the list that the command line names against a file of names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--names", type=Path, required=True, help="the file of names")
    parser.add_argument("--list", default="nouns", help="the label list's id (default: nouns)")
    options = parser.parse_args()
    names = read_names(options.names)
    if not names:
        parser.error(f"{options.names} holds no names.")
    missing = missing_names(names, FOLDER / f"{options.list}.csv")
    held = len(names) - len(missing)
    print(f"{options.list} holds {held} of {len(names)} names ({100 * held / len(names):.1f} %).")
    if missing:
        print("Missing:", ", ".join(missing))


if __name__ == "__main__":
    main()
