"""Paint a label map in the browser and see its image at once."""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import _cli as cli
import cv2
import numpy as np
from PIL import Image

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.datastructures import Headers
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles
    from starlette.types import ASGIApp, Receive, Scope, Send
except ImportError as error:
    sys.exit(
        f'error: the painter needs {error.name}: install it with pip install "slnp_mm[painter]"'
    )

if TYPE_CHECKING:
    from slnp_mm.inferencer import SLNPInferencer

PAGE = Path(__file__).parent / 'painter_page'
MAX_BYTES, MAX_PIXELS = 32 << 20, 64 << 20  # of an uploaded file, of the image in it
MAX_PINS, MAX_SEED = 64, 2**31 - 1
LOCAL = ('127.0.0.1', 'localhost', '::1')
OPEN = ('0.0.0.0', '::')  # hosts that stand for every address
ROOMS = 'nyuv2'  # what is shown first, if the zoo has it


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add('config', type=cli.path, nargs='?', help='may be left out: a checkpoint has its own')
    add('checkpoint', type=cli.path, nargs='?', help='file, or a work dir; without: the zoo')
    add('--model', help='name of the model of the zoo that is shown first')
    add('--host', default='127.0.0.1', help='0.0.0.0 or :: opens it to the network')
    add('--port', type=int, default=8000, help='0: any free one')
    add('--origin', type=origin, help='where a proxy shows the page: https://example.org')
    add('--device', type=cli.device, default='auto', help='cpu, cuda or cuda:N')
    add('--examples', type=cli.path, help='folder of label maps to start from')
    add('--queue', type=cli.number, default=8, help='requests that may wait')
    args = parser.parse_args()
    if args.config and not args.checkpoint:
        if args.config.endswith('.py'):
            parser.error('a config needs its checkpoint: give both, or the checkpoint alone')
        args.config, args.checkpoint = None, args.config
    if args.checkpoint and args.model:
        parser.error(f'--model {args.model} is of the zoo: leave the checkpoint out')
    return args


def origin(text: str) -> str:
    """Type of ``--origin``: scheme, name and port as a browser sends them."""
    with suppress(ValueError, KeyError):
        url = urlsplit(text.lower())
        usual = dict(http=80, https=443)[url.scheme]
        if url.hostname and url.path + url.query in ('', '/'):
            port = '' if url.port in (None, usual) else f':{url.port}'
            return f'{url.scheme}://{bracketed(url.hostname)}{port}'
    raise argparse.ArgumentTypeError(f'must be like https://example.org, but got {text!r}')


def bracketed(host: str) -> str:
    """A host as it stands in a URL."""
    return f'[{host}]' if ':' in host else host


def host_of(netloc: str) -> str | None:
    """Name or address of a ``Host`` header, without port and brackets; None if it is none."""
    with suppress(ValueError):
        return urlsplit(f'//{netloc}').hostname


async def read_body(request: Request) -> bytes:
    """Read what the page posts; 403 if another site's does, 413 if it is too large."""
    source = request.headers.get('origin')
    host, public = request.headers.get('host'), request.app.state.origin
    if source and source != public and urlsplit(source).netloc != host:
        raise HTTPException(
            403,
            f'expected a post of the page itself, but it came from {source}; if that is a proxy '
            f'before the painter, start it with --origin {source}',
        )
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MAX_BYTES:
            raise HTTPException(413, f'expected at most {MAX_BYTES >> 20} MB: use a smaller file')
    return bytes(data)


def number(name: str, text: str | None, high: int) -> int:
    """A whole number of a query, 0..high."""
    if not (text and text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= high):
        raise HTTPException(
            400, f'expected {name} as a whole number from 0 to {high}, but got {str(text)[:20]}'
        )
    return int(text)


