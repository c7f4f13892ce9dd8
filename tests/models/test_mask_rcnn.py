from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
import torch

from napari_nucleiseg.checkpoint import load_checkpoint
from napari_nucleiseg.config import AugmentConfig, SegmentConfig, TrainConfig
from napari_nucleiseg.data.classes import with_class
from napari_nucleiseg.engine import build_engine
from napari_nucleiseg.errors import SettingError
from napari_nucleiseg.events import EpochDone, Notice, TileDone
from napari_nucleiseg.io import write_labels
from napari_nucleiseg.metrics.average_precision import average_precision
from napari_nucleiseg.micrograph import Micrograph
from napari_nucleiseg.models import mask_rcnn
from napari_nucleiseg.publishing import export_model
from napari_nucleiseg.segmentation import segment, segment_now
from napari_nucleiseg.store import find_model
from napari_nucleiseg.training import train

SMALL = {"channels": 64, "head_width": 128, "boxes_per_patch": 64}
STILL = AugmentConfig(
    scale_low=0.9, scale_high=1.1, stretch=0, rotate=0, gamma=0, gain=0, offset=0, invert=0,
    tint=0, blur=0, noise=0, illumination=0, empty=0,
)  # fmt: skip
QUICK = TrainConfig(
    architecture="mask_rcnn",
    architecture_options=SMALL,
    optimizer="adam",
    learning_rate=1e-3,
    epochs=1,
    steps_per_epoch=50,
    batch_size=2,
    patch_px=96,
    augment=STILL,
    ema_decay=0.9,
    held_out=0,
    validate_every=1,
    threads=1,
    device="cpu",
)


def field(seed, side=192):
    """Bright disks (class 1) and half as bright ones (class 2), apart from each other."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(2_000, 300, (side, side)).clip(0)
    labels, kinds = np.zeros((2, side, side), np.int32)
    yy, xx = np.mgrid[:side, :side]
    for n, (y, x) in enumerate(np.ndindex(side // 32, side // 32), 1):
        centre = np.array((y, x)) * 32 + 16 + rng.integers(-4, 5, 2)
        inside = (yy - centre[0]) ** 2 + (xx - centre[1]) ** 2 <= rng.integers(7, 11) ** 2
        kind = int(rng.integers(1, 3))
        labels[inside], kinds[inside] = n, kind
        pixels[inside] += 30_000 / kind
    return pixels.astype(np.uint16), labels, kinds


def write_data(folder, seeds):
    for seed in seeds:
        pixels, labels, kinds = field(seed)
        write_labels(folder / f"{seed}" / "image.tif", pixels)
        for kind in (1, 2):
            write_labels(
                folder / f"{seed}" / f"class{kind}.tif", np.where(kinds == kind, labels, 0)
            )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network that has learned the disks a little, exported as a model."""
    folder = tmp_path_factory.mktemp("disks")
    write_data(folder / "data", range(4))
    list(train(folder / "data", QUICK, folder / "run"))
    export_model(folder / "run" / "last.pt", folder / "disks.safetensors", "disks", {})
    return SegmentConfig(model=str(folder / "disks.safetensors"), device="cpu")


@pytest.fixture(scope="module")
def disks():
    pixels, labels, kinds = field(99, 320)
    return Micrograph(pixels, "YX", name="disks"), labels, kinds


@pytest.mark.slow
def test_finds_the_nuclei_and_their_classes(trained, disks):
    micrograph, truth, kinds = disks
    found = segment_now(micrograph, trained)
    assert average_precision(truth, found.labels, [0.5])[0] > 0.8
    assert found.count == found.labels.max() == len(found.manifest["classes"])
    said = np.array([0, *found.manifest["classes"]])[found.labels]
    both = (said > 0) & (kinds > 0)
    assert (said[both] == kinds[both]).mean() > 0.9
    assert found.manifest["engine"].startswith("PyTorch")


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 3])
def test_tiles_find_each_nucleus_once(trained, disks, batch):
    micrograph, truth, _ = disks
    tiles = trained.model_copy(update={"tile_px": 256, "overlap_px": 64, "batch_size": batch})
    events = list(segment(micrograph, tiles))
    assert [e.done for e in events if isinstance(e, TileDone)][-1] == 4
    found = events[-1]
    whole = segment_now(micrograph, trained)
    # where the network is hardly sure, the number of threads in training already decides
    assert abs(found.count - whole.count) <= 0.06 * whole.count
    assert average_precision(truth, found.labels, [0.5])[0] > 0.8
    assert average_precision(whole.labels, found.labels, [0.5])[0] > 0.9


