"""Build the project's virtual environment (called by ``make env``).

Only the standard library is used. The steps:

1. make the virtual environment and put the pinned ``uv`` into it,
2. install ``requirements/lock.txt``,
3. install mmcv's wheel; if the user cache has none, compile it once,
4. install this project in editable form, import the main packages, and
   write a stamp, so that the next call has nothing to do.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import build_mmcv  # noqa: E402
from build_mmcv import EnvError  # noqa: E402
from stop_signals import stop_like_ctrl_c  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / 'requirements' / 'lock.txt'
MMCV = ROOT / 'requirements' / 'mmcv.txt'
STAMP = 'slnp_mm_env.txt'
FREE_BYTES = 9 * 1024**3  # the lock takes about 8 GB once unpacked
CHECK = 'import cv2, mmcv.ops, mmengine, mmseg, mmagic'


def say(text: str) -> None:
    """Print one line at once."""
    print(f'[env] {text}', flush=True)


def pinned(name: str, path: Path = LOCK) -> str:
    """Read the exact version of one package from a requirements file.

    Args:
        name (str): Package name as written in the file.
        path (Path): File with ``name==version`` lines.

    Returns:
        str: The version. Only for packages with the same version on every
        Python.

    Raises:
        EnvError: If the package is not in the file.
    """
    pattern = rf'^{re.escape(name)}==([^\s;]+)'
    found = re.search(pattern, path.read_text('utf-8'), re.MULTILINE)
    if found is None:
        raise EnvError(f'{path} has no line "{name}==..."')
    return found.group(1)


def stamp_text(venv: Path) -> str:
    """Describe what a finished environment was made from."""
    digest = hashlib.sha256(LOCK.read_bytes() + MMCV.read_bytes())
    return (
        f'lock {digest.hexdigest()}\nproject {ROOT}\n'
        f'python {platform.python_version()}\nvenv {venv}\n'
    )


def is_ready(venv: Path) -> bool:
    """Whether this environment was finished from the present lock."""
    stamp = venv / STAMP
    if not stamp.is_file() or not (venv / 'bin' / 'python').exists():
        return False
    return stamp.read_text('utf-8') == stamp_text(venv)


def run(command: list[str], what: str, **kwargs) -> None:
    """Run a command and turn a failure into one sentence.

    Raises:
        EnvError: If the command fails.
    """
    code = subprocess.call(command, **kwargs)
    if code != 0:
        raise EnvError(f'{what} failed with exit code {code}, see above')


def check_base_python() -> None:
    """Refuse a Python that cannot make virtual environments.

    Raises:
        EnvError: If ``venv`` or ``ensurepip`` is missing, or the version is
            out of range.
    """
    if not (3, 10) <= sys.version_info[:2] <= (3, 12):
        raise EnvError(
            f'Python 3.10, 3.11 or 3.12 is needed, but this is {platform.python_version()}'
        )
    for module in ('venv', 'ensurepip'):
        if importlib.util.find_spec(module) is None:
            short = '{}.{}'.format(*sys.version_info)
            raise EnvError(
                f'{sys.executable} lacks the module {module}; install it '
                f'(Debian, Ubuntu: apt-get install python{short}-venv)'
            )


def check_venv(venv: Path) -> None:
    """Refuse a place that is taken by something else.

    Args:
        venv (Path): May be missing, empty or an unfinished environment.

    Raises:
        EnvError: If it is no virtual environment, or one of another Python
            or of one that is gone.
    """
    if not venv.exists() or (venv.is_dir() and not any(venv.iterdir())):
        return
    python = venv / 'bin' / 'python'
    mend = f'remove it (rm -r {venv}) or choose another place: make env '
    mend += 'VENV=...'
    if not (venv / 'pyvenv.cfg').is_file():
        raise EnvError(
            f'{venv} exists and is no virtual environment; choose another place: make env VENV=...'
        )
    if not python.exists():
        if python.is_symlink():
            raise EnvError(f'the Python that made {venv} is gone ({os.readlink(python)}); {mend}')
        return  # an interruption left it without one
    code = 'import sys; print("%d.%d" % sys.version_info[:2])'
    found = subprocess.run(
        [python, '-c', code], capture_output=True, text=True, check=False
    ).stdout.strip()
    wanted = '{}.{}'.format(*sys.version_info)
    if found and found != wanted:
        raise EnvError(f'{venv} has Python {found}, but {sys.executable} is {wanted}; {mend}')


def make_venv(venv: Path) -> None:
    """Make the virtual environment, or adopt one of the same Python.

    Raises:
        EnvError: If the place is taken by something else.
    """
    check_venv(venv)
    python = venv / 'bin' / 'python'
    parent = next(p for p in (venv, *venv.parents) if p.exists())
    free = shutil.disk_usage(parent).free
    if free < FREE_BYTES and not (venv / STAMP).exists():
        say(
            f'warning: only {free / 1024**3:.1f} GB free at {parent}; the '
            'environment takes about 8 GB'
        )
    if not python.exists() or not (venv / 'bin' / 'pip').exists():
        say(f'virtual environment at {venv}')
        run([sys.executable, '-m', 'venv', str(venv)], 'making it')


def install_uv(venv: Path) -> dict[str, str]:
    """Put the pinned uv into the environment.

    Returns:
        dict[str, str]: Process environment for calls of uv. An index that
        pip is told to use is handed on, because uv does not read pip's
        settings.
    """
    python = str(venv / 'bin' / 'python')
    run(
        [python, '-m', 'pip', 'install', '-q']
        + ['--disable-pip-version-check', f'uv=={pinned("uv")}'],
        'installing uv',
    )
    env = dict(os.environ, VIRTUAL_ENV=str(venv))
    if not env.get('UV_DEFAULT_INDEX') and not env.get('UV_INDEX_URL'):
        index = (
            env.get('PIP_INDEX_URL')
            or subprocess.run(
                [python, '-m', 'pip', 'config', 'get', 'global.index-url'],
                capture_output=True,
                text=True,
                check=False,
            ).stdout.strip()
        )
        if index:
            env['UV_DEFAULT_INDEX'] = index
    return env


def install_lock(venv: Path, env: dict[str, str]) -> None:
    """Install the exact lock; OpenCV without a window system comes last.

    Three OpenCV packages are asked for by others and write the same files.
    The headless one must win: it needs no libGL on the machine.
    """
    uv = [str(venv / 'bin' / 'uv'), 'pip', 'install']
    say('installing requirements/lock.txt (about 3 GB the first time)')
    run([*uv, '-r', str(LOCK)], 'installing the lock', env=env)
    headless = f'opencv-python-headless=={pinned("opencv-python-headless")}'
    run(
        [*uv, '--no-deps', '--reinstall', headless],
        'installing OpenCV',
        env=env,
    )


def install_mmcv(venv: Path, env: dict[str, str]) -> None:
    """Install mmcv from the cached wheel; compile the wheel if needed.

    A cached wheel that does not install or import is thrown away and built
    again, once.

    Raises:
        EnvError: If the build fails or a fresh wheel does not import.
    """
    version = pinned('mmcv', MMCV)
    python = str(venv / 'bin' / 'python')
    folder = build_mmcv.cache_folder(version, pinned('torch'))
    for last in (False, True):
        fresh = build_mmcv.find_wheel(folder) is None
        wheel = build_mmcv.ensure_wheel(folder, version, python)
        say(f'installing {wheel}')
        command = [str(venv / 'bin' / 'uv'), 'pip', 'install', '--no-deps']
        command += ['--reinstall-package', 'mmcv', str(wheel)]
        if subprocess.call(command, env=env) == 0:
            probe = [python, '-c', 'import mmcv.ops']
            if subprocess.call(probe, cwd=tempfile.gettempdir()) == 0:
                return
        if fresh or last:
            raise EnvError(f'the wheel {wheel} was built but "import mmcv.ops" fails, see above')
        say('the cached wheel does not work; it is built again')
        wheel.unlink()


def build(venv: Path) -> None:
    """Do every step that is not done yet."""
    folder = build_mmcv.cache_folder(pinned('mmcv', MMCV), pinned('torch'))
    if build_mmcv.find_wheel(folder) is None:
        include = sysconfig.get_paths()['include']
        build_mmcv.check_compiler(include)
        say("the first time this compiles mmcv's operators, about ten minutes on two cores")
    make_venv(venv)
    (venv / STAMP).unlink(missing_ok=True)
    env = install_uv(venv)
    install_lock(venv, env)
    install_mmcv(venv, env)
    uv = [str(venv / 'bin' / 'uv'), 'pip', 'install', '--no-deps']
    run(
        [*uv, '--no-build-isolation', '-e', str(ROOT)],
        'installing this project',
        env=env,
    )
    say('checking the imports')
    python = str(venv / 'bin' / 'python')
    run([python, '-W', 'ignore', '-c', CHECK], 'importing the packages')
    draft = venv / f'{STAMP}.tmp'
    draft.write_text(stamp_text(venv), 'utf-8')
    os.replace(draft, venv / STAMP)


def main() -> int:
    """Build the environment; 0 on success, 1 after an error sentence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--venv', default='.venv', help='where it goes')
    venv = Path(os.path.abspath(parser.parse_args().venv))
    start = time.monotonic()
    stop_like_ctrl_c()
    try:
        check_base_python()
        if is_ready(venv):
            say(f'{venv} is ready')
            return 0
        name = hashlib.sha256(str(venv).encode()).hexdigest()[:12]
        locks = build_mmcv.cache_root() / 'locks'
        with build_mmcv.file_lock(locks / f'venv-{name}', say):
            if not is_ready(venv):
                build(venv)
    except EnvError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('error: stopped; run the same command again', file=sys.stderr)
        return 130
    say(f'{venv} is ready after {time.monotonic() - start:.0f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
