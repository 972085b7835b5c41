"""Models that come with the package: those of metafile.yml whose weights lie beside it."""

from pathlib import Path
from typing import NamedTuple

from mmengine import load

from ..errors import SLNPError

FOLDER = Path(__file__).parent


class ZooModel(NamedTuple):
    """A model of the zoo.

    Args:
        about (str): What it draws, one line.
        checkpoint (str): Its file, which holds its config.
        examples (list[str]): Label maps drawn for it.
    """

    about: str
    checkpoint: str
    examples: list[str]


def zoo_models() -> dict[str, ZooModel]:
    """Give the models by name; the first is the default."""
    found = {}
    for entry in load(FOLDER / 'metafile.yml')['Models']:
        name, weights = entry['Alias'], FOLDER / entry['Weights']
        if weights.is_file():
            examples = sorted(map(str, FOLDER.glob(f'examples/{name}/*.png')))
            found[name] = ZooModel(entry['Description'], str(weights), examples)
    return found


def zoo_checkpoint(name: str | None = None) -> str:
    """Give the checkpoint of a model, by default of the first.

    Raises:
        SLNPError: If the zoo has no model of this name.
    """
    models = zoo_models()
    if name is None:
        name = next(iter(models))
    if name not in models:
        raise SLNPError(
            f'the zoo has no model {name}, it has {", ".join(models)}; a model of your own is '
            'given by its checkpoint'
        )
    return models[name].checkpoint
