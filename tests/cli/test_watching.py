"""Curves in the terminal: what is drawn, of what is committed, and when it ends."""

from __future__ import annotations

import multiprocessing
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neurosal.cli import watching
from neurosal.cli.curves import draw, raster
from neurosal.errors import StoreError
from neurosal.record import ExperimentFolder, Recorder, schema
from neurosal.record.following import LINES, Curve, Follower, Panel
from tests.cli.invoking import invoke

BRAILLE = 0x2800


def record(folder: Path, steps: range, *, close: bool = True, seeds: int = 2) -> Recorder:
    recorder = Recorder.create(folder, circuit={}, settings={}, replicas={"seed": list(range(seeds))})
    recorder.declare(schema.training_metrics())
    recorder.declare(schema.evaluation_metrics(("test",)))
    recorder.declare(schema.symmetry("every_1", {"a_to_b": 4, "b_to_c": 4}))
    add(recorder, steps, seeds)
    if close:
        recorder.close()
    return recorder


def add(recorder: Recorder, steps: range, seeds: int = 2) -> None:
    apart = np.arange(seeds) - (seeds - 1) / 2  # cancels in the mean
    for step in steps:
        recorder.append("metrics/train", step=step, epoch=0, values={"loss": 2 / step + apart})
        values = {"test_loss": apart, "test_accuracy": step / 100 + apart}
        recorder.append("metrics/eval", step=step, epoch=0, values=values)
        pairs = np.stack([apart + step, apart - step], axis=1)
        recorder.append("stats/symmetry/every_1", step=step, epoch=0, values={"angle": pairs, "norm_ratio": pairs})
    recorder.commit()


def test_means_over_seeds_are_followed_for_each_label(tmp_path: Path) -> None:
    record(tmp_path / "run", range(1, 31))
    loss, accuracy, angle = Follower(tmp_path / "run").look()
    assert [panel.path for panel in (loss, accuracy, angle)] == [
        "metrics/train/loss", "metrics/eval/test_accuracy", "stats/symmetry/every_1/angle",
    ]  # fmt: skip
    np.testing.assert_allclose(loss.curves[0].values, 2 / np.arange(1, 31))
    np.testing.assert_array_equal(loss.curves[0].steps, np.arange(1, 31))
    assert [curve.label for curve in angle.curves] == ["a_to_b", "b_to_c"]
    np.testing.assert_allclose(angle.curves[1].values, -np.arange(1.0, 31))


def test_only_what_is_committed_is_seen_and_only_what_is_new_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = record(tmp_path / "run", range(1, 11), close=False)
    follower = Follower(tmp_path / "run", ["metrics/train/loss"])
    assert len(follower.look()[0].curves[0].steps) == 10
    recorder.append("metrics/train", step=11, epoch=0, values={"loss": np.zeros(2)})
    assert len(follower.look()[0].curves[0].steps) == 10
    import neurosal.record.following as module

    read = []
    lines = module._lines
    monkeypatch.setattr(module, "_lines", lambda values, *rest: (read.append(values.shape), lines(values, *rest))[1])
    add(recorder, range(12, 15))
    assert follower.look()[0].curves[0].steps.tolist() == [*range(1, 15)]
    assert read == [(2, 4)]
    recorder.close()


def test_a_run_that_was_resumed_from_before_is_followed_back(tmp_path: Path) -> None:
    recorder = record(tmp_path / "run", range(1, 5), close=False)
    recorder.checkpoint({}, {})
    add(recorder, range(5, 11))
    follower = Follower(tmp_path / "run", ["metrics/train/loss"])
    assert len(follower.look()[0].curves[0].steps) == 10
    recorder.close("interrupted")
    recorder, _, _ = Recorder.resume(tmp_path / "run")
    assert follower.look()[0].curves[0].steps.tolist() == [1, 2, 3, 4]
    recorder.close()


