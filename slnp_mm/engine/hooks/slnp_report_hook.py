"""Write the report of each validation and test."""

import os
from typing import Dict, Optional

from mmagic.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from slnp_mm.evaluation.folder import names_of
from slnp_mm.evaluation.report import (
    build_report,
    describe_checkpoint,
    save_report,
)


@HOOKS.register_module()
class SLNPReportHook(Hook):
    """Figures with protocol, versions, config, checkpoint and seed.

    After a validation ``val_report.json`` and ``val_report.md`` are written
    to the work directory, after a test ``test_report.*``; the last one
    stays. A run without a metric of slnp_mm writes nothing.
    """

    priority = 'LOW'

    @master_only
    def after_val_epoch(
        self, runner: Runner, metrics: Optional[Dict[str, float]] = None
    ) -> None:
        """Write the validation's report."""
        self._write(runner, runner.val_loop, 'val_report.json')

    @master_only
    def after_test_epoch(
        self, runner: Runner, metrics: Optional[Dict[str, float]] = None
    ) -> None:
        """Write the test's report and show its table."""
        table = self._write(runner, runner.test_loop, 'test_report.json')
        if table:
            with open(table, encoding='utf-8') as file:
                print_log('\n' + file.read(), 'current')

    @staticmethod
    def _write(runner: Runner, loop, name: str) -> Optional[str]:
        """Write one report; the table's path, None without a result."""
        evaluators = getattr(loop, 'evaluators', None) or [loop.evaluator]
        loaders = getattr(loop, 'dataloaders', None) or [loop.dataloader]
        metrics = [
            m
            for e in evaluators
            for m in e.metrics or ()
            if getattr(m, 'last_report', None)
        ]
        if not metrics:
            return None
        dataset = loaders[0].dataset
        data, split = (
            names_of(dataset)
            if hasattr(dataset, 'data_prefix')
            else (type(dataset).__name__, None)
        )
        run = dict(
            config=os.path.basename(runner.cfg.filename or ''),
            checkpoint=describe_checkpoint(runner._load_from),
            iteration=runner.iter,
            seed=runner.seed,
        )
        path = os.path.join(runner.work_dir, name)
        return save_report(build_report(metrics, run, data, split), path)[1]