@pytest.mark.slow
def test_settings_count_or_are_said_not_to(trained, disks):
    micrograph = disks[0]
    sure = segment_now(micrograph, trained.model_copy(update={"probability": 0.95}))
    unsure = segment_now(micrograph, trained.model_copy(update={"probability": 0.1}))
    assert sure.count < unsure.count
    large = segment_now(micrograph, trained.model_copy(update={"min_area_px": 250}))
    assert np.bincount(large.labels.ravel())[1:].min(initial=250) >= 250
    notices = {
        value: [e.text for e in segment(micrograph, config) if isinstance(e, Notice)]
        for value, config in (
            (v, trained.model_copy(update={"seed_sensitivity": v})) for v in (0.5, 0.8)
        )
    }
    assert notices[0.5] == []
    assert "seed_sensitivity has no effect" in notices[0.8][0]


@pytest.mark.slow
def test_an_empty_image_has_no_nuclei(trained):
    flat = segment_now(Micrograph(np.full((64, 80), 7, np.uint16), "YX"), trained)
    assert (flat.count, flat.manifest["classes"]) == (0, [])
    noise = np.random.default_rng(0).normal(2_000, 300, (100, 75)).astype(np.uint16)
    assert segment_now(Micrograph(noise, "YX"), trained).labels.shape == (100, 75)


@pytest.mark.slow
def test_openvino_is_not_taken_and_refused_when_asked_for(trained):
    with pytest.raises(SettingError, match="Choose the engine auto or torch"):
        build_engine(find_model(trained.model), trained.model_copy(update={"engine": "openvino"}))


@pytest.mark.slow
def test_memory_that_runs_out_makes_tiles_smaller(trained, disks, monkeypatch):
    predict = mask_rcnn.MaskRCNN.predict

    def scarce(self, tiles, *score):
        if tiles.shape[2] > 256:
            raise MemoryError
        return predict(self, tiles, *score)

    monkeypatch.setattr(mask_rcnn.MaskRCNN, "predict", scarce)
    events = list(segment(disks[0], trained))
    assert any("tiles of" in e.text for e in events if isinstance(e, Notice))
    assert events[-1].count > 50


@pytest.mark.slow
def test_stopped_and_resumed_equals_uninterrupted(tmp_path):
    write_data(tmp_path / "data", range(2))
    config = QUICK.model_copy(
        update={"epochs": 2, "steps_per_epoch": 2, "patch_px": 64, "held_out": 0.5}
    )
    whole = list(train(tmp_path / "data", config, tmp_path / "whole"))
    assert {"dice", "ap"} <= [e for e in whole if isinstance(e, EpochDone)][-1].scores.keys()
    with closing(train(tmp_path / "data", config, tmp_path / "parts")) as events:
        next(e for e in events if isinstance(e, EpochDone))
    list(train(tmp_path / "data", config, tmp_path / "parts"))
    one, other = (load_checkpoint(tmp_path / p / "last.pt") for p in ("whole", "parts"))
    assert one.config.architecture_options["classes"] == 2
    assert one.weights.keys() == other.weights.keys()
    assert all(torch.equal(v, other.weights[k]) for k, v in one.weights.items())


def test_classes_that_differ_from_the_data_are_refused(tmp_path):
    write_data(tmp_path / "data", [0])
    config = QUICK.model_copy(update={"architecture_options": {**SMALL, "classes": 3}})
    with pytest.raises(SettingError, match="classes = 3, and 2 in the data"):
        list(train(tmp_path / "data", config, tmp_path / "run"))


