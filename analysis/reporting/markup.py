"""HTML from values: whatever is no `Markup` is escaped, so that names and labels of users stay text."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

VOID = frozenset({"br", "col", "hr", "img", "meta", "line", "path", "polygon", "rect", "circle"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = str | Markup | int | float | None | Iterable["Content"]


def inner(content: Content) -> Markup:
    """Children of an element as HTML; None is nothing."""
    if content is None:
        return Markup("")
    if isinstance(content, Markup):
        return content
    if isinstance(content, str | int | float):
        return Markup(html.escape(str(content)))
    return Markup("".join(inner(entry) for entry in content))


def tag(name: str, /, *content: Content, **attributes: Any) -> Markup:
    """An element. ``class_`` is class, other underscores are hyphens; attributes that are None or False are left out.

    Example:
        >>> tag("p", "a < b", class_="note", data_arm=2)
        '<p class="note" data-arm="2">a &lt; b</p>'
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{html.escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID and not content:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{inner(content)}</{name}>")


def script_json(value: Any) -> Markup:
    """A value as JSON that can stand inside a script element: no character of it can end that element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def table(
    columns: Sequence[Content],
    rows: Iterable[Sequence[Content]],
    *,
    numbers: Iterable[int] = (),
    caption: Content = None,
    label: str = "table",
) -> Markup:
    """A table that scrolls on its own where the page is narrow.

    Args:
        columns: headings; none where all are empty.
        rows: cells; the first of each names its row.
        numbers: places of columns that are aligned to the right.
        caption: below.
        label: what screen readers call the scrolling part.
    """
    right = frozenset(numbers)

    def cell(kind: str, place: int, content: Content) -> Markup:
        scope = ("row" if place == 0 and kind == "th" else "col") if kind == "th" else None
        return tag(kind, content, class_="number" if place in right else None, scope=scope)

    head = tag("thead", tag("tr", [cell("th", place, entry) for place, entry in enumerate(columns)]))
    body = [
        tag("tr", [cell("th" if place == 0 else "td", place, entry) for place, entry in enumerate(row)]) for row in rows
    ]
    named = tag("caption", caption) if caption else None
    whole = tag("table", named, head if any(columns) else None, tag("tbody", body))
    return tag("div", whole, class_="scroll", role="region", tabindex="0", aria_label=label)
