"""The noise prior."""

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine.model import BaseModel
from torch import Tensor, nn

from ...errors import SLNPError

ARRANGEMENTS = ('vae', 'fig4')
ACTIVE_VARIANCE = 0.01
"""float: A latent unit is active if the variance of its posterior mean over images exceeds this
(Burda et al., arXiv:1509.00519)."""


def active_share(mean: Tensor) -> Tensor:
    """Share of active latent units, given posterior means (B, *latent_shape), B >= 2."""
    return (mean.detach().var(0) > ACTIVE_VARIANCE).float().mean()


class ResidualUnit(nn.Module):
    """Three 3x3 stride-1 convolutions and a skip.

    Source:
        paper: SLNP-GAN, 1.1, fig. 4.
        ours: ReLU between the convolutions.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the unit."""
        return x + self.body(x)


def down(in_channels: int, out_channels: int) -> nn.Sequential:
    """Downsample by 2: 3x3 stride-2 convolution, BN, ReLU (fig. 4)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, 2, 1), nn.BatchNorm2d(out_channels), nn.ReLU()
    )


def up(in_channels: int, out_channels: int) -> nn.Sequential:
    """Upsample by 2: 4x4 stride-2 transposed convolution, BN, ReLU (fig. 4)."""
    return nn.Sequential(
        nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


@MODELS.register_module()
class NoisePriorVAE(BaseModel):
    r"""VAE that shapes noise by decoding and re-encoding it.

    .. math::
        \hat x \sim Dec(z), \quad Z_{np} \sim Enc(\hat x), \quad
        L = -E[\log p(x|h)] + D_{KL}(q(h|x) \| N(0, 1))

    Source:
        paper: SLNP-GAN, 1.1, figs 2-4, Eq. (1)-(7).
        ours: Eq. (5)-(7) swap the roles of p and q; they are read as the ELBO of figs 2-3, with x
            for the image: Eq. (6) is the reconstruction term under a Gaussian of fixed
            ``recon_std``, Eq. (7) the KL term. Both are divided by the number of values per image,
            so that the learning rate does not depend on image or batch size. ``Z_np`` is the mean
            of Enc, so that the same z gives the same image.

    Args:
        arrangement (str): 'vae' (figs 2-3): Enc downsamples, Dec upsamples. 'fig4' (text of
            fig. 4): Enc upsamples, Dec downsamples, so that the noise has at least as many
            dimensions as the image. Defaults to 'vae'.
        image_size (int): Side of the square images in pixels; inputs are resized by area
            averaging. Defaults to 64.
        latent_channels (int): Channels of the noise. Defaults to 16.
        base_channels (int): Channels at the finest resolution. Defaults to 32.
        num_scales (int): Resampling steps between image and noise. Defaults to 3.
        recon_std (float): Standard deviation of the reconstruction Gaussian in image units
            ([-1, 1]), > 0. Defaults to 0.1.
        code_rank (int): Rank of the Gaussian that :meth:`fit_codes` fits to the codes of images
            and that z is mapped to, >= 0; 0 leaves z unchanged. Defaults to 0.
        data_preprocessor (dict, optional): Defaults to None.

    Raises:
        SLNPError: If ``arrangement`` or ``recon_std`` is out of range.
    """

    def __init__(
        self,
        arrangement: str = 'vae',
        image_size: int = 64,
        latent_channels: int = 16,
        base_channels: int = 32,
        num_scales: int = 3,
        recon_std: float = 0.1,
        code_rank: int = 0,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        if arrangement not in ARRANGEMENTS:
            raise SLNPError(f'arrangement must be one of {ARRANGEMENTS}, but got {arrangement!r}.')
        if not recon_std > 0:
            raise SLNPError(f'recon_std must be > 0, but got {recon_std}.')
        self.image_size = image_size
        self.recon_std = recon_std
        self.is_trained = False  # until weights are loaded or a loss is computed
        narrowing = arrangement == 'vae'
        scale = 0.5**num_scales if narrowing else 2**num_scales
        side = int(image_size * scale)
        self.latent_shape = (latent_channels, side, side)
        if code_rank:
            units = latent_channels * side**2
            self.register_buffer('code_mean', torch.zeros(units))
            self.register_buffer('code_axes', torch.zeros(units, code_rank))
            self.register_buffer('code_stds', torch.ones(code_rank + 1))
        self.code_rank = code_rank
        widths = [base_channels * 2**i for i in range(num_scales + 1)]
        if not narrowing:  # the noise has the finest resolution
            widths.reverse()
        step, back = (down, up) if narrowing else (up, down)
        pairs = list(zip(widths[:-1], widths[1:]))
        self.encoder = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, padding=1),
            nn.ReLU(),
            *[step(a, b) for a, b in pairs],
            ResidualUnit(widths[-1]),
            nn.Conv2d(widths[-1], 2 * latent_channels, 3, padding=1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, widths[-1], 3, padding=1),
            nn.ReLU(),
            ResidualUnit(widths[-1]),
            *[back(b, a) for a, b in reversed(pairs)],
            nn.Conv2d(widths[0], 3, 3, padding=1),
            nn.Tanh(),
        )

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Load, and note that the prior is trained."""
        super()._load_from_state_dict(state_dict, prefix, *args)
        self.is_trained |= f'{prefix}encoder.0.weight' in state_dict

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Enc: posterior of the latent, Eq. (1) and (4).

        Args:
            image (Tensor): (B, 3, H, W), float32, [-1, 1].

        Returns:
            tuple[Tensor, Tensor]: Mean and natural log of the variance, each (B, *latent_shape).
        """
        image = F.adaptive_avg_pool2d(image, self.image_size)
        mean, log_var = self.encoder(image).chunk(2, dim=1)
        return mean, log_var.clamp(-12, 6)

    def decode(self, latent: Tensor) -> Tensor:
        """Dec: images in [-1, 1] of latents (B, *latent_shape), Eq. (2) and (3)."""
        return self.decoder(latent)

    @torch.no_grad()
    def fit_codes(self, codes: Tensor) -> None:
        r"""Fit a Gaussian to the codes of images, which :meth:`sample_codes` maps z to.

        .. math::
            \mathcal{N}(m, U \Lambda U^T + s^2 (I - U U^T))

        with U and Lambda the ``code_rank`` leading eigenvectors and eigenvalues of the codes'
        covariance and s^2 the mean of the others.

        Source:
            reference: maximum likelihood of probabilistic PCA, Tipping and Bishop 1999.
            ours: the KL term pushes each latent unit to a standard normal but leaves correlations
                between units, so that Dec of independent units is not a plausible scene.

        Args:
            codes (Tensor): Posterior means of N images, (N, *latent_shape), N > ``code_rank``.

        Raises:
            SLNPError: If there are too few codes.
        """
        num_codes, units = len(codes), self.code_mean.numel()
        if num_codes <= self.code_rank:
            raise SLNPError(
                f'Expected more images than code_rank = {self.code_rank} to fit the distribution '
                f'of codes, but got {num_codes}; lower model.code_rank or add images.'
            )
        codes = codes.flatten(1).double()
        mean = codes.mean(0)
        _, stretch, axes = torch.linalg.svd(codes - mean, full_matrices=False)
        variances = stretch.square() / (num_codes - 1)
        rest = variances[self.code_rank :].sum() / max(units - self.code_rank, 1)
        stds = torch.cat([variances[: self.code_rank], rest[None]]).sqrt()
        self.code_mean.copy_(mean)
        self.code_axes.copy_(axes[: self.code_rank].T)
        self.code_stds.copy_(stds)

    def sample_codes(self, z: Tensor) -> Tensor:
        """Map white noise z, (B, *latent_shape), to the Gaussian of :meth:`fit_codes`."""
        if not self.code_rank:
            return z
        white = z.flatten(1)
        along = white @ self.code_axes
        stds, rest = self.code_stds[:-1], self.code_stds[-1]
        codes = self.code_mean + rest * white + (along * (stds - rest)) @ self.code_axes.T
        return codes.view_as(z)

    @torch.no_grad()
    def shape_noise(self, z: Tensor) -> Tensor:
        """Map white noise to the noise prior: z -> Dec -> Enc, fig. 3.

        Args:
            z (Tensor): (B, *latent_shape), standard normal.

        Returns:
            Tensor: ``Z_np``, (B, *latent_shape), no gradient.
        """
        return self.encode(self.decode(self.sample_codes(z)))[0]

    @torch.no_grad()
    def sample_std(self, num_samples: int = 8) -> Tensor:
        """Mean over pixels of the standard deviation of Dec(z); near 0 for a collapsed prior."""
        device = self.encoder[0].weight.device
        z = torch.randn(num_samples, *self.latent_shape, device=device)
        training = self.decoder.training
        self.decoder.eval()
        spread = self.decode(self.sample_codes(z)).std(0).mean()
        self.decoder.train(training)
        return spread

    def loss(self, image: Tensor) -> dict[str, Tensor]:
        """The two terms of the negative ELBO, Eq. (5).

        Args:
            image (Tensor): (B, 3, H, W), float32, [-1, 1].

        Returns:
            dict[str, Tensor]: ``loss_recon`` (6) and ``loss_kl`` (7), nats per image value;
            ``recon_mae``, mean absolute error in image units; ``active_units``, see
            :func:`active_share`; ``sample_std``, see :meth:`sample_std`.
        """
        self.is_trained = True
        image = F.adaptive_avg_pool2d(image, self.image_size)
        mean, log_var = self.encode(image)
        latent = mean + torch.randn_like(mean) * (0.5 * log_var).exp()  # h
        recon = self.decode(latent)
        values = image[0].numel()
        kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var)
        return dict(
            loss_recon=(recon - image).square().mean() / (2 * self.recon_std**2),
            loss_kl=kl.flatten(1).sum(1).mean() / values,
            recon_mae=(recon - image).abs().mean().detach(),
            active_units=active_share(mean),
            sample_std=self.sample_std(),
        )

    def forward(
        self, inputs: dict, data_samples: list[DataSample] | None = None, mode: str = 'tensor'
    ):
        """Compute the loss, reconstructions or the posterior.

        Args:
            inputs (dict): ``img``, (B, 3, H, W), [-1, 1].
            data_samples (DataSample, optional): Stacked samples.
            mode (str): 'loss', 'predict' or 'tensor'.

        Returns:
            dict | list[DataSample] | tuple: 'loss': losses. 'predict': one sample per image with
            ``fake_img`` (reconstruction), ``gt_img`` and ``sampled_img`` (Dec of a new z), BGR in
            [0, 255], ``code_mean`` and ``code_log_var``. 'tensor': mean and log variance.
        """
        image = inputs['img']
        if mode == 'loss':
            return self.loss(image)
        mean, log_var = self.encode(image)
        if mode == 'tensor':
            return mean, log_var
        images = F.adaptive_avg_pool2d(image, self.image_size)
        sampled = self.decode(self.sample_codes(torch.randn_like(mean)))
        parts = [self.data_preprocessor.destruct(x) for x in (self.decode(mean), images, sampled)]
        metas = data_samples.metainfo if data_samples is not None else {}
        names = ('fake_img', 'gt_img', 'sampled_img', 'code_mean', 'code_log_var')
        return [
            DataSample(
                metainfo={key: value[index] for key, value in metas.items()},
                **dict(zip(names, values)),
            )
            for index, values in enumerate(zip(*parts, mean, log_var))
        ]
