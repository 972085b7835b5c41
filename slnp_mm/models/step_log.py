"""What a training step logs."""

import torch
from torch import Tensor

from .discriminators import DiscriminatorOutput


def step_log(
    losses: dict[str, list[Tensor]],
    real: list[DiscriminatorOutput],
    fake: list[DiscriminatorOutput],
    images: Tensor,
) -> dict[str, Tensor]:
    """Name the values of a step.

    Args:
        losses (dict[str, list[Tensor]]): Terms by name, one a stage.
        real (list[DiscriminatorOutput]): Of the real images at the discriminators' update, one a
            stage.
        fake (list[DiscriminatorOutput]): The same of the generated images.
        images (Tensor): Generated, last stage, (B, 3, H, W), [-1, 1].

    Returns:
        dict[str, Tensor]: Per stage k the terms ``loss_{name}_s{k}`` and the mean probabilities
        ``d_real_s{k}`` and ``d_fake_s{k}``; ``d_accuracy``, the share of right decisions; and two
        figures that tell a collapse: ``fake_std``, the mean over images and channels of the
        standard deviation over pixels, and ``saturated``, the share of values beyond 0.99.
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