def open_image(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    """Decode an uploaded file."""
    try:
        image = Image.open(io.BytesIO(data), formats=formats)
        if image.width * image.height <= MAX_PIXELS:
            image.load()
            return image
    except Exception as error:  # Pillow raises many kinds on broken files
        kinds = ' or '.join(formats)
        raise HTTPException(400, f'the file is no {kinds} image, or is damaged') from error
    size = f'{image.width} x {image.height}'
    raise HTTPException(413, f'the image has {size} pixels, expected at most 64 million')


@dataclass
class Model:
    """One model of the menu."""

    name: str
    about: str  # what it draws, one line
    load: Callable[[], SLNPInferencer]  # called when it is first asked for
    files: Sequence[str] = ()  # label maps to start from; ToyScenes has drawn scenes instead

    @cached_property
    def inferencer(self) -> SLNPInferencer:
        """The model itself."""
        return self.load()

    @property
    def examples(self) -> int:
        """How many label maps there are to start from."""
        from slnp_mm.datasets import toyscenes

        drawn = tuple(self.inferencer.classes) == toyscenes.CLASSES
        return len(self.files) or (1000 if drawn else 0)

    @property
    def max_side(self) -> int:
        """Longest side of a label map that is drawn."""
        step = self.inferencer.size_divisor
        return 2 * max(self.inferencer.image_size) // step * step

    def example(self, index: int) -> np.ndarray:
        """A label map to start from: a file, or a scene as in ToyScenes' val split."""
        from slnp_mm.datasets.toyscenes import draw_scene

        if self.files:
            return self.inferencer.read_label(self.files[index])
        return draw_scene((0, 1, index), max(self.inferencer.image_size))[1]

    def answer(self, label: np.ndarray) -> Response:
        """Answer with a label map, (H, W), uint8, at a size that the network takes."""
        size = (height, width) = label.shape
        step = self.inferencer.size_divisor
        if height % step or width % step or max(size) > self.max_side:
            # of the same shape, as large as in training
            scale = (np.prod(self.inferencer.image_size) / (height * width)) ** 0.5 / step
            sides = (max(1, round(side * scale)) * step for side in (height, width))
            size = tuple(min(side, self.max_side) for side in sides)
        headers = {'X-Size': f'{size[1]}x{size[0]}'}
        if size != (height, width):
            label = cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
            resized = f'The label map ({width} x {height} pixels) was resized to'
            headers['X-Note'] = f'{resized} {size[1]} x {size[0]}, which suits the model.'
        return Response(label.tobytes(), media_type='application/octet-stream', headers=headers)


class Painter:
    """What the page asks for; label maps travel as bytes of classes, row by row.

    A query names its ``model``; without it the first is meant. ``queue`` requests may wait for
    their turn.
    """

    def __init__(self, models: Sequence[Model], queue: int) -> None:
        self.models, self.queue = {model.name: model for model in models}, queue
        self.inside = 0  # requests that wait or use a model
        self.turn, self.loading = asyncio.Lock(), asyncio.Lock()

    async def chosen(self, request: Request) -> Model:
        """The model that a request means, loaded."""
        name = request.query_params.get('model', next(iter(self.models)))
        model = self.models.get(name)
        if model is None:
            raise HTTPException(404, f'no model {name[:40]}: there is {", ".join(self.models)}')
        async with self.loading:
            await run_in_threadpool(getattr, model, 'inferencer')
        return model

    async def take_turn(self, request: Request, work: Callable, *args: Any) -> bytes:
        """Use the model after those who came before; 503 if too many wait."""
        if self.inside > self.queue:
            raise HTTPException(503, f'{self.queue} requests wait already: try again soon')
        self.inside += 1
        try:
            async with self.turn:
                gone = await request.is_disconnected()
                return b'' if gone else await run_in_threadpool(work, *args)
        finally:
            self.inside -= 1

    async def model(self, request: Request) -> Response:
        """Classes, colors, sizes and limits of a model, and the menu."""
        model = await self.chosen(request)
        found = dict(name=model.name, examples=model.examples, palette=model.inferencer.palette)
        found |= dict(classes=model.inferencer.classes, image_size=model.inferencer.image_size)
        found |= dict(size_divisor=model.inferencer.size_divisor, max_side=model.max_side)
        menu = {name: one.about for name, one in self.models.items()}
        return JSONResponse(dict(found, models=menu, max_bytes=MAX_BYTES, max_pins=MAX_PINS))

    async def example(self, request: Request) -> Response:
        """A label map to start from."""
        model = await self.chosen(request)
        if not model.examples:
            raise HTTPException(404, 'this model has no examples: start from blank or a file')
        index = number('number', request.query_params.get('number'), MAX_SEED) % model.examples
        return model.answer(await run_in_threadpool(model.example, index))

    async def label(self, request: Request) -> Response:
        """Read an uploaded label map, of ids or of the palette's colors."""
        data, model = await read_body(request), await self.chosen(request)

        def read() -> np.ndarray:
            return model.inferencer.read_label(open_image(data, ('PNG',)), 'the label map')

        return model.answer(await run_in_threadpool(read))

    async def png(self, request: Request) -> Response:
        """Encode a label map as the data set's own files, so that all tools read it alike."""
        model = await self.chosen(request)
        label, _ = await self.painted(request, model)
        raw = model.inferencer.dataset.codec.encode(label)
        file = cv2.imencode('.png', raw[..., ::-1] if raw.ndim == 3 else raw)[1]
        return Response(file.tobytes(), media_type='image/png')

    async def painted(self, request: Request, model: Model) -> tuple[np.ndarray, bytes]:
        """The label map (H, W), uint8, at the start of a body, and the rest of it."""
        query, top = request.query_params, model.max_side
        height, width = (number(side, query.get(side), top) for side in ('height', 'width'))
        data, count = await read_body(request), height * width
        if len(data) < count:
            raise HTTPException(
                400, f'expected {count} bytes for {width} x {height} pixels, but got {len(data)}'
            )
        return np.frombuffer(data, np.uint8, count).reshape(height, width), data[count:]

    async def style(self, request: Request) -> Response:
        """The noise code of a real image, float32, which the page then sends after its map."""
        data, inferencer = await read_body(request), (await self.chosen(request)).inferencer

        def encode() -> bytes:
            image = open_image(data, ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP'))
            blank = np.zeros(inferencer.image_size, np.uint8)
            found = inferencer(blank, style=image)['predictions'][0]['noise']
            return found.astype('<f4').tobytes()

        return Response(await self.take_turn(request, encode))

    async def picture(self, request: Request) -> Response:
        """Generate; the answer is RGB, row by row, one image after the other."""
        model = await self.chosen(request)
        label, noise = await self.painted(request, model)
        query, inferencer = request.query_params, model.inferencer
        options: dict[str, Any] = dict(
            seed=number('seed', query.get('seed'), MAX_SEED),
            num_samples=number('count', query.get('count'), 4),
        )
        if noise:
            shape = inferencer.model.generator.noise_shape
            values = np.frombuffer(noise[: len(noise) // 4 * 4], '<f4')
            if len(noise) != 4 * np.prod(shape) or not np.isfinite(values).all():
                raise HTTPException(400, f'expected finite float32 noise of shape {tuple(shape)}')
            options = dict(noise=values.reshape(shape).copy())

        pins = [pin.split(',') for pin in query.get('pins', '').split(';') if pin]
        if len(pins) > MAX_PINS or any(len(pin) != 3 for pin in pins):
            raise HTTPException(400, f'expected pins=x,y,seed;..., at most {MAX_PINS}')
        tops = (('x', label.shape[1] - 1), ('y', label.shape[0] - 1), ('seed', MAX_SEED))
        pins = [[number(key, text, top) for (key, top), text in zip(tops, pin)] for pin in pins]

        def generate() -> bytes:
            ids = inferencer.instances(label) if pins else None
            others = {int(ids[y, x]): seed for x, y, seed in pins if ids[y, x] >= 0}
            result = inferencer(label, resample=others or None, **options)
            return np.stack(result['visualization']).tobytes()

        return Response(await self.take_turn(request, generate))


class OwnNames:
    """Answer only under the painter's own names: no foreign one may lead here (DNS rebinding).

    Starlette's middleware cuts a host at its first colon, which IPv6 addresses have inside.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self.app, self.names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 400."""
        app = self.app
        if (
            scope['type'] == 'http'
            and host_of(Headers(scope=scope).get('host', '')) not in self.names
        ):
            sentence = f'expected the page under one of the names {", ".join(self.names)}'
            app = JSONResponse({'error': f'{sentence}: see --host and --origin'}, 400)
        await app(scope, receive, send)


def make_app(
    models: Sequence[Model], queue: int = 8, hosts: Sequence[str] = LOCAL, public: str | None = None
) -> Starlette:
    """Make the server of a :class:`Painter`: the page, and under ``api/`` what it asks for.

    It may be opened under the names ``hosts`` (one of ``OPEN``: any) and that of the origin
    ``public``, where a proxy shows the page.
    """
    from slnp_mm.errors import SLNPError

    async def say(_: Request, error: Exception) -> Response:
        known = isinstance(error, HTTPException)
        sentence = error.detail if known else ' '.join(str(error).split())
        return JSONResponse({'error': sentence}, error.status_code if known else 400)

    painter = Painter(models, queue)
    gets, posts = ('model', 'example'), ('label', 'png', 'style', 'picture')
    routes = [
        Route(f'/api/{end}', getattr(painter, end), methods=['GET' if end in gets else 'POST'])
        for end in (*gets, *posts)
    ]
    names = [host.lower() for host in hosts] + [urlsplit(public).hostname] * bool(public)
    app = Starlette(
        routes=[*routes, Mount('/', StaticFiles(directory=PAGE, html=True))],
        middleware=[] if set(hosts) & set(OPEN) else [Middleware(OwnNames, names=names)],
        exception_handlers={HTTPException: say, SLNPError: say},
    )
    app.state.origin = public
    return app


def menu(args: argparse.Namespace) -> list[Model]:
    """The models: the user's own, then those of the zoo; the first one loaded."""
    from slnp_mm.inferencer import SLNPInferencer, find_labels
    from slnp_mm.zoo import zoo_checkpoint, zoo_models

    def loader(*source: str | None) -> Callable:
        return lambda: SLNPInferencer(*source, args.device, show_progress=False)

    models = {}
    for name, one in zoo_models().items():
        files = [] if name == 'toyscenes' else one.examples  # it has drawn scenes without end
        models[name] = Model(name, one.about, loader(None, one.checkpoint), files)
    name = args.model or (ROOMS if ROOMS in models else next(iter(models)))
    zoo_checkpoint(name)  # raises if there is none
    if args.checkpoint:
        name = '/'.join(Path(args.checkpoint).parts[-2:])
        name = Path(args.config).stem if args.config else name
        models[name] = Model(name, 'your own', loader(args.config, args.checkpoint))
    first = models.pop(name)
    inferencer = first.inferencer
    inferencer(np.zeros(inferencer.image_size, np.uint8))  # the first call is the slowest
    if args.examples:
        suffixes = inferencer.dataset.suffixes['label']
        first.files = [path for path, _ in find_labels(args.examples, suffixes)]
    return [first, *models.values()]


def main() -> None:
    """Load the model, say where the page is, and serve it until Ctrl+C."""
    args = parse_args()
    if args.config:
        cli.need(args.config, 'config', 'runnable ones are configs/*.py')
    if args.checkpoint:
        cli.need(args.checkpoint, 'checkpoint', 'train one with tools/train.py', os.path.exists)
    wide = (
        dict(family=socket.AF_INET6, dualstack_ipv6=args.host == '::') if ':' in args.host else {}
    )
    try:
        place = socket.create_server((args.host, args.port), **wide)
    except (OSError, OverflowError) as error:
        raise cli.SLNPError(
            f'cannot listen at {args.host}:{args.port} ({error}): choose another --port'
        ) from error

    print('loading the model', flush=True)
    models = menu(args)
    host, port = place.getsockname()[:2]
    app = make_app(models, args.queue, (*LOCAL, args.host, host), args.origin)
    print(f'painter: http://{bracketed(args.host)}:{port} (Ctrl+C ends it)', flush=True)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(uvicorn.Config(app, log_level='warning')).run([place])


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
