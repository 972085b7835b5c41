"""What README and docs name is there: commands, options, config keys, files, names, links.

History is left alone: a paragraph or row that names a commit, the code below it, and a section with
a commit in its heading.
"""

import importlib.util
import inspect
import pkgutil
import re
import shlex
import sys
from functools import cache
from pathlib import Path
from unittest import mock

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, HOOKS, MODELS, OPTIMIZERS
from mmengine.runner import Runner

import slnp_mm  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]
DOCS = [str(p.relative_to(ROOT)) for p in (*ROOT.glob('README*.md'), *ROOT.glob('docs/*.md'))]
SECTIONS = r'(?:model|\w+_(?:dataloader|cfg|evaluator|hooks)|param_scheduler|optim_wrapper)'
COMMIT = re.compile(r'(commit|at) [0-9a-f]{7}\b')
config = cache(lambda path: Config.fromfile(ROOT / path, import_custom_modules=False))
# what readers put in, a shell fills in, or an example makes up
OPEN = re.compile(r'[$*<>]|\.\.\.|(?<![a-zA-Z])[A-Z]+(?![a-zA-Z])|mine|ls_gan|slnp_ls|::')


def pieces_of(doc):
    """Place and text of each line of code and each inline code that is of today."""
    number, fenced, section, named = 1, False, False, False
    for block in (ROOT / doc).read_text('utf-8').split('\n\n'):
        lines, code = block.split('\n'), fenced or block.startswith(('    ', '```'))
        if not code:
            section = bool(COMMIT.search(lines[0])) if block.startswith('#') else section
            named = bool(COMMIT.search(block)) and not block.startswith('|')
            for match in re.finditer(r'`([^`]+)`', block):
                at = block.count('\n', 0, match.start())
                if not (section or named or block[0] == '|' and COMMIT.search(lines[at])):
                    yield f'{doc}:{number + at}', ' '.join(match[1].split())
        while code and lines:
            line, at = lines.pop(0), number + block.count('\n') - len(lines)
            while line.endswith('\\') and lines:
                line = line[:-1] + lines.pop(0)
            fenced ^= line.startswith('```')
            if not (section or named):
                yield f'{doc}:{at}', re.sub(r'(^| +)# .*', '', line).strip()
        number += block.count('\n') + 2


def expand(text):
    """What a shell makes of {a,b}."""
    match = re.search(r'\{([^{}]*,[^{}]*)\}', text)
    ones = match[1].split(',') if match else []
    more = [expand(text[: match.start()] + one + text[match.end() :]) for one in ones]
    return sum(more, []) or [text]


@cache
def parser_of(tool):
    """Parser of a tool."""
    spec = importlib.util.spec_from_file_location(Path(tool).stem, ROOT / tool)
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, {spec.name: module}):  # dataclasses look their module up
        spec.loader.exec_module(module)
    stop = mock.patch('argparse.ArgumentParser.parse_args', autospec=True, side_effect=SystemExit)
    with stop as read, pytest.raises(SystemExit):
        module.main()
    return read.call_args.args[0]


def has_key(value, key):
    """Whether a config has a key, or the class or the Runner that it goes to takes it."""
    first, *rest = key.split('.')
    if isinstance(value, (list, tuple)):
        value = dict(zip(map(str, range(len(value))), value))
    if hasattr(value, 'keys') and first in value:
        return not rest or has_key(value[first], '.'.join(rest))
    takers = [Runner.__init__, Runner.set_randomness]  # top level, `randomness`
    kind = hasattr(value, 'keys') and value.get('type')
    if kind:
        found = [one.get(f'mmagic.{kind}') for one in (MODELS, DATASETS, HOOKS, OPTIMIZERS)]
        takers = [kin.__init__ for one in found if one for kin in one.__mro__]
    known = {name for taker in takers for name in inspect.signature(taker).parameters}
    return not rest and first in {*known, *(() if kind else ('device',))}


