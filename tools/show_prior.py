"""Show a trained noise prior: figures, and a picture with three rows.

Row 1: images of the data set; row 2: their reconstructions; row 3: samples.
"""

import argparse
import json
import sys

import _cli as cli

TEXT = """{num_images} images, latent {latent_shape}
active units         {active_units:.1%}
KL                   {kl_per_unit:.4f} nats a latent unit
reconstruction       {recon_mae:.4f} mean absolute error, range [-1, 1]
spread of samples    {sample_std:.4f} standard deviation, range [-1, 1]"""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('config', type=cli.path, help='config of the prior (or of a GAN)')
    parser.add_argument(
        'checkpoint', type=cli.path, help='checkpoint file, or a work dir: its last one'
    )
    parser.add_argument('--out', type=cli.path, required=True, help='picture, .png')
    parser.add_argument('--num-images', type=int, default=256)
    parser.add_argument('--num-samples', type=int, default=8)
    parser.add_argument('--seed', type=int, default=0)
    cli.add_config_options(parser)
    args = parser.parse_args()
    if min(args.num_images, args.num_samples) < 2:
        parser.error('--num-images and --num-samples must be at least 2')
    if not args.out.lower().endswith('.png'):
        parser.error(f'--out must end in .png, but got {args.out}')
    return args


def main() -> None:
    """Measure, print, draw."""
    args = parse_args()
    checkpoint = cli.find_checkpoint(args.checkpoint)
    cfg = cli.read_config(args.config, args.cfg_options)

    cli.import_custom(cfg)
    import torch
    from _prior_report import build_prior, draw_report, read_images, report_prior, training_set

    from slnp_mm.datasets.wrappers import places
    from slnp_mm.files import write_picture

    prior, preprocessor = build_prior(cfg, checkpoint)
    dataset = training_set(cfg)
    cli.keep_inputs(args.out, places(dataset))
    images = read_images(dataset, preprocessor, args.num_images)
    torch.manual_seed(args.seed)
    report = report_prior(prior, images, args.num_samples)
    write_picture(args.out, draw_report(report))
    print(TEXT.format(**report.figures))
    print(json.dumps(report.figures))
    print(f'written: {args.out}')


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
