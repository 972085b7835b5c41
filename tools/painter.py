"""Paint a label map in the browser and see its picture at once."""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
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
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles
except ImportError as error:
    cli.stop(f'the painter needs {error.name}: install it with pip install "slnp_mm[painter]"')

if TYPE_CHECKING:
    from slnp_mm.inferencer import SLNPInferencer

PAGE = Path(__file__).parent / 'painter_page'
MAX_BYTES, MAX_PIXELS = 32 << 20, 64 << 20  # of an uploaded file, of the picture in it
MAX_PINS, MAX_SEED = 64, 2**31 - 1
LOCAL = ('127.0.0.1', 'localhost')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('config', type=cli.path, nargs='?', help='without it: the model in the zoo')
    parser.add_argument('checkpoint', type=cli.path, nargs='?', help='file, or a work dir')
    parser.add_argument('--host', default='127.0.0.1', help='0.0.0.0: open to the network')
    parser.add_argument('--port', type=int, default=8000, help='0: any free one')
    parser.add_argument('--device', type=cli.device, default='auto', help='cpu, cuda or cuda:N')
    parser.add_argument('--examples', type=cli.path, help='folder of label maps to start from')
    parser.add_argument('--queue', type=cli.number, default=8, help='requests that may wait')
    args = parser.parse_args()
    if args.config and not args.checkpoint:
        parser.error('a config needs its checkpoint: give both, or neither')
    return args


async def read_body(request: Request) -> bytes:
    """Read what the page posts; 403 if another site's does, 413 if it is too large."""
    origin = request.headers.get('origin')
    if origin and urlsplit(origin).netloc != request.headers.get('host'):
        raise HTTPException(403, f'expected a post of the page itself, but it came from {origin}')
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


