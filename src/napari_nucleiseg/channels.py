"""Which channel shows the nuclei: by its name, else by what it looks like."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from scipy import ndimage

from .micrograph import Micrograph

# surest first; a channel of an earlier line wins
_NAMES = (
    r"dapi|hoechst|h\s?3?33342|(?<!\d)33342|(?<!\d)33258",
    r"nuclei|nucleus|nuclear(?! ?(?:membrane|envelope|pore))|^nuc\b|(?<![a-z])nuc(?![a-z])|"
    r"(?<![a-z])dna(?![a-z])|draq\s?[57]|to-?pro|sytox|syto\s?\d\d|propidium|(?<![a-z])pi(?![a-z])",
    r"h2[ab]|histone|(?<![a-z0-9])h[34](?![0-9])|(?<![a-z])nls(?![a-z])|h(?:a)?ematoxylin|feulgen",
)
# DAPI and Hoechst glow at 460 nm; CFP begins at 475 nm
_BLUE_NM = (400.0, 470.0)
_SIDE_PX = 400
_NO_NUCLEI = 0.05  # noise has 0.02, a channel of nuclei 0.2 and more


def choose_pixels(
    micrograph: Micrograph,
    channel: str | int | None = None,
    colour: str = "auto",
    merge: str = "none",
) -> tuple[Micrograph, tuple[str, ...]]:
    """Reduce a micrograph to what a network gets: one channel, or a colour picture.

    Parameters
    ----------
    micrograph : Micrograph
    channel : str, int or None
        Name of the channel with the nuclei or its number from 1; None: it is proposed.
    colour : {"auto", "colour", "channels"}
        Whether three components are one colour picture or three channels.
    merge : {"none", "max", "mean"}
        Whether several channels are put together; then ``channel`` can name some, with commas.

    Returns
    -------
    Micrograph, tuple of str
        With axes YX or YXS, and what was assumed, one sentence each.

    Raises
    ------
    SettingError
        If there is no such channel.
    """
    if merge != "none":
        which = () if channel is None else tuple(w for w in str(channel).split(",") if w.strip())
        merged = micrograph.merged(merge, which)
        name = merged.channel_names[0] if merged.channel_names else "the only one"
        return merged, (f"Channels put together ({merge}): {name}.",)
    if micrograph.axes == "CYX" and colour == "colour" and micrograph.pixels.shape[0] == 3:
        pixels = np.moveaxis(micrograph.pixels, 0, -1)
        micrograph = replace(micrograph, pixels=pixels, axes="YXS", channel_names=())
    if micrograph.is_colour and colour == "channels":
        planes = np.moveaxis(micrograph.pixels, -1, 0)
        names = ("red", "green", "blue")
        micrograph = replace(micrograph, pixels=planes, axes="CYX", channel_names=names)
    if channel is not None:
        return micrograph.channel(channel), ()
    if micrograph.is_colour and colour == "auto" and is_grey(_overview(micrograph)):
        return replace(micrograph, pixels=micrograph.pixels[..., 0], axes="YX"), ()
    if micrograph.axes == "CYX":
        if micrograph.pixels.shape[0] == 1:
            return micrograph.channel(1), ()
        index, why = propose_channel(micrograph)
        name = micrograph.channels[index]
        called = f"{index + 1}" if name == str(index + 1) else f"{index + 1} ({name})"
        return micrograph.channel(index + 1), (f"Nuclei are looked for in channel {called}: {why}",)
    return micrograph, ()


def _overview(micrograph: Micrograph) -> np.ndarray:
    """The pixels as they are where they are in memory, else few of them: a coarse level."""
    if not micrograph.is_lazy:
        return np.asarray(micrograph.pixels)
    y = micrograph.axes.index("Y")
    large = [a for a in (micrograph.pixels, *micrograph.levels) if min(a.shape[y : y + 2]) >= 400]
    pixels = large[-1] if large else micrograph.pixels
    step = max(1, min(pixels.shape[y : y + 2]) // (2 * _SIDE_PX))
    place = (*[slice(None)] * y, slice(None, None, step), slice(None, None, step))
    return np.asarray(pixels[place])


def is_grey(pixels: np.ndarray) -> bool:
    """Whether red, green and blue of an (H, W, 3) picture are equal everywhere."""
    first = pixels[..., :1]
    # one row tells most colour pictures
    return bool((pixels[:1] == first[:1]).all() and (pixels == first).all())


def propose_channel(micrograph: Micrograph) -> tuple[int, str]:
    """The channel that most likely shows nuclei.

    Parameters
    ----------
    micrograph : Micrograph
        Of any axes; only channels leave a choice.

    Returns
    -------
    int
        Index of the channel, from 0.
    str
        Why, in one sentence.
    """
    if micrograph.axes != "CYX" or len(micrograph.pixels) == 1:
        return 0, "There is only one channel."
    for pattern in _NAMES:
        for index, name in enumerate(micrograph.channel_names):
            if re.search(pattern, name.casefold().replace("_", " ")):
                return index, f"Channel {index + 1} is named {name}."
    blue = [
        index
        for index, wave in enumerate(micrograph.emission_nm)
        if wave is not None and _BLUE_NM[0] <= wave <= _BLUE_NM[1]
    ]
    if len(blue) == 1:
        wave = micrograph.emission_nm[blue[0]]
        return blue[0], f"Channel {blue[0] + 1} shows {wave:.0f} nm, the light of DAPI and Hoechst."
    scores = [blob_score(channel) for channel in _overview(micrograph)]
    best = max(scores)
    if best < _NO_NUCLEI:
        return 0, "No channel shows nuclei; the first was taken."
    near = [i for i, score in enumerate(scores) if score > 0.95 * best]
    if len(near) > 1:
        return near[0], f"No channel stands out; channel {near[0] + 1} was taken."
    return near[0], f"Channel {near[0] + 1} shows the most compact, filled shapes."


def blob_score(pixels: np.ndarray) -> float:
    """How much a channel looks like nuclei: bright, filled, roundish shapes of similar size.

    Parameters
    ----------
    pixels : (H, W) ndarray
        One channel, any plain dtype; it is looked at in a size of 400 pixels at most.

    Returns
    -------
    float
        0 for a channel without structure, towards 1 for separate bright discs on a dark field.
    """
    image = _small(pixels)
    low, high = np.percentile(image, (1, 99.8))
    if not high > low:
        return 0.0
    image = ndimage.gaussian_filter(np.clip((image - low) / (high - low), 0, 1), 1.0)
    inside = image > _otsu(image)
    share = float(inside.mean())
    if not 0 < share < 0.7:
        return 0.0
    contrast = float(image[inside].mean() - image[~inside].mean())
    # a frame of background, so that shapes are not taken to go on beyond the border
    depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    pieces, count = ndimage.label(inside)
    numbers = np.arange(1, count + 1)
    areas = ndimage.sum_labels(inside, pieces, numbers)
    # the mean depth of a disc is a third of its radius; a line of the same area has far less
    ideal = np.sqrt(areas / np.pi) / 3
    roundness = np.minimum(1, ndimage.mean(depth, pieces, numbers) / ideal)
    large = areas >= 16
    return contrast * float((roundness * areas)[large].sum() / areas.sum())


def _small(pixels: np.ndarray) -> np.ndarray:
    """The channel as float32 with sides of at most 400 pixels, blocks averaged; NaN is dark."""
    step = max(1, int(np.ceil(max(pixels.shape) / _SIDE_PX)))
    height, width = (max(1, n // step) for n in pixels.shape)
    rows, columns = min(step, pixels.shape[0]), min(step, pixels.shape[1])
    # of large blocks a part is enough
    part = max(1, step // 4)
    blocks = pixels[: height * rows, : width * columns].reshape(height, rows, width, columns)
    blocks = blocks[:, ::part, :, ::part].astype(np.float32)
    if pixels.dtype.kind == "f":
        finite = np.isfinite(blocks)
        dark = float(blocks[finite].min()) if finite.any() else 0.0
        blocks = np.where(finite, blocks, dark)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))


def _otsu(image: np.ndarray) -> float:
    """The threshold between 0 and 1 that separates two groups best.

    References
    ----------
    Otsu, N. (1979), https://doi.org/10.1109/TSMC.1979.4310076
    """
    counts, edges = np.histogram(image, bins=128, range=(0, 1))
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    weighted = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (weighted / below - (weighted[-1] - weighted) / above) ** 2
    return float(edges[1:][np.nanargmax(np.where(np.isfinite(between), between, -1))])
