"""Map condition classes to scorer classes, never the reverse."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...datasets.codec import UNLABELLED
from ...errors import SLNPError


def build_class_map(
    class_map: Sequence[int] | None, num_classes: int, num_scorer_classes: int
) -> Tensor | None:
    """Check a class map and turn it into a lookup table.

    Args:
        class_map (Sequence[int], optional): Scorer id of each condition class, 255 where the scorer
            has none. ``None``: both use the same ids.
        num_classes (int): Number of condition classes.
        num_scorer_classes (int): Number of scorer classes.

    Returns:
        Tensor, optional: (256,) int64, 255 outside the condition's classes; ``None`` for
        ``class_map=None``.

    Raises:
        SLNPError: If the counts differ without a map, or the map has the wrong length or an id that
            the scorer lacks.
    """
    if class_map is None:
        if num_classes != num_scorer_classes:
            raise SLNPError(
                f'The scorer has {num_scorer_classes} classes, the data set {num_classes}: give '
                f'`class_map` with one scorer id (0..{num_scorer_classes - 1}, or 255 for '
                'none) for each class of the data set.'
            )
        return None
    if len(class_map) != num_classes:
        raise SLNPError(
            f'Expected a class map with {num_classes} entries (one per class of the data set), got '
            f'{len(class_map)}.'
        )
    bad = [i for i in class_map if i != UNLABELLED and not 0 <= i < num_scorer_classes]
    if bad:
        raise SLNPError(
            f'Expected scorer ids 0..{num_scorer_classes - 1} or 255 in the class map, got '
            f'{bad[0]}.'
        )
    table = torch.full((256,), UNLABELLED, dtype=torch.int64)
    table[:num_classes] = torch.as_tensor(list(class_map), dtype=torch.int64)
    return table
