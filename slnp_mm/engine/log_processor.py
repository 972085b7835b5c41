"""Short log lines."""

import re
from collections import defaultdict
from datetime import timedelta

from mmagic.engine.runner import LogProcessor
from mmagic.registry import LOG_PROCESSORS
from mmengine.runner import Runner


@LOG_PROCESSORS.register_module()
class SLNPLogProcessor(LogProcessor):
    """mmagic's log processor with shorter training lines.

    A line shows the time left, seconds per iteration and the part spent waiting for data, learning
    rates, and the logged values combined over stages: losses summed, others averaged. Files and
    TensorBoard still get every value under its own name.
    """

    def get_log_after_iter(self, runner: Runner, batch_idx: int, mode: str) -> tuple[dict, str]:
        """Return the values by name, and the line."""
        figures, line = super().get_log_after_iter(runner, batch_idx, mode)
        if mode != 'train' or self.by_epoch:
            return figures, line
        rest = dict(figures)
        done, seconds, waiting = (rest.pop(key) for key in ('iter', 'time', 'data_time'))
        left = timedelta(seconds=round(seconds * (runner.max_iters - done)))
        parts = [f'{line.split("]")[0]}]', f'eta: {left}', f'{seconds:.3g} s ({waiting:.2g} data)']
        if 'memory' in rest:
            parts.append(f'{rest.pop("memory")} MB')

        stages = defaultdict(list)
        for key, value in rest.items():
            if not key.endswith('base_lr'):
                stages[re.sub(r'_s\d+$', '', key)].append(value)
        for key, values in stages.items():
            total = sum(values) if 'loss' in key else sum(values) / len(values)
            parts.append(f'{key.removeprefix("loss_")} {total:.3g}')
        return figures, '  '.join(parts)
