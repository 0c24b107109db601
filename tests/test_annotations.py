import csv
import io
import json
import unicodedata
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sources import refusal

from gch.commands.source import guess_dataset
from gch.data import annotations
from gch.data.annotations import open_collection
from gch.data.cells import is_missing
from gch.data.layouts import find_layout
from gch.data.pairs import oddities
from gch.errors import DataError

FUZZ = settings(max_examples=40, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(folder, content, name="list.csv"):
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_collection(file, folder, 8, "crop")


def json_lines(*entries):
    return "".join(json.dumps(entry) + "\n" for entry in entries)


def one(**fields):
    return json_lines({"path": "a.jpg", "text": "sea", "labels": ["x"]} | fields)


def test_csv_and_json_lines_are_read_alike(tmp_path):
    table = read(
        tmp_path,
        'path,text,labels\na.jpg,"a cat, asleep",animal;indoor\nsub/b.png,,7\n'
        'c.gif,nothing,\n\nd.jpg,"two ""lines""\nof text", 7 | animal ;\n',
    )
    lines = json_lines(
        {"path": "a.jpg", "text": "a cat, asleep", "labels": ["indoor", "animal"]},
        {"path": "sub/b.png", "text": None, "labels": 7},
        {"path": "c.gif", "text": "nothing"},
        {"path": "d.jpg", "text": ['two "lines"', "of text"], "labels": [7, "animal", "7"]},
    )
    for got in (table, read(tmp_path, "\ufeff" + lines.replace("\n", "\r\n\r\n"), "list.jsonl")):
        assert got.ids == ("a.jpg", "sub/b.png", "d.jpg")
        assert got.captions == ("a cat, asleep", "", 'two "lines"\nof text')
        assert got.label_names == ("7", "animal", "indoor")
        assert got.labels.dtype == np.uint8
        np.testing.assert_array_equal(got.labels, [[0, 1, 1], [1, 0, 0], [1, 1, 0]])
        assert got.found[1] == "left out, because they have no label: 1 entries (c.gif)"


@pytest.mark.parametrize(
    ("content", "tags"),
    [
        ('path,tags,labels\na.jpg,"blue sky; sea, calm ;;",x\n', ("blue sky", "sea, calm")),
        ('path,keywords,labels\na.jpg,"blue sky, sea",x\n', ("blue sky", "sea")),
        ("Image;TAGS;Label\na.jpg;blue sky, sea;x\n", ("blue sky", "sea")),
        ("file_name\t Tags \tcategory\na.jpg\tblue sky;sea\tx\n", ("blue sky", "sea")),
        ({"tags": "a, b; c"}, ("a, b", "c")),
        ({"keywords": ["a, b; c", " d ", ""]}, ("a, b; c", "d")),
    ],
)
def test_tags(tmp_path, content, tags):
    if isinstance(content, dict):
        entry = json_lines({"file": "a.jpg", "category": "x"} | content)
        assert read(tmp_path, entry, "list.ndjson").captions == (tags,)
    else:
        assert read(tmp_path, content).captions == (tags,)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("red, white;blue|x", ("blue", "red, white", "x")),
        (["a;b", "c|d"], ("a;b", "c|d")),
        (-3, ("-3",)),
        ([10, 9, "10"], ("10", "9")),
        ("\ufb01re\uff1b \u2163", ("IV", "fire")),
        ("red, white", ("red", "white")),
        ("3 17 3", ("17", "3")),
        (2.0, ("2",)),
        ([True, False, True], ("0", "2")),
        (["a", None, float("nan")], ("a",)),
    ],
)
def test_labels(tmp_path, value, names):
    assert read(tmp_path, one(labels=value), "list.jsonl").label_names == names
    if isinstance(value, str):
        assert read(tmp_path, f'path,text,labels\na.jpg,sea,"{value}"\n').label_names == names


LISTS = {
    "Python": "['sea', 'red, white']",
    "Python, mixed quotes": "['sea', \"red, white\"]",
    "tuple": "('sea', 'red, white')",
    "set": "{'sea', 'red, white'}",
    "bytes": "[b'sea', b'red, white']",
    "JSON": '["sea", "red, \\u0077hite"]',
    "JSON, missing": '["sea", null, "red, white", NaN]',
    "Python, missing": "['sea', nan, 'red, white', None]",
    "semicolons": "['sea'; 'red, white']",
    "NumPy": "['sea' 'red, white']",
    "NumPy's repr": "array(['sea', 'red, white'], dtype=object)",
    "NumPy's strings": "[np.str_('sea'), np.str_('red, white')]",
    "pandas' index": "Index(['sea', 'red, white'], dtype='object')",
    "PostgreSQL": '{sea,"red, white"}',
    "quoted part": 'sea, "red, white"',
    "quoted part after ;": '"red, white";sea',
}


