"""YAML files for values: one bounded, safe reader that knows the line of every field, and a writer that it reads back.

The reader works on the parser's events, so that aliases, tags and deep nesting are refused before anything is built
from them. Scalars follow the core schema of YAML 1.2 (``1e-4`` is a number, ``no`` a string); numbers that are not
finite are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from neurosal.errors import CircuitError, NeurosalError, Problem, near
from neurosal.graph.value import Value, plain, shown

MAX_BYTES, MAX_DEPTH, MAX_ENTRIES = 2**20, 64, 50_000
MAX_LINE = 2**16  # parsers take quadratic time for some hostile lines
WIDTH = 140
LAYOUT = "Check the indentation and punctuation of this line and of the one before."

V = TypeVar("V", bound=Value)

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+\Z|0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_UNQUOTED = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*\Z")


@dataclass(frozen=True)
class Document:
    """What a file says, and on which line each field (by its dotted path) stands."""

    data: Any
    name: str | None = None
    marks: Mapping[str, int] = field(default_factory=dict)

    def place(self, path: str) -> str:
        """`path` with the file and the line of the nearest field that the file has."""
        known = path
        while known not in self.marks and known:
            # After a colon stands a place inside what the field names (a circuit that a recipe makes, a data set).
            known = known[: max(known.rfind("."), known.rfind(":"), 0)]
        return _place(self.name, self.marks.get(known, 1), path)

    def located(self, problems: Iterable[Problem]) -> list[Problem]:
        """The same problems with the lines of this document in their places, in the order of the lines."""
        found = [
            Problem(place=self.place(entry.place), expected=entry.expected, found=entry.found, remedy=entry.remedy)
            for entry in problems
        ]
        return sorted(found, key=lambda entry: _line_of(entry.place))


def _place(name: str | None, line: int | None, path: str = "") -> str:
    where = name if line is None else f"{name}:{line}" if name else f"line {line}"
    path = path if len(path) <= 200 else f"{path[:200]}..."
    return ": ".join(part for part in (where, path) if part)


def _line_of(place: str) -> int:
    found = re.search(r"(?::|^line )(\d+)(?::|$)", place)
    return int(found.group(1)) if found else 0


def read_yaml(source: Path | str, *, error: type[NeurosalError] = CircuitError) -> Document:
    """The one document in a file (a `Path`) or a text (a `str`).

    Args:
        source: where it stands, or the text itself.
        error: the family of the error that is raised.

    Raises:
        NeurosalError: of the family `error`, for a file that cannot be read, is no UTF-8, is larger than 1 MiB, or is
            not the part of YAML 1.2 that values need: one document of mappings with names as keys, lists and scalars,
            without duplicate keys, anchors, aliases and tags, nested 64 deep at most.
    """
    name = str(source) if isinstance(source, Path) else None
    try:
        text = _text_of(source)
        data, marks = _Builder(name).build(text)
    except _Refusal as refusal:
        raise error(refusal.problem) from refusal.__cause__
    return Document(data, name, marks)


def load_value(cls: type[V], source: Path | str | Document) -> V:
    """The value of type `cls` that a file or text holds.

    Raises:
        NeurosalError: of the value's family; each problem says its file, line and path.
    """
    document = source if isinstance(source, Document) else read_yaml(source, error=cls.error)
    try:
        value = cls.from_dict(document.data)
        problems = list(misread(document.data, value))
    except NeurosalError as wrong:
        problems = list(wrong.problems)
    if problems:
        raise cls.error(document.located(problems))
    return value


def misread(given: Any, value: Any, path: str = "") -> Iterator[Problem]:
    """Fields with text or truth values where the value made numbers of them, or the reverse: a slip, never meant."""
    result = plain(value)
    if isinstance(given, Mapping) and isinstance(result, Mapping):
        for key, entry in given.items():
            if key in result:
                yield from misread(entry, result[key], f"{path}.{key}" if path else str(key))
    elif isinstance(given, (list, tuple)) and isinstance(result, list):
        for index, (entry, made) in enumerate(zip(given, result, strict=False)):
            yield from misread(entry, made, f"{path}.{index}" if path else str(index))
    elif isinstance(given, (str, bool)) != isinstance(result, (str, bool)) and not isinstance(result, (Mapping, list)):
        kind = "true or false" if isinstance(result, bool) else "text" if isinstance(result, str) else "a number"
        remedy = "Write it without quotes." if isinstance(given, str) else ""
        yield Problem(place=path, expected=kind, found=shown(given), remedy=remedy)
    elif isinstance(given, bool) and isinstance(result, str):
        yield Problem(place=path, expected="text", found=shown(given), remedy="Write it in quotes.")


# Reading ------------------------------------------------------------------------------------------------------------


class _Refusal(Exception):
    """One problem, on its way to the error family of the caller."""

    def __init__(self, place: str, expected: str, found: str, remedy: str = "") -> None:
        super().__init__(found)
        self.problem = Problem(place=place, expected=expected, found=found, remedy=remedy)


def _text_of(source: Path | str) -> str:
    if isinstance(source, str):
        if len(source) > MAX_BYTES:
            raise _Refusal("text", "at most 1 MiB", f"{len(source)} characters")
        return source
    try:
        with source.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        folder = source.parent if source.parent.is_dir() else None
        names = [entry.name for entry in folder.iterdir() if entry.suffix in (".yaml", ".yml")][:1000] if folder else []
        raise _Refusal(str(source), "a file", "nothing there", near(source.name, names) if names else "") from None
    except OSError as wrong:
        raise _Refusal(str(source), "a readable file", (wrong.strerror or str(wrong)).lower()) from None
    if len(content) > MAX_BYTES:
        raise _Refusal(str(source), "at most 1 MiB", "a larger file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = content.count(b"\n", 0, wrong.start) + 1
        raise _Refusal(
            _place(str(source), line), "text in UTF-8", f"byte {content[wrong.start]:#04x}", "Save the file as UTF-8."
        ) from None


class _Builder:
    """Makes plain data from the parser's events, with a stack of open collections instead of recursion."""

    def __init__(self, name: str | None) -> None:
        self.name = name
        self.marks: dict[str, int] = {}
        self.stack: list[tuple[Any, str]] = []  # each open mapping or list with its path
        self.key: str | None = None
        self.line = 1

    def refuse(self, expected: str, found: str, remedy: str = "", path: str | None = None) -> _Refusal:
        return _Refusal(_place(self.name, self.line, self.path if path is None else path), expected, found, remedy)

    @property
    def path(self) -> str:
        """Of what comes next."""
        if not self.stack:
            return ""
        owner, path = self.stack[-1]
        step = str(len(owner)) if isinstance(owner, list) else self.key
        return path if step is None else f"{path}.{step}" if path else step

    def build(self, text: str) -> tuple[Any, dict[str, int]]:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError
        from ruamel.yaml.reader import ReaderError

        self.refuse_long_lines(text)
        result: list[Any] = []
        documents = 0
        try:
            for event in YAML(typ="safe", pure=True).parse(text):
                kind = type(event).__name__.removesuffix("Event")
                self.line = event.start_mark.line + 1
                if kind == "DocumentStart":
                    documents += 1
                    if documents > 1:
                        raise self.refuse("one document", "a second one", "Put it into a file of its own.")
                    if event.tags or (event.version is not None and tuple(event.version) != (1, 2)):
                        raise self.refuse(
                            "YAML 1.2 without directives", "a directive", "Remove the line that starts with %."
                        )
                else:
                    self.take(kind, event, result)
        except _Refusal:
            raise
        except MarkedYAMLError as wrong:
            mark = wrong.problem_mark or wrong.context_mark
            line = mark.line + 1 if mark else self.line
            where = f"{line}:{mark.column + 1}" if mark else str(line)
            place = f"{self.name}:{where}" if self.name else f"line {where}"
            found = " ".join(str(part) for part in (wrong.context, wrong.problem) if part)
            raise _Refusal(
                f"{place}: {self.path}" if self.path else place, "YAML", found or "something else", LAYOUT
            ) from None
        except ReaderError as wrong:
            self.line = text.count("\n", 0, wrong.position) + 1
            raise self.refuse("printable text", f"character {wrong.character!r}", path="") from None
        except Exception as wrong:  # whatever else a third-party parser raises on hostile text, the text is at fault
            raise self.refuse("YAML", " ".join(str(wrong).split())[:200] or type(wrong).__name__) from wrong
        if not result:
            self.line = 1
            raise self.refuse("a mapping with names as keys", "an empty file")
        self.marks.setdefault("", 1)
        return result[0], self.marks

    def refuse_long_lines(self, text: str) -> None:
        start = 0
        while start < len(text):
            end = text.find("\n", start)
            end = len(text) if end < 0 else end
            if end - start > MAX_LINE:
                raise self.refuse(f"lines of at most {MAX_LINE} characters", f"one of {end - start}")
            start, self.line = end + 1, self.line + 1
        self.line = 1

    def take(self, kind: str, event: Any, result: list[Any]) -> None:
        if kind == "Alias" or getattr(event, "anchor", None) is not None:
            raise self.refuse(
                "no anchors and aliases", f"{'*' if kind == 'Alias' else '&'}{event.anchor}", "Write the value out."
            )
        if kind in ("Scalar", "MappingStart", "SequenceStart"):
            if len(self.marks) > MAX_ENTRIES:
                raise self.refuse(f"at most {MAX_ENTRIES} entries", "more")
            tag = getattr(event, "tag", None)
            if tag is not None:
                raise self.refuse("no tags", shown(str(tag)), "Remove it: types follow from the fields.")
            is_key = bool(self.stack) and isinstance(self.stack[-1][0], dict) and self.key is None
            if is_key:
                self.key = self.key_of(kind, event)
                self.marks[self.path] = self.line
                return
            value: Any = self.scalar(event) if kind == "Scalar" else {} if kind == "MappingStart" else []
            path = self.path
            self.marks.setdefault(path, self.line)
            self.put(value, result)
            if kind != "Scalar":
                if len(self.stack) >= MAX_DEPTH:
                    raise self.refuse(f"nesting of at most {MAX_DEPTH}", "a deeper one", path=path[:200])
                self.stack.append((value, path))
        elif kind in ("MappingEnd", "SequenceEnd"):
            self.stack.pop()
            self.key = None

    def put(self, value: Any, result: list[Any]) -> None:
        if not self.stack:
            result.append(value)
            return
        owner = self.stack[-1][0]
        if isinstance(owner, list):
            owner.append(value)
        else:
            owner[self.key] = value
            self.key = None

    def key_of(self, kind: str, event: Any) -> str:
        if kind != "Scalar":
            raise self.refuse("a name as key", f"a {'mapping' if kind == 'MappingStart' else 'list'}")
        key = self.scalar(event)
        if not isinstance(key, str):
            raise self.refuse("a name as key", shown(event.value), "Keys are text; write it in quotes if it is meant.")
        if key in self.stack[-1][0]:
            path = f"{self.path}.{key}" if self.path else key
            raise self.refuse(
                "each key once",
                f"{key!r} again (first on line {self.marks[path]})",
                "Remove one of the two.",
                path=path,
            )
        return key

    def scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.style is not None:
            return text
        if text in _NULL:
            return None
        if text in _BOOLEAN:
            return _BOOLEAN[text]
        if _INTEGER.match(text):
            if len(text) > 1000:
                raise self.refuse("a number", f"one of {len(text)} digits")
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        if _NOT_FINITE.match(text):
            raise self.refuse("a finite number", text)
        if _FLOAT.match(text):
            number = float(text)
            if not math.isfinite(number):
                raise self.refuse("a finite number", shown(text))
            return number
        return text