def test_a_network_without_classes_takes_them_together(tmp_path):
    write_data(tmp_path / "data", [0])
    config = QUICK.model_copy(
        update={
            "architecture": "nuclei_unet",
            "architecture_options": {"widths": [16, 16]},
            "steps_per_epoch": 1,
        }
    )
    texts = [
        e.text for e in train(tmp_path / "data", config, tmp_path / "run") if isinstance(e, Notice)
    ]
    assert "nuclei_unet knows no classes: nuclei of all 2 are taken together" in texts


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "resnet101", "resnext101_32x8d"])
def test_every_backbone_gives_a_pyramid_and_nothing_is_frozen(backbone):
    options = mask_rcnn.Options(backbone=backbone, channels=32, head_width=32)
    with torch.device("meta"):
        model = mask_rcnn.build(options)
        features = model(torch.rand(1, 3, 64, 96))
    assert [tuple(f.shape) for f in features.values()] == [
        (1, 32, 16, 24), (1, 32, 8, 12), (1, 32, 4, 6), (1, 32, 2, 3), (1, 32, 1, 2)
    ]  # fmt: skip
    assert all(p.requires_grad for p in model.parameters())


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    return mask_rcnn.build(mask_rcnn.Options(**SMALL, classes=2))


def labels_with(*places):
    labels = torch.zeros(1, 96, 96, dtype=torch.int32)
    for n, (y, x, side, kind) in enumerate(places, 1):
        labels[0, y : y + side, x : x + side] = int(with_class(np.array(n), np.array(kind), 2))
    return labels


@pytest.mark.parametrize(
    "labels",
    [
        labels_with(),
        labels_with((5, 5, 1, 1)),
        labels_with((0, 0, 96, 2)),
        labels_with(*((8 * y, 8 * x, 6, x % 2 + 1) for y in range(12) for x in range(12))),
    ],
    ids=["none", "a speck", "all of it", "many"],
)
def test_every_patch_has_a_finite_loss_and_gradient(untrained, labels):
    untrained.zero_grad()
    loss = untrained.loss(torch.rand(1, 3, 96, 96), labels)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in untrained.parameters() if p.grad is not None)


def test_the_loss_is_the_same_each_time_and_leaves_the_random_numbers_alone(untrained):
    image, labels = torch.rand(1, 3, 96, 96), labels_with((10, 10, 20, 1), (50, 50, 12, 2))
    before = torch.random.get_rng_state()
    assert torch.equal(untrained.loss(image, labels), untrained.loss(image, labels))
    assert torch.equal(before, torch.random.get_rng_state())


def test_mixed_precision_gives_about_the_same_loss(untrained):
    image, labels = torch.rand(1, 3, 96, 96), labels_with((10, 10, 20, 1), (50, 50, 12, 2))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = untrained.loss(image, labels)
    assert mixed.dtype == torch.float32
    plain = untrained.loss(image, labels)
    assert mixed.item() == pytest.approx(plain.item(), rel=0.05)


def test_boxes_on_ignored_pixels_are_no_background():
    labels = np.zeros((64, 64), np.int32)
    labels[:, 32:] = -1
    truth = mask_rcnn._truth(labels, 1, torch.device("cpu"))
    boxes = torch.tensor([[0, 0, 16, 16], [40, 0, 56, 16], [28, 0, 38, 8], [-20, -20, 4, 4.0]])
    assert mask_rcnn._is_unknown(boxes, truth).tolist() == [False, True, True, False]


def test_targets_of_masks_show_the_nucleus_in_its_box():
    labels = np.zeros((64, 64), np.int32)
    labels[8:24, 8:16], labels[8:24, 16:24] = 1, 2
    labels[20:24, 8:24] = -1
    truth = mask_rcnn._truth(labels, 1, torch.device("cpu"))
    assert truth.boxes.tolist() == [[8, 8, 16, 20], [16, 8, 24, 20]]
    inside, known = mask_rcnn._mask_targets(
        truth, torch.tensor([[8.0, 8, 24, 24]]), torch.tensor([1])
    )
    expected = np.zeros((28, 28))
    expected[:21, :14] = 1
    assert inside[0].numpy() == pytest.approx(expected)
    assert known[0, :21].min() == 1
    assert known[0, 21:].max() == 0


def test_more_nuclei_in_a_patch_than_the_defaults_of_torchvision(untrained):
    heads = untrained.heads
    assert heads.detections_per_img == 1000
    assert untrained.proposer._post_nms_top_n["testing"] == 2000


def test_the_micrograph_is_not_scaled(untrained):
    seen = []
    handle = untrained.pyramid.register_forward_hook(
        lambda _, inputs, outputs: seen.append(inputs[0].shape)
    )
    untrained.eval().predict(torch.rand(1, 3, 64, 160), 0.9)
    handle.remove()
    assert seen == [(1, 3, 64, 160)]