@pytest.mark.parametrize("field", ["labels", "tags"])
@pytest.mark.parametrize("name", LISTS)
def test_lists_in_cells(tmp_path, name, field):
    rows = [["path", "tags", "labels"], ["a.jpg", "x", "x"]]
    rows[1][rows[0].index(field)] = LISTS[name]
    table = io.StringIO(newline="")
    csv.writer(table).writerows(rows)
    lines = json_lines(dict(zip(*rows, strict=True)))
    for got in (read(tmp_path, table.getvalue()), read(tmp_path, lines, "list.jsonl")):
        found = got.label_names if field == "labels" else sorted(got.captions[0])
        assert list(found) == ["red, white", "sea"]


@pytest.mark.parametrize("label", ["[sea", "(sea)", 'sea "calm"', "it's, that's"])
def test_what_only_resembles_a_list(tmp_path, label):
    got = read(tmp_path, one(text=label, labels=[label]), "list.jsonl")
    assert (got.label_names, got.captions) == ((label,), (label,))
    assert read(tmp_path, one(labels=label), "list.jsonl").label_names == tuple(sorted(label.split(", ")))


def test_texts_in_a_list_are_lines_and_others_stay(tmp_path):
    texts = ["['a dog', 'its sea']", "[a dog]", "a, dog"]
    entries = [one(path=f"{row}.jpg", text=text) for row, text in enumerate(texts)]
    got = read(tmp_path, "".join(entries), "list.jsonl")
    assert got.captions == ("a dog\nits sea", "[a dog]", "a, dog")


@pytest.mark.parametrize(
    "missing", ["NaN", "nan", "None", "NA", "N/A", "<NA>", "null", "[]", "[nan]", "set()", " "]
)
def test_missing_values_are_missing(tmp_path, missing):
    rows = f"a.jpg,{missing},x\nb.jpg,sea,{missing}\nc.jpg,sea,x\n"
    for field, empty in (("text", ""), ("tags", ())):
        got = read(tmp_path, f"path,{field},labels\n{rows}")
        assert (got.ids, got.label_names) == (("a.jpg", "c.jpg"), ("x",))
        assert got.captions[0] == (missing if field == "text" and missing[0] in "[s" else empty)


@pytest.mark.parametrize("cells", [("1 0 1", "0 0 1", "0 0 0"), ("1,0,1", "0,0,1", "0,0,0")])
@pytest.mark.parametrize("form", ["{}", "[{}]"])
def test_zeros_and_ones_say_which_labels_an_item_has(tmp_path, cells, form):
    rows = "".join(f'{row}.jpg,sea,"{form.format(cell)}"\n' for row, cell in enumerate(cells))
    got = read(tmp_path, f"path,text,labels\n{rows}")
    assert got.ids == ("0.jpg", "1.jpg")
    assert got.label_names == ("0", "2")
    np.testing.assert_array_equal(got.labels, [[1, 1], [0, 1]])


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        ([f"dog {row} sea" for row in range(30)], "30 of 30 labels belong to one item, such as 'dog 0 sea'"),
        (["dog", "sea", "car", "dog sea", "sea/car", "car & dog"] * 4, "3 of 6 labels consist of words of"),
        (["dog", "sea", "car", "living room", "dining room", "sky"] * 4, ""),
        ([f"{row};{row % 3};all" for row in range(30)], ""),
    ],
)
def test_cells_that_look_like_lists_are_told(tmp_path, labels, line):
    rows = "".join(f"{row}.jpg,sea,{label}\n" for row, label in enumerate(labels))
    found = " ".join(oddities(read(tmp_path, f"path,text,labels\n{rows}")))
    assert line in found
    assert ("cells look like lists" in found) == bool(line)


def test_labels_that_differ_only_in_case_are_told(tmp_path):
    got = read(tmp_path, "path,text,labels\na.jpg,sea,Dog\nb.jpg,sea,dog\nc.jpg,sea,cat\n")
    assert oddities(got) == ["labels 'Dog' and 'dog' differ only in case; they count as two"]


