"""Class embeddings looked up by index."""

from torch import Tensor, nn

from slnp_mm.datasets.codec import UNLABELLED


def to_class_index(label: Tensor, num_classes: int) -> Tensor:
    """Map the unlabelled id to the extra channel ``num_classes``.

    Args:
        label (Tensor): Label map, any shape, int64, 0..C-1 or 255.
        num_classes (int): ``C``, without the unlabelled channel.

    Returns:
        Tensor: Same shape, int64, 0..C.
    """
    return label.masked_fill(label == UNLABELLED, num_classes)


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
            list; float32.
        """
        embedded = super().forward(label)
        return embedded.permute(0, 3, 1, 2) if label.dim() == 3 else embedded

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        """Refuse weights of another class count.

        Raises:
            ValueError: If the stored number of classes differs.
        """
        stored = state_dict.get(f'{prefix}weight')
        if stored is not None and len(stored) != self.num_embeddings:
            raise ValueError(
                f'Expected a checkpoint of {self.num_classes} classes as in '
                f'this config, but it holds {len(stored) - 1} '
                f'("{prefix}weight"); use the config it was trained with, '
                'or train anew for this data set.'
            )
        super()._load_from_state_dict(state_dict, prefix, *args)
