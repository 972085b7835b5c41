"""Export a trained generator to ONNX (.onnx) or torch.export (.pt2)."""

import argparse
import sys
from importlib.util import find_spec

import _cli as cli


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    cli.add_model_args(parser, nargs='?')
    add('--model', help='model of the zoo, instead of a config and a checkpoint')
    add('--out', type=cli.path, required=True, help='.onnx or .pt2 file to write')
    size = "image size, fixed in the file (default: the config's)"
    add('--size', type=cli.number, nargs=2, metavar=('HEIGHT', 'WIDTH'), help=size)
    cli.add_config_options(parser)
    args = parser.parse_args()
    if not args.out.endswith(('.onnx', '.pt2')):
        parser.error(f'--out must end in .onnx or .pt2, but got {args.out}')
    own = [args.config, args.checkpoint]
    if any([*own, args.cfg_options]) if args.model else not all(own):
        parser.error('give either a config and its checkpoint, or --model')
    return args


def main() -> None:
    """Export, compare with PyTorch, print the metadata."""
    args = parse_args()
    if args.out.endswith('.onnx'):
        missing = [x for x in ('onnx', 'onnxruntime', 'onnxscript') if find_spec(x) is None]
        if missing:
            raise cli.SLNPError(f'ONNX needs {", ".join(missing)}: run pip install slnp_mm[export]')
    cfg = checkpoint = None
    if not args.model:
        cfg = cli.read_config(args.config, args.cfg_options)
        checkpoint = cli.find_checkpoint(args.checkpoint)
        cli.keep_inputs(args.out, [args.config, checkpoint])
        cli.import_custom(cfg)
    from _export import Exported, describe, export, make_inputs

    from slnp_mm.inferencer import SLNPInferencer

    inferencer = SLNPInferencer(cfg or args.model, checkpoint, 'cpu')
    network, size = Exported(inferencer.model), args.size or inferencer.image_size
    inferencer.check_size(size, '--size')
    inputs = make_inputs(network, size, inferencer._loader.max_overlap)
    source = args.config or args.model, inferencer.checkpoint
    facts = describe(network, inputs, inferencer.classes, *source)
    difference = export(network, inputs, args.out, facts)

    for name, text in facts.items():
        print(f'{name:<8} {text}')
    print(f'written to {args.out}: differs from PyTorch by at most {difference} grey levels')


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
