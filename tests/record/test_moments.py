"""A commit that was asked for shows what there was at that moment, in all groups, whatever is put meanwhile."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neurosal.record import Recorder, faults, schema
from tests.record.stuck import REPLICAS, stuck
from tests.record.test_kill_spiking import contents

GROUPS = [schema.projection(name, "every_1", post=("hidden", 256), pre=("hidden", 512)) for name in ("first", "second")]


def test_rows_put_after_a_checkpoint_are_not_in_its_commit(tmp_path: Path) -> None:
    weight = np.ones((2, 1, 256, 512), np.float32)
    seen: dict[str, int] = {}

    def look() -> None:
        arrays = contents(tmp_path / "run")
        seen.update({path: array.shape[1] for path, array in arrays.items() if path.endswith("weight")})

    with stuck() as disk:
        recorder = Recorder.create(tmp_path / "run", circuit={}, settings={}, replicas=REPLICAS)
        for group in GROUPS:
            recorder.declare(group)
        stuck_at, once = faults._handler, []

        def handler(point: str) -> None:
            stuck_at(point)
            if point == faults.CHECKPOINT_BEGUN and not once:
                once.append(point)
                look()

        faults._handler = handler
        recorder.append(GROUPS[0].path, step=1, epoch=0.0, values={"weight": weight})
        assert disk.waiting.wait(60)  # the first group of the first moment is being written
        recorder.append(GROUPS[1].path, step=1, epoch=0.0, values={"weight": weight})
        recorder.checkpoint({"state": np.zeros(3)}, {"step": 1})
        for group in GROUPS:
            recorder.append(group.path, step=2, epoch=0.0, values={"weight": 2 * weight})
        disk.go()
        recorder.close()
    assert seen
    assert set(seen.values()) == {1}
    assert {array.shape[1] for path, array in contents(tmp_path / "run").items() if path.endswith("weight")} == {2}
