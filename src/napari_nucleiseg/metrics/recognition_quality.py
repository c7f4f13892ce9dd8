"""RQ, the part of panoptic quality that counts matches; equal to F1 at IoU 0.5.

References
----------
A. Kirillov, K. He, R. Girshick, C. Rother, P. Dollár, Panoptic segmentation, CVPR 2019,
doi:10.1109/CVPR.2019.00963, equation 2.
"""

from __future__ import annotations

from .f1 import build, score

__all__ = ["TITLE", "build", "score"]

TITLE = "RQ"
