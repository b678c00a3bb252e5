"""Class names as people type, paste and upload them."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifiers.errors import ClassNamesError, LabelListError
from classifiers.words.label_lists import (
    MAX_CLASS_CHARACTERS,
    MAX_CLASSES,
    MAX_FILE_BYTES,
    check_class_names,
    format_class_names,
    load_label_list,
    parse_class_names,
    read_class_names_file,
)
from classifiers.words.typed_words import read_typed_words

# What visitors send on purpose or by accident; each is one class, and plain text.
ODD_NAMES = [
    "👩‍👩‍👧‍👦",
    "🏴‍☠️",
    "قطة",
    "שלום עולם",
    "می‌خواهم",
    "大熊猫",
    "<script>alert(1)</script>",
    "=cmd|'/C calc'!A0",
    '=HYPERLINK("http://a.example")',
    "@SUM(1)",
    "+1",
    "-",
    "{}",
    "{class}",
    "NAME",
    "../../etc/passwd",
    "'; DROP TABLE classes; --",
    "$(reboot)",
    "Côte d'Ivoire",
    'the "Boss"',
    '5" nail',
    '"quoted"',
    "#1",
    " ".join(["word"] * 400),
]


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("cat\ndog\ngoldfish", ("cat", "dog", "goldfish")),
        ("cat, dog,goldfish", ("cat", "dog", "goldfish")),
        ("cat, dog\r\ngoldfish\rhorse", ("cat", "dog", "goldfish", "horse")),
        ("cat", ("cat",)),
        ('"Washington, D.C.", Boston', ("Washington, D.C.", "Boston")),
        ('Boston, "Washington, D.C."', ("Boston", "Washington, D.C.")),
        ('5" nail, 6" nail', ('5" nail', '6" nail')),
        ('5" nail, screw', ('5" nail', "screw")),
        ('say ""yes"", no', ('say ""yes""', "no")),
        ("red   panda\tcub", ("red panda cub",)),
        ("猫，狗", ("猫，狗",)),  # a Chinese comma belongs to Chinese text
        ("7", ("7",)),
    ],
)
def test_classes_come_one_a_line_or_between_commas(text: str, classes: tuple[str, ...]) -> None:
    assert parse_class_names(text).classes == classes


def test_what_is_left_out_is_counted_and_named() -> None:
    names = parse_class_names("Cat, dog,, cat\n\nDOG, straße, STRASSE")
    assert names.classes == ("Cat", "dog", "straße")
    assert names.duplicates == ("cat", "DOG", "STRASSE")
    assert names.n_empty == 2


def test_a_repeated_letter_or_digit_is_a_duplicate_and_not_an_empty_line() -> None:
    names = parse_class_names("a, b, a, 7, 7")
    assert (names.classes, names.duplicates, names.n_empty) == (("a", "b", "7"), ("a", "7"), 0)


def test_two_ways_to_write_an_accent_are_one_class() -> None:
    names = parse_class_names("café\ncafe\u0301")
    assert names.classes == ("café",) and len(names.duplicates) == 1


@pytest.mark.parametrize("text", ["", "   ", "\n\n\n", ",,,", "\0", "\0,\x07\n\x1b"])
def test_nothing_typed_gives_no_class_and_no_traceback(text: str) -> None:
    assert parse_class_names(text).classes == ()


def test_a_nul_and_control_characters_never_get_into_a_class() -> None:
    assert parse_class_names("c\0at, d\x08og, bi\x85rd").classes == ("c at", "d og", "bi", "rd")
    assert parse_class_names('"a\0,b", c').classes == ("a ,b", "c")


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: ascii(name[:20]))
def test_an_odd_name_is_one_class_of_plain_text(name: str) -> None:
    typed = format_class_names((name, "another"))
    assert parse_class_names(typed).classes == (name, "another")
    unquoted = name[1:-1] if name == '"quoted"' else name
    assert parse_class_names(name).classes == (unquoted,)


def test_classes_written_out_for_editing_are_read_back_the_same() -> None:
    pieces = ["a", '"', ",", " ", "'", '""', "b,", "é"]
    names = {f"{x}{y}{z}".strip() for x in pieces for y in pieces for z in pieces}
    classes = tuple(sorted(" ".join(name.split()) for name in names if name.strip()))
    classes = tuple(dict.fromkeys(classes))
    assert len(classes) > 300
    assert parse_class_names(format_class_names(classes)).classes == classes


def test_twenty_thousand_classes_are_refused_with_the_number() -> None:
    text = "\n".join(f"class {i}" for i in range(20_000))
    with pytest.raises(ClassNamesError, match=f"20,000 classes.*{MAX_CLASSES:,}"):
        parse_class_names(text)
    assert len(parse_class_names(text[: text.index("class 10000") - 1]).classes) == MAX_CLASSES


def test_a_class_of_four_hundred_words_is_taken() -> None:
    name = " ".join(f"word{i}" for i in range(400))
    assert parse_class_names(name).classes == (name,)


@pytest.mark.parametrize("length", [MAX_CLASS_CHARACTERS + 1, 140_000])  # csv stops at 131,072
def test_a_class_as_long_as_a_book_is_refused_with_the_number(length: int) -> None:
    with pytest.raises(ClassNamesError, match=f"{length:,} characters"):
        parse_class_names("x" * length)


def test_a_long_line_of_short_classes_is_no_problem() -> None:
    classes = tuple(f"a class called number {i}" for i in range(8_000))
    assert parse_class_names(", ".join(classes)).classes == classes


def test_no_class_at_all_asks_for_one_with_an_example() -> None:
    with pytest.raises(ClassNamesError, match="for example"):
        check_class_names(())
    check_class_names((), required=False)
    check_class_names(("one is enough",))


# -------------------------------------------------------------------------------- files


def read(folder: Path, name: str, data: bytes | str) -> tuple[str, ...]:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_class_names_file(path).classes


@pytest.mark.parametrize(
    "data",
    [
        "class\ncat\ndog\n",
        "cat\ndog",
        "\ufeffClass Name,notes\ncat,soft\ndog,loud\n",  # Excel's “CSV UTF-8”
        "label;count\r\ncat;1\r\ndog;2\r\n",  # Excel where the comma is the decimal mark
        "name\tn\ncat\t1\ndog\t2\n",
        '"class"\n"cat"\n"dog"\n',
        "cat,\n,\ndog,\n\n",
        "\0cat\ndog\0\n",
    ],
)
def test_a_csv_gives_its_first_column_without_its_header(data: str, tmp_path: Path) -> None:
    assert read(tmp_path, "pets.csv", data) == ("cat", "dog")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_is_read_in_the_encodings_that_spreadsheets_write(
    encoding: str, tmp_path: Path
) -> None:
    classes = ("Côte d'Ivoire", "猫", "👩‍👩‍👧‍👦", "שלום")
    data = "\r\n".join(classes).encode(encoding)
    assert read(tmp_path, "names.txt", data) == classes
    assert read(tmp_path, "NAMES.CSV", data) == classes


def test_quoted_commas_and_line_breaks_of_a_csv_stay_within_their_class(tmp_path: Path) -> None:
    data = 'class\n"Washington, D.C."\n"two\nlines"\n"the ""Boss"""\n=1+1\n'
    expected = ("Washington, D.C.", "two lines", 'the "Boss"', "=1+1")
    assert read(tmp_path, "cities.csv", data) == expected


