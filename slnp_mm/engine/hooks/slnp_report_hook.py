"""Reports of validations and tests."""

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
    """Write a report of scores with protocol, versions, config, checkpoint and seed.

    Validations write ``val_report.json`` and ``val_report.md`` to the work directory, tests
    ``test_report.*``; each overwrites the previous one. Scores of other metrics in the same
    evaluator, such as mmagic's ``SWD``, are included. Without a metric of slnp_mm, no report is
    written.
    """

    priority = 'LOW'

    @master_only
    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the validation's report."""
        self._write(runner, runner.val_loop, metrics, 'val_report.json')

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the test's report and log its table."""
        table = self._write(runner, runner.test_loop, metrics, 'test_report.json')
        if table:
            with open(table, encoding='utf-8') as file:
                print_log('\n' + file.read(), 'current')

    @staticmethod
    def _write(runner: Runner, loop, figures: dict[str, float] | None, name: str) -> str | None:
        """Write one report and return the path of its table, None without metrics."""
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
    """Config, weights, iteration and seed of the scored model.

    A training run is identified by its ``iteration`` and the file it ``started_from``, a test by
    its ``checkpoint``.
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