def test_a_label_that_every_item_has_is_told(tmp_path):
    got = read(tmp_path, "path,text,labels\na.jpg,sea,x;y\nb.jpg,sea,y\n")
    assert oddities(got) == ["every item has label 'y', so all are relevant to each other and mAP is 1"]


PLAIN = "path,text,labels\na.jpg,a dog,x\nb.jpg,sea,y\n"
SPREADSHEETS = {
    "byte order mark, Windows' line ends": b"\xef\xbb\xbf" + PLAIN.replace("\n", "\r\n").encode(),
    "blank rows": PLAIN.replace("\nb", "\n,,\n , ,\nb") + ",,\n,,\n",
    "blank columns": PLAIN.replace("sea,y", "sea,y,, "),
    "sep=": "sep=;\r\n" + PLAIN.replace(",", ";"),
    "sep= in quotes": '\ufeff"sep=|"\n' + PLAIN.replace(",", "|"),
    "bars": PLAIN.replace(",", "| "),
    "tabs": PLAIN.replace(",", "\t"),
    "UTF-16": PLAIN.replace(",", "\t").encode("utf-16"),
    "UTF-16, other order": b"\xfe\xff" + PLAIN.replace("\n", "\r\n").encode("utf-16-be"),
    "UTF-16, carriage returns": PLAIN.replace("\n", "\r").encode("utf-16"),
    "carriage returns": PLAIN.replace("\n", "\r"),
    "carriage returns, some": PLAIN.replace("\n", "\r", 1),
    "blanks after commas": PLAIN.replace(",", ", "),
    "blanks before quotes": PLAIN.replace("a dog", '  "a dog"'),
    "quoted, after blanks": '"path", "text", "labels"\n"a.jpg", "a dog", "x"\n"b.jpg", "sea", "y"\n',
}


@pytest.mark.parametrize("name", SPREADSHEETS)
def test_spreadsheets_as_they_come(tmp_path, name):
    assert read(tmp_path, SPREADSHEETS[name]).digest == read(tmp_path, PLAIN).digest


def test_long_cells_and_line_feeds_in_cells(tmp_path):
    text = "dog " * 100_000 + '\r\nand "sea", calm'
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\r").writerows([["path", "text", "labels"], ["a.jpg", text, "x"]])
    assert read(tmp_path, table.getvalue()).captions == (text,)


def test_a_caption_a_line(tmp_path):
    rows = "a.jpg,one,x\nb.jpg,sea,x\n./a.jpg,two,y\na.jpg,one,x\n"
    got = read(tmp_path, f"path,text,labels\n{rows}")
    assert (got.ids, got.captions) == (("a.jpg", "b.jpg"), ("one\ntwo", "sea"))
    np.testing.assert_array_equal(got.labels, [[1, 1], [1, 0]])
    assert got.found[1] == "4 entries describe 2 pictures; texts and labels of a picture are joined"
    assert read(tmp_path, f"path,tags,labels\n{rows}").captions == (("one", "two"), ("sea",))


def test_kaggles_captions(tmp_path):
    (tmp_path / "Images").mkdir()
    (tmp_path / "Images" / "a.jpg").touch()
    (tmp_path / "readme.txt").touch()
    (tmp_path / "captions.txt").write_text("image,caption,label\na.jpg,one,x\na.jpg,two,x\n")
    for path in (tmp_path, tmp_path / "captions.txt"):
        layout = find_layout(path, "collection")
        assert layout.annotations == tmp_path / "captions.txt"
        assert guess_dataset(path) == "collection"
    assert open_collection(layout.annotations, tmp_path, 8, "crop").ids == ("Images/a.jpg",)


