"""The recorder: folders it refuses, what it writes and when, and errors of the file system."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray

from neurosal.errors import StoreError
from neurosal.record import Recorder, Status, background, blocks, faults, open_run, schema
from neurosal.record.lock import LOCK_FILE
from neurosal.record.store import Store
from tests.record import recording

SYMMETRY = schema.symmetry("every_10", {"input_to_hidden": 12, "hidden_to_output": 6})


def create(folder: Path, **changes: object) -> Recorder:
    given = {"circuit": {}, "settings": {"epochs": 3}, "replicas": {"seed": [0, 1], "lr": [0.1, 0.2]}}
    return Recorder.create(folder, **{**given, **changes})  # type: ignore[arg-type]


def add(recorder: Recorder, *steps: int) -> None:
    for step in steps:
        recorder.append(schema.TRAIN, step=step, epoch=step / 4, values={"loss": np.array([step, step + 0.5])})


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with create(tmp_path / "run") as made:
        made.declare(schema.training_metrics())
        yield made


def losses(folder: Path) -> np.ndarray:
    with xarray.open_dataset(folder / schema.STORE, group=schema.TRAIN, engine="zarr") as found:
        return found.loss.values


def test_records_carry_step_epoch_seed_and_varied_settings(recorder: Recorder) -> None:
    add(recorder, 0, 10, 20)
    recorder.close()
    with xarray.open_dataset(recorder.folder / schema.STORE, group=schema.TRAIN, engine="zarr") as found:
        assert found.loss.dims == ("replica", "step")
        np.testing.assert_array_equal(found.loss, [[0, 10, 20], [0.5, 10.5, 20.5]])
        np.testing.assert_array_equal(found.step, [0, 10, 20])
        np.testing.assert_array_equal(found.epoch, [0, 2.5, 5])
        np.testing.assert_array_equal(found.seed, [0, 1])
        np.testing.assert_array_equal(found.lr, [0.1, 0.2])
        assert found.sel(step=10).loss.values.tolist() == [10, 10.5]
        assert set(found.coords) == {"step", "epoch", "seed", "lr"}


def test_labels_and_their_counts_are_coordinates(recorder: Recorder) -> None:
    recorder.declare(SYMMETRY)
    angles = np.array([[90.0, 80], [70, 60]])
    recorder.append(SYMMETRY.path, step=0, epoch=0, values={"angle": angles, "norm_ratio": angles})
    recorder.close()
    with xarray.open_dataset(recorder.folder / schema.STORE, group=SYMMETRY.path, engine="zarr") as found:
        np.testing.assert_array_equal(found.angle.sel(pair="hidden_to_output"), [[80], [60]])
        assert found.pair_weights.sel(pair="input_to_hidden") == 12
        assert found.angle.attrs["units"] == "degree"


def test_what_is_appended_is_copied(recorder: Recorder) -> None:
    live = np.array([1.0, 2.0])
    recorder.append(schema.TRAIN, step=1, epoch=0, values={"loss": live})
    live[:] = -1
    recorder.commit()
    np.testing.assert_array_equal(losses(recorder.folder), [[1], [2]])


def test_small_entries_are_written_once_they_fill_a_block(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    write = recorder._store.write
    monkeypatch.setattr(
        recorder._store, "write", lambda group, rows: (written.append(rows["loss"].shape[1]), write(group, rows))
    )
    monkeypatch.setattr(blocks, "CHUNK_BYTES", 10 * (16 + 16))  # ten entries: two losses, step and epoch
    add(recorder, *range(25))
    recorder.commit()
    assert written == [10, 10, 5]


def test_commits_come_every_five_seconds(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert background.COMMIT_SECONDS <= 5
    add(recorder, 1)
    recorder.maybe_commit()
    time.sleep(0.2)
    assert _visible_steps(recorder.folder) == 0
    monkeypatch.setattr(background, "COMMIT_SECONDS", 0.1)
    add(recorder, 2)
    recorder.maybe_commit()  # nothing more comes: the thread commits by itself
    wait_for(lambda: _visible_steps(recorder.folder) == 2)
    add(recorder, 3)
    time.sleep(0.2)
    assert _visible_steps(recorder.folder) == 2, "half a step was committed"
    recorder.maybe_commit()
    wait_for(lambda: _visible_steps(recorder.folder) == 3)


def wait_for(reached: Callable[[], bool]) -> None:
    """Wait until something that another thread does is done."""
    for _ in range(2000):
        if reached():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to be")


def _visible_steps(folder: Path) -> int:
    with xarray.open_datatree(folder / schema.STORE, engine="zarr") as tree:
        return tree[schema.TRAIN].sizes["step"] if "metrics" in tree.children else 0


def test_the_status_says_how_far_it_is_and_how_it_ended(recorder: Recorder) -> None:
    add(recorder, 8)
    recorder.commit()
    status = Recorder.status(recorder.folder)
    assert isinstance(status, Status)
    assert (status.state, status.step, status.epoch, status.alive) == ("running", 8, 2.0, True)
    recorder.close("diverged", "weights of input_to_hidden")
    status = Recorder.status(recorder.folder)
    assert status is not None
    assert (status.state, status.message, status.alive) == ("diverged", "weights of input_to_hidden", False)


@pytest.mark.parametrize(
    ("error", "state"), [(KeyboardInterrupt(), "interrupted"), (RuntimeError("no luck"), "failed")]
)
def test_an_exception_is_told_by_the_status(error: BaseException, state: str, tmp_path: Path) -> None:
    def fail() -> None:
        with create(tmp_path / "run") as recorder:
            recorder.declare(schema.training_metrics())
            add(recorder, 1)
            raise error

    with pytest.raises(type(error)):
        fail()
    status = Recorder.status(tmp_path / "run")
    assert status is not None
    assert status.state == state
    assert _visible_steps(tmp_path / "run") == 1


def test_the_environment_says_what_made_the_run_and_not_where(tmp_path: Path) -> None:
    create(tmp_path / "run", provenance={"data": {"name": "digits", "sha256": "00ff"}}).close()
    text = (tmp_path / "run" / schema.ENVIRONMENT_FILE).read_text()
    content = json.loads(text)
    assert content["provenance"]["data"]["sha256"] == "00ff"
    assert {"numpy", "zarr", "xarray"} <= content["packages"].keys()
    assert content["python"].startswith("3.")
    assert content["threads"] >= 1
    for private in (socket.gethostname(), str(Path.home()), str(Path.cwd())):
        assert private not in text or len(private) < 3


def test_settings_may_hold_numbers_of_numpy(tmp_path: Path) -> None:
    settings = {"lr": np.float64(0.1), "sizes": (np.int64(4), 2)}
    with create(tmp_path / "run", settings=settings) as recorder:
        recorder.checkpoint({}, {"step": np.int64(3)})
    assert open_run(tmp_path / "run").settings == {"lr": 0.1, "sizes": [4, 2]}
    resumed, _, meta = Recorder.resume(tmp_path / "run", settings=settings)
    assert meta == {"step": 3}
    resumed.close()


# Folders that are refused --------------------------------------------------------------------------------------------


def test_a_folder_with_a_run_is_refused(tmp_path: Path) -> None:
    create(tmp_path / "run").close()
    before = contents_of(tmp_path)
    with pytest.raises(StoreError, match=r"found a run \(done\).*--resume.*--store") as caught:
        create(tmp_path / "run")
    assert caught.value.exit_code == 4
    assert contents_of(tmp_path) == before


def test_a_run_that_another_recorder_writes_is_refused(tmp_path: Path) -> None:
    with create(tmp_path / "run"):
        for begin in (create, Recorder.resume):
            with pytest.raises(StoreError, match="a run that no process writes"):
                begin(tmp_path / "run")
    Recorder.resume(tmp_path / "run")[0].close()


@pytest.mark.parametrize("below", ["", "/below"])
def test_a_file_in_the_way_is_refused(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match=r"file.*--store"):
        create(Path(f"{tmp_path}/file{below}"))
    assert (tmp_path / "file").read_text() == "mine"


def test_a_beginning_that_was_cut_short_is_begun_anew(tmp_path: Path) -> None:
    create(tmp_path / "run").close()
    (tmp_path / "run" / schema.STATUS_FILE).unlink()  # the file that is written last
    assert Recorder.status(tmp_path / "run") is None
    with create(tmp_path / "run") as recorder:
        recorder.declare(schema.training_metrics())
        add(recorder, 1)
    assert _visible_steps(tmp_path / "run") == 1


def test_records_without_a_status_are_never_written_over(tmp_path: Path) -> None:
    with create(tmp_path / "run") as recorder:
        recorder.declare(schema.training_metrics())
        add(recorder, 1)
    (tmp_path / "run" / schema.STATUS_FILE).unlink()
    with pytest.raises(StoreError, match=r"without status\.json"):
        create(tmp_path / "run")
    assert _visible_steps(tmp_path / "run") == 1


# The file system gives up --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", [faults.BLOCK_WRITE, faults.COMMIT, faults.CHECKPOINT_BEGUN])
@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EIO, "Check the disk"),
        (errno.EACCES, "Give yourself the right"),
    ],
)
def test_a_disk_that_gives_up_leaves_the_last_commit(point: str, code: int, remedy: str, tmp_path: Path) -> None:
    recorder = create(tmp_path / "run")
    recorder.declare(schema.training_metrics())
    add(recorder, 1, 2)
    recorder.checkpoint({"w": np.arange(2.0)}, {"step": 2})
    recorder.commit()  # waits until all that is done
    add(recorder, 3)

    def give_up(reached: str) -> None:
        if reached == point:
            raise OSError(code, os.strerror(code))

    with faults.installed(give_up), pytest.raises(StoreError, match=remedy) as caught, recorder:
        recorder.checkpoint({"w": np.arange(2.0)}, {"step": 3})
    assert caught.value.exit_code == 4
    assert _visible_steps(tmp_path / "run") == (3 if point == faults.CHECKPOINT_BEGUN else 2)
    status = Recorder.status(tmp_path / "run")
    assert status is not None
    assert (status.state, status.alive) == ("failed", False)
    resumed, tensors, meta = Recorder.resume(tmp_path / "run")
    assert tensors is not None
    assert meta == {"step": 2}
    resumed.declare(schema.training_metrics())
    add(resumed, 3)
    resumed.close()
    np.testing.assert_array_equal(losses(tmp_path / "run"), [[1, 2, 3], [1.5, 2.5, 3.5]])


def test_a_limit_on_file_size_is_told_like_a_full_disk(tmp_path: Path) -> None:
    import resource
    import signal

    recorder = create(tmp_path / "run")
    recorder.declare(schema.projection("a_to_b", "every_1", post=("b", 512), pre=("a", 512)))
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        recorder.append("projections/a_to_b/every_1", step=0, epoch=0, values={"weight": np.ones((2, 1, 512, 512))})
        missing = 2 * 512 * 512 * 4 + 2 * 8
        with pytest.raises(StoreError, match=f"{missing} bytes that were recorded are missing.*Free some space"):
            recorder.commit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
        recorder.close("failed")


# Going on ------------------------------------------------------------------------------------------------------------


def test_resuming_drops_what_came_after_the_checkpoint(recorder: Recorder) -> None:
    add(recorder, 1, 2)
    recorder.checkpoint({"w": np.arange(3.0)}, {"step": 2, "order": [2, 0, 1]})
    recorder.declare(SYMMETRY)
    recorder.append(SYMMETRY.path, step=3, epoch=0, values={"angle": np.ones((2, 2)), "norm_ratio": np.ones((2, 2))})
    add(recorder, 3, 4)
    recorder.close("interrupted")
    resumed, tensors, meta = Recorder.resume(recorder.folder)
    assert tensors is not None
    np.testing.assert_array_equal(tensors["w"], np.arange(3.0))
    assert meta == {"step": 2, "order": [2, 0, 1]}
    with xarray.open_datatree(recorder.folder / schema.STORE, engine="zarr") as tree:
        assert tree[schema.TRAIN].step.values.tolist() == [1, 2]
        assert tree[SYMMETRY.path].sizes["sample"] == 0
    resumed.close()


def test_resuming_without_a_checkpoint_begins_anew(recorder: Recorder) -> None:
    add(recorder, 1, 2)
    recorder.close("interrupted")
    resumed, tensors, meta = Recorder.resume(recorder.folder)
    assert (tensors, meta) == (None, {})
    assert _visible_steps(recorder.folder) == 0
    assert resumed.replicas == {"seed": [0, 1], "lr": [0.1, 0.2]}
    resumed.close()


@pytest.mark.parametrize("method", ["add_fixed", "add_growing"])
@pytest.mark.parametrize("reached", [1, 2, 3])
def test_interrupted_amid_a_declaration_it_opens_and_goes_on(
    method: str, reached: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, whole = [], getattr(Store, method)

    def interrupted(store: Store, path: str, *args: object) -> None:
        calls.append(path)
        if len(calls) == reached:
            raise KeyboardInterrupt
        whole(store, path, *args)

    made = create(tmp_path / "run")
    made.declare(schema.training_metrics())
    add(made, 0)
    with monkeypatch.context() as patch:
        patch.setattr(Store, method, interrupted)
        with pytest.raises(KeyboardInterrupt):
            made.declare(SYMMETRY)
    made.close("interrupted")
    assert losses(tmp_path / "run").tolist() == [[0], [0.5]]
    assert SYMMETRY.path.removeprefix("/") not in [node.path[1:] for node in open_run(tmp_path / "run").tree.subtree]
    again, _, _ = Recorder.resume(tmp_path / "run")
    with again:
        again.declare(schema.training_metrics())
        again.declare(SYMMETRY)
        add(again, 0, 10)
    assert losses(tmp_path / "run").tolist() == [[0, 10], [0.5, 10.5]]


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected a run to resume, found none"):
        Recorder.resume(tmp_path)


def test_resuming_with_other_settings_says_which(tmp_path: Path) -> None:
    create(tmp_path / "run", settings={"training": {"epochs": 3, "lr": 0.1}, "data": "digits"}).close()
    other = {"training": {"epochs": 4, "lr": 0.1, "momentum": 0.9}, "data": "digits"}
    with pytest.raises(StoreError) as caught:
        Recorder.resume(tmp_path / "run", settings=other)
    places = [problem.place.rpartition(": ")[2] for problem in caught.value.problems]
    assert places == ["training.epochs", "training.momentum"]
    same = {"training": {"epochs": 3, "lr": 0.1}, "data": "digits"}
    Recorder.resume(tmp_path / "run", settings=same)[0].close()


def test_declaring_again_after_resuming_must_say_the_same(recorder: Recorder) -> None:
    recorder.declare(SYMMETRY)
    recorder.close()
    resumed, _, _ = Recorder.resume(recorder.folder)
    resumed.declare(SYMMETRY)
    others = [
        schema.symmetry("every_10", {"input_to_hidden": 12, "hidden_to_top": 6}),
        schema.symmetry("every_10", {"input_to_hidden": 12, "hidden_to_output": 7}),
        schema.symmetry("every_10", {"input_to_hidden": 12}),
        schema.Group(path=SYMMETRY.path, growing=schema.SAMPLE, coords=SYMMETRY.coords, variables={
            "angle": schema.Variable(dims=(schema.REPLICA, schema.SAMPLE, schema.PAIR), dtype="float32"),
        }),
    ]  # fmt: skip
    resumed.close()
    for other in others:
        resumed, _, _ = Recorder.resume(recorder.folder)
        with pytest.raises(StoreError, match=r"stats/symmetry/every_10/.*Resume with the settings and probes"):
            resumed.declare(other)
        resumed.close()


def test_a_population_called_like_a_varied_setting_is_refused(recorder: Recorder) -> None:
    with pytest.raises(StoreError, match=r"'lr'.*Rename"):
        recorder.declare(schema.population("lr", "every_1", units=3, trials=2))
    recorder.close("failed")


def test_wrong_shapes_and_steps_that_do_not_rise_are_our_own_mistakes(recorder: Recorder) -> None:
    add(recorder, 5)
    with pytest.raises(AssertionError, match="step 5 after 5"):
        add(recorder, 5)
    with pytest.raises(AssertionError, match=r"metrics/train/loss: shape \(3,\) instead of \(2,\)"):
        recorder.append(schema.TRAIN, step=6, epoch=0, values={"loss": np.ones(3)})
    with pytest.raises(AssertionError, match="instead of"):
        recorder.append(schema.TRAIN, step=6, epoch=0, values={"accuracy": np.ones(2)})


def test_nothing_of_an_unfinished_write_stays_after_closing(recorder: Recorder) -> None:
    left = recorder.folder / schema.STORE / "zarr.json.partial"
    left.write_text("half")
    recorder.close()
    assert not left.exists()


def test_the_recording_of_the_kill_tests_is_deterministic(tmp_path: Path) -> None:
    for name in ("one", "two"):
        recording.record(str(tmp_path / name))
    one, two = (recording.contents(tmp_path / name) for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert all(one[path].tolist() == two[path].tolist() for path in one)


def contents_of(folder: Path) -> dict[str, bytes]:
    """All files but the lock, which says who held it last."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != LOCK_FILE]
    return {str(path): path.read_bytes() for path in files}
