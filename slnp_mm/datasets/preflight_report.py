"""What a preflight check found, as text and as JSON."""

from collections.abc import Sequence

import numpy as np

from .label_codec import UNLABELLED

_TITLES = dict(
    folder='Folder or setting',
    pair='Pair incomplete',
    unreadable='Unreadable or truncated file',
    size='Size mismatch',
    ids='Label id out of range',
    empty='Nothing labelled',
    instances='Instance map',
)


class PreflightReport:
    """Problems and statistics of one data set.

    Args:
        classes (Sequence[str]): Class names.
        name (str): What the set is called in the text.
        max_instances (int, optional): T_max of the pipeline, to tell how
            many images reach it. Defaults to None.
    """

    def __init__(
        self,
        classes: Sequence[str],
        name: str,
        max_instances: int | None = None,
    ) -> None:
        self.classes, self.name = tuple(classes), name
        self.max_instances = max_instances
        self.problems: dict[str, list[str]] = {}
        self.pixels = np.zeros(256, np.int64)
        self.images = np.zeros(256, np.int64)
        self.instances: list[int] = []
        self.num_listed = self.num_checked = 0
        self.seconds = 0.0

    def add_problem(self, kind: str, text: str) -> None:
        """Note one problem."""
        self.problems.setdefault(kind, []).append(text)

    def add(self, record: dict) -> None:
        """Add what ``check_sample`` returned."""
        self.num_checked += 1
        for kind, text in record['problems']:
            self.add_problem(kind, text)
        if record['pixels'] is not None:
            self.pixels += record['pixels']
            self.images += record['pixels'] > 0
        if record['instances'] >= 0:
            self.instances.append(record['instances'])

    def close(self) -> None:
        """Judge what only the whole set shows."""
        if self.pixels.any() and self.unlabelled_share == 1:
            self.add_problem(
                'empty',
                f'every pixel of {self.name} is unlabelled; likely cause: do '
                'unlabelled_ids or label_map send all ids to 255?',
            )

    @property
    def num_problems(self) -> int:
        """Number of problems."""
        return sum(map(len, self.problems.values()))

    @property
    def ok(self) -> bool:
        """Whether nothing stands against training on the data."""
        return not self.problems

    @property
    def empty_classes(self) -> list[str]:
        """Names of classes without a pixel."""
        return [name for name, n in zip(self.classes, self.pixels) if n == 0]

    @property
    def unlabelled_share(self) -> float:
        """Share of unlabelled pixels, 0..1."""
        return float(self.pixels[UNLABELLED] / max(self.pixels.sum(), 1))

    @property
    def at_limit(self) -> int:
        """Images with ``max_instances`` instances: some may be merged."""
        return sum(count == self.max_instances for count in self.instances)

    @property
    def images_per_second(self) -> float:
        """Samples checked per second, all processes together."""
        return self.num_checked / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict:
        """Everything, ready for ``json.dump``."""
        total = max(int(self.pixels.sum()), 1)
        count = np.asarray(self.instances or [0])
        return dict(
            name=self.name,
            ok=self.ok,
            images_listed=self.num_listed,
            images_checked=self.num_checked,
            seconds=round(self.seconds, 3),
            images_per_second=round(self.images_per_second, 1),
            num_problems=self.num_problems,
            problems=self.problems,
            empty_classes=self.empty_classes,
            unlabelled_share=self.unlabelled_share,
            instances=dict(
                images=len(self.instances),
                mean=float(count.mean()),
                max=int(count.max()),
                limit=self.max_instances,
                images_at_limit=self.at_limit,
            ),
            classes=[
                dict(
                    id=i,
                    name=name,
                    pixel_share=int(self.pixels[i]) / total,
                    images=int(self.images[i]),
                )
                for i, name in enumerate(self.classes)
            ],
        )

    def to_text(self, num_files: int = 5, num_classes: int = 12) -> str:
        """Write the report for reading.

        Args:
            num_files (int): Problems shown of each kind. Defaults to 5.
            num_classes (int): Classes shown, by share. Defaults to 12.

        Returns:
            str: Several lines.
        """
        lines = [
            f'{self.name}: {self.num_checked} of {self.num_listed} images '
            f'checked in {self.seconds:.1f} s '
            f'({self.images_per_second:.0f} images/s)'
        ]
        for kind, texts in self.problems.items():
            lines.append(f'  {_TITLES[kind]}: {len(texts)}')
            lines += [f'    {text}' for text in texts[:num_files]]
            if len(texts) > num_files:
                lines.append(f'    ... and {len(texts) - num_files} more')
        if self.pixels.any():
            lines += self._statistics(num_classes)
        lines.append(
            '  result: '
            + (
                'no problem found'
                if self.ok
                else f'{self.num_problems} problem' + 's' * (self.num_problems > 1)
            )
        )
        return '\n'.join(lines)

    def _statistics(self, num_classes: int) -> list[str]:
        """Lines on classes and instances."""
        lines = []
        if self.instances:
            count = np.asarray(self.instances)
            lines.append(f'  instances an image: mean {count.mean():.1f}, max {count.max()}')
            if self.at_limit:
                lines.append(
                    f'  at the limit max_instances={self.max_instances}: '
                    f'{self.at_limit} images; their smallest instances are '
                    'merged class by class'
                )
        lines.append(f'  unlabelled: {100 * self.unlabelled_share:.2f} % of the pixels')
        empty = self.empty_classes
        if empty:
            shown = ', '.join(empty[:8]) + (' ...' if len(empty) > 8 else '')
            lines.append(
                f'  classes without a pixel: {len(empty)} of {len(self.classes)} ({shown})'
            )
        total = self.pixels.sum()
        num = len(self.classes)
        for i in np.argsort(-self.pixels[:num])[:num_classes]:
            if self.pixels[i]:
                lines.append(
                    f'  {i:4d} {self.classes[i]:<20.20s} '
                    f'{100 * self.pixels[i] / total:6.2f} % of pixels, in '
                    f'{self.images[i]} images'
                )
        return lines