def test_arms_lie_in_one_panel_and_appear_as_they_begin(tmp_path: Path) -> None:
    folder = ExperimentFolder.create(tmp_path / "pair", experiment={"name": "pair", "arms": {"a": {}, "b": {}}})
    follower = Follower(tmp_path / "pair", ["metrics/train/loss", "stats/symmetry/every_1/angle"])
    assert follower.look() == []
    record(folder.arm("a"), range(1, 4))
    assert [curve.label for curve in follower.look()[0].curves] == ["a"]
    record(folder.arm("b"), range(1, 3))
    loss, angle = follower.look()
    assert [(curve.label, len(curve.steps)) for curve in loss.curves] == [("a", 3), ("b", 2)]
    assert [curve.label for curve in angle.curves] == ["a a_to_b", "a b_to_c", "b a_to_b", "b b_to_c"]
    folder.close()


def test_of_many_labels_the_mean_is_drawn(tmp_path: Path) -> None:
    with Recorder.create(tmp_path / "run", circuit={}, settings={}, replicas={"seed": [0]}) as recorder:
        group = schema.symmetry("every_1", {f"pair{index}": 3 for index in range(LINES + 1)})
        recorder.declare(group)
        values = np.arange(LINES + 1.0)[None]
        recorder.append(group.path, step=1, epoch=0, values={"angle": values, "norm_ratio": values})
    [panel] = Follower(tmp_path / "run", ["stats/symmetry/every_1/angle"]).look()
    assert [(curve.label, curve.values.tolist()) for curve in panel.curves] == [("", [LINES / 2])]


def test_what_was_not_recorded_is_refused_with_near_names(tmp_path: Path) -> None:
    record(tmp_path / "run", range(1, 3))
    _, err = invoke("watch", tmp_path / "run", "--once", "--show", "metrics/train/los", code=2)
    assert "Did you mean 'metrics/train/loss' or" in err
    with pytest.raises(StoreError, match="the folder of a run"):
        Follower(tmp_path / "nowhere")


def test_without_a_terminal_one_plain_frame_is_printed(tmp_path: Path) -> None:
    record(tmp_path / "run", range(1, 31))
    out, _ = invoke("watch", tmp_path / "run")
    assert "done, step 30" in out
    assert "\x1b" not in out
    assert [line for line in out.splitlines() if "/" in line and "┤" not in line][1:] == [
        "metrics/train/loss", "metrics/eval/test_accuracy", "stats/symmetry/every_1/angle",
    ]  # fmt: skip
    assert "━ a_to_b 30   ━ b_to_c -30" in out


def test_nothing_recorded_and_nothing_finite_are_said(tmp_path: Path) -> None:
    with Recorder.create(tmp_path / "run", circuit={}, settings={}, replicas={"seed": [0]}) as recorder:
        assert "Nothing is recorded yet." in invoke("watch", tmp_path / "run", "--once")[0]
        recorder.declare(schema.training_metrics())
        recorder.append("metrics/train", step=1, epoch=0, values={"loss": np.full(1, np.nan)})
    assert "nothing finite" in invoke("watch", tmp_path / "run", "--once")[0]


def slow_dots(curve: Curve, columns: int, height: int) -> set[tuple[int, int]]:
    """Dots that the points themselves hit, one by one."""
    x_low, x_high = min(curve.steps), max(curve.steps)
    y_low, y_high = min(curve.values), max(curve.values)
    hit = set()
    for x, y in zip(curve.steps, curve.values, strict=True):
        column = round((x - x_low) / (x_high - x_low) * (2 * columns - 1))
        row = round((y_high - y) / (y_high - y_low) * (4 * height - 1))
        hit.add((row, column))
    return hit


def dots_of(picture: np.ndarray) -> set[tuple[int, int]]:
    order = {0: (0, 0), 1: (1, 0), 2: (2, 0), 3: (0, 1), 4: (1, 1), 5: (2, 1), 6: (3, 0), 7: (3, 1)}  # Unicode's
    found = set()
    for row, column in np.ndindex(*picture.shape):
        for bit, (down, right) in order.items():
            if picture[row, column] >> bit & 1:
                found.add((4 * row + down, 2 * column + right))
    return found


@pytest.mark.parametrize("count", [2, 9, 4000])
def test_every_point_has_its_dot_and_dots_hang_together(count: int) -> None:
    generator = np.random.default_rng(count)
    curve = Curve("", np.sort(generator.permutation(10 * count)[:count]).astype(float), generator.normal(size=count))
    x_range = (curve.steps.min(), curve.steps.max())
    dots, owner = raster([curve], 30, 7, x_range, (curve.values.min(), curve.values.max()))
    found = dots_of(dots)
    assert slow_dots(curve, 30, 7) <= found
    assert {column for _, column in found} == set(range(60)), "no gap"
    assert ((dots > 0) == (owner == 0)).all()


