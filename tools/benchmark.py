"""Benchmarks of this project, one part per file of ``tools/benchmarks``.

Usage: ``python tools/benchmark.py NAME [options]``; ``--help`` lists the
names, and ``NAME --help`` a part's options.

A part is a module with a docstring and two functions:
``add_arguments(parser)`` adds its options, and ``run(args)`` returns what can
be written as JSON, with its table as text under the key ``table``.
"""

import argparse
import importlib
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

PARTS = Path(__file__).resolve().parent / 'benchmarks'


def part_names() -> list[str]:
    """List the parts: files of ``tools/benchmarks`` without underscore."""
    return sorted(path.stem for path in PARTS.glob('*.py') if path.stem[0] != '_')


def environment() -> dict[str, Any]:
    """Describe what the figures depend on, without naming the machine."""
    gpu = torch.cuda.is_available()
    return dict(
        torch=torch.__version__,
        python=platform.python_version(),
        cpu_cores=os.cpu_count(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        torch_threads=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name() if gpu else None,
    )


def parse_args(argv=None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest='name', metavar='NAME', required=True)
    for name in part_names():
        module = importlib.import_module(f'benchmarks.{name}')
        summary = (module.__doc__ or '').strip().splitlines()[0]
        part = commands.add_parser(
            name,
            help=summary,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        part.add_argument(
            '--threads',
            type=int,
            help='torch threads (default: as torch chooses)',
        )
        part.add_argument('--json', type=Path, help='also write the result to this file')
        module.add_arguments(part)
        part.set_defaults(run=module.run)
    return parser.parse_args(argv)


def main(argv=None) -> None:
    """Run one part; print its table and, if asked for, write its JSON."""
    args = parse_args(argv)
    if args.threads is not None:
        if args.threads < 1:
            raise SystemExit(
                f'benchmark.py expected --threads to be at least 1, but got {args.threads}.'
            )
        torch.set_num_threads(args.threads)
    result = dict(name=args.name, environment=environment(), **args.run(args))
    print(' '.join(f'{key}={value}' for key, value in result['environment'].items()))
    print(result.pop('table'))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        partial = args.json.with_name(args.json.name + '.tmp')
        partial.write_text(json.dumps(result, indent=2) + '\n')
        os.replace(partial, args.json)


if __name__ == '__main__':
    main()