def open_picture(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    """Decode an uploaded file."""
    try:
        image = Image.open(io.BytesIO(data), formats=formats)
        if image.width * image.height <= MAX_PIXELS:
            image.load()
            return image
    except Exception as error:  # Pillow raises many kinds on broken files
        kinds = ' or '.join(formats)
        raise HTTPException(400, f'the file is no {kinds} picture, or is damaged') from error
    size = f'{image.width} x {image.height}'
    raise HTTPException(413, f'the picture has {size} pixels, expected at most 64 million')


class Painter:
    """What the page asks for; label maps travel as bytes of classes, row by row.

    Args:
        model (SLNPInferencer): The one model.
        name (str): What the page calls it.
        files (Sequence[str]): Label maps to start from; ToyScenes has drawn scenes instead.
        queue (int): Requests that may wait for the model.
    """

    def __init__(self, model: SLNPInferencer, name: str, files: Sequence[str], queue: int) -> None:
        from slnp_mm.datasets import toyscenes

        self.inferencer, self.name, self.files, self.queue = model, name, files, queue
        self.draw_scene = toyscenes.draw_scene
        drawn = tuple(model.classes) == toyscenes.CLASSES
        self.examples = len(files) or (1000 if drawn else 0)
        self.step = model.size_divisor
        self.max_side = 2 * max(model.image_size) // self.step * self.step
        self.inside = 0  # requests that wait or use the model
        self.turn = asyncio.Lock()

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

    async def model(self, _: Request) -> Response:
        """Classes, colors, sizes and limits."""
        found = dict(name=self.name, examples=self.examples, palette=self.inferencer.palette)
        found |= dict(classes=self.inferencer.classes, image_size=self.inferencer.image_size)
        found |= dict(size_divisor=self.step, max_side=self.max_side)
        return JSONResponse(dict(found, max_bytes=MAX_BYTES, max_pins=MAX_PINS))

    async def example(self, request: Request) -> Response:
        """A label map to start from: a file, or a scene as in the demo's val split."""
        if not self.examples:
            raise HTTPException(404, 'this model has no examples: start from blank or a file')
        index = number('number', request.query_params.get('number'), MAX_SEED) % self.examples

        def read() -> np.ndarray:
            if self.files:
                return self.inferencer.read_label(self.files[index])
            return self.draw_scene((0, 1, index), max(self.inferencer.image_size))[1]

        return self.label_map(await run_in_threadpool(read))

    async def label(self, request: Request) -> Response:
        """Read an uploaded label map, of ids or of the palette's colors."""
        data = await read_body(request)

        def read() -> np.ndarray:
            return self.inferencer.read_label(open_picture(data, ('PNG',)), 'the label map')

        return self.label_map(await run_in_threadpool(read))

    def label_map(self, label: np.ndarray) -> Response:
        """Answer with a label map, (H, W), uint8, at a size that the network takes."""
        size = (height, width) = label.shape
        if height % self.step or width % self.step or max(size) > self.max_side:
            # of the same shape, as large as in training
            scale = (np.prod(self.inferencer.image_size) / (height * width)) ** 0.5 / self.step
            sides = (max(1, round(side * scale)) * self.step for side in (height, width))
            size = tuple(min(side, self.max_side) for side in sides)
        headers = {'X-Size': f'{size[1]}x{size[0]}'}
        if size != (height, width):
            label = cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
            resized = f'The label map ({width} x {height} pixels) was resized to'
            headers['X-Note'] = f'{resized} {size[1]} x {size[0]}, which suits the model.'
        return Response(label.tobytes(), media_type='application/octet-stream', headers=headers)

    async def png(self, request: Request) -> Response:
        """Encode a label map as the data set's own files, so that all tools read it alike."""
        label, _ = await self.painted(request)
        raw = self.inferencer.dataset.codec.encode(label)
        file = cv2.imencode('.png', raw[..., ::-1] if raw.ndim == 3 else raw)[1]
        return Response(file.tobytes(), media_type='image/png')

    async def painted(self, request: Request) -> tuple[np.ndarray, bytes]:
        """The label map (H, W), uint8, at the start of a body, and the rest of it."""
        query, top = request.query_params, self.max_side
        height, width = (number(side, query.get(side), top) for side in ('height', 'width'))
        data, count = await read_body(request), height * width
        if len(data) < count:
            raise HTTPException(
                400, f'expected {count} bytes for {width} x {height} pixels, but got {len(data)}'
            )
        return np.frombuffer(data, np.uint8, count).reshape(height, width), data[count:]

    async def style(self, request: Request) -> Response:
        """The noise of a photograph, float32, which the page then sends after its map."""
        data = await read_body(request)

        def encode() -> bytes:
            photo = open_picture(data, ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP'))
            blank = np.zeros(self.inferencer.image_size, np.uint8)
            found = self.inferencer(blank, style=photo)['predictions'][0]['noise']
            return found.astype('<f4').tobytes()

        return Response(await self.take_turn(request, encode))

    async def picture(self, request: Request) -> Response:
        """Generate; the answer is RGB, row by row, one picture after the other."""
        label, noise = await self.painted(request)
        query = request.query_params
        options: dict[str, Any] = dict(
            seed=number('seed', query.get('seed'), MAX_SEED),
            num_samples=number('count', query.get('count'), 4),
        )
        if noise:
            shape = self.inferencer.model.generator.noise_shape
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
            ids = self.inferencer.instances(label) if pins else None
            others = {int(ids[y, x]): seed for x, y, seed in pins if ids[y, x] >= 0}
            result = self.inferencer(label, resample=others or None, **options)
            return np.stack(result['visualization']).tobytes()

        return Response(await self.take_turn(request, generate))


def make_app(
    inferencer: SLNPInferencer,
    name: str,
    files: Sequence[str] = (),
    queue: int = 8,
    hosts: tuple[str, ...] = LOCAL,
) -> Starlette:
    """Make the server of a :class:`Painter`: the page, and under ``api/`` what it asks for.

    Only under the names ``hosts`` ('*': any) it may be opened, so that no foreign name leads here
    (DNS rebinding).
    """
    from slnp_mm.errors import SLNPError

    async def say(_: Request, error: Exception) -> Response:
        known = isinstance(error, HTTPException)
        sentence = error.detail if known else ' '.join(str(error).split())
        return JSONResponse({'error': sentence}, error.status_code if known else 400)

    painter = Painter(inferencer, name, files, queue)
    gets, posts = ('model', 'example'), ('label', 'png', 'style', 'picture')
    routes = [
        Route(f'/api/{end}', getattr(painter, end), methods=['GET' if end in gets else 'POST'])
        for end in (*gets, *posts)
    ]
    return Starlette(
        routes=[*routes, Mount('/', StaticFiles(directory=PAGE, html=True))],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
        exception_handlers={HTTPException: say, SLNPError: say},
    )


def main() -> None:
    """Load the model, say where the page is, and serve it until Ctrl+C."""
    args = parse_args()
    if args.config:
        cli.need(args.config, 'config', 'runnable ones are configs/*.py')
        cli.need(args.checkpoint, 'checkpoint', 'train one with tools/train.py', os.path.exists)
    try:
        place = socket.create_server((args.host, args.port))
    except (OSError, OverflowError) as error:
        cli.stop(f'cannot listen at {args.host}:{args.port} ({error}): choose another --port')

    print('loading the model', flush=True)
    from slnp_mm.inferencer import SLNPInferencer, find_labels

    inferencer = SLNPInferencer(args.config, args.checkpoint, args.device, show_progress=False)
    suffixes = inferencer.dataset.suffixes['label']
    files = [path for path, _ in find_labels(args.examples, suffixes)] if args.examples else []
    inferencer(np.zeros(inferencer.image_size, np.uint8))  # the first call is the slowest

    name = Path(args.config).stem if args.config else 'ToyScenes'
    hosts = ('*',) if args.host == '0.0.0.0' else (*LOCAL, args.host)
    app = make_app(inferencer, name, files, args.queue, hosts)
    print(f'painter: http://{args.host}:{place.getsockname()[1]} (Ctrl+C ends it)', flush=True)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(uvicorn.Config(app, log_level='warning')).run([place])


if __name__ == '__main__':
    sys.exit(cli.run_tool(main))
