"""Conversion of batches from the loader to what the networks take."""

from mmagic.models import DataPreprocessor
from mmagic.registry import MODELS
from torch import Tensor

from slnp_mm.datasets.codec import UNLABELLED

from ..errors import SLNPError


@MODELS.register_module()
class SLNPDataPreprocessor(DataPreprocessor):
    """Normalise images and convert label ids to class indices, once for all networks.

    Images are converted from BGR in [0, 255] to RGB in [-1, 1]; ``label``, ``instances`` and
    ``instance_labels`` from any integer type to int64; label ids 0..C-1 and 255 (unlabelled) to
    class indices 0..C, with ``C`` for unlabelled. They are moved to the device before the cast,
    asynchronously if the loader pins memory.

    Args:
        num_classes (int): ``C``, without the unlabelled class.
    """

    # the parent's `non_image_keys` argument would extend the list of every preprocessor
    _NON_IMAGE_KEYS = ['noise', 'code', 'label', 'instances', 'instance_labels']

    def __init__(self, num_classes: int) -> None:
        super().__init__(mean=127.5, std=127.5, output_channel_order='RGB', data_keys=[])
        self._non_blocking = True  # mmagic does not pass mmengine's argument on
        self.num_classes = num_classes

    def _do_conversion(
        self, inputs: Tensor, inputs_order: str = 'BGR', target_order: str | None = None
    ) -> tuple[Tensor, str]:
        """Swap RGB and BGR without the parent's copy of an index to the device."""
        if target_order is None or inputs_order == target_order:
            return inputs, inputs_order
        return inputs.flip(-3), target_order

    def _check_label(self, label: Tensor, where: str) -> None:
        """Refuse ids other than 0..C-1 and 255; ``where`` names the file."""
        bad = label[(label < 0) | ((label >= self.num_classes) & (label != UNLABELLED))]
        if len(bad):
            raise SLNPError(
                f'Expected label ids 0..{self.num_classes - 1} or {UNLABELLED} (unlabelled), but '
                f'{where} holds {sorted(set(bad.tolist()))[:5]}; check num_classes and the '
                "dataset's label settings."
            )

    def forward(self, data: dict, training: bool = False) -> dict:
        """Check, stack and normalise a batch.

        Args:
            data (dict): ``inputs``, a list of dicts (or a dict of lists) with ``img`` (3, H, W),
                ``label`` (1, H, W), ``instances`` (K, H, W) and ``instance_labels`` (T,);
                ``data_samples``.
            training (bool): Whether in training. Defaults to False.

        Returns:
            dict: ``inputs`` with the same keys, stacked, ``label`` as class indices (B, H, W);
            ``data_samples``, stacked.

        Raises:
            SLNPError: If a label id is out of range.
        """
        inputs = data['inputs']
        labels = (
            inputs['label']
            if isinstance(inputs, dict)
            else [item['label'] for item in inputs if 'label' in item]
        )
        samples = data.get('data_samples') or [None] * len(labels)
        for label, sample in zip(labels, samples):
            where = sample.metainfo.get('label_path') if sample else None
            self._check_label(label, where or 'a label map')
        data = super().forward(data, training)
        inputs = data['inputs']
        for key in ('label', 'instances', 'instance_labels'):
            if key in inputs:
                inputs[key] = inputs[key].long()
        if 'label' in inputs:
            label = inputs['label'].squeeze(1)
            inputs['label'] = label.masked_fill(label == UNLABELLED, self.num_classes)
        return data

    def label_ids(self, label: Tensor) -> Tensor:
        """Convert class indices 0..C back to label ids 0..C-1 and 255."""
        return label.masked_fill(label == self.num_classes, UNLABELLED)

    def destruct(self, outputs: Tensor, *args) -> Tensor:
        """Undo the normalisation.

        Args:
            outputs (Tensor): RGB images, (..., 3, H, W), float, [-1, 1].
            args: The parent's further arguments, ignored.

        Returns:
            Tensor: BGR images, same shape, float32, [0, 255].
        """
        return ((outputs.float() + 1) * 127.5).clamp(0, 255).flip(-3)
