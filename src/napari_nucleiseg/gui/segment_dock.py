"""The dock "Segment nuclei", which answers where the nuclei are."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from pathlib import Path

from napari.layers import Image, Labels
from napari.utils.theme import get_theme
from napari.viewer import Viewer
from qtpy.QtCore import QSize
from qtpy.QtWidgets import QFileDialog, QFormLayout, QProgressBar, QVBoxLayout, QWidget

from .. import wording
from ..config import SegmentConfig
from ..errors import NucleisegError
from ..events import (
    Decoding,
    DeviceChosen,
    Event,
    Joined,
    Notice,
    PlaneDone,
    Segmented,
    Streamed,
    TileDone,
)
from ..io import SUFFIXES
from ..session_work import Opened, Scored
from . import memory
from .axes import axes_of
from .bridge import bridge_of
from .closing import end_when_closed
from .forms import ElidedComboBox, Fold, Form, shrink
from .growing import default_folder, is_slide
from .image_chooser import ImageChooser
from .layers import is_as_in_shell, pixel_size_um, plane_of
from .live_view import LiveView
from .model_chooser import ModelChooser
from .outcome import Outcome, Said
from .plane_chooser import PlaneChooser
from .planes import shell_files, shell_settings
from .tracks_button import TracksButton
from .widgets import (
    button,
    column,
    copy,
    fill,
    form_layout,
    index_of,
    layer_list_signals,
    listen,
    paint_main,
    row,
    scrolled,
    text,
)

MORE = (
    "nucleus_diameter",
    "probability",
    "seed_sensitivity",
    "min_area_px",
    "device",
)
EXPERT = ("engine", "tile_px", "overlap_px", "batch_size")


class SegmentDock(QWidget):
    """Choose an image and a model, press *Segment*, see every nucleus as its own label.

    Parameters
    ----------
    napari_viewer : Viewer
        napari hands in a proxy of it.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._bridge = bridge_of(napari_viewer)
        self._viewer, self._session = self._bridge.viewer, self._bridge.session
        self._truths: list[Labels] = []
        self._last_tile: TileDone | None = None
        self._last_plane: PlaneDone | None = None
        self._is_joining = bool(self._bridge.stacks.letter)
        self._is_decoding = False
        self._began = 0.0
        # the stack whose planes are offered, and its axes
        self._offered: tuple[weakref.ref[Image], str] | None = None
        asked = self._bridge.asked
        self._size_um = None if asked is None else pixel_size_um(asked)
        # what was said about each image; which one it is said about now, and which is scored
        self._said: weakref.WeakKeyDictionary[Image, Said] = weakref.WeakKeyDictionary()
        self._about: Callable[[], Image | None] | None = None
        self._scored: Callable[[], Image | None] = lambda: None

        self.outcome = Outcome()
        self._welcome = self._build_welcome()
        self._body = QWidget()
        body = QVBoxLayout(self._body)
        body.setContentsMargins(0, 0, 0, 0)
        body.addLayout(self._build_choices())
        body.addWidget(self._build_action())
        self._folds = self._build_folds()
        self._column = column(self._welcome, self._body, self.outcome, self._folds, spacing=6)
        self._column.layout().setContentsMargins(8, 6, 8, 6)
        self._column.layout().addStretch(1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(scrolled(self._column))
        end_when_closed(self)
        self.setMinimumWidth(260)

        self._listen()
        self.models.show_models()
        for problem in self._session.model_problems():
            self.outcome.say(problem)
        self.images.show_layers()
        self._show_truths()
        self._show_config()
        self._show_state(self._session.state)
        self._paint()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Width that shows most names whole."""
        return QSize(300, self._column.sizeHint().height())

    # --- what is in it -----------------------------------------------------------------------

    def _build_welcome(self) -> QWidget:
        self.open_button = button(
            "Open image...", self._ask_for_file, "Open a TIFF, PNG, JPEG or BMP file"
        )
        self.sample_button = button(
            "Try a sample", self._open_sample, "Open a fluorescence micrograph with its true nuclei"
        )
        words = text("Open a micrograph to find its nuclei, or try it on a sample.")
        return column(words, self.open_button, self.sample_button, spacing=6)

    def _build_choices(self) -> QFormLayout:
        form = form_layout()
        self.images = ImageChooser(self._bridge, form, self._ask_for_file, self)
        self.planes = PlaneChooser(self._session, form, self, self._bridge.stacks.letter)
        self.models = ModelChooser(self._session, form, self)
        self.device = text()
        self.device.setToolTip("Where the network runs, what runs it, and why; choose under More")
        form.addRow("Device", self.device)
        return form

    def _build_action(self) -> QWidget:
        self.segment_button = button("Segment", self._segment, "Find the nuclei of this image")
        self.segment_button.setMinimumHeight(32)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress")
        self.cancel_button = button(
            "Cancel", self._session.cancel, "Stop after the tile under way; nothing is changed"
        )
        self._running = row(self.bar, self.cancel_button)
        self.live = LiveView(self._bridge, self.images, self)
        buttons = row(self.segment_button, self.live.button)
        return column(buttons, self._running, self.live.words, spacing=6)

    def _build_folds(self) -> QWidget:
        self.form = Form(self._session.config, MORE)
        self.form.changed.connect(self._change)
        self.expert_form = Form(self._session.config, EXPERT)
        self.expert_form.changed.connect(self._change)
        expert = column(self.expert_form, indent=12)
        self.expert = Fold("Expert", expert, "How the computer works; the nuclei stay the same")
        self.reset_button = button("Reset", self._reset, "Take back all settings")
        parts = (self.form, self.planes.settings, self.expert, self.reset_button)
        more = column(*parts, indent=12, spacing=6)
        self.more = Fold("More", more, "Settings that most images do not need")

        self.truth = shrink(ElidedComboBox())
        self.truth.setToolTip("A labels layer with the true nuclei, to compare the result with")
        self.truth.setAccessibleName("True nuclei")
        self.truth.activated.connect(lambda _: self._compare())
        about = "Compare the result with nuclei that are known"
        self.truth_fold = Fold("Truth", column(self.truth, indent=12), about)

        self.command_button = button(
            "Copy as command", self._copy_command, "Copy the command that does the same in a shell"
        )
        self.command_button.setStyleSheet(
            "QPushButton { text-align: left; } QPushButton:!hover { background: transparent; }"
        )
        kept = memory.recall().get("open_folds", [])
        self._named_folds = {
            "more": self.more,
            "expert": self.expert,
            "truth": self.truth_fold,
        }
        for name, fold in self._named_folds.items():
            fold.open(name in kept)
            fold.toggled.connect(self._remember_folds)
        self.tracks_button = TracksButton(self._bridge, lambda: self.layer, self.outcome.say)
        return column(self.tracks_button, self.more, self.truth_fold, self.command_button)

    def _listen(self) -> None:
        session, viewer = self._session, self._viewer
        self.images.changed.connect(self._show_image)
        self.images.renewed.connect(self._name_button)
        self.planes.changed.connect(self._show_planes)
        for part in (self.images, self.models, self.live):
            part.failed.connect(self.outcome.fail)
        heard = [
            (session.event, self._on_event),
            (session.failed, self._on_failed),
            (session.state_changed, self._show_state),
        ]
        listen(self, heard)
        heard = [(signal, self._show_truths) for signal in layer_list_signals(viewer)]
        heard.append((session.config_changed, self._show_config))
        heard.append((viewer.events.theme, self._paint))
        listen(self, heard, bare=True)

    # --- what it shows -----------------------------------------------------------------------

    @property
    def layer(self) -> Image | None:
        """The chosen image."""
        return self.images.layer

    @property
    def truth_layer(self) -> Labels | None:
        """The chosen true nuclei."""
        at = self.truth.currentIndex() - 1
        return self._truths[at] if 0 <= at < len(self._truths) else None

    def _show_image(self) -> None:
        """Show what another image needs."""
        self._welcome.setVisible(self.layer is None)
        self._body.setVisible(self.layer is not None)
        self._folds.setVisible(self.layer is not None)
        self._say_about(self.layer)
        self._find_truth()
        self.tracks_button.look()

    def _say_about(self, layer: Image | None) -> None:
        """Say what is known of this image; what was said about another one must not stay."""
        if self._about is None:
            # what was said before there was an image is about none
            self._about = None if layer is None else weakref.ref(layer)
            return
        before = self._about()
        if before is not layer:
            self._keep_said(before)
            self._about = weakref.ref(layer) if layer is not None else lambda: None
            said = Said() if layer is None else self._said.get(layer, Said())
            self.outcome.say_again(said)
            if not self._session.is_busy:
                self.outcome.say_state(said.state)

    def _keep_said(self, layer: Image | None) -> None:
        said = self.outcome.said
        if layer is not None and said.state != "idle":
            self._said[layer] = said

    def _name_button(self) -> None:
        """Offer what can be done with this image, whose axes may have got other names."""
        is_stack = self.images.kind == "stack"
        wanted = self.layer if is_stack else None
        said = None if wanted is None else (weakref.ref(wanted), axes_of(wanted))
        if said != self._offered:
            self._offered = said
            self.planes.show_layer(wanted)
        words = "Segment the plane shown" if is_stack else "Segment"
        if wanted is not None and self.planes.letter:
            words = self.planes.title(wanted)
        self.segment_button.setText(words)

    def _show_planes(self, letter: str) -> None:
        """Say what all planes mean; with known nuclei one plane is compared."""
        self.truth_fold.setVisible(not letter)
        self.images.show_joined(letter)

    def _show_truths(self) -> None:
        """List the labels that can be the truth, and keep the choice."""
        truth = self.truth_layer
        self._truths = self._bridge.truth_layers()
        names = [x.name for x in self._truths]
        fill(self.truth, ["none", *names], index_of(self._truths, truth) + 1)
        if truth is None:
            self._find_truth()

    def _find_truth(self) -> None:
        """Choose the true nuclei that came with the image."""
        if self.layer is not None:
            names = [x.name for x in self._truths]
            wanted = f"{self.layer.name} · truth"
            fill(self.truth, None, names.index(wanted) + 1 if wanted in names else 0)

    def _show_config(self) -> None:
        """Show the settings of the session."""
        config = self._session.config
        self.form.show_config(config)
        self.expert_form.show_config(config)
        self.device.setText(wording.expected_device(config))

    def _show_state(self, state: str) -> None:
        is_busy = state in ("running", "stopping")
        is_own = self._session.is_segmenting
        self._running.setVisible(is_busy and is_own)
        self.cancel_button.setEnabled(state == "running")
        self.images.set_enabled(not is_busy)
        self.planes.set_enabled(not is_busy)
        for widget in (
            self.segment_button,
            self.models.model,
            self.form,
            self.expert_form,
            self.reset_button,
        ):
            widget.setEnabled(not is_busy)
        if not is_own:
            # another dock shows it; what was said here stays
            said = self.outcome.said.state
            self.outcome.say_state("running" if is_busy else said, self._session.doing * is_busy)
            return
        more = ""
        if state == "running":
            self._began = time.monotonic()
            self._last_tile = self._last_plane = None
            self._is_decoding = False
            self.bar.setRange(0, 0)
            self._keep_said(self.layer)
            self.outcome.clear()
            more = "getting ready"
        elif state == "stopping":
            more = "in a moment" if self._is_decoding else "after this tile"
        elif state == "cancelled" and self._is_joining:
            done = self._last_plane
            more = "" if done is None else f"after plane {done.done} of {done.total}; none is kept"
        elif state == "cancelled" and self._is_decoding:
            more = "while nuclei were separated"
        elif state == "cancelled" and self._last_tile is not None:
            more = f"after tile {self._last_tile.done} of {self._last_tile.total}"
        elif state == "done" and not self.outcome.result.text():
            state = "idle"  # a file was opened
        self.outcome.say_state(state, more)

    def _paint(self) -> None:
        """Take the colours of napari's theme."""
        theme = get_theme(self._viewer.theme)
        paint_main(self.segment_button, theme)
        self.live.paint(theme)
        self.outcome.paint(theme)

    # --- what happens ------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, TileDone):
            self._last_tile = event
            self.bar.setRange(0, event.total)
            self.bar.setValue(event.done)
            if not self._is_joining:
                said = wording.progress(event, time.monotonic() - self._began)
                self.outcome.say_state("running", said)
        elif isinstance(event, PlaneDone):
            self._last_plane = event
            said = wording.planes(event, time.monotonic() - self._began)
            self.outcome.say_state("running", said)
        elif isinstance(event, DeviceChosen):
            if self._last_plane is None:
                self._began = time.monotonic()
            self.device.setText(
                f"{wording.device_name(event.device)} · {event.engine} · {event.reason}"
            )
        elif isinstance(event, Decoding) and not self._is_joining:
            self._is_decoding = True
            self.bar.setRange(0, 0)
            self.outcome.say_state("running", "separating nuclei")
        elif isinstance(event, Segmented | Joined) and self._bridge.asked is self.layer is not None:
            self.outcome.say_result(wording.result(event, self._size_um))
            self._scored = weakref.ref(self.layer)
        elif isinstance(event, Streamed) and self._bridge.slides.is_asked(self.layer):
            self.outcome.say_result(wording.result(event, self._size_um))
            self.outcome.say(f"The labels are in {event.path}")
        elif isinstance(event, Scored) and self._scored() is self.layer:
            self.outcome.say_scores(
                wording.scores(event.dice, event.iou, event.ap50, event.true_count)
            )
        elif isinstance(event, Notice):
            self.outcome.say(event.text)
        elif isinstance(event, Opened):
            for said in event.micrograph.notices:
                self.outcome.say(said)

    def _on_failed(self, error: Exception) -> None:
        """Show what failed here, or beside other work; what another dock started, it shows."""
        if self._session.is_segmenting or not self._session.is_busy:
            self.outcome.fail(error)

    def _segment(self) -> None:
        layer, images = self.layer, self.images
        if layer is None or self._session.is_busy:
            return
        # its labels would lie over the result
        self.live.switch_off()
        memory.remember_config(self._session.config)
        self._size_um = pixel_size_um(layer)
        self._is_joining = bool(self.planes.letter)
        plane = self._plane_shown(layer)
        if is_slide(layer, images.kind, plane) and not self._is_joining:
            self._segment_slide(layer, plane)
            return
        try:
            if self._is_joining:
                self._bridge.stacks.segment(layer, self.planes.joining, **images.settings)
            else:
                self._bridge.segment(layer, images.kind, self.truth_layer, **images.settings)
        except NucleisegError as error:
            self.outcome.clear()
            self.outcome.fail(error)
            self.outcome.say_state("failed")

    def _segment_slide(self, layer: Image, plane: tuple[int, ...]) -> None:
        """Ask where the labels go, and segment block by block; what is done is shown and kept."""
        folder = QFileDialog.getExistingDirectory(
            self, "Folder for the label image of this large picture", str(default_folder(layer))
        )
        if folder:
            # whoever deletes the image stops the work
            self._bridge.ask(layer, plane)
            part = self._bridge.slides.segment(layer, Path(folder), self.images.settings, plane)
            self.outcome.say(
                f"Segmented block by block into {part.parent}; if it is stopped, Segment goes on "
                "where it was"
            )

    def _plane_shown(self, layer: Image) -> tuple[int, ...]:
        """Of a stack the plane that the sliders show."""
        point = self._viewer.dims.current_step
        return plane_of(layer, point) if self.images.kind == "stack" else ()

    def _compare(self) -> None:
        """Compare the result that is there with the true nuclei just chosen."""
        self.outcome.say_scores("")
        if self.truth_layer is not None and self.layer is not None:
            self._scored = weakref.ref(self.layer)
            self._bridge.compare(self.layer, self.images.kind, self.truth_layer)

    def _change(self, name: str, value: object) -> None:
        self._session.config = self._session.config.model_copy(update={name: value})

    def _reset(self) -> None:
        self._session.config = SegmentConfig()
        self.planes.reset()
        memory.remember_config(self._session.config)

    def _remember_folds(self, _: bool) -> None:
        is_open = [name for name, fold in self._named_folds.items() if fold.is_open]
        memory.remember(open_folds=is_open)

    def _ask_for_file(self) -> None:
        endings = " ".join(f"*{suffix}" for suffix in SUFFIXES)
        path, _ = QFileDialog.getOpenFileName(
            self, "Open a micrograph", "", f"Micrographs ({endings});;All files (*)"
        )
        if path:
            self._session.open(Path(path))

    def _open_sample(self) -> None:
        self._viewer.open_sample("napari-nucleiseg", "fluorescence")

    def _copy_command(self) -> None:
        layer = self.layer
        if layer is None:
            return
        path, stack = shell_files(layer)
        plane = self._plane_shown(layer)
        chosen = shell_settings(layer, plane, self.planes.letter)
        settings = {**self.images.settings, **(chosen or {})}
        config = self._session.config.model_copy(update=settings)
        joining = self.planes.joining.model_copy(update={"stack": stack})
        copy(wording.command(path, config, joining))
        if path is None:
            said = "This image has no file yet: put its name in the place of IMAGE."
        elif chosen is None:
            said = "Of a stack the command needs the plane, too: add --z or --t and its number."
        elif is_as_in_shell(layer):
            said = "On the file as it is on disk, the command gives this label image."
        else:
            said = "Another plugin opened this file, so the command may see other pixels."
        self.outcome.say(f"Copied. {said}")