# Writing ------------------------------------------------------------------------------------------------------------


def to_yaml(data: Mapping[str, Any] | Value) -> str:
    """`data` as YAML that `read_yaml` reads back equal: floats exact, text quoted where it would read as another type.

    Raises:
        CircuitError: for what YAML files of values do not hold (numbers that are not finite, objects).
    """
    lines = list(_block(plain(data), 0, ""))
    return "\n".join(lines) + "\n"


def _block(data: Any, depth: int, path: str) -> Iterator[str]:
    indent = "  " * depth
    if not isinstance(data, Mapping) or not data:
        yield indent + _flow(data, path)
        return
    for key, entry in data.items():
        below = f"{path}.{key}" if path else str(key)
        head = f"{indent}{_text(str(key))}:"
        line = f"{head} {_flow(entry, below)}"
        # Populations and projections read best one a line; what contains them as blocks.
        if isinstance(entry, Mapping) and entry and (depth == 0 or len(line) > WIDTH):
            yield head
            yield from _block(entry, depth + 1, below)
        elif isinstance(entry, (list, tuple)) and len(line) > WIDTH:
            yield head
            yield from (f"{indent}  - {_flow(item, f'{below}.{index}')}" for index, item in enumerate(entry))
        else:
            yield line


def _flow(data: Any, path: str) -> str:
    if isinstance(data, Mapping):
        return (
            "{" + ", ".join(f"{_text(str(key))}: {_flow(entry, f'{path}.{key}')}" for key, entry in data.items()) + "}"
        )
    if isinstance(data, (list, tuple)):
        return "[" + ", ".join(_flow(entry, f"{path}.{index}") for index, entry in enumerate(data)) + "]"
    if data is None:
        return "null"
    if isinstance(data, bool):
        return "true" if data else "false"
    if isinstance(data, str):
        return _text(data)
    if isinstance(data, int):
        return repr(int(data))
    if isinstance(data, float) and math.isfinite(data):
        return repr(float(data))
    raise CircuitError(
        Problem(place=path, expected="text, a finite number, a truth value, a list or a mapping", found=shown(data))
    )


def _text(text: str) -> str:
    if _UNQUOTED.match(text) and text not in _NULL and text not in _BOOLEAN:
        return text
    return '"' + "".join(_escaped(letter) for letter in text) + '"'


def _escaped(letter: str) -> str:
    code = ord(letter)
    if letter in '"\\':
        return "\\" + letter
    if letter.isprintable() and not 0xD800 <= code <= 0xDFFF:
        return letter
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
