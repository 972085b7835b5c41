"""Class embeddings looked up by index."""

from torch import Tensor, nn

from ...errors import SLNPError
from .instances import region_counts
from .precision import lookup, lowered


class LabelEmbedding(nn.Embedding):
    """Learned class embeddings; the last one is for unlabelled pixels.

    The lookup equals a bias-free 1x1 convolution over the (C + 1)-channel one-hot map, which is
    never built.

    Source:
        ours: the paper feeds one-hot labels; at 183 channels and 256 px the one-hot map alone takes
            48 MB per image in float32.

    Args:
        num_classes (int): ``C``, without the unlabelled class, >= 1.
        channels (int): Size of an embedding, >= 1.
    """

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__(num_classes + 1, channels)
        self.num_classes = num_classes

    def forward(self, label: Tensor) -> Tensor:
        """Look up the embeddings, in the autocast dtype if enabled.

        Args:
            label (Tensor): Class indices, (B, H, W) or (B, T), int64, 0..C.

        Returns:
            Tensor: (B, channels, H, W) for a map, (B, T, channels) for a list.
        """
        embedded = lookup(lowered(self.weight), label)
        return embedded.permute(0, 3, 1, 2) if label.dim() == 3 else embedded

    def pooled(self, label: Tensor, grid: tuple) -> Tensor:
        """Average the embeddings over the cells of a grid, without building the per-pixel map.

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
        """Refuse weights for another number of classes."""
        stored = state_dict.get(f'{prefix}weight')
        if stored is not None and len(stored) != self.num_embeddings:
            raise SLNPError(
                f'Expected a checkpoint of {self.num_classes} classes as in this config, but it '
                f'holds {len(stored) - 1} ("{prefix}weight"); use the config it was trained with, '
                'or train a new model for this dataset.'
            )
        super()._load_from_state_dict(state_dict, prefix, *args)
