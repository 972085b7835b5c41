"""Fit the distribution of codes before a noise prior is saved."""

import torch
from mmagic.registry import HOOKS
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner


@HOOKS.register_module()
class SLNPPriorHook(Hook):
    """Fit the codes of the training images into each checkpoint of a noise prior.

    Other models, and priors whose ``code_rank`` is 0, are left alone.

    Source:
        ours: see :meth:`NoisePriorVAE.fit_codes`. The codes are those of the encoder that is
            saved, so they are taken when it is saved.

    Args:
        max_images (int): Most images, evenly spread over the set. Defaults to 4096.
        batch_size (int): Images at once. Defaults to 32.
    """

    def __init__(self, max_images: int = 4096, batch_size: int = 32) -> None:
        self.max_images = max_images
        self.batch_size = batch_size

    @torch.no_grad()
    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Fit, and put what was fitted into the checkpoint.

        Raises:
            ValueError: If the set has too few images for the prior's ``code_rank``.
        """
        prior = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not getattr(prior, 'code_rank', 0):
            return
        dataset = runner.train_dataloader.dataset
        count = min(len(dataset), self.max_images)
        indices = [i * len(dataset) // count for i in range(count)]

        training = prior.training
        prior.eval()
        codes = []
        for start in range(0, count, self.batch_size):
            batch = pseudo_collate([dataset[i] for i in indices[start : start + self.batch_size]])
            image = prior.data_preprocessor(batch)['inputs']['img']
            codes.append(prior.encode(image)[0])
        prior.train(training)

        prior.fit_codes(torch.cat(codes))
        fitted = {k: v for k, v in prior.state_dict().items() if k.startswith('code_')}
        checkpoint['state_dict'].update({k: v.cpu() for k, v in fitted.items()})
