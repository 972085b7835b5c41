"""Compile mmcv's wheel once and keep it in a user cache.

Only the standard library is used; ``tools/build_env.py`` calls this.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

BYTES_PER_JOB = 2 * 1024**3  # what one compiler process may need
BEAT_SECONDS = 30
PROGRESS = re.compile(r'^\s*\[(\d+)/(\d+)\]', re.MULTILINE)


class EnvError(RuntimeError):
    """A problem the user can mend; its text is one sentence."""


def say(text: str) -> None:
    """Print one line at once."""
    print(f'[mmcv] {text}', flush=True)


def cache_root() -> Path:
    """Folder of everything this project caches for a user.

    Returns:
        Path: ``$SLNP_MM_CACHE``, or ``slnp_mm`` in ``$XDG_CACHE_HOME``, or
        ``~/.cache/slnp_mm``.
    """
    own = os.environ.get('SLNP_MM_CACHE')
    if own:
        return Path(own).expanduser().absolute()
    base = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return Path(base).expanduser().absolute() / 'slnp_mm'


def cache_folder(mmcv_version: str, torch_version: str) -> Path:
    """Folder of the wheel for this Python, machine and versions.

    Args:
        mmcv_version (str): For example ``2.1.0``.
        torch_version (str): For example ``2.11.0``.

    Returns:
        Path: ``ROOT/wheels/mmcv-2.1.0-torch2.11.0-cp311-x86_64``, with
        ``-cuda`` at the end where ``FORCE_CUDA=1`` asks for CUDA operators.
    """
    tag = 'cp{}{}'.format(*sys.version_info)
    name = f'mmcv-{mmcv_version}-torch{torch_version}-{tag}'
    name += f'-{platform.machine()}'
    if os.environ.get('FORCE_CUDA', '0') == '1':
        name += '-cuda'
    return cache_root() / 'wheels' / name


def find_wheel(folder: Path) -> Path | None:
    """Give the finished wheel in a cache folder, if there is one."""
    wheels = sorted(folder.glob('mmcv-*.whl'))
    return wheels[-1] if wheels else None


@contextlib.contextmanager
def file_lock(path: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock file; a second process waits and says so.

    Args:
        path (Path): Lock file without its suffix; its folder is made.
        tell (Callable): Prints one line.

    Raises:
        EnvError: If the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open(f'{path}.lock', 'w', encoding='utf-8')
    except OSError as error:
        raise EnvError(
            f'the cache {path.parent} cannot be written ({error.strerror}); '
            'choose another place: export SLNP_MM_CACHE=/path/to/folder'
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f'another process is at work ({path}.lock); waiting for it')
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _compiles(compiler: str, include: str, source: str) -> bool:
    """Whether a few lines of C++ compile."""
    command = [compiler, '-x', 'c++', '-std=c++17', f'-I{include}']
    command += ['-fsyntax-only', '-']
    try:
        done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def check_compiler(include: str) -> None:
    """Check that a C++ compiler and Python's headers are there.

    Args:
        include (str): Folder that should hold ``Python.h``.

    Raises:
        EnvError: If one is missing; the text names the package.
    """
    compiler = os.environ.get('CXX') or 'c++'
    short = '{}.{}'.format(*sys.version_info)
    why = "mmcv's operators are compiled once"
    if not _compiles(compiler, include, '#include <vector>\n'):
        raise EnvError(
            f'a C++ compiler is needed ({why}), but {compiler} is missing or '
            'does not work; install it (Debian, Ubuntu: apt-get install g++; '
            'Fedora: dnf install gcc-c++)'
        )
    if not _compiles(compiler, include, '#include <Python.h>\n'):
        raise EnvError(
            f'the headers of Python {short} are needed ({why}), but '
            f'{include}/Python.h is missing; install them (Debian, Ubuntu: '
            f'apt-get install python{short}-dev; Fedora: dnf install '
            f'python{short}-devel)'
        )


def num_jobs() -> int:
    """Compiler processes to run at once: by cores and by free memory."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_AVPHYS_PAGES')
    return max(1, min(cores, memory // BYTES_PER_JOB))


def ensure_wheel(folder: Path, version: str, python: str) -> Path:
    """Give the cached wheel, after compiling it if there is none.

    Args:
        folder (Path): Cache folder of :func:`cache_folder`.
        version (str): mmcv's version.
        python (str): Python of an environment that has torch, setuptools,
            wheel, ninja, psutil and pip.

    Returns:
        Path: The wheel.

    Raises:
        EnvError: If the build fails.
    """
    with file_lock(folder, say):
        wheel = find_wheel(folder)
        if wheel is not None:
            return wheel
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob('build-*'):  # left by a killed build
            shutil.rmtree(stale, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix='build-', dir=folder) as work:
            fresh = _build(Path(work), folder / 'build.log', version, python)
            wheel = folder / fresh.name
            os.replace(fresh, wheel)
    return wheel


def _build(work: Path, log: Path, version: str, python: str) -> Path:
    """Compile the wheel in a work folder and show that it is alive."""
    jobs = os.environ.get('MAX_JOBS') or str(num_jobs())
    env = dict(os.environ, MMCV_WITH_OPS='1', MAX_JOBS=jobs, TMPDIR=str(work))
    if env.get('FORCE_CUDA', '0') != '1':
        env['CUDA_VISIBLE_DEVICES'] = ''  # the CPU operators are enough
    command = [python, '-m', 'pip', 'wheel', '-v', '--no-build-isolation']
    command += ['--no-deps', '--no-cache-dir', '-w', str(work / 'out')]
    command += ['--disable-pip-version-check', '--no-binary', 'mmcv']
    say(
        f'compiling mmcv {version} with {jobs} jobs: about ten minutes on '
        'two cores, once on this machine'
    )
    say(f'log: {log}')
    with open(log, 'w', encoding='utf-8') as handle:
        process = subprocess.Popen(
            [*command, f'mmcv=={version}'],
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
        try:
            code = _watch(process, log)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
    wheel = find_wheel(work / 'out')
    if code != 0 or wheel is None:
        tail = log.read_text('utf-8', errors='replace').splitlines()[-15:]
        print('\n'.join(tail), file=sys.stderr)
        raise EnvError(f'compiling mmcv {version} failed; the log is {log}')
    return wheel


def _watch(process: subprocess.Popen, log: Path) -> int:
    """Wait for the build and print a line every half minute."""
    start = time.monotonic()
    beats = 1
    while process.poll() is None:
        time.sleep(0.5)
        passed = time.monotonic() - start
        if passed >= beats * BEAT_SECONDS:
            beats += 1
            text = log.read_text('utf-8', errors='replace')
            steps = PROGRESS.findall(text)
            done = f', {steps[-1][0]} of {steps[-1][1]} files' if steps else ''
            say(f'{int(passed) // 60}:{int(passed) % 60:02d} passed{done}')
    say(f'finished after {time.monotonic() - start:.0f} s')
    return process.returncode
