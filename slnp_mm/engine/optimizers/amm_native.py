"""Build, load and call the C kernel of AMM's fused path on the CPU."""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name('amm_kernel.c')
BASE_FLAGS = (
    '-O3',
    '-std=c11',
    '-fno-math-errno',
    '-fno-trapping-math',
    '-fPIC',
    '-shared',
)
VECTOR_FLAGS = {
    'AVX2': ('-mavx2', '-mfma'),
    'AVX512': (
        '-mavx2',
        '-mfma',
        '-mavx512f',
        '-mavx512dq',
        '-mavx512vl',
        '-mavx512bw',
        '-mprefer-vector-width=512',
    ),
}
ENTRY_POINTS = {torch.float32: 'amm_float', torch.float64: 'amm_double'}


class _TensorRecord(ctypes.Structure):
    """Mirror of ``amm_tensor`` in ``amm_kernel.c``."""

    _fields_ = [
        ('numel', ctypes.c_int64),
        ('param', ctypes.c_void_p),
        ('grad', ctypes.c_void_p),
        ('exp_avg', ctypes.c_void_p),
        ('exp_avg_sq', ctypes.c_void_p),
        ('momentum_buffer', ctypes.c_void_p),
        ('step_size', ctypes.c_double),
        ('offset', ctypes.c_double),
    ]


class _Options(ctypes.Structure):
    """Mirror of ``amm_options`` in ``amm_kernel.c``."""

    _fields_ = [
        ('beta1', ctypes.c_double),
        ('beta2', ctypes.c_double),
        ('alpha', ctypes.c_double),
        ('decay', ctypes.c_double),
        ('sign', ctypes.c_double),
    ]


def cache_directory() -> Path:
    """Return the folder of compiled kernels.

    Returns:
        Path: ``$XDG_CACHE_HOME/slnp_mm``, by default ``~/.cache/slnp_mm``;
        not created here.
    """
    root = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(root) / 'slnp_mm'


def find_compiler() -> str | None:
    """Find a C compiler.

    Returns:
        Optional[str]: Path of ``$CC`` if set, else of the first of ``cc``,
        ``gcc`` and ``clang`` on the path; None if there is none.
    """
    wanted = os.environ.get('CC')
    names = [wanted] if wanted else ['cc', 'gcc', 'clang']
    found = (shutil.which(name) for name in names)
    return next((path for path in found if path), None)


