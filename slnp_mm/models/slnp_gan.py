"""Training and sampling of SLNP-GAN."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmagic.models import BaseGAN
from mmagic.models.utils import set_requires_grad
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine import MessageHub
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from ..errors import SLNPError
from .discriminators import StageDiscriminators
from .generators.slnp_generator import GeneratorOutput
from .layers import stride_ids
from .vaes import load_prior

NOISES = ('prior', 'random')


class JudgedImages(NamedTuple):
    """What the discriminators are called with, one entry a stage.

    Args:
        images (list[Tensor]): (B, 3, H, W), float32, [-1, 1].
        labels (list[Tensor]): (B, H, W), int64.
        seen (list[list[Tensor] | None]): Frozen features of the images, or None.
    """

    images: list[Tensor]
    labels: list[Tensor]
    seen: list[list[Tensor] | None]

    def detach(self) -> 'JudgedImages':
        """The same images without their graph."""
        seen = [x and [feature.detach() for feature in x] for x in self.seen]
        return self._replace(images=[x.detach() for x in self.images], seen=seen)


@MODELS.register_module()
class SLNPGAN(BaseGAN):
    """SLNP-GAN: which loss when. The networks are in the configs.

    One iteration is one update of the discriminators and, every ``discriminator_steps``-th time,
    one of the generator on the same images, which are generated once.

    Source:
        paper: SLNP-GAN, fig. 1, 1.3, Eq. (18)-(20).

    Args:
        generator (dict): Config of :class:`SLNPGenerator`.
        discriminator (dict | Sequence[dict], optional): Config of
            :class:`SLNPDiscriminator` or :class:`SLNPPretrainedDiscriminator`, for every stage
            or one a stage, lowest first. Defaults to None, for sampling only.
        data_preprocessor (dict, optional): Defaults to None.
        num_classes (int, optional): ``C``, without the unlabelled channel, filled into the three
            configs above. Defaults to None: each states its own.
        gan_loss (dict, optional): Config of :class:`SLNPGANLoss`.
        feature_loss (dict, optional): Config of
            :class:`SLNPFeatureMatchingLoss`. None switches it off.
        noise (str): 'prior' or 'random' (the ablation of fig. 11). Defaults to 'prior'.
        noise_prior (dict, optional): Config of :class:`NoisePriorVAE`; read for 'prior' only.
        prior_checkpoint (str, optional): The trained prior: a file, or a work directory whose last
            checkpoint is taken. Read when training starts, unless ``load_from`` or ``resume``
            brought the prior: a checkpoint of the GAN holds it.
        prior_command (str): Command that makes ``prior_checkpoint``, for the error. Defaults to
            'python tools/train.py configs/noise_prior_<data>.py'.
        discriminator_steps (int): Discriminator updates per generator update. Defaults to 1.
        ema_config (dict, optional): Config of the averaged generator. Defaults to None.
        code_share (float): Share in [0, 1] of a training batch whose noise is the code of its
            own photograph, Enc(x), rounded to at least one image. Only these are compared with
            their photographs, Eq. (19); the others have ``Z_np`` and are judged by D alone, so
            that nothing teaches the generator to ignore its noise. 0: the paper's, all images
            have ``Z_np`` and are compared. Defaults to 0.

    Raises:
        ValueError: If a network states another number of classes, ``noise`` is unknown, the
            prior's latent is not of the generator's ``noise_shape``, or ``code_share`` is out of
            range or asks for codes without a prior.
    """

    def __init__(
        self,
        generator: dict,
        discriminator: dict | Sequence[dict] | None = None,
        data_preprocessor: dict | None = None,
        num_classes: int | None = None,
        gan_loss: dict | None = None,
        feature_loss: dict | None = None,
        noise: str = 'prior',
        noise_prior: dict | None = None,
        prior_checkpoint: str | None = None,
        prior_command: str = 'python tools/train.py configs/noise_prior_<data>.py',
        discriminator_steps: int = 1,
        ema_config: dict | None = None,
        code_share: float = 0.0,
    ) -> None:
        generator = MODELS.build(_with_classes(generator, num_classes))
        super().__init__(
            generator,
            _build_discriminators(discriminator, generator.num_stages, num_classes),
            _with_classes(data_preprocessor, num_classes),
            discriminator_steps=discriminator_steps,
            ema_config=ema_config,
        )
        if gan_loss is not None:
            self.gan_loss = MODELS.build(gan_loss)
        self.feature_loss = feature_loss and MODELS.build(feature_loss)
        if noise not in NOISES:
            raise ValueError(f'noise must be one of {NOISES}, but got {noise!r}.')
        if not 0 <= code_share <= 1 or (code_share and noise == 'random'):
            raise ValueError(
                f'code_share must be from 0 to 1, and 0 with random noise, but got {code_share} '
                f'with noise={noise!r}.'
            )
        self.code_share = code_share
        self.noise_prior = None
        self._prior_pending = False
        self.prior_checkpoint = prior_checkpoint
        self.prior_command = prior_command
        if noise == 'prior':
            self.noise_prior = MODELS.build(noise_prior)
            set_requires_grad(self.noise_prior, False)
            if self.noise_prior.latent_shape != generator.noise_shape:
                raise ValueError(
                    f'Expected a noise prior whose latent has the shape '
                    f"{generator.noise_shape} of the generator's "
                    f'noise_shape, but got {self.noise_prior.latent_shape}.'
                )

    def init_weights(self) -> None:
        """Initialise the networks; :meth:`train` then needs the prior.

        A runner loads its checkpoint after this and before training, so
        only then is it known whether the prior is still to be read.
        """
        super().init_weights()
        self._prior_pending = self.noise_prior is not None

    def train(self, mode: bool = True) -> 'SLNPGAN':
        """Set the mode; the noise prior stays in evaluation mode.

        At the start of training, before the first batch, the prior is read
        from ``prior_checkpoint`` unless the run's checkpoint brought it.

        Raises:
            FileNotFoundError: If the prior's checkpoint is missing.
            ValueError: If it is of another architecture.
        """
        super().train(mode)
        if self.noise_prior is None:
            return self
        if mode and self._prior_pending:
            prior = _unwrap(self.noise_prior)
            if not prior.is_trained:
                load_prior(prior, self.prior_checkpoint, self.prior_command)
            self._prior_pending = False
        self.noise_prior.eval()
        return self

    def compile(self, **options) -> None:
        """Compile the networks; the step between them is Python.

        Args:
            options: Of :func:`torch.compile`. Sizes are compiled one by one unless ``dynamic`` is
                given: unknown ones make the frozen network's paddings a matter of minutes.
        """
        options.setdefault('dynamic', False)
        _unwrap(self.generator).compile(**options)
        if self.discriminator is not None:
            _unwrap(self.discriminator).compile(**options)

    def noise_fn(self, noise: Tensor | None = None, num_batches: int = 1) -> Tensor:
        """Noise for the generator: given, random or shaped by the prior.

        Args:
            noise (Tensor, optional): White noise z, (B, *noise_shape), to
                be used in place of a drawn one. Defaults to None.
            num_batches (int): ``B``. Defaults to 1.

        Returns:
            Tensor: (B, *noise_shape), float32: z itself for 'random',
            ``Z_np`` for 'prior'.

        Raises:
            RuntimeError: If the prior has not been trained or loaded.
        """
        if noise is None:
            generator = _unwrap(self.generator)
            noise = torch.randn(num_batches, *generator.noise_shape, device=self.device)
        if self.noise_prior is None:
            return noise
        return self._trained_prior().shape_noise(noise)

    @torch.no_grad()
    def style_code(self, image: Tensor) -> Tensor:
        """Noise that carries the attributes of an image: its code, Enc(x).

        Args:
            image (Tensor): (B, 3, H, W), float32, [-1, 1].

        Returns:
            Tensor: (B, *noise_shape), float32.

        Raises:
            RuntimeError: If there is no prior, or it has not been trained or loaded.
        """
        return self._trained_prior().encode(image)[0]

    def _trained_prior(self) -> nn.Module:
        """The noise prior itself.

        Raises:
            RuntimeError: If there is none, or it has not been trained or loaded.
        """
        prior = self.noise_prior and _unwrap(self.noise_prior)
        if prior is None or not prior.is_trained:
            raise RuntimeError(
                'Expected a trained noise prior, but its weights were never '
                f'loaded; make it with "{self.prior_command}" and start '
                'through a runner, or load a checkpoint of the GAN.'
            )
        return prior

    def forward(
        self,
        inputs: dict[str, Tensor],
        data_samples: DataSample | None = None,
        mode: str | None = None,
    ) -> list[DataSample]:
        """Generate images.

        Args:
            inputs (dict): ``label`` (class indices, (B, H, W)), ``instances`` (B, K, H, W),
                ``instance_labels`` (B, T), all int64; optionally ``img`` (B, 3, H, W) in [-1, 1],
                ``noise`` (white noise z), or in its place ``style`` (images (B, 3, H, W) in [-1, 1]
                whose codes are the noise) or ``code`` (the generator's noise itself, (B,
                *noise_shape)), ``sample_model`` ('ema' or 'orig') and ``sample_kwargs`` of
                :class:`SLNPGenerator` (``return_attention=True``, ``resample``).
            data_samples (DataSample, optional): Stacked samples, for their metainfo.
            mode (str, optional): Not used; in mmengine's signature.

        Returns:
            list[DataSample]: One an image, with ``fake_img`` and, lowest
            stage first, ``stage_imgs``, BGR in [0, 255]; ``noise``, the generator's;
            ``gt_sem_seg``, label ids (H, W), 255 = unlabelled; ``gt_img`` if images were given;
            ``attention``, a list of (N_h, N_w, T), if asked for.
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
        """Turn a batch into samples."""
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
        """Update the discriminators, then the generator.

        Args:
            data (dict): Batch from the loader.
            optim_wrapper (OptimWrapperDict): ``generator`` and ``discriminator``.

        Returns:
            dict[str, Tensor]: Values to log; see :meth:`_disc_loss` and :meth:`_gen_loss`.
        """
        if not all(wrapper.should_sync() for wrapper in optim_wrapper.values()):
            raise SLNPError(
                'accumulative_counts must be 1: the first parts of a larger batch would train the '
                'generator against a discriminator that the batch has not updated yet'
            )
        inputs = self.data_preprocessor(data, True)['inputs']
        gen_wrapper = optim_wrapper['generator']
        disc_wrapper = optim_wrapper['discriminator']
        update_generator = self._is_generator_turn()

        # labels and photographs of every stage
        factors = [2**i for i in reversed(range(_unwrap(self.generator).num_stages))]
        labels = [stride_ids(inputs['label'], factor) for factor in factors]
        reals = [F.avg_pool2d(inputs['img'], factor) for factor in factors]

        # generated images
        noise, num_coded = self._train_noise(inputs['img'])
        with gen_wrapper.optim_context(self.generator), torch.set_grad_enabled(update_generator):
            fakes = self.generator(
                inputs['label'], inputs['instances'], inputs['instance_labels'], noise
            ).images
        signs = _signs(fakes[-1].detach().float())

        # discriminators, on frozen features that the generator's update takes again
        look = _unwrap(self.discriminator).look
        with disc_wrapper.optim_context(self.discriminator):
            with torch.no_grad():
                real = JudgedImages(reals, labels, look(reals))
            with torch.set_grad_enabled(update_generator):
                fake = JudgedImages(fakes, labels, look(fakes))
            loss, log_vars = self._disc_loss(real, fake.detach())
            disc_wrapper.update_params(loss)

        # generator
        if update_generator:
            set_requires_grad(self.discriminator, False)
            with gen_wrapper.optim_context(self.generator):
                loss, gen_log_vars = self._gen_loss(real, fake, num_coded)
                gen_wrapper.update_params(loss)
            set_requires_grad(self.discriminator, True)
            self._update_ema()
            log_vars.update(gen_log_vars)

        del log_vars['loss']
        return {**log_vars, **signs}

    def _train_noise(self, image: Tensor) -> tuple[Tensor, int]:
        """Noise of a training batch: codes of the first photographs, the prior's for the rest.

        Args:
            image (Tensor): The photographs, (B, 3, H, W), [-1, 1].

        Returns:
            tuple[Tensor, int]: (B, *noise_shape), float32; how many images Eq. (19) may compare
            with their photographs: those with its code, or all if no noise is a code.
        """
        batch = len(image)
        if self.code_share == 0:
            return self.noise_fn(num_batches=batch), batch
        num_coded = max(round(self.code_share * batch), 1)
        noise = self.style_code(image[:num_coded])
        if num_coded < batch:
            noise = torch.cat([noise, self.noise_fn(num_batches=batch - num_coded)])
        return noise, num_coded

    def _is_generator_turn(self) -> bool:
        """Whether this iteration also updates the generator."""
        return (_iteration() + 1) % self.discriminator_steps == 0

    def _disc_loss(
        self, real: JudgedImages, fake: JudgedImages
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Discriminators' part of Eq. (18), summed over stages.

        Returns:
            tuple[Tensor, dict[str, Tensor]]: The sum and, per stage k, ``loss_gan_d_real_s{k}``,
            ``loss_gan_d_fake_s{k}``, the mean probabilities ``d_real_s{k}``, ``d_fake_s{k}``, and
            over all stages ``d_accuracy``, the share of right decisions.
        """
        values, right = {}, []
        for name, images in (('real', real), ('fake', fake)):
            for k, output in enumerate(self.discriminator(*images)):
                values[f'loss_gan_d_{name}_s{k}'] = self.gan_loss(
                    output.logits, target_is_real=name == 'real', is_disc=True
                )
                logits = output.logits.detach()
                values[f'd_{name}_s{k}'] = logits.sigmoid().mean()
                right.append(((logits > 0) == (name == 'real')).float().mean())
        values['d_accuracy'] = torch.stack(right).mean()
        return self.parse_losses(values)

    def _gen_loss(
        self, real: JudgedImages, fake: JudgedImages, num_compared: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Generator's part of Eq. (20): Eq. (18) and (19) over stages.

        Args:
            real (JudgedImages): Photographs.
            fake (JudgedImages): Generated images, with their graph.
            num_compared (int): Eq. (19) compares so many of the first images.

        Returns:
            tuple[Tensor, dict[str, Tensor]]: The sum and, per stage k, ``loss_gan_g_s{k}`` and
            ``loss_fm_g_s{k}``.
        """
        values = {}
        fake_outputs = self.discriminator(*fake)
        for k, output in enumerate(fake_outputs):
            values[f'loss_gan_g_s{k}'] = self.gan_loss(
                output.logits, target_is_real=True, is_disc=False
            )
        if self.feature_loss is not None:
            features = real.seen
            if None in features:
                with torch.no_grad():
                    features = [output.features for output in self.discriminator(*real)]
            for k, (output, real_features) in enumerate(zip(fake_outputs, features)):
                values[f'loss_fm_g_s{k}'] = self.feature_loss(
                    output.features, real_features, num_compared
                )
        return self.parse_losses(values)

    def _update_ema(self) -> None:
        """Average the generator, from ``start_iter`` of the config on."""
        if not self.with_ema_gen:
            return
        generator = _unwrap(self.generator)
        if _iteration() + 1 >= self.ema_start * self.discriminator_steps:
            self.generator_ema.update_parameters(generator)
        else:
            self.generator_ema.sync_parameters(generator)


def _signs(images: Tensor) -> dict[str, Tensor]:
    """Figures that tell a collapse.

    Args:
        images (Tensor): Generated, (B, 3, H, W), float32, [-1, 1].

    Returns:
        dict[str, Tensor]: ``fake_std``, the mean over images and channels of the standard
        deviation over pixels; ``saturated``, the share of values beyond 0.99.
    """
    stds = images.flatten(2).std(2)
    return dict(fake_std=stds.mean(), saturated=(images.abs() > 0.99).float().mean())


def _iteration() -> int:
    """Number of iterations done."""
    return MessageHub.get_current_instance().get_info('iter', 0)


def _unwrap(model: nn.Module) -> nn.Module:
    """The network inside a distributed wrapper, or the network itself."""
    return model.module if is_model_wrapper(model) else model


def _with_classes(cfg: dict | None, num_classes: int | None) -> dict | None:
    """Fill the number of classes into a config.

    Raises:
        ValueError: If it states another one.
    """
    if cfg is None or num_classes is None:
        return cfg
    stated = cfg.get('num_classes', num_classes)
    if stated != num_classes:
        raise ValueError(
            f'Expected {num_classes} classes as the model states, but its {cfg["type"]} has '
            f'{stated}; state it once, as num_classes of the model.'
        )
    return {**cfg, 'num_classes': num_classes}


def _build_discriminators(
    configs: dict | Sequence[dict] | None, num_stages: int, num_classes: int | None
) -> StageDiscriminators | None:
    """Build one discriminator a stage.

    Raises:
        ValueError: If the number of configs is not that of the stages.
    """
    if configs is None:
        return None
    if isinstance(configs, dict):
        configs = [configs] * num_stages
    if len(configs) != num_stages:
        raise ValueError(
            f'Expected one discriminator for each of the {num_stages} '
            f'stages of the generator, but got {len(configs)}.'
        )
    return StageDiscriminators([MODELS.build(_with_classes(cfg, num_classes)) for cfg in configs])
