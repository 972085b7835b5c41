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
    add = parser.add_argument
    cli.add_model_args(parser)
    add('--out', type=cli.path, required=True, help='picture, .png')
    add('--num-images', type=int, default=256)
    add('--num-samples', type=int, default=8)
    add('--seed', type=int, default=0)
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
    cfg = cli.read_config(args.config, args.cfg_options)
    checkpoint = cli.find_checkpoint(args.checkpoint)

    cli.import_custom(cfg)
    import torch
    from _prior_report import build_prior, draw_rows, read_images, report_prior, training_set

    from slnp_mm.datasets.wrappers import places
    from slnp_mm.files import write_picture

    prior, preprocessor = build_prior(cfg, checkpoint)
    dataset = training_set(cfg)
    cli.keep_inputs(args.out, places(dataset))
    images = read_images(dataset, preprocessor, args.num_images)
    torch.manual_seed(args.seed)
    figures, rows = report_prior(prior, images, args.num_samples)
    write_picture(args.out, draw_rows(rows))
    print(TEXT.format(**figures))
    print(json.dumps(figures))
    print(f'written: {args.out}')


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
