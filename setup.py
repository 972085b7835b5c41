"""Package description; imports nothing but the standard library."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def read(path: str) -> str:
    """Read one text file of the repository."""
    return (ROOT / path).read_text(encoding='utf-8')


def read_version() -> str:
    """Read the version as text, without importing the package."""
    pattern = r"^__version__ = '([^']+)'$"
    found = re.search(pattern, read('slnp_mm/version.py'), re.MULTILINE)
    if found is None:
        raise ValueError('slnp_mm/version.py has no line __version__ = ...')
    return found.group(1)


def read_requirements(path: str) -> list:
    """Read the requirement lines of one file, without comments."""
    lines = (line.split('#')[0].strip() for line in read(path).splitlines())
    return [line for line in lines if line]


setup(
    name='slnp_mm',
    version=read_version(),
    description='SLNP-GAN, images from label maps, as an mmagic plugin',
    long_description=read('README.md'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['slnp_mm', 'slnp_mm.*']),
    # .mim holds links, so that mmengine and mim find the same in an editable install
    package_data={'slnp_mm': ['.mim/**/*', 'zoo/**/*']},
    exclude_package_data={'slnp_mm': ['*.pyc']},
    python_requires='>=3.10,<3.13',
    install_requires=read_requirements('requirements/runtime.txt'),
    extras_require={
        'lite': read_requirements('requirements/lite.txt'),
        'painter': read_requirements('requirements/painter.txt'),
        'coco': read_requirements('requirements/coco.txt'),
        'export': read_requirements('requirements/export.txt'),
        'tests': read_requirements('requirements/tests.txt'),
        'lint': read_requirements('requirements/lint.txt'),
    },
    classifiers=[
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Image Processing',
    ],
)