def _compile(compiler: str, flags: Sequence[str], target: Path) -> None:
    """Compile the kernel to ``target``, which appears whole or not at all.

    Raises:
        RuntimeError: If the compiler fails; the text holds its last line.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        done = subprocess.run(
            [compiler, *flags, str(SOURCE), '-o', str(made), '-lm'],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ['no message']
            raise RuntimeError(f'{compiler} could not compile {SOURCE.name}: {lines[-1]}')
        os.replace(made, target)


@functools.cache
def load_kernel() -> ctypes.CDLL:
    """Load the kernel, compiling it on first use (about one second).

    The file name holds a hash of source, flags and compiler, so that another
    processor or version never meets a kernel that is not its own. OpenMP is
    used where the compiler has it; torch has already loaded its runtime, so
    both share one pool of threads.

    Returns:
        ctypes.CDLL: The library with the entry points of ``ENTRY_POINTS``.

    Raises:
        RuntimeError: If there is no C compiler, or if it fails.
    """
    compiler = find_compiler()
    if compiler is None:
        raise RuntimeError(
            'AMM(fused=True) on the CPU expected a C compiler ($CC, cc, gcc '
            'or clang) but found none: install one, or leave fused unset.'
        )
    vector = VECTOR_FLAGS.get(torch.backends.cpu.get_cpu_capability(), ())
    error: RuntimeError | None = None
    for extra in ((*vector, '-fopenmp'), vector, ()):
        flags = (*BASE_FLAGS, *extra)
        text = '\0'.join((compiler, *flags)).encode() + SOURCE.read_bytes()
        name = f'amm_{hashlib.sha256(text).hexdigest()[:16]}.so'
        target = cache_directory() / name
        try:
            if not target.exists():
                _compile(compiler, flags, target)
            return _declare(ctypes.CDLL(str(target)))
        except (RuntimeError, OSError) as reason:
            error = error or RuntimeError(
                f'AMM(fused=True) could not build its CPU kernel ({reason}): '
                'mend the compiler or the cache folder, or leave fused '
                'unset.'
            )
    raise error


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    """Set argument types and check the layout constants."""
    for name in ENTRY_POINTS.values():
        entry = getattr(library, name)
        entry.restype = None
        entry.argtypes = [
            ctypes.POINTER(_TensorRecord),
            ctypes.POINTER(ctypes.c_int64),
            ctypes.c_int64,
            ctypes.POINTER(_Options),
            ctypes.c_int,
        ]
    library.amm_chunk_size.restype = ctypes.c_int64
    return library


def kernel_takes(tensors: Sequence[Tensor]) -> bool:
    """Tell whether the kernel can update a parameter.

    Args:
        tensors (Sequence[Tensor]): Parameter, gradient and the three state
            tensors of one parameter.

    Returns:
        bool: True if all are plain CPU float32 or float64 tensors of one
        shape and dtype that cover the same memory order without gaps. Others
        would make the kernel read past their end; the single-tensor path
        takes them, or says what does not fit.
    """
    param = tensors[0]
    if param.dtype not in ENTRY_POINTS:
        return False
    if not all(
        type(t) in (Tensor, torch.nn.Parameter)
        and t.is_cpu
        and t.dtype == param.dtype
        and t.shape == param.shape
        for t in tensors
    ):
        return False
    if all(t.is_contiguous() for t in tensors):
        return True
    if param.dim() not in (4, 5):
        return False
    order = torch.channels_last if param.dim() == 4 else torch.channels_last_3d
    return all(t.is_contiguous(memory_format=order) for t in tensors)


def run_kernel(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    momentum_buffers: list[Tensor],
    step_sizes: list[float],
    offsets: list[float],
    *,
    beta1: float,
    beta2: float,
    alpha: float,
    decay: float,
    maximize: bool,
) -> None:
    """Update tensors of one dtype in place with the C kernel.

    Args:
        params (list[Tensor]): Parameters; for each and its gradient and
            state ``kernel_takes`` must be true.
        grads (list[Tensor]): Gradients.
        exp_avgs (list[Tensor]): m of table 1.
        exp_avg_sqs (list[Tensor]): v of table 1.
        momentum_buffers (list[Tensor]): P of table 1.
        step_sizes (list[float]): One number per tensor, see the head of
            ``amm_kernel.c``.
        offsets (list[float]): Likewise.
        beta1 (float): Decay rate of m, no unit, [0, 1).
        beta2 (float): Decay rate of v, no unit, [0, 1).
        alpha (float): Weight of the last update, no unit, [0, 1).
        decay (float): Factor on the parameter before the update.
        maximize (bool): Whether the gradient's sign is turned.
    """
    library = load_kernel()
    chunk = library.amm_chunk_size()
    columns = zip(
        params,
        grads,
        exp_avgs,
        exp_avg_sqs,
        momentum_buffers,
        step_sizes,
        offsets,
    )
    records = [
        (
            p.numel(),
            p.data_ptr(),
            g.data_ptr(),
            m.data_ptr(),
            v.data_ptr(),
            b.data_ptr(),
            size,
            offset,
        )
        for p, g, m, v, b, size, offset in columns
    ]
    first = [0]
    for record in records:
        first.append(first[-1] + -(-record[0] // chunk))
    count = len(records)
    entry = getattr(library, ENTRY_POINTS[params[0].dtype])
    entry(
        (_TensorRecord * count)(*records),
        (ctypes.c_int64 * (count + 1))(*first),
        count,
        _Options(beta1, beta2, alpha, decay, -1.0 if maximize else 1.0),
        torch.get_num_threads(),
    )
    torch.autograd.graph.increment_version([*params, *exp_avgs, *exp_avg_sqs, *momentum_buffers])
