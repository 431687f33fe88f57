"""Malformed files: changes of one line of a sound file, written by hand, and texts that are no YAML of ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CIRCUIT, EXPERIMENT = HERE / "circuit.yaml", HERE / "experiment.yaml"


@dataclass(frozen=True)
class Defect:
    """A malformed file, and what a message about it must say."""

    name: str
    text: str
    place: str
    line: int | None


def defects(table: str, base: Path) -> list[Defect]:
    """The defects of a table; see the head of `circuits.txt` for its columns."""
    found = []
    for row in (HERE / table).read_text(encoding="utf-8").splitlines():
        if not row or row.startswith("#"):
            continue
        name, where, change, place = (part.strip(" ") for part in f"{row} ".split(" | "))
        lines = base.read_text(encoding="utf-8").splitlines()
        number = int(where.removesuffix("+"))
        if where.endswith("+"):
            indent = "" if number == 1 else "    " if table == "experiments.txt" and number == 25 else "  "
            lines[number:number] = (indent + change).replace("\\n", "\n").split("\n")
            number += 1
        else:
            old, new = (part.strip(" ") for part in f"{change} ".split("=>"))
            assert old in lines[number - 1], f"{table}: {name}: {old!r} is not on line {number}"
            separated = f" {old}" if not new and f" {old}" in lines[number - 1] and not old.endswith(",") else old
            lines[number - 1 : number] = lines[number - 1].replace(separated, new, 1).replace("\\n", "\n").split("\n")
        elsewhere = place.startswith("~")
        text = "\n".join(line.rstrip() for line in lines) + "\n"
        found.append(
            Defect(f"{table.partition('.')[0]}: {name}", text, place.lstrip("~"), None if elsewhere else number)
        )
    return found


# Texts that cannot be read at all: what is wrong, the bytes, what the message must hold after the file's name.
SYNTAX: list[tuple[str, bytes, str]] = [
    ("empty", b"", ":1"),
    ("only a comment", b"# nothing\n", ":1"),
    ("only a marker", b"---\n", ":"),
    ("a word", b"circuit\n", ":1"),
    ("a list", b"- name: small\n- arms: {}\n", ":1"),
    ("neither circuit nor experiment", b"color: red\n", ":1"),
    ("name alone", b"name: small\n", ":1"),
    ("open bracket", b"name: small\npopulations: {input: {size: 4\n", ":3"),
    ("closed twice", b"name: small\npopulations: {}}\n", ":2"),
    ("open quote", b"name: 'small\npopulations: {}\n", ":3"),
    ("tab as indent", b"populations:\n\tinput: {size: 4}\n", ":2"),
    ("indent goes wild", b"populations:\n    input: {size: 4}\n  output: {size: 3}\n", ":3"),
    ("colon in a colon", b"name: a: b\n", ":1"),
    ("no space after a colon", b"name: small\npopulations:\n  input:{size: 4}\n", ":3"),
    ("anchor", b"name: &small small\npopulations: {}\n", ":1"),
    ("alias", b"name: small\npopulations: {a: &a {size: 3}, b: *a}\n", ":2"),
    ("bomb of aliases", b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", ":1"),
    ("tag of python", b"name: !!python/object/apply:os.system [ls]\n", ":1"),
    ("tag of a type", b"name: !!str 3\n", ":1"),
    ("own tag", b"populations: !circuit {}\n", ":1"),
    ("merge key", b"populations: {}\nprojections: {<<: {a: 1}}\n", ":2"),
    ("two documents", b"name: small\npopulations: {}\n---\nname: other\n", ":3"),
    ("directive of another version", b"%YAML 1.1\n---\nname: small\n", ":2"),
    ("directive of a tag", b"%TAG ! tag:example.org,2000:\n---\nname: small\n", ":2"),
    ("number as key", b"populations:\n  1: {size: 3}\n", ":2"),
    ("truth value as key", b"populations:\n  true: {size: 3}\n", ":2"),
    ("nothing as key", b"populations:\n  ~: {size: 3}\n", ":2"),
    ("list as key", b"populations:\n  [a, b]: {size: 3}\n", ":2"),
    ("mapping as key", b"populations:\n  {a: b}: {size: 3}\n", ":2"),
    ("key twice", b"name: a\nname: b\npopulations: {}\n", ":2"),
    ("sixty-five deep", b"populations: " + b"[" * 70 + b"]" * 70 + b"\n", ":1"),
    ("ten thousand deep", b"populations: " + b"{a: " * 10_000, ":1"),
    ("deep by dashes", b"populations:\n" + b"- " * 500 + b"x\n", ":2"),
    ("larger than a mebibyte", b"# " + b"x\n# " * 400_000, ""),
    ("one long line", b"populations: {" + b"a, " * 50_000 + b"}\n", ":1"),
    ("too many entries", b"populations:\n" + b"".join(b"  p%d: 1\n" % index for index in range(60_000)), ":"),
    ("Latin-1", b"name: caf\xe9\n", ":1"),
    ("UTF-16", "name: small\n".encode("utf-16"), ":1"),
    ("zero byte", b"name: small\npopulations: {a\x00b: {size: 3}}\n", ":2"),
    ("escape character", b"name: small\npopulations: \x1b[31m\n", ":2"),
    ("bad escape", b'name: "\\q"\n', ":1"),
    ("escape beyond Unicode", b'name: "\\UFFFFFFFF"\n', ":1"),
    ("reserved sign", b"name: @small\n", ":1"),
    ("question of a key", b"? name\n? populations\n", ":1"),
    ("integer of five thousand digits", b"populations: {a: {size: " + b"9" * 5000 + b"}}\n", ":1"),
    ("binary file", bytes(range(256)) * 4, ":"),
    ("archive", b"PK\x03\x04" + bytes(100), ":1"),
    ("pickle", b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.", ":1"),
    ("JSON that ends early", b'{"name": "small", "populations": {"input"', ":1"),
]
