"""Class names, palettes and the 182 -> 171 table of COCO-Stuff."""

import colorsys

# The 11 of COCO's 91 thing ids that were never annotated (ids start at 1).
COCO_UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
NUM_COCO_RAW = 182
NUM_COCO_TRAIN = 171


def mmseg_metainfo(name: str) -> dict:
    """Read names and palette of one of mmseg's data sets.

    mmseg is imported here, not at the top, so that ``import slnp_mm`` does
    not load it.

    Args:
        name (str): Class name, e.g. 'ADE20KDataset'.

    Returns:
        dict: ``classes`` (tuple of names) and ``palette`` (RGB triples).
    """
    import mmseg.datasets

    info = getattr(mmseg.datasets, name).METAINFO
    return dict(
        classes=tuple(info['classes']),
        palette=[list(colour) for colour in info['palette']],
    )


def coco_raw_to_train() -> dict[int, int]:
    """Map COCO-Stuff's raw ids to mmseg's train ids.

    Raw ids are those in ``stuffthingmaps`` PNGs: the published id minus
    one, 0..181. The 11 ids never annotated have no train id.

    Source:
        reference: COCO-Stuff's list of labels; mmseg's COCOStuffDataset,
        which keeps the order and leaves out the unused ids.

    Returns:
        dict[int, int]: 171 raw ids to 0..170.
    """
    used = [i for i in range(NUM_COCO_RAW) if i + 1 not in COCO_UNUSED_IDS]
    return {raw: train for train, raw in enumerate(used)}


def distinct_palette(num: int) -> list[list[int]]:
    """Make up RGB colours that are easy to tell apart.

    Args:
        num (int): How many.

    Returns:
        list[list[int]]: RGB triples, 0..255, no two alike for num <= 255.
    """
    colours = []
    for i in range(num):
        hue = i * 0.61803398875 % 1.0
        value = (0.95, 0.7, 0.5)[i // 7 % 3]
        rgb = colorsys.hsv_to_rgb(hue, (0.75, 0.45)[i // 21 % 2], value)
        colours.append([int(round(255 * c)) for c in rgb])
    return colours
