"""Mask R-CNN: finds a box for each nucleus, its class, and its mask (He et al. 2017).

A residual network (He et al. 2016) and a feature pyramid (Lin et al. 2017), a network that proposes
boxes (Ren et al. 2015), and heads that judge each box: `torchvision`'s parts, with group
normalisation (Wu and He 2018), which serves small batches and training from nothing. What it gives
are detections, one for each nucleus, which may overlap (`napari_nucleiseg.detections`).

References
----------
He K, Gkioxari G, Dollár P, Girshick R (2017). Mask R-CNN. doi:10.1109/ICCV.2017.322
He K, Zhang X, Ren S, Sun J (2016). Deep Residual Learning. doi:10.1109/CVPR.2016.90
Lin T-Y et al. (2017). Feature Pyramid Networks. doi:10.1109/CVPR.2017.106
Ren S, He K, Girshick R, Sun J (2015). Faster R-CNN. doi:10.1109/TPAMI.2016.2577031
Wu Y, He K (2018). Group Normalization. doi:10.1007/978-3-030-01261-8_1
Xie S et al. (2017). Aggregated Residual Transformations (ResNeXt). doi:10.1109/CVPR.2017.634
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import get_model
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import MultiScaleRoIAlign

from ..config import Config
from ..data.classes import class_of
from ..detections import INSTANCES, Detection, paste
from ..distributed import mean_of_all

LEVELS = ("0", "1", "2", "3")
SMALLEST_PX = 4
MOST_IGNORED = 0.5
MASK_SIDE = 28
BOXES_AT_ONCE = 128


class MaskRCNNConfig(Config):
    """Size and limits of a Mask R-CNN."""

    backbone: Literal["resnet18", "resnet50", "resnet101", "resnext101_32x8d"] = Field(
        "resnet18", description="residual network that sees the picture"
    )
    classes: int = Field(1, ge=1, le=100, description="kinds of nuclei that are told apart")
    channels: int = Field(256, ge=32, multiple_of=32, description="channels of the pyramid")
    head_width: int = Field(1024, ge=32, description="width of the layers that judge a box")
    anchor_px: tuple[float, float, float, float, float] = Field(
        (8, 16, 32, 64, 128), description="sizes that boxes start from, fine to coarse (px)"
    )
    aspect_ratios: tuple[float, ...] = Field(
        (0.5, 1.0, 2.0), min_length=1, description="heights over widths that boxes start from"
    )
    proposals: int = Field(2000, ge=1, description="boxes in a tile that are looked at closely")
    detections_per_tile: int = Field(1000, ge=1, description="nuclei in a tile at most")
    box_overlap: float = Field(
        0.5, gt=0, lt=1, description="IoU of boxes above which they are the same nucleus"
    )
    mask_threshold: float = Field(
        0.5, gt=0, lt=1, description="how sure a pixel must be to belong to its nucleus"
    )
    boxes_per_patch: int = Field(
        256, ge=8, description="boxes of a patch that the heads learn from, a quarter on nuclei"
    )


@dataclass(frozen=True)
class _Truth:
    """What is to be learned of one patch."""

    boxes: Tensor  # (N, 4) left, top, right, bottom
    numbers: Tensor  # (N,)
    classes: Tensor  # (N,)
    labels: Tensor  # (H, W), -1 where nothing is known
    unknown: Tensor  # (H + 1, W + 1) sums of unknown pixels above and left


def _truth(labels: np.ndarray, classes: int, device: torch.device) -> _Truth:
    """Boxes and classes of a label image."""
    labels = labels.copy()
    area = np.bincount(np.maximum(labels, 0).ravel())
    # specks at the rim of a patch are neither nuclei nor background
    specks = (area > 0) & (area < SMALLEST_PX)
    labels[(labels > 0) & specks[np.maximum(labels, 0)]] = -1
    found = ndimage.find_objects(np.maximum(labels, 0))
    boxes = [(x.start, y.start, x.stop, y.stop) for y, x in filter(None, found)]
    numbers = np.array([n for n, place in enumerate(found, 1) if place is not None], np.int64)
    unknown = np.pad((labels < 0).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    return _Truth(
        torch.tensor(boxes, dtype=torch.float32, device=device).reshape(-1, 4),
        torch.from_numpy(numbers).to(device),
        torch.from_numpy(class_of(numbers, classes)).to(device),
        torch.from_numpy(labels).to(device),
        torch.from_numpy(unknown).to(device),
    )


def _is_unknown(boxes: Tensor, truth: _Truth) -> Tensor:
    """Whether too much of each box is ignored for it to be called background."""
    height, width = truth.labels.shape
    left, right = (boxes[:, i].round().long().clamp(0, width) for i in (0, 2))
    top, bottom = (boxes[:, i].round().long().clamp(0, height) for i in (1, 3))
    sums = truth.unknown
    ignored = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return ignored > MOST_IGNORED * (bottom - top) * (right - left)


class _Proposer(RegionProposalNetwork):  # type: ignore[misc]
    """Torchvision's, but boxes on ignored pixels are no background."""

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[dict[str, _Truth]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        plain = [{"boxes": t["truth"].boxes} for t in targets]
        labels, boxes = super().assign_targets_to_anchors(anchors, plain)
        for own, places, target in zip(labels, anchors, targets, strict=True):
            own[(own == 0) & _is_unknown(places, target["truth"])] = -1
        return labels, boxes

    def compute_loss(
        self, objectness: Tensor, deltas: Tensor, labels: list[Tensor], wanted: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        if not any(bool((own >= 0).any()) for own in labels):
            # nothing is known of the whole batch, and a mean of nothing is no number
            return objectness.sum() * 0, deltas.sum() * 0
        entropy, distance = super().compute_loss(objectness, deltas, labels, wanted)
        return entropy, distance


def _groups(channels: int) -> nn.Module:
    return nn.GroupNorm(min(32, channels // 8), channels)


class MaskRCNN(nn.Module):
    """See the module's first lines.

    Parameters
    ----------
    config : MaskRCNNConfig

    Attributes
    ----------
    multiple : int
        Sides of what goes in must be multiples of this (px). It is never scaled.
    """

    map_names = INSTANCES
    multiple = 32

    def __init__(self, config: MaskRCNNConfig) -> None:
        super().__init__()
        self.config = config
        width, kinds = config.channels, config.classes + 1
        network = get_model(
            config.backbone, weights=None, norm_layer=_groups, zero_init_residual=True
        )
        stages = {f"layer{i + 1}": level for i, level in enumerate(LEVELS)}
        inputs = [network.fc.in_features >> i for i in (3, 2, 1, 0)]
        self.pyramid = BackboneWithFPN(network, stages, inputs, width, norm_layer=_groups)
        anchors = AnchorGenerator(
            tuple((size,) for size in config.anchor_px), (config.aspect_ratios,) * 5
        )
        limits = {"training": 1000, "testing": config.proposals}
        self.proposer = _Proposer(
            anchors,
            RPNHead(width, len(config.aspect_ratios)),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=256,
            positive_fraction=0.5,
            pre_nms_top_n=limits,
            post_nms_top_n=limits,
            nms_thresh=0.7,
        )
        self.heads = RoIHeads(
            MultiScaleRoIAlign(LEVELS, 7, 2),
            TwoMLPHead(width * 7 * 7, config.head_width),
            FastRCNNPredictor(config.head_width, kinds),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=config.boxes_per_patch,
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=0.5,
            nms_thresh=config.box_overlap,
            detections_per_img=config.detections_per_tile,
        )
        self.mask_pool = MultiScaleRoIAlign(LEVELS, MASK_SIDE // 2, 2)
        self.mask_head = nn.Sequential(
            MaskRCNNHeads(width, (width,) * 4, 1, _groups), MaskRCNNPredictor(width, width, kinds)
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) normalised images to features at 1/4, 1/8, ... of their size."""
        # intensities of 0..1 become about -1..1
        features: dict[str, Tensor] = self.pyramid(4 * images - 2)
        return {level: values.float() for level, values in features.items()}

    def predict(self, tiles: Tensor, least_score: float = 0.5) -> list[list[Detection]]:
        """Find the nuclei of a batch of tiles.

        Parameters
        ----------
        tiles : (B, 3, H, W) float Tensor
            Normalised intensities.
        least_score : float
            What the network is less sure of is left out.

        Returns
        -------
        list of list of Detection
            For each tile those in it, the surest first.
        """
        # a copy, since another thread may ask with another score
        heads = copy.copy(self.heads)
        heads.score_thresh = least_score
        shape = (int(tiles.shape[2]), int(tiles.shape[3]))
        with torch.inference_mode():
            features = self(tiles)
            images = ImageList(tiles, [shape] * len(tiles))
            proposals, _ = self.proposer(images, features)
            found, _ = heads(features, proposals, images.image_sizes)
            return [
                self._detections({k: v[i : i + 1] for k, v in features.items()}, one, shape)
                for i, one in enumerate(found)
            ]

    def _detections(
        self, features: dict[str, Tensor], found: dict[str, Tensor], shape: tuple[int, int]
    ) -> list[Detection]:
        """Masks for the boxes of one tile."""
        result = []
        # in portions: the masks of hundreds of boxes take much memory
        for first in range(0, len(found["boxes"]), BOXES_AT_ONCE):
            boxes, classes, scores = (
                found[k][first : first + BOXES_AT_ONCE] for k in ("boxes", "labels", "scores")
            )
            logits = self.mask_head(self.mask_pool(features, [boxes], [shape]))
            masks = logits[torch.arange(len(boxes)), classes].sigmoid().cpu().numpy()
            for mask, box, class_id, score in zip(
                masks, boxes.tolist(), classes.tolist(), scores.tolist(), strict=True
            ):
                left, top, right, bottom = box
                place = (top, left, bottom, right)
                if pasted := paste(mask, place, shape, self.config.mask_threshold):
                    result.append(Detection(*pasted, score, class_id))
        return result

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Sum of the five losses of Mask R-CNN: of proposals and of boxes, of masks.

        Boxes that lie by more than half on ignored pixels are never taken for background, and
        ignored pixels do not count in masks. The boxes to learn from are drawn at random, but the
        same for the same label images, so that a training that is resumed stays the same.

        Parameters
        ----------
        images : (B, 3, H, W) float Tensor
            Normalised patches.
        labels : (B, H, W) int32 Tensor
            Label images whose numbers carry the class (`napari_nucleiseg.data.classes`); pixels of
            -1 are ignored.

        Returns
        -------
        scalar Tensor
        """
        features = self(images)
        device = images.device
        with (
            torch.random.fork_rng([device] if device.type == "cuda" else []),
            # the heads work with positions in pixels, for which bfloat16 is too coarse
            torch.autocast(device.type, enabled=False),
        ):
            torch.manual_seed(int(labels.sum()) % 2**31)
            truths = [_truth(one.cpu().numpy(), self.config.classes, device) for one in labels]
            was_training = self.proposer.training
            self.proposer.train()
            try:
                total = self._losses(images.float(), features, truths)
            finally:
                self.proposer.train(was_training)
        return total

    def _losses(self, images: Tensor, features: dict[str, Tensor], truths: list[_Truth]) -> Tensor:
        sizes = [(int(images.shape[2]), int(images.shape[3]))] * len(images)
        targets = [{"truth": t, "boxes": t.boxes, "labels": t.classes} for t in truths]
        proposals, losses = self.proposer(ImageList(images, sizes), features, targets)
        total: Tensor = sum(losses.values())
        proposals = [p[~_is_unknown(p, t)] for p, t in zip(proposals, truths, strict=True)]
        boxes, matched, classes, wanted = self.heads.select_training_samples(proposals, targets)
        pooled = self.heads.box_head(self.heads.box_roi_pool(features, boxes, sizes))
        logits, deltas = self.heads.box_predictor(pooled)
        if not len(logits):
            # all boxes lie on ignored pixels
            return total
        total = total + sum(fastrcnn_loss(logits, deltas, classes, wanted))

        on_nuclei = [kinds > 0 for kinds in classes]
        places = [b[mine] for b, mine in zip(boxes, on_nuclei, strict=True)]
        mask_logits = self.mask_head(self.mask_pool(features, places, sizes))
        kinds = torch.cat([c[mine] for c, mine in zip(classes, on_nuclei, strict=True)])
        aims = [
            _mask_targets(truth, place, truth.numbers[index[mine]])
            for truth, place, index, mine in zip(truths, places, matched, on_nuclei, strict=True)
        ]
        inside, known = (torch.cat(parts) for parts in zip(*aims, strict=True))
        entropy = F.binary_cross_entropy_with_logits(
            mask_logits[torch.arange(len(kinds)), kinds], inside, known, reduction="sum"
        )
        return total + entropy / mean_of_all(known.sum()).clamp(min=1)


def _mask_targets(truth: _Truth, boxes: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Share of each part of each box that is its nucleus, and share that is known.

    They are looked up in the label image: a mask of full size for each of hundreds of nuclei would
    take much memory.
    """
    height, width = truth.labels.shape
    steps = (torch.arange(2 * MASK_SIDE, device=boxes.device) + 0.5) / (2 * MASK_SIDE)
    left, top, right, bottom = (side[:, None] for side in boxes.unbind(1))
    x = (left + (right - left) * steps).long().clamp(0, width - 1)
    y = (top + (bottom - top) * steps).long().clamp(0, height - 1)
    seen = truth.labels[y[:, :, None], x[:, None, :]]
    inside, known = (
        F.avg_pool2d(found[:, None].float(), 2)[:, 0]
        for found in (seen == numbers[:, None, None], seen >= 0)
    )
    return inside, known


def build(config: MaskRCNNConfig | None = None) -> MaskRCNN:
    """Build an untrained network."""
    return MaskRCNN(config or MaskRCNNConfig())


Options = MaskRCNNConfig
