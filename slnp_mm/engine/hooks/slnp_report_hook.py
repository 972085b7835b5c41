"""Write the report of each validation and test."""

import os
from typing import Any

from mmagic.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, Runner

from slnp_mm.evaluation.folder import names_of
from slnp_mm.evaluation.report import build_report, describe_checkpoint, save_report


@HOOKS.register_module()
class SLNPReportHook(Hook):
    """Figures with protocol, versions, config, checkpoint and seed.

    After a validation ``val_report.json`` and ``val_report.md`` are written to the work directory,
    after a test ``test_report.*``; the last one stays. Figures of other metrics in the same
    evaluator, mmagic's ``SWD`` for one, are reported too. A run without a metric of slnp_mm writes
    nothing.
    """

    priority = 'LOW'

    @master_only
    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the validation's report."""
        self._write(runner, runner.val_loop, metrics, 'val_report.json')

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the test's report and show its table."""
        table = self._write(runner, runner.test_loop, metrics, 'test_report.json')
        if table:
            with open(table, encoding='utf-8') as file:
                print_log('\n' + file.read(), 'current')

    @staticmethod
    def _write(runner: Runner, loop, figures: dict[str, float] | None, name: str) -> str | None:
        """Write one report; the table's path, None without a result."""
        evaluators = getattr(loop, 'evaluators', None) or [loop.evaluator]
        loaders = getattr(loop, 'dataloaders', None) or [loop.dataloader]
        metrics = [
            m for e in evaluators for m in e.metrics or () if getattr(m, 'last_report', None)
        ]
        if not metrics:
            return None
        data, split = names_of(loaders[0].dataset)
        report = build_report(metrics, describe_run(runner), data, split, figures)
        return save_report(report, os.path.join(runner.work_dir, name))[1]


def describe_run(runner: Runner) -> dict[str, Any]:
    """Config, weights, iteration and seed of what was just scored.

    Args:
        runner (Runner): At the end of a validation or test.

    Returns:
        Dict[str, Any]: A run that has trained is described by
        ``iteration``, and the file it started with is ``started_from``; any
        other by its ``checkpoint``.
    """
    trained = isinstance(runner._train_loop, BaseLoop)
    loaded = describe_checkpoint(runner._load_from)
    return dict(
        config=os.path.basename(runner.cfg.filename or ''),
        checkpoint=None if trained else loaded,
        started_from=loaded if trained else None,
        iteration=runner.iter if trained else None,
        seed=runner.seed,
    )