def command_problems(text):
    """What a command names that is not there."""
    make = re.match(r'make ([a-z]+)', text)
    if make and f'\n{make[1]}:' not in (ROOT / 'Makefile').read_text():
        yield f'make has no target {make[1]}'
    match = re.search(r'(?:^|[ /])(tools/\w+\.py)\b ?([^;|>&]*)', text)
    if not match or '/_' in match[1] or not (ROOT / match[1]).is_file():
        return
    tool, words = match[1], sum(map(expand, shlex.split(match[2])), [])
    parser = parser_of(tool)
    for word in words:
        if word.startswith('--') and word.split('=')[0] not in parser._option_string_actions:
            yield f'{tool} has no option {word.split("=")[0]}'
    paths = [word for word in words if re.fullmatch(r'configs/.*\.py', word)]
    if '--cfg-options' in words and paths and (ROOT / paths[0]).is_file():
        for word in words[words.index('--cfg-options') + 1 :]:
            if '=' in word and not has_key(config(paths[0]), word.split('=')[0]):
                yield f'{paths[0]} has no {word.split("=")[0]}'


@cache
def known():
    """Words of all Python here, and names of files."""
    folders = ('configs', 'slnp_mm', 'tools', 'tests', 'docs', 'requirements')
    paths = [path for folder in folders for path in (ROOT / folder).rglob('*.*')]
    code = '\n'.join(path.read_text() for path in paths if path.suffix == '.py')
    return {*re.findall(r'\w+', code)}, {path.name for path in (*paths, *ROOT.iterdir())}


def name_problems(text):
    """What files and identifiers a text names that are not there."""
    words, files = known()
    for name in re.findall(r'[\w./{},*$:-]+\.(?:py|csv)\b|\b(?:docs|tests)/[\w/-]+\.md', text):
        for one in () if OPEN.search(name) else expand(name):
            ours = re.match('(configs|docs|tools|slnp_mm|tests)/', one)
            if not (ROOT / one).exists() and (ours or one.split('/')[-1] not in files):
                yield f'there is no file {one}'
    for name in re.findall(r'\b(?:SLNP|NoisePrior)\w+\b|(?<![/\w])test_\w{6,}(?![\w.])', text):
        if name not in words:
            yield f'nothing is called {name}'
    names = ('slnp_camvid', 'slnp_camvid_plus', 'noise_prior_camvid_plus')
    configs = [config(f'configs/{name}.py') for name in names]
    for key in re.findall(rf'(?<![\w.}}])({SECTIONS}\.[\w.]+)=', text):
        if not any(has_key(cfg, key) for cfg in configs):
            yield f'no config has {key}'
    for name in re.findall(r'\bslnp_mm(?:\.\w+)+(?![\w/])', text):
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            yield f'there is no {name}'


@pytest.mark.parametrize('doc', DOCS)
def test_what_docs_name_is_there(doc, monkeypatch):
    monkeypatch.chdir(ROOT)
    problems = [
        f'{place}: {problem}, in: {text[:90]}'
        for place, text in pieces_of(doc)
        for problem in (*command_problems(text), *name_problems(text))
    ]
    text = (ROOT / doc).read_text('utf-8')
    for match in re.finditer(r'\]\(([^)\s#]*)#?([^)\s]*)\)', text):
        path = (ROOT / doc).parent / match[1] if match[1] else ROOT / doc
        heads = re.findall(r'(?m)^#+ (.*)$', path.read_text('utf-8')) if match[2] else []
        slugs = [re.sub(r'[^\w -]', '', head).lower().replace(' ', '-') for head in heads]
        if '://' not in match[1] and (not path.exists() or match[2] not in (slugs or [''])):
            line = text.count('\n', 0, match.start()) + 1
            problems.append(f'{doc}:{line}: the link {match[0][1:]} leads nowhere')
    assert not problems, '\n' + '\n'.join(problems)