def test_a_class_called_label_is_kept_where_it_is_not_the_header(tmp_path: Path) -> None:
    assert read(tmp_path, "x.csv", "bottle\nlabel\n") == ("bottle", "label")


def test_empty_rows_and_duplicates_of_a_file_are_counted(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("cat,1\n,2\nCat,3\n")
    names = read_class_names_file(tmp_path / "x.csv")
    assert (names.classes, names.duplicates, names.n_empty) == (("cat",), ("Cat",), 1)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("picture.png", b"\x89PNG", "neither .txt nor .csv"),
        ("names.xlsx", b"PK\3\4", "neither .txt nor .csv"),
        ("names.txt", b"\x89PNG\r\n\x1a\n\xff\xfe", "UTF-8"),
        ("latin.csv", "Côte d'Ivoire".encode("latin-1"), "UTF-8"),
        ("odd.txt", b"\xff\xfea\0b", "UTF-8"),  # half a character of UTF-16
        ("names.txt", b"a" * (MAX_FILE_BYTES + 1), "5 MB"),
        ("field.csv", b"a" * 140_000, "cannot be read"),
        ("many.csv", "\n".join(map(str, range(20_000))).encode(), "20,000"),
    ],
)
def test_a_file_that_holds_no_class_names_is_refused_by_its_name(
    name: str, data: bytes, says: str, tmp_path: Path
) -> None:
    with pytest.raises(ClassNamesError) as caught:
        read(tmp_path, name, data)
    assert says in str(caught.value)
    assert str(tmp_path) not in str(caught.value), "the server's folders are nobody's business"


def test_an_empty_file_has_no_classes(tmp_path: Path) -> None:
    assert read(tmp_path, "empty.txt", b"") == ()
    assert read(tmp_path, "empty.csv", b"") == ()


def test_an_unknown_label_set_is_answered_with_those_there_are() -> None:
    with pytest.raises(LabelListError, match=r"nosuch.*cat_breeds"):
        load_label_list("nosuch")
    with pytest.raises(LabelListError):
        load_label_list("../catalog")


def test_half_a_character_in_a_class_name_is_refused() -> None:
    with pytest.raises(ClassNamesError, match="damaged character") as caught:
        check_class_names(("cat", "\ud800"))
    str(caught.value).encode()
    assert parse_class_names("\ud800 cat, \ufffe\uffff, dog").classes == ("cat", "dog")


def test_typed_words_hold_nothing_that_could_not_be_saved() -> None:
    odd = "\ud800 \ufffe\x00\uffff"
    words = read_typed_words(f"My {odd} pets", f"a {odd} {{}}", f"cat {odd} fish, dog, {odd}")
    assert (words.name, words.templates, words.classes) == (
        "My pets", ("a {}",), ("cat fish", "dog"),
    )  # fmt: skip
    assert read_typed_words(odd, "a {}", "cat").name == "cat"
