import json
from contextlib import closing

from napari_nucleiseg.study.conduct import (
    RunFailed,
    RunFinished,
    RunsPlanned,
    conduct,
)
from napari_nucleiseg.study.plan import plan
from napari_nucleiseg.study.run import folder_of


def results(out, study):
    """What must not depend on how a study was carried out."""
    found = {}
    for run in plan(study):
        record = json.loads((folder_of(run, out) / "run.json").read_text(encoding="utf-8"))
        rows = (folder_of(run, out) / "images.csv").read_text(encoding="utf-8").splitlines()
        # the last columns are times
        found[run.name] = (record["model_sha256"], [row.rsplit(",", 2)[0] for row in rows])
    return found


def test_a_finished_run_is_never_repeated(finished, split_data, tiny):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*.*")}
    events = list(conduct(split_data, tiny, finished))
    assert events == [RunsPlanned(2, 2)]
    assert before == {p: p.stat().st_mtime_ns for p in finished.rglob("*.*")}


def test_closed_at_any_event_and_begun_again_it_ends_the_same(finished, split_data, tiny, tmp_path):
    for stop in (3, 7, 14, 30):
        with closing(conduct(split_data, tiny, tmp_path)) as events:
            for number, _ in enumerate(events):
                if number == stop:
                    break
    list(conduct(split_data, tiny, tmp_path))
    assert results(tmp_path, tiny) == results(finished, tiny)


def test_a_run_that_fails_does_not_end_the_others(split_data, tiny, tmp_path):
    settings = {**tiny.optimizers, "adam": {"optimizer": "adam", "learning_rate": 1e30}}
    study = tiny.model_copy(update={"optimizers": settings})
    events = list(conduct(split_data, study, tmp_path))
    failed = [e for e in events if isinstance(e, RunFailed)]
    assert [e.name for e in failed] == ["unet-adam-constant-0"]
    assert "infinite" in failed[0].sentence
    assert [e.name for e in events if isinstance(e, RunFinished)] == ["unet-sgd-constant-0"]
