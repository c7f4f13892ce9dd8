import pytest

from napari_nucleiseg.errors import SettingError
from napari_nucleiseg.optimizers import OPTIMIZERS
from napari_nucleiseg.study.plan import StudyConfig, plan, read_study, study_names


def test_every_combination_is_one_run_and_seeds_come_last(tiny):
    study = tiny.model_copy(update={"seeds": (0, 1)})
    runs = plan(study)
    assert [r.name for r in runs] == [
        "unet-adam-constant-0",
        "unet-sgd-constant-0",
        "unet-adam-constant-1",
        "unet-sgd-constant-1",
    ]
    assert {r.config.seed for r in runs} == {0, 1}
    assert {r.config.learning_rate for r in runs} == {0.02}


def test_adjustments_reach_their_runs_only_and_win_inside_tables(tiny):
    values = tiny.model_dump(exclude={"adjustments"})
    study = StudyConfig(
        **values,
        adjustments=[
            {
                "optimizer": "sgd",
                "settings": {"learning_rate": 0.5, "architecture_options": {"dropout": 0.1}},
                "why": "it learns slowly",
            }
        ],
    )
    by_name = {r.optimizer: r.config for r in plan(study)}
    assert by_name["adam"].learning_rate == 0.02
    assert by_name["sgd"].learning_rate == 0.5
    assert by_name["sgd"].architecture_options == {
        "channels": [4, 8],
        "residual_units": 0,
        "dropout": 0.1,
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"optimizers": {"a": {"optimizer": "adm"}}}, "unet-a-constant-0"),
        ({"base": {"minutes": 3}}, "by the clock"),
        ({"base": {"held_out": 0}}, "hold out nothing"),
        ({"base": {"epoch": 3}}, "epoch"),
        ({"networks": {"../up": {}}}, "must be letters"),
        ({"networks": {}}, "networks"),
        (
            {
                "networks": {"unet": {"architecture": "unet"}, "unet-b": {"architecture": "unet"}},
                "optimizers": {"b-adam": {"optimizer": "adam"}, "adam": {"optimizer": "adam"}},
            },
            "one name: unet-b-adam",
        ),
        ({"seeds": [1, 1]}, "each seed once"),
        ({"test_split": "Train"}, "test_split must be another"),
        ({"adjustments": [{"settings": {}}]}, "why"),
    ],
)
def test_what_cannot_work_is_said_before_the_first_run(change, words, tiny):
    with pytest.raises(SettingError, match=words):
        plan(StudyConfig(**{**tiny.model_dump(), **change}))


def test_the_studies_that_come_along_can_run():
    assert study_names() == ["optimizers", "table1", "table1-compact"]
    assert len(plan(read_study("table1"))) == len(plan(read_study("table1-compact"))) == 8
    optimizers = plan(read_study("optimizers"))
    assert {r.config.optimizer for r in optimizers} == set(OPTIMIZERS.names())
    assert {r.config.seed for r in optimizers} == {0, 1, 2}
    assert {r.config.architecture for r in optimizers} == {"flexible_unet"}


def test_an_unknown_study_lists_the_known_ones(tmp_path):
    with pytest.raises(SettingError, match="table1-compact"):
        read_study("tabel1")
    (tmp_path / "broken.yaml").write_text("title: [", encoding="utf-8")
    with pytest.raises(SettingError, match=r"broken\.yaml"):
        read_study(str(tmp_path / "broken.yaml"))
