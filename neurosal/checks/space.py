"""Space: wiring that has places, wiring without weights, and the ways back through max pooling."""

from __future__ import annotations

from collections.abc import Iterator

from neurosal.checks.view import View
from neurosal.errors import Problem, near
from neurosal.graph.convolution import Convolution, Reversed
from neurosal.graph.pooling import MaxPool2d, Unpool
from neurosal.graph.projection import Projection
from neurosal.graph.value import shown
from neurosal.graph.wiring import Extent, OneToOne, Wiring, said


def check_space(view: View) -> Iterator[Problem]:
    """Wiring without weights that learns nothing, and max pooling's way back."""
    for name, edge in view.projections.items():
        if edge.wiring.weightless:
            yield from _without_weights(name, edge)
        of = str(getattr(edge.weights, "of", ""))
        if of in view.projections and view.projections[of].wiring.weightless:
            yield Problem(
                place=f"projections.{name}.weights.of",
                expected="a projection that has weights",
                found=f"{of!r}, whose wiring {_kind(view.projections[of].wiring)} has none",
                remedy="Leave the weights out: the way back through it has none either.",
            )
        if isinstance(edge.wiring, Unpool):
            yield from _unpool(view, name, edge, edge.wiring.of)
        elif isinstance(edge.wiring, Reversed) and isinstance(edge.wiring.wiring, MaxPool2d):
            yield Problem(
                place=f"projections.{name}.wiring",
                expected="unpool, which knows the winners of max pooling",
                found="max pooling reversed",
                remedy="Write wiring: {kind: unpool, of: NAME}, the projection with max pooling.",
            )


def fitting(wiring: Wiring, source: str, target: str, post: Extent, pre: Extent) -> str:
    """What to do where a wiring does not fit the extents `post` and `pre` of its ends."""
    if isinstance(wiring, OneToOne):
        return "Make the sizes equal or the wiring dense."
    forward = wiring
    if isinstance(wiring, Reversed):
        forward, post, pre, source, target = wiring.wiring, pre, post, target, source
    if not hasattr(forward, "output"):
        return ""
    axes = forward.space if isinstance(forward, Convolution) else 2
    if len(pre) not in (1, axes + 1) or len(post) not in (1, axes + 1):
        return "Convolutions and pooling have rows and columns, conv1d a length; there are none with more axes."
    if not isinstance(forward, Convolution) and len(pre) == 1:
        return f"Give {source!r} a shape of channels, rows and columns."
    if isinstance(forward, Convolution):
        least = {"reflect": 1, "circular": 0}.get(forward.padding_mode, -sum(map(sum, forward.edges)))
        if any(max(edge) + least > size for edge, size in zip(forward.edges, pre[1:], strict=False)):
            return "Pad less, or with padding_mode zeros."
        fits: Extent = forward.output(pre, post[0])
    else:
        fits = forward.output(pre, post[0]) if forward.kind == "shortcut" else forward.output(pre)
    if min(fits) < 1:
        return f"Take a smaller kernel, more padding, or a larger {source!r}."
    whole = f"shape: [{', '.join(map(str, fits))}]" if len(fits) > 1 else f"size: {fits[0]}"
    return f"Give {target!r} {whole}, or change the wiring." if fits != post else ""


def _kind(wiring: Wiring) -> str:
    return wiring.kind if not isinstance(wiring, Reversed) else f"{wiring.wiring.kind}, reversed,"


def _without_weights(name: str, edge: Projection) -> Iterator[Problem]:
    kind = _kind(edge.wiring)
    if edge.plasticity.plastic:
        yield Problem(
            place=f"projections.{name}.plasticity",
            expected=f"fixed (the wiring {kind} has no weights)",
            found=edge.plasticity.kind,
            remedy="Write plasticity: {kind: fixed}.",
        )
    if getattr(edge.weights, "of", None) is not None:
        yield Problem(
            place=f"projections.{name}.weights",
            expected=f"none (the wiring {kind} has no weights)",
            found=f"{edge.weights.kind} of {edge.weights.of!r}",  # type: ignore[attr-defined]
            remedy="Leave them out.",
        )


def _unpool(view: View, name: str, edge: Projection, of: str) -> Iterator[Problem]:
    place = f"projections.{name}.wiring"
    if edge.pathway != "feedback":
        yield Problem(
            place=place,
            expected=f"a wiring of activity (the pathway is {edge.pathway})",
            found="unpool, which goes back through the winners of a batch",
            remedy="Make the pathway feedback.",
        )
    if of in view.malformed_projections:
        return
    pools = [other for other, entry in view.projections.items() if isinstance(entry.wiring, MaxPool2d)]
    if of not in pools:
        origin = view.projections.get(of)
        found = shown(of) if origin is None else f"{of!r}, whose wiring is {_kind(origin.wiring)}"
        yield Problem(
            place=f"{place}.of",
            expected="the name of a projection with max pooling",
            found=found,
            remedy=near(of, pools),
        )
        return
    origin = view.projections[of]
    ends = [view.populations.get(end) for end in (edge.source, edge.target, origin.target, origin.source)]
    if any(end is None for end in ends):
        return
    source, target, above, below = (end.extent for end in ends if end is not None)
    if (source, target) != (above, below):
        yield Problem(
            place=place,
            expected=f"the way back through {of!r}: {said(above)} to {said(below)}",
            found=f"{said(source)} to {said(target)}",
            remedy=f"A projection from {origin.target!r} to {origin.source!r} fits.",
        )
