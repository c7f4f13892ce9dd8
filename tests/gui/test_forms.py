import pytest
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QLineEdit, QSpinBox

from napari_nucleiseg import SegmentConfig
from napari_nucleiseg.gui.forms import ElidedComboBox, Fold, Form, title_of


@pytest.fixture
def form(qtbot):
    widget = Form(SegmentConfig(), list(SegmentConfig.model_fields))
    qtbot.addWidget(widget)
    return widget


def test_every_setting_has_a_field_that_shows_it_and_tells_of_changes(form, qtbot):
    new = {
        "model": "other",
        "channel": "DAPI",
        "colour": "channels",
        "merge": "max",
        "series": "2",
        "z": "middle",
        "t": "3",
        "axes": "ZYX",
        "nucleus_diameter": "21 px",
        "device": "cpu",
        "engine": "torch",
        "probability": 0.75,
        "seed_sensitivity": 0.25,
        "min_area_px": 40,
        "tile_px": 512,
        "overlap_px": 64,
        "batch_size": 2,
    }
    # the size of a pixel has a field of its own beside the image
    assert set(new) == set(SegmentConfig.model_fields) - {"pixel_size_um"}
    told = {}
    form.changed.connect(lambda name, value: told.update({name: value}))
    for name, value in new.items():
        field = form.field(name)
        assert field.toolTip()
        if isinstance(field, QComboBox):
            field.setCurrentIndex(field.findData(value))
        elif isinstance(field, QLineEdit):
            field.setText(value)
            field.editingFinished.emit()
        else:
            field.setValue(value)
    assert told == new
    told.clear()
    form.show_config(SegmentConfig())
    assert told == {}


def test_limits_and_units_come_from_the_class(form):
    probability, tile = form.field("probability"), form.field("tile_px")
    assert isinstance(probability, QDoubleSpinBox)
    assert (probability.minimum(), probability.maximum()) == (0.05, 0.95)
    assert isinstance(tile, QSpinBox)
    assert (tile.minimum(), tile.maximum()) == (256, 8192)
    assert tile.suffix() == " px"


def test_title_of():
    assert title_of("tile_px") == "Tile"
    assert title_of("min_area_px", SegmentConfig) == "Smallest nucleus"


def test_a_fold_hides_and_shows(qtbot):
    content = QLineEdit()
    fold = Fold("More", content)
    qtbot.addWidget(fold)
    assert content.isHidden()
    with qtbot.waitSignal(fold.toggled):
        fold.button.click()
    assert not content.isHidden()
    assert fold.is_open


@pytest.mark.parametrize(
    ("text", "is_cut"), [("short", False), ("a name that is much too long for a narrow menu", True)]
)
def test_a_choice_that_is_too_long_is_drawn_otherwise_than_qt_does(qtbot, text, is_cut):
    pictures = []
    for kind in (QComboBox, ElidedComboBox):
        menu = kind()
        qtbot.addWidget(menu)
        menu.addItem(text)
        menu.resize(140, 30)
        menu.ensurePolished()
        pictures.append(menu.grab().toImage())
    assert (pictures[0] != pictures[1]) is is_cut
    assert menu.currentText() == text
