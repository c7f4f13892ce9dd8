import json
import os
import signal
import sys
import time

import pytest
import torch
from running import finish, run, start

from napari_nucleiseg.study.plan import STUDIES, plan
from napari_nucleiseg.study.run import folder_of


def test_studies_are_listed_and_shown():
    listed = run("study", "list").stdout
    assert "table1-compact" in listed
    assert "54 runs" in listed
    shown = run("study", "show", "optimizers").stdout
    assert shown.strip() == (STUDIES / "optimizers.yaml").read_text(encoding="utf-8").strip()


def test_a_finished_study_is_reported_anew(finished, study_file, split_data):
    result = run("study", "run", study_file, "--data", split_data, "--out", finished)
    assert "2 runs, 2 of them finished already" in result.stderr
    assert "report.md" in result.stdout
    assert "report.md" in run("study", "report", finished).stdout


def test_wrong_studies_end_in_a_sentence(tmp_path, split_data):
    bad = tmp_path / "bad.yaml"
    bad.write_text("title: bad\nnetworks: {u: {architecture: unett}}\n", encoding="utf-8")
    result = run("study", "run", bad, "--data", split_data, "--out", tmp_path / "o", code=2)
    assert "missing" in result.stderr
    assert not (tmp_path / "o").exists()
    assert "table1" in run("study", "show", "tabel", code=2).stderr
    assert "not the folder of a study" in run("study", "report", tmp_path, code=2).stderr


def test_a_scheduler_that_is_not_there_is_said(tmp_path, study_file, split_data, monkeypatch):
    monkeypatch.setattr("napari_nucleiseg.cluster.PATIENCE", "0.5s")
    result = run(
        "study", "run", study_file, "--data", split_data, "--out", tmp_path / "o",
        "--scheduler", "tcp://127.0.0.1:9", code=2,
    )  # fmt: skip
    assert "no dask scheduler" in result.stderr
    assert "tcp://127.0.0.1:9" in result.stderr


def results(out, study):
    """What must not depend on how a study was carried out."""
    found = {}
    for one in plan(study):
        record = json.loads((folder_of(one, out) / "run.json").read_text(encoding="utf-8"))
        rows = (folder_of(one, out) / "images.csv").read_text(encoding="utf-8").splitlines()
        # the last columns are times
        found[one.name] = (record["model_sha256"], [row.rsplit(",", 2)[0] for row in rows])
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_and_begun_again_the_tables_are_the_same(
    finished, split_data, tiny, study_file, tmp_path
):
    out = tmp_path / "out"
    words = ("study", "run", study_file, "--data", split_data, "--out", out)
    # the fingerprint of floating point: as many threads as in this process
    environment = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    first = out / "runs" / "unet-adam-constant-0"
    for sign in (first / "last.pt", first / "labels", out / "runs" / "unet-sgd-constant-0"):
        process = start(*words, env=environment)
        while not sign.exists() and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    said, _ = finish(start(*words, env=environment))
    assert "report" in said
    assert results(out, tiny) == results(finished, tiny)


@pytest.mark.slow
def test_two_dask_workers_give_the_same_as_one_process(
    finished, split_data, study_file, tmp_path, tiny
):
    out = tmp_path / "out"
    finish(start("study", "run", study_file, "--data", split_data, "--out", out, "--workers", 2))
    assert results(out, tiny) == results(finished, tiny)
    assert "adam" in (out / "tables" / "differences.csv").read_text(encoding="utf-8")
