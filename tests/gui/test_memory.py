import pytest

from napari_nucleiseg import SegmentConfig
from napari_nucleiseg.gui import memory


def test_settings_come_back():
    config = SegmentConfig(probability=0.7, device="cpu", channel="2", colour="channels")
    memory.remember_config(config)
    assert memory.recall_config() == SegmentConfig(probability=0.7, device="cpu")


def test_one_thing_does_not_wipe_another():
    memory.remember(open_folds=["more"])
    memory.remember_config(SegmentConfig(probability=0.7))
    assert memory.recall()["open_folds"] == ["more"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"segment": 3}', '{"segment": {"probability": 9, "gone": 1}}']
)
def test_a_damaged_file_is_no_reason_to_stop(own_memory, text):
    own_memory.write_text(text)
    assert memory.recall_config() == SegmentConfig()


def test_what_is_still_right_is_kept(own_memory):
    own_memory.write_text('{"segment": {"probability": 9, "device": "cpu"}}')
    assert memory.recall_config() == SegmentConfig(device="cpu")


def test_a_folder_that_cannot_be_written_to_is_no_reason_to_stop(own_memory):
    own_memory.parent.joinpath("docks.part").mkdir()
    memory.remember(open_folds=[])
    assert memory.recall() == {}
