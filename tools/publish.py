"""Publish a checkpoint: keep only the weights for sampling, in half precision."""

import argparse
import os
import sys

import _cli as cli


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', type=cli.path, help='checkpoint file, or a work dir')
    out = 'output path without suffix; the file is named OUT-<8 digits of its sha256>.pth'
    parser.add_argument('out', type=cli.path, help=out)
    return parser.parse_args()


def main() -> None:
    """Write the averaged generator, the prior and their config."""
    args = parse_args()
    checkpoint = cli.find_checkpoint(args.checkpoint)

    import torch
    from mmengine.config import Config

    from slnp_mm.checkpoint import read_checkpoint, read_config, sampling_config, sampling_state
    from slnp_mm.errors import SLNPError
    from slnp_mm.evaluation.scorers import file_sha256
    from slnp_mm.files import replace_file

    stored, cfg = read_checkpoint(checkpoint), read_config(checkpoint)
    state = sampling_state(stored['state_dict'])
    for key, value in state.items():
        if value.is_floating_point() and value.ndim > 1:  # keep norms and biases
            state[key] = value.half().contiguous()
            if not state[key].isfinite().all():
                raise SLNPError(
                    f'{key} of {checkpoint} has values that are not finite in half precision'
                )
    kept = {key: cfg[key] for key in ('default_scope', 'custom_imports', 'test_dataloader')}
    kept['model'] = sampling_config(cfg.model)
    meta = dict(
        cfg=Config(kept).pretty_text,
        dataset_meta=stored['meta'].get('dataset_meta'),
        iter=stored['meta'].get('iter'),
    )

    draft = f'{args.out}.pth'
    with replace_file(draft) as name:
        torch.save(dict(meta=meta, state_dict=state), name)
    digest = file_sha256(draft)
    place = f'{args.out}-{digest[:8]}.pth'
    os.replace(draft, place)
    print(f'written: {place}\nsize: {os.path.getsize(place)} bytes\nsha256: {digest}')


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