def test_paths_have_one_spelling(tmp_path):
    entries = one(path="./sub//a.jpg") + one(path="sub\\b.jpg") + one(path=" a .jpg")
    assert read(tmp_path, entries, "list.jsonl").ids == ("sub/a.jpg", "sub/b.jpg", " a .jpg")
    for name in ("b.jpg", "c.jpg", " c.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "e\u0301.jpg").touch()  # as macOS may pack it
    entries = one(path=" b.jpg ") + one(path=" c.jpg") + one(path="\u00e9.jpg")
    assert read(tmp_path, entries, "list.jsonl").ids == ("b.jpg", " c.jpg", "e\u0301.jpg")


def test_links_and_absolute_paths_may_not_lead_out_of_the_folder(tmp_path):
    folder, other = tmp_path / "folder", tmp_path / "folder2"
    (folder / "sub").mkdir(parents=True)
    other.mkdir()
    (other / "a.jpg").touch()
    (folder / "out").symlink_to(other)
    (folder / "out.jpg").symlink_to(other / "a.jpg")
    (folder / "in.jpg").symlink_to(folder / "sub")
    (tmp_path / "link").symlink_to(folder)
    for base in (folder, tmp_path / "link"):
        entries = one(path="in.jpg") + one(path=f"{folder}/a.jpg") + one(path=f"{base}/sub/b.jpg")
        assert read(base, entries, "list.jsonl").ids == ("in.jpg", "a.jpg", "sub/b.jpg")
    for path in ("out/a.jpg", "out.jpg"):
        with pytest.raises(DataError, match=f"line 1: field 'path': found '{path}', expected a path"):
            read(folder, one(path=path), "list.jsonl")


WITHOUT_LABELS = {
    "captions.txt": ("image,caption\na.jpg,sea\nb.jpg,a cat\na.jpg,blue\n", ""),
    "list.csv": ("path,text,labels\na.jpg,sea,\nb.jpg,a cat,;\na.jpg,blue,NaN\n", ""),
    "mistyped.csv": (
        "path,text,lables,date\na.jpg,sea,x,1999\nb.jpg,a cat,,\na.jpg,blue,x,\n",
        "; not read: 'lables', 'date'",
    ),
    "list.jsonl": (
        json_lines(
            {"path": "a.jpg", "text": "sea", "lables": ["coast"], "date": 1999},
            {"path": "b.jpg", "text": "a cat", "labels": []},
            {"path": "a.jpg", "text": "blue", "labels": None},
        ),
        "; not read: 'lables', 'date'",
    ),
}


@pytest.mark.parametrize("name", WITHOUT_LABELS)
def test_without_any_label_all_entries_are_kept_and_fields_that_are_not_read_are_told(tmp_path, name):
    """A mistyped `labels` would train on no labels, and look right."""
    content, unread = WITHOUT_LABELS[name]
    got = read(tmp_path, content, name)
    assert (got.ids, got.captions) == (("a.jpg", "b.jpg"), ("sea\nblue", "a cat"))
    assert (got.labels.shape, got.labels.dtype, got.label_names) == ((2, 0), np.uint8, ())
    assert got.found[0] == f"{name}: 2 pictures with free text and no labels{unread}"
    assert len(got.found) == 2
    assert oddities(got) == []


HEADER = "path,text,labels\n"
BAD_CSV = {
    "blank": (
        " \n\n",
        r"field 'path' not found, found columns \[\], expected path, text or tags, and lab",
    ),
    "no rows": (HEADER, "found no entry"),
    "no path": ("url,text,labels\n", r"line 1: field 'path' not found, found columns \['url', 'text', 'lab"),
    "no text": ("\npath,labels\n", "line 2: field 'text' or 'tags' not found, found columns"),
    "many columns": (",".join("abcdefghijklmnopqrstuvwxyz"), r"columns \['a', 'b', .*\.\.\.\], expected"),
    "text and tags": ("path,caption,tags,labels\n", "'caption' and 'tags', expected one field for 'text' or"),
    "two paths": ("path,Image,tags,labels\n", "found 'path' and 'Image', expected one field for 'path'"),
    "more cells": (HEADER + "a.jpg,sea, calm,x\n", "line 2: 4 cells, expected 3 as in the header"),
    "empty path": (HEADER + " ,sea,x\n", "line 2: field 'path': found ' ', expected the path of a picture"),
    "open quote": (HEADER + 'a.jpg,"sea,x\nb.jpg,sea,x\n', "line 2: unexpected end of data, expected a row"),
    "line after quoted": (HEADER + 'a.jpg,"\n\n",x\nb.jpg,sea\n', "line 5: 2 cells"),
    "not utf-16": (b"\xff\xfep\0a\0\x00\xd8", "line 1: not UTF-16; expected a file of annotations"),
    "not utf-8": (HEADER.encode() + b"a.jpg,s\xe9a,x\n", "line 2: byte 8 is 0xe9, not UTF-8"),
    "nul": (HEADER + "a.jpg,s\0a,x\n", "line 2: found a NUL byte"),
    "no words": (HEADER + "a.jpg,,x\nb.jpg, ,x\nc.jpg,sea,\n", "'text' or 'tags': empty in all 2 entries"),
}
BAD_JSON = {
    "empty": ("", "found no entry, expected one for each picture"),
    "not json": (one() + "path: a.jpg\n", "line 2: column 1: Expecting value, found 'path: a"),
    "cut": ('{"path": "a"\n', "line 1: column 13: .*, found the end of the line, expected a JSON object"),
    "list": (f"[{one().strip()}]\n", "line 1: found .*, expected a JSON object"),
    "deep": (f'{{"path": {"[" * 100_000}\n', "line 1: maximum recursion.*, expected a simple JSON object"),
    "digits": (f'{{"labels": {"9" * 5000}}}\n', "line 1: Exceeds the limit.*, expected a simple JSON object"),
    "nothing": ("{}\n", r"line 1: field 'path' not found, found fields \[\], expected path, text"),
    "path": (one(path=3), "line 1: field 'path': found 3, expected the path of a picture"),
    "the folder": (one(path="./"), r"line 1: field 'path': found './', expected the path of a picture"),
    "text in list": (one(text=["a", {}]), "line 1: field 'text': found {}, expected a string, or a list"),
    "labels": (one(labels=1.5), "field 'labels': found 1.5, expected strings or whole numbers, or a list"),
    "mapping": (one(labels="{'a': 1, 'b': 0}"), r"field 'labels': found .*expected a whole list of strings"),
    "list without end": (one(labels="['a', 'b'"), "'labels': found .*expected a whole list of strings"),
    "list with a gap": (one(labels="['a' ... 'b']"), r"field 'labels': found .*expected a whole list of str"),
    "label in list": (one(labels=["a", True]), "field 'labels': found True, expected strings or whole"),
    "list in a list": (one(labels=[["x" * 999]]), r"field 'labels': found \['x{15,30}\.\.\..{,40}, exp"),
    "nul": (one(text="a\0"), r"line 1: field 'text': found character '\\x00', expected text"),
    "half a character in a path": (one(path="\ud83d"), r"line 1: field 'path': found character '\\ud83d'"),
    "line break in a path": (one(path="/a\nb"), r"field 'path': found '/a\\nb', expected a path"),
}
OUTSIDE = ["/etc/a.jpg", "../a.jpg", "a/../b.jpg", "..", "C:\\a.jpg", "c:a.jpg", "\\a.jpg", "a\\..\\..\\b"]
OUTSIDE += ["\\\\host\\share\\a", "//host/a", "https://host/a.jpg", "/" + "long" * 999]
BAD = [("list.csv", *bad) for bad in BAD_CSV.values()] + [("list.jsonl", *bad) for bad in BAD_JSON.values()]
STAYS = "line 1: field 'path': found .*, expected a path that stays in the folder"
BAD += [("list.jsonl", one(path=path), STAYS) for path in OUTSIDE]


@pytest.mark.parametrize(("name", "content", "line"), BAD)
def test_bad_content_is_refused_in_one_line(tmp_path, name, content, line):
    with refusal(line, f"{tmp_path / name}: ") as caught:
        read(tmp_path, content, name)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("make", "name", "line"),
    [
        (Path.mkdir, "list.csv", "a folder, expected a file of annotations"),
        (lambda file: file.symlink_to(file), "list.jsonl", "cannot be read, "),
        (Path.touch, "list.xlsx", "found suffix '.xlsx', expected .csv, .tsv, .jsonl, .ndjson"),
        (lambda file: file.write_bytes(b"123456"), "list.csv", "6 bytes, expected 5 at most"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, monkeypatch, make, name, line):
    monkeypatch.setattr(annotations, "MAX_FILE_BYTES", 5)
    file = tmp_path / "line\nbreak" / name
    file.parent.mkdir()
    make(file)
    with refusal(line, name):
        open_collection(file, tmp_path, 8, "crop")


def test_labels_too_many_for_memory_are_refused(tmp_path):
    line = "field 'labels': 1 labels of 1 entries, expected as many as fit"
    with mock.patch.object(np, "zeros", side_effect=MemoryError), pytest.raises(DataError, match=line):
        read(tmp_path, one(), "list.jsonl")


def test_the_one_file_is_found(tmp_path):
    for name in ("a.jpg", "notes.txt", ".hidden.csv"):
        (tmp_path / name).touch()
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "folder.csv" / "deep.csv").touch()
    with pytest.raises(DataError, match=r"no data set found for collection, .* a CSV or JSON-lines"):
        find_layout(tmp_path, "collection")
    (tmp_path / "List.CSV").touch()
    assert find_layout(tmp_path, "collection").annotations == tmp_path / "List.CSV"
    assert find_layout(tmp_path, "files").annotations == tmp_path / "List.CSV"
    for name in ("b.ndjson", *(f"{number}.tsv" for number in range(9))):
        (tmp_path / name).touch()
    several = r"11 files of annotations \(0.tsv, .*, 4.tsv, ...\), expected one; the setting annotations"
    with pytest.raises(DataError, match=several):
        find_layout(tmp_path, "collection")
    assert find_layout(tmp_path, "collection", "b.ndjson").annotations == tmp_path / "b.ndjson"


# Words without what separates or wraps tags and labels, and no numbers; at least one character survives NFKC
# and stripping.
def normal(text):
    return unicodedata.normalize("NFKC", text).strip()


word = st.text(st.characters(exclude_categories=["Cs", "Cc", "N"]), min_size=1, max_size=8)
word = word.filter(lambda text: normal(text) and not set(normal(text)) & set(';|,"[](){}0123456789'))
word = word.filter(lambda text: not is_missing(normal(text)))
part = st.text(st.characters(exclude_characters="\0/\\:", exclude_categories=["Cs"]), min_size=1, max_size=8)
part = part.filter(lambda text: text not in (".", "..") and text.strip())
paths = st.lists(st.lists(part, min_size=1, max_size=3).map("/".join), min_size=1, max_size=5, unique=True)


@st.composite
def items(draw):
    chosen = draw(paths)
    lists = st.lists(word, min_size=1, max_size=3)
    return chosen, [draw(lists) for _ in chosen], [draw(lists) for _ in chosen]


@FUZZ
@given(items(), st.sampled_from(",;\t"), st.booleans())
def test_what_is_written_is_read_back(tmp_path, written, delimiter, as_tags):
    chosen, tags, labels = written
    table = io.StringIO(newline="")
    writer = csv.writer(table, delimiter=delimiter)
    writer.writerow(["path", "tags" if as_tags else "text", "labels"])
    lines = ""
    for path, words, names in zip(chosen, tags, labels, strict=True):
        writer.writerow([path, ";".join(words) + ";" if as_tags else words[0], "|".join(names)])
        text = {"tags": words} if as_tags else {"text": words[0]}
        lines += json_lines({"path": path, "labels": names} | text)
    captions = [tuple(map(normal, words)) if as_tags else normal(words[0]) for words in tags]
    wanted_names = sorted({normal(name) for names in labels for name in names})
    for got in (read(tmp_path, table.getvalue()), read(tmp_path, lines, "list.jsonl")):
        assert (list(got.ids), list(got.captions)) == (chosen, captions)
        assert got.label_names == tuple(wanted_names)
        assert len(got.found) == 1
        for row, names in zip(got.labels, labels, strict=True):
            assert {wanted_names[i] for i in np.flatnonzero(row)} == {normal(name) for name in names}


SEEDS = {
    "list.csv": b'path,text,labels\na.jpg,"a ""cat"", out",animal;indoor\nsub/b.png,caf\xc3\xa9,7\nc.gif,,\n',
    "list.jsonl": one(labels=[1, "b"]).encode()
    + json_lines({"image": "b", "tags": "x;y", "label": 2}).encode(),
}
FRAGMENTS = [bytes([byte]) for byte in b'"\n\r,;\t\0\xff/[}'] + [b"../", b"\\u0000", b"null"]


ANY = st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace"))
INSERTED = st.sampled_from(FRAGMENTS) | st.binary(max_size=3)
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), INSERTED), max_size=4)


@FUZZ
@given(st.sampled_from(sorted(SEEDS)), ANY | st.none(), CHANGES)
def test_random_content_is_read_or_refused(tmp_path, name, content, changes):
    if content is None:
        content = SEEDS[name]
        for share, cut, inserted in changes:
            place = int(share * len(content))
            content = content[:place] + inserted + content[place + cut :]
    try:
        got = read(tmp_path, content, name)
    except DataError as error:
        line = str(error)
    else:
        line = "read"
        assert got.labels.shape == (len(got.ids), len(got.label_names))
        assert got.labels.any(0).all()
        assert got.labels.any(1).all() or not got.label_names
    assert len(line.splitlines()) == 1


def test_half_a_character_of_a_text_is_read_as_the_replacement_character(tmp_path):
    entry = one(text="a \ud83d cat\u2028dog", labels=["\ud83d\ude00", "x\udcff"])
    pairs = read(tmp_path, entry, "list.jsonl")
    assert (pairs.captions, pairs.label_names) == (("a \ufffd cat\u2028dog",), ("x\ufffd", "\U0001f600"))
