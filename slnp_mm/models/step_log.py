"""The values logged by a training step."""

import torch
from torch import Tensor

from .discriminators import DiscriminatorOutput


def step_log(
    losses: dict[str, list[Tensor]],
    real: list[DiscriminatorOutput],
    fake: list[DiscriminatorOutput],
    images: Tensor,
) -> dict[str, Tensor]:
    """Collect the values to log.

    Args:
        losses (dict[str, list[Tensor]]): Loss terms by name, one per stage.
        real (list[DiscriminatorOutput]): For the real images at the discriminators' update, one
            per stage.
        fake (list[DiscriminatorOutput]): The same for the generated images.
        images (Tensor): Generated images of the last stage, (B, 3, H, W), [-1, 1].

    Returns:
        dict[str, Tensor]: For each stage k the terms ``loss_{name}_s{k}`` and the mean
        probabilities ``d_real_s{k}`` and ``d_fake_s{k}``; ``d_accuracy``, the accuracy of the
        discriminators; and two indicators of collapse: ``fake_std``, the standard deviation over
        pixels, averaged over images and channels, and ``saturated``, the share of values beyond
        0.99.
    """
    values, right = {}, []
    for name, terms in losses.items():
        values.update({f'loss_{name}_s{k}': term.detach() for k, term in enumerate(terms)})
    for name, outputs in (('real', real), ('fake', fake)):
        for k, output in enumerate(outputs):
            logits = output.logits.detach()
            values[f'd_{name}_s{k}'] = logits.sigmoid().mean()
            right.append(((logits > 0) == (name == 'real')).float().mean())
    values['d_accuracy'] = torch.stack(right).mean()
    images = images.detach().float()
    values['fake_std'] = images.flatten(2).std(2).mean()
    values['saturated'] = (images.abs() > 0.99).float().mean()
    return values