def test_a_rising_line_is_drawn_from_the_lower_left_to_the_upper_right() -> None:
    steps = np.arange(50.0)
    text = draw(Panel("x", (Curve("up", steps, steps),)), 40, 4).plain.splitlines()
    assert text[0] == "x"
    assert text[1].lstrip().startswith("49 ┤")
    assert text[4].lstrip().startswith("0 ┤")
    assert (ord(text[1][-1]) > BRAILLE, ord(text[4][-1]) == BRAILLE) == (True, True)
    assert text[5].split() == ["0", "step", "49"]
    assert text[6].strip() == "━ up 49"
    assert all(len(line) <= 40 for line in text)


def test_wide_ranges_are_drawn_logarithmically() -> None:
    steps = np.arange(5.0)
    assert "(logarithmic)" in draw(Panel("x", (Curve("", steps, 10**steps),)), 40, 4).plain
    assert "(logarithmic)" not in draw(Panel("x", (Curve("", steps, steps),)), 40, 4).plain


def test_one_point_and_a_constant_are_drawn() -> None:
    for values in ([3.0], [3.0, 3.0]):
        curve = Curve("", np.arange(float(len(values))), np.array(values))
        assert "━ 3" in draw(Panel("x", (curve,)), 40, 4).plain


# On a terminal --------------------------------------------------------------------------------------------------------


def keep_recording(folder: str, enough: str) -> None:
    recorder = record(Path(folder), range(1, 3), close=False)
    step = 3
    while not Path(enough).exists():
        add(recorder, range(step, step + 1))
        step += 1
        time.sleep(0.05)
    recorder.close()


def watched(folder: Path, react: Callable[[str, subprocess.Popen[bytes]], None]) -> tuple[str, int]:
    """What a terminal shows, and the exit status; `react` is called with what it shows so far."""
    main, other = pty.openpty()
    code = "from neurosal.cli import main; main()"
    command = [sys.executable, "-c", code, "watch", str(folder), "--every", "0.2"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "90", "LINES": "40"}
    process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=environment)
    os.close(other)
    shown = b""
    while True:
        ready, _, _ = select.select([main], [], [], 0.1)
        if ready:
            try:
                shown += os.read(main, 65536)
            except OSError:  # the other end is closed
                break
        react(shown.decode(errors="replace"), process)
    os.close(main)
    return shown.decode(errors="replace"), process.wait(60)


def test_a_run_in_another_process_is_watched_until_it_ends(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    enough = tmp_path / "enough"
    process = context.Process(target=keep_recording, args=(str(tmp_path / "run"), str(enough)))
    process.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / schema.STATUS_FILE).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    shown, code = watched(tmp_path / "run", lambda shown, _: enough.touch() if shown.count("running, ") > 2 else None)
    process.join(60)
    assert code == 0
    assert "Traceback" not in shown
    assert shown.count("metrics/train/loss") > 2, "frames follow each other"
    assert shown.rindex("done, ") > shown.rindex("running, "), "the last frame shows the end"


def test_watching_ends_with_ctrl_c_and_the_run_goes_on(tmp_path: Path) -> None:
    recorder = record(tmp_path / "run", range(1, 10), close=False)
    stopped = []

    def stop(shown: str, process: subprocess.Popen[bytes]) -> None:
        if "metrics/train/loss" in shown and not stopped:
            stopped.append(shown)
            process.send_signal(signal.SIGINT)

    shown, code = watched(tmp_path / "run", stop)
    assert (code, "Traceback" in shown) == (0, False)
    add(recorder, range(10, 12))
    recorder.close()
    assert Follower(tmp_path / "run").status.state == "done"


def test_a_damaged_store_ends_it_with_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "run", range(1, 10))
    root = tmp_path / "run" / schema.STORE / "zarr.json"
    root.write_bytes(root.read_bytes()[:100])
    _, err = invoke("watch", tmp_path / "run", code=4)
    assert "zarr.json: expected JSON" in err
    assert watching.going(Follower(tmp_path / "run").status) is False
