"""Training and sampling of SLNP-GAN."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmagic.models import BaseGAN
from mmagic.models.utils import set_requires_grad
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine import MessageHub
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor, nn

from ..errors import SLNPError
from .discriminators import StageDiscriminators
from .generators.slnp_generator import GeneratorOutput
from .layers import stride_ids
from .losses import feature_matching_loss
from .step_log import step_log
from .vaes import NoisePriorVAE

NOISES = ('prior', 'random')
# removed arguments and what to do instead
FORMER = dict(
    feature_loss='give its loss_weight as matching_weight (0 in place of None)',
    prior_command='leave it out: the command follows from prior_checkpoint',
    discriminator_steps='leave it out: both networks are updated in each iteration',
)


@MODELS.register_module()
class SLNPGAN(BaseGAN):
    """SLNP-GAN: training and sampling. The networks are in the configs.

    Source:
        paper: SLNP-GAN, fig. 1, 1.3, Eq. (18)-(20).

    Args:
        generator (dict): Config of :class:`SLNPGenerator`.
        discriminator (dict | Sequence[dict], optional): Config of :class:`SLNPDiscriminator` or
            :class:`SLNPPretrainedDiscriminator`, one for all stages or one per stage, coarsest
            first. Defaults to None, for sampling only.
        data_preprocessor (dict, optional): Defaults to None.
        num_classes (int, optional): ``C``, without the unlabelled class, filled into the three
            configs above. Defaults to None: each config has its own.
        gan_loss (dict, optional): Config of :class:`SLNPGANLoss`.
        matching_weight (float): ``lambda`` of Eq. (20), no unit, >= 0. Defaults to 10.0.
        noise (str): 'prior' or 'random' (the ablation of fig. 11). Defaults to 'prior'.
        noise_prior (dict, optional): Config of :class:`NoisePriorVAE`; ignored for 'random'.
        prior_checkpoint (str, optional): Checkpoint of the trained prior, or a work directory to
            take the last one from. :class:`SLNPPriorHook` loads it when training starts, unless
            ``load_from`` or ``resume`` already did: checkpoints of the GAN include the prior.
        ema_config (dict, optional): Config of the averaged generator. Defaults to None.
        code_share (float): Share in [0, 1] of a training batch whose noise is the code of its own
            image, Enc(x), at least one image unless 0. Only these enter Eq. (19); the others have
            ``Z_np`` and only the adversarial loss, so that nothing teaches the generator to ignore
            its noise. With 0, as in the paper, all images have ``Z_np`` and enter Eq. (19).
            Defaults to 0.
        former (Any): Removed arguments, :data:`FORMER`, rejected with a hint.

    Raises:
        SLNPError: If a removed argument is given, a network has another number of classes,
            ``noise`` is unknown, the prior's latent shape differs from the generator's
            ``noise_shape``, ``matching_weight`` is negative, or ``code_share`` is out of range or
            set without a prior.
    """

    def __init__(
        self,
        generator: dict,
        discriminator: dict | Sequence[dict] | None = None,
        data_preprocessor: dict | None = None,
        num_classes: int | None = None,
        gan_loss: dict | None = None,
        matching_weight: float = 10.0,
        noise: str = 'prior',
        noise_prior: dict | None = None,
        prior_checkpoint: str | None = None,
        ema_config: dict | None = None,
        code_share: float = 0.0,
        **former: Any,
    ) -> None:
        for key in former:
            todo = FORMER.get(key, 'leave it out')
            raise SLNPError(f'the model takes no {key}: {todo}')
        generator = MODELS.build(_with_classes(generator, num_classes))
        super().__init__(
            generator,
            _build_discriminators(discriminator, generator.num_stages, num_classes),
            _with_classes(data_preprocessor, num_classes),
            ema_config=ema_config,
        )
        self.gan_loss = gan_loss and MODELS.build(gan_loss)
        if matching_weight < 0:
            raise SLNPError(f'matching_weight must be >= 0, but got {matching_weight}.')
        self.matching_weight = matching_weight
        if noise not in NOISES:
            raise SLNPError(f'noise must be one of {NOISES}, but got {noise!r}.')
        if not 0 <= code_share <= 1 or (code_share and noise == 'random'):
            raise SLNPError(
                f'code_share must be from 0 to 1, and 0 with random noise, but got {code_share} '
                f'with noise={noise!r}.'
            )
        self.code_share = code_share
        self.noise_prior = None
        self.prior_checkpoint = prior_checkpoint
        if noise == 'prior':
            self.noise_prior = MODELS.build(noise_prior)
            set_requires_grad(self.noise_prior, False)
            if self.noise_prior.latent_shape != generator.noise_shape:
                raise SLNPError(
                    f'Expected a noise prior whose latent has the shape {generator.noise_shape} of '
                    f"the generator's noise_shape, but got {self.noise_prior.latent_shape}."
                )

    def train(self, mode: bool = True) -> 'SLNPGAN':
        """Set the mode; the noise prior stays in evaluation mode."""
        super().train(mode)
        if self.noise_prior is not None:
            self.noise_prior.eval()
        return self

    def noise_fn(self, noise: Tensor | None = None, num_batches: int = 1) -> Tensor:
        """Noise for the generator, white or shaped by the prior.

        Args:
            noise (Tensor, optional): White noise z, (B, *noise_shape). Sampled by default.
            num_batches (int): ``B``. Defaults to 1.

        Returns:
            Tensor: (B, *noise_shape), float32: z itself for 'random', ``Z_np`` for 'prior'.

        Raises:
            SLNPError: If the prior has not been trained or loaded.
        """
        if noise is None:
            generator = _unwrap(self.generator)
            noise = torch.randn(num_batches, *generator.noise_shape, device=self.device)
        if self.noise_prior is None:
            return noise
        return self.trained_prior().shape_noise(noise)

    @torch.no_grad()
    def style_code(self, image: Tensor) -> Tensor:
        """Encode the style of images (B, 3, H, W) in [-1, 1] as noise Enc(x), (B, *noise_shape)."""
        return self.trained_prior().encode(image)[0]

    def trained_prior(self) -> NoisePriorVAE:
        """The noise prior; an error if there is none or its weights were never loaded."""
        if self.noise_prior is None or not self.noise_prior.is_trained:
            raise SLNPError(
                'expected a trained noise prior, but its weights were never loaded: load a '
                'checkpoint of the GAN, or train with SLNPPriorHook among the custom_hooks'
            )
        return self.noise_prior

    def forward(
        self,
        inputs: dict[str, Tensor],
        data_samples: DataSample | None = None,
        mode: str | None = None,
    ) -> list[DataSample]:
        """Generate images.

        Args:
            inputs (dict): ``label`` (class indices, (B, H, W)), ``instances`` (B, K, H, W),
                ``instance_labels`` (B, T), all int64; optionally ``img`` (B, 3, H, W) in [-1, 1];
                one of ``noise`` (white noise z), ``style`` (images (B, 3, H, W) in [-1, 1] to take
                the codes of) or ``code`` (the generator's noise, (B, *noise_shape));
                ``sample_model`` ('ema' or 'orig'); and ``sample_kwargs`` for
                :class:`SLNPGenerator` (``return_attention=True``, ``resample``).
            data_samples (DataSample, optional): Stacked samples, for their metainfo.
            mode (str, optional): Unused, part of mmengine's signature.

        Returns:
            list[DataSample]: One per image, with ``fake_img`` and ``stage_imgs`` (coarsest first),
            BGR in [0, 255]; ``noise``, the generator's; ``gt_sem_seg``, label ids (H, W), 255 =
            unlabelled; ``gt_img`` if images were given; ``attention``, a list of (N_h, N_w, T), if
            requested.
        """
        name = self._get_valid_model(inputs)
        generator = self.generator_ema if name == 'ema' else self.generator
        label = inputs['label']
        if 'code' in inputs:
            noise = inputs['code']
        elif 'style' in inputs:
            noise = self.style_code(inputs['style'])
        else:
            noise = self.noise_fn(inputs.get('noise'), len(label))
        output = generator(
            label,
            inputs['instances'],
            inputs['instance_labels'],
            noise,
            **inputs.get('sample_kwargs', {}),
        )
        return self._pack(output, noise, inputs, data_samples)

    def _pack(
        self,
        output: GeneratorOutput,
        noise: Tensor,
        inputs: dict[str, Tensor],
        data_samples: DataSample | None,
    ) -> list[DataSample]:
        """Split a batch into samples."""
        restore = self.data_preprocessor.destruct
        stages = [restore(image) for image in output.images]
        metas = data_samples.metainfo if data_samples is not None else {}
        samples = []
        for index, label in enumerate(self.data_preprocessor.label_ids(inputs['label'])):
            sample = DataSample(metainfo={key: value[index] for key, value in metas.items()})
            sample.fake_img = stages[-1][index]
            sample.stage_imgs = [stage[index] for stage in stages]
            sample.noise = noise[index]
            sample.gt_sem_seg = label
            if 'img' in inputs:
                sample.gt_img = restore(inputs['img'][index])
            if output.attention:
                sample.attention = [
                    weights[index].unflatten(0, (int(weights.shape[1] ** 0.5), -1))
                    for weights in output.attention
                ]
            samples.append(sample)
        return samples

    def train_step(self, data: dict, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        """Update the discriminators, then the generator on the same generated images.

        Args:
            data (dict): Batch from the loader.
            optim_wrapper (OptimWrapperDict): ``generator`` and ``discriminator``.

        Returns:
            dict[str, Tensor]: Values to log, see :func:`step_log`.
        """
        _refuse_accumulation(optim_wrapper)
        inputs = self.data_preprocessor(data, True)['inputs']
        with _unwrap(self.discriminator).step():
            values = self.update_networks(inputs, optim_wrapper)
        self._update_ema()
        return values

    def update_networks(
        self, inputs: dict[str, Tensor], optim_wrapper: OptimWrapperDict
    ) -> dict[str, Tensor]:
        """Update both networks by a batch on their device, without reading anything from it.

        ``L`` is the label map, ``x`` the real image, ``G`` the generator, ``D`` the discriminators,
        ``lambda`` :attr:`matching_weight`; sums run over the stages.

        Args:
            inputs (dict[str, Tensor]): From the preprocessor: ``img``, ``label``, ``instances`` and
                ``instance_labels``, see :meth:`forward`.
            optim_wrapper (OptimWrapperDict): ``generator`` and ``discriminator``.

        Returns:
            dict[str, Tensor]: Values to log, see :func:`step_log`.
        """
        opt_g, opt_d = optim_wrapper['generator'], optim_wrapper['discriminator']
        G, D, gan, lam = self.generator, self.discriminator, self.gan_loss, self.matching_weight

        # L and x of every stage, lowest first
        factors = [2**i for i in reversed(range(_unwrap(G).num_stages))]
        labels = [stride_ids(inputs['label'], factor) for factor in factors]
        reals = [F.avg_pool2d(inputs['img'], factor) for factor in factors]

        # G(L)
        noise, num_coded = self._train_noise(inputs['img'])
        with opt_g.optim_context(G):
            fakes = G(inputs['label'], inputs['instances'], inputs['instance_labels'], noise).images

        # discriminators, Eq. (18): max E[lb D(x)] + E[lb(1 - D(G(L)))]
        with opt_d.optim_context(D):
            judged_real, judged_fake = D([reals, fakes], labels, detach=True)
            d_real = [gan(d.logits, target_is_real=True, is_disc=True) for d in judged_real]
            d_fake = [gan(d.logits, target_is_real=False, is_disc=True) for d in judged_fake]
            _descend(sum(d_real) + sum(d_fake), D, opt_d)

        # generator, under the updated discriminators, whose gradients nobody needs
        D = _unwrap(D)
        with opt_g.optim_context(G):
            [judged], features = D([fakes], labels), D.features(reals, labels)
            # Eq. (18): min E[lb(1 - D(G(L)))]
            g_gan = [gan(d.logits, target_is_real=True, is_disc=False) for d in judged]
            # Eq. (19), of the images whose noise is their own code
            g_fm = [
                feature_matching_loss(d.features, real, num_coded)
                for d, real in zip(judged, features)
            ]
            _descend(sum(g_gan) + lam * sum(g_fm), G, opt_g)  # Eq. (20)

        losses = dict(gan_d_real=d_real, gan_d_fake=d_fake, gan_g=g_gan)
        losses['fm_g'] = [lam * value for value in g_fm]
        return step_log(losses, judged_real, judged_fake, fakes[-1])

    def _train_noise(self, image: Tensor) -> tuple[Tensor, int]:
        """Noise of a training batch, and the number of its first images that enter Eq. (19)."""
        batch = len(image)
        if self.code_share == 0:
            return self.noise_fn(num_batches=batch), batch
        num_coded = max(round(self.code_share * batch), 1)
        noise = self.style_code(image[:num_coded])
        if num_coded < batch:
            noise = torch.cat([noise, self.noise_fn(num_batches=batch - num_coded)])
        return noise, num_coded

    def _update_ema(self) -> None:
        """Average the generator, starting at the config's ``start_iter``."""
        if not self.with_ema_gen:
            return
        generator = _unwrap(self.generator)
        if MessageHub.get_current_instance().get_info('iter', 0) + 1 >= self.ema_start:
            self.generator_ema.update_parameters(generator)
        else:
            self.generator_ema.sync_parameters(generator)


def _descend(loss: Tensor, network: nn.Module, wrapper: OptimWrapper) -> None:
    """Update a network by the gradient of the loss; no other network gets one."""
    wrapper.backward(loss, inputs=[p for p in network.parameters() if p.requires_grad])
    wrapper.step()
    wrapper.zero_grad()


def _refuse_accumulation(optim_wrapper: OptimWrapperDict) -> None:
    """Refuse gradient accumulation."""
    if not all(wrapper.should_sync() for wrapper in optim_wrapper.values()):
        raise SLNPError(
            'accumulative_counts must be 1: accumulation would train the generator against a '
            'discriminator that has not been updated yet'
        )


def _unwrap(model: nn.Module) -> nn.Module:
    """Remove a distributed wrapper, if any."""
    return model.module if is_model_wrapper(model) else model


def _with_classes(cfg: dict | None, num_classes: int | None) -> dict | None:
    """Fill in the number of classes; refuse a different one."""
    if cfg is None or num_classes is None:
        return cfg
    stated = cfg.get('num_classes', num_classes)
    if stated != num_classes:
        raise SLNPError(
            f'Expected {num_classes} classes as set in the model, but its {cfg["type"]} has '
            f'{stated}; state it once, as num_classes of the model.'
        )
    return {**cfg, 'num_classes': num_classes}


def _build_discriminators(
    configs: dict | Sequence[dict] | None, num_stages: int, num_classes: int | None
) -> StageDiscriminators | None:
    """Build one discriminator per stage."""
    if configs is None:
        return None
    if isinstance(configs, dict):
        configs = [configs] * num_stages
    if len(configs) != num_stages:
        raise SLNPError(
            f'Expected one discriminator for each of the {num_stages} stages of the generator, but '
            f'got {len(configs)}.'
        )
    return StageDiscriminators([MODELS.build(_with_classes(cfg, num_classes)) for cfg in configs])
