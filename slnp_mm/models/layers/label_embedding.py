"""Class embeddings looked up by index."""

from torch import Tensor, nn

from ...errors import SLNPError
from .instances import region_counts
from .precision import lookup, lowered


class LabelEmbedding(nn.Embedding):
    """One learned vector per class; the last one is for unlabelled pixels.

    Looking a vector up equals a 1x1 convolution without bias over the
    (C + 1)-channel one-hot map, which is never built.

    Source:
        ours: the paper feeds one-hot labels; at 183 channels and 256 px the
            one-hot map alone is 48 MB an image in float32.

    Args:
        num_classes (int): ``C``, without the unlabelled channel, >= 1.
        channels (int): Length of a vector, >= 1.
    """

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__(num_classes + 1, channels)
        self.num_classes = num_classes

    def forward(self, label: Tensor) -> Tensor:
        """Look the vectors up.

        Args:
            label (Tensor): Class indices, (B, H, W) or (B, T), int64, 0..C.

        Returns:
            Tensor: (B, channels, H, W) for a map, (B, T, channels) for a
            list; float32, or the type of the autocast region around.
        """
        embedded = lookup(lowered(self.weight), label)
        return embedded.permute(0, 3, 1, 2) if label.dim() == 3 else embedded

    def pooled(self, label: Tensor, grid: tuple) -> Tensor:
        """Look the vectors up and average them over the cells of a grid.

        The vectors are weighted by the pixels of their class: a map of one vector a pixel is never
        built.

        Args:
            label (Tensor): Class indices, (B, H, W), int64, 0..C.
            grid (tuple[int, int]): Rows and columns (h, w); H and W must be multiples of them.

        Returns:
            Tensor: (B, channels, h, w), channels-last.
        """
        counts = region_counts(label[:, None], grid, self.num_embeddings)
        shares = counts * (grid[0] * grid[1] / label[0].numel())
        means = shares.to(self.weight.dtype).transpose(1, 2) @ self.weight
        return means.transpose(1, 2).unflatten(2, grid)

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        """Refuse weights of another class count.

        Raises:
            SLNPError: If the stored number of classes differs.
        """
        stored = state_dict.get(f'{prefix}weight')
        if stored is not None and len(stored) != self.num_embeddings:
            raise SLNPError(
                f'Expected a checkpoint of {self.num_classes} classes as in '
                f'this config, but it holds {len(stored) - 1} '
                f'("{prefix}weight"); use the config it was trained with, '
                'or train anew for this data set.'
            )
        super()._load_from_state_dict(state_dict, prefix, *args)
