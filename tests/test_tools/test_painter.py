"""The painter: its server, and its page in headless Chromium, over an untrained network."""

import argparse
import copy
import io
import re
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import painter
import pytest
import torch
import uvicorn
from mmagic.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image
from starlette.testclient import TestClient

from slnp_mm.checkpoint import sampling_config
from slnp_mm.datasets.toyscenes import CLASSES, PALETTE, draw_scene
from slnp_mm.errors import SLNPError
from slnp_mm.inferencer import SLNPInferencer

SKY, GRASS, WATER, TREE, CAR = (CLASSES.index(x) for x in ('sky', 'grass', 'water', 'tree', 'car'))
SIZE, STEP = 64, 16
QUERY = f'width={SIZE}&height={SIZE}&seed=0&count=1'


@pytest.fixture(scope='module')
def inferencer(tmp_path_factory, tiny):
    """ToyScenes at 64 px, random weights."""
    import slnp_mm.models  # noqa: F401

    cfg = Config.fromfile(tiny.ROOT / 'configs' / 'slnp_toy.py')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmagic'):
        model = MODELS.build(sampling_config(cfg.model))
    path = tmp_path_factory.mktemp('painter') / 'a.pth'
    torch.save({'state_dict': model.state_dict()}, path)
    return SLNPInferencer(cfg, path, 'cpu', show_progress=False)


@pytest.fixture(scope='module')
def cells(inferencer, tmp_path_factory):
    """The same network under two other names, and a label map for it."""
    other = copy.copy(inferencer)
    other.classes, other.palette = ('ground', 'cell'), [[0, 0, 90], [250, 200, 0]]
    place = tmp_path_factory.mktemp('cells') / 'a.png'
    cv2.imwrite(str(place), np.eye(SIZE, dtype=np.uint8))
    return painter.Model('Cells', 'two classes', lambda: other, [str(place)])


def serve(inferencer, *others, files=(), hosts=('testserver',), **options):
    toy = painter.Model('Toy', 'drawn', lambda: inferencer, files)
    return painter.make_app([toy, *others], hosts=hosts, **options)


@pytest.fixture(scope='module')
def app(inferencer, cells):
    return serve(inferencer, cells, hosts=('testserver', '127.0.0.1'))


@pytest.fixture(scope='module')
def client(app):
    with TestClient(app) as client:
        yield client


@pytest.fixture(scope='module')
def label():
    return draw_scene((0, 1, 0), SIZE)[1]


def png(picture, **options):
    """The file of an array or an image of Pillow."""
    file = io.BytesIO()
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(file, 'PNG', **options)
    return file.getvalue()


def read_label(answer):
    assert answer.status_code == 200, answer.text
    width, height = map(int, answer.headers['X-Size'].split('x'))
    return np.frombuffer(answer.content, np.uint8).reshape(height, width)


def colored(label):
    return np.array([*PALETTE, *[[0, 0, 0]] * 246], np.uint8)[label]


# The server


def test_menu_tells_of_the_models_and_a_query_chooses_one(client):
    first = client.get('/api/model').json()
    assert first['classes'] == list(CLASSES) and first['palette'] == PALETTE
    assert first['image_size'] == [SIZE, SIZE] and first['size_divisor'] == STEP
    assert first['max_side'] == 2 * SIZE and first['examples'] == 1000
    assert first['name'] == 'Toy' and first['models'] == dict(Toy='drawn', Cells='two classes')
    found = client.get('/api/model?model=Cells').json()
    assert found['name'] == 'Cells' and found['models'] == first['models']
    assert found['classes'] == ['ground', 'cell'] and found['examples'] == 1
    example = read_label(client.get('/api/example?model=Cells&number=3'))
    assert np.array_equal(example, np.eye(SIZE))
    answer = client.get('/api/model?model=Rooms')
    assert answer.status_code == 404
    assert answer.json()['error'] == 'no model Rooms: there is Toy, Cells'


def test_model_is_loaded_once_when_it_is_first_asked_for(inferencer):
    loaded = []
    second = painter.Model('Second', '', lambda: loaded.append(1) or inferencer)
    with TestClient(serve(inferencer, second)) as client:
        assert client.get('/api/model').status_code == 200 and loaded == []
        with ThreadPoolExecutor(4) as pool:
            answers = pool.map(client.get, ['/api/model?model=Second'] * 4)
            assert [answer.json()['name'] for answer in answers] == ['Second'] * 4
    assert loaded == [1]


def test_menu_starts_with_the_users_own_or_with_rooms(monkeypatch, tmp_path):
    from slnp_mm import zoo

    toy = zoo.zoo_models()['toyscenes']
    models = dict(toyscenes=toy, nyuv2=toy._replace(about='rooms'))
    monkeypatch.setattr(zoo, 'zoo_models', lambda: models)
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/iter_5.pth').symlink_to(toy.checkpoint)
    args = dict(config=None, device='cpu', examples=None, checkpoint=None, model=None)

    def names(**own):
        found = painter.menu(argparse.Namespace(**{**args, **own}))
        assert 'inferencer' in vars(found[0]) and 'inferencer' not in vars(found[1])
        return [model.name for model in found]

    assert names() == ['nyuv2', 'toyscenes']
    assert names(model='toyscenes') == ['toyscenes', 'nyuv2']
    own = f'{tmp_path.name}/mine'
    assert names(checkpoint=str(tmp_path / 'mine')) == [own, 'toyscenes', 'nyuv2']
    with pytest.raises(SLNPError, match='no model rooms, it has toyscenes, nyuv2'):
        names(model='rooms')


@pytest.mark.parametrize(
    'words, wanted',
    [
        (['work'], dict(config=None, checkpoint='work', model=None)),
        (['a.py', 'work'], dict(config='a.py', checkpoint='work')),
        (['--model', 'camvid'], dict(config=None, checkpoint=None, model='camvid')),
        (['--origin', 'HTTPS://Example.org:443/'], dict(origin='https://example.org')),
        (['--origin', 'http://[::1]:81'], dict(origin='http://[::1]:81')),
        (['a.py'], 'a config needs its checkpoint: give both'),
        (['work', '--model', 'camvid'], '--model camvid is of the zoo'),
        (['--origin', 'https://example.org/x'], "must be like https://example.org, but got 'https"),
        (['--origin', 'example.org'], "but got 'example.org'"),
    ],
)
def test_command_line(load_tool, capsys, words, wanted):
    tool = load_tool('painter', *words)
    if isinstance(wanted, dict):
        assert wanted.items() <= vars(tool.parse_args()).items()
        return
    with pytest.raises(SystemExit):
        tool.parse_args()
    assert wanted in capsys.readouterr().err


def test_ids_arrive_exactly_and_pictures_are_the_inferencers(client, inferencer, label):
    wide = label[:32]  # so that height and width are not confused
    query = f'width={SIZE}&height=32&seed=3&count=2'
    answer = client.post(f'/api/picture?{query}', content=wide.tobytes())
    wanted = inferencer(wide, seed=3, num_samples=2)['visualization']
    assert answer.content == np.stack(wanted).tobytes()


def test_pin_draws_the_object_under_it_anew_and_unlabelled_pixels_have_none(
    client, inferencer, label
):
    label = label.copy()
    label[:8, :8] = 255
    rows, cols = np.nonzero(label == TREE)
    number = inferencer.instances(label)[rows[0], cols[0]]
    plain = inferencer(label, seed=0)['visualization'][0]
    anew = inferencer(label, seed=0, resample={int(number): 77})['visualization'][0]
    assert not np.array_equal(plain, anew)
    for pin, wanted in ((f'{cols[0]},{rows[0]},77', anew), ('2,2,5', plain)):
        answer = client.post(f'/api/picture?{QUERY}&pins={pin}', content=label.tobytes())
        assert answer.content == wanted.tobytes()


def test_style_is_the_code_of_the_photograph_as_it_is_viewed(client, inferencer, label):
    photo = np.zeros((40, 60, 3), np.uint8)
    photo[:20] = (250, 120, 30)
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    noise = client.post('/api/style', content=png(photo[::-1, ::-1].copy(), exif=exif)).content
    wanted = inferencer(label, style=photo)
    assert noise == wanted['predictions'][0]['noise'].astype('<f4').tobytes()
    answer = client.post(f'/api/picture?{QUERY}', content=label.tobytes() + noise)
    assert answer.content == wanted['visualization'][0].tobytes()


def test_upload_takes_ids_palette_files_and_colors(client, label):
    label = label.copy()
    label[:4] = 255
    indexed = Image.fromarray(label, 'P')
    indexed.putpalette(colored(np.arange(256)).ravel().tolist())
    for data in (png(label), png(indexed), png(colored(label))):
        assert np.array_equal(read_label(client.post('/api/label', content=data)), label)


def test_upload_of_another_size_is_resized_and_says_so(client):
    """The shape stays (100 : 50), the area becomes the model's: 64 * 64 is about 96 x 48."""
    label = np.full((50, 100), GRASS, np.uint8)
    label[:, 50:] = WATER
    answer = client.post('/api/label', content=png(label))
    found = read_label(answer)
    assert found.shape == (48, 96)
    assert (found[:, :48] == GRASS).all() and (found[:, 48:] == WATER).all()
    assert answer.headers['X-Note'].startswith(
        'The label map (100 x 50 pixels) was resized to 96 x 48'
    )
    thin = read_label(client.post('/api/label', content=png(np.zeros((1, 3000), np.uint8))))
    assert thin.shape == (STEP, 2 * SIZE)


def test_download_holds_the_ids(client, label):
    answer = client.post(f'/api/png?width={SIZE}&height={SIZE}', content=label.tobytes())
    found = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found.dtype == np.uint8 and np.array_equal(found, label)


def test_examples_are_scenes_or_files(client, inferencer, label, tmp_path):
    assert np.array_equal(read_label(client.get('/api/example?number=0')), label)
    cv2.imwrite(str(tmp_path / 'a.png'), label.T)
    other = TestClient(serve(inferencer, files=[str(tmp_path / 'a.png')]))
    assert other.get('/api/model').json()['examples'] == 1
    assert np.array_equal(read_label(other.get('/api/example?number=5')), label.T)


@pytest.mark.parametrize(
    'path, body, sentence',
    [
        ('picture?width=64&height=64', b'', 'expected 4096 bytes for 64 x 64 pixels, but got'),
        (f'picture?{QUERY}', bytes([10] * 4096), 'an array holds classes 0..9 and 255'),
        ('picture?width=8&height=8&seed=0&count=1', bytes(64), 'takes multiples of 16'),
        ('picture?width=999&height=64', b'', 'expected width as a whole number from 0 to 128'),
        ('picture?width=64&height=x', b'', 'expected height as a whole number .* but got x'),
        ('picture?width=64&height=64&count=1', bytes(4096), 'expected seed .* but got None'),
        (f'picture?{QUERY[:-1]}5', bytes(4096), 'expected count as .* from 0 to 4, but got 5'),
        (f'picture?{QUERY[:-1]}0', bytes(4096), 'num_samples .* at least 1, but got 0'),
        (f'picture?{QUERY}&pins=1,2', bytes(4096), 'expected pins=x,y,seed;..., at most 64'),
        (f'picture?{QUERY}&pins=64,2,0', bytes(4096), 'expected x as .* from 0 to 63'),
        (f'picture?{QUERY}', bytes(4099), 'expected finite float32 noise of shape'),
        ('label', b'no picture', 'the file is no PNG image, or is damaged'),
        ('label', png(np.zeros((64, 64), np.uint8))[:-30], 'no PNG image, or is damaged'),
        ('label', png(np.full((64, 64, 3), (7, 8, 9), np.uint8)), r'color \(7, 8, 9\) is of'),
        ('label', png(np.full((64, 64), 11, np.uint8)), 'the label map: label id 11'),
        ('style', b'GIF89a', 'no JPEG or PNG or WEBP or TIFF or BMP image'),
    ],
    ids=map(str, range(16)),
)
def test_malformed_requests_get_one_sentence(client, path, body, sentence):
    answer = client.post(f'/api/{path}', content=body)
    assert answer.status_code == 400
    found = answer.json()['error']
    assert re.search(sentence, found) and '\n' not in found


def test_noise_that_is_no_number_is_refused(client, inferencer, label):
    noise = np.full(inferencer.model.generator.noise_shape, np.nan, '<f4').tobytes()
    answer = client.post(f'/api/picture?{QUERY}', content=label.tobytes() + noise)
    assert answer.status_code == 400 and 'expected finite float32' in answer.json()['error']


def test_large_files_and_large_pictures_are_refused(client, monkeypatch):
    data = png(np.zeros((64, 64), np.uint8))
    monkeypatch.setattr(painter, 'MAX_PIXELS', 4095)
    answer = client.post('/api/label', content=data)
    assert answer.status_code == 413 and 'has 64 x 64 pixels' in answer.json()['error']
    monkeypatch.setattr(painter, 'MAX_BYTES', len(data) - 1)
    answer = client.post('/api/label', content=data)
    assert answer.status_code == 413 and 'use a smaller file' in answer.json()['error']


OTHERS = """
/../painter.py /..%2fpainter.py /%2e%2e/painter.py /%2e%2e%2f%2e%2e%2fsetup.py //etc/passwd
/%2fetc%2fpasswd /..%5cpainter.py /painter.js/../../painter.py /api/example/../../painter.py
/api/picture /C:/painter.py
"""


@pytest.mark.parametrize('path', OTHERS.split())
def test_no_file_of_the_machine_can_be_asked_for(client, path):
    assert client.get(path).status_code in (404, 405)


def test_page_is_served_with_its_two_files(client):
    assert 'painter.js' in client.get('/').text
    assert 'javascript' in client.get('/painter.js').headers['content-type']
    assert client.get('/painter.css').headers['content-type'].startswith('text/css')


@pytest.mark.parametrize(
    'hosts, host, code',
    [
        (painter.LOCAL, 'localhost:8000', 200),
        (painter.LOCAL, 'LOCALHOST', 200),
        (painter.LOCAL, '[::1]:8000', 200),
        (painter.LOCAL, '[::1]', 200),
        (painter.LOCAL, '[::2]:8000', 400),
        (painter.LOCAL, '[::1', 400),
        (painter.LOCAL, '', 400),
        (painter.LOCAL, 'localhost.evil.example', 400),
        (painter.LOCAL, '127.0.0.1@evil.example', 400),
        (('Box',), 'box:80', 200),
        (('::',), 'any.example', 200),
        (('0.0.0.0',), 'any.example', 200),
    ],
)
def test_page_opens_under_its_own_names_only(inferencer, hosts, host, code):
    client = TestClient(serve(inferencer, hosts=hosts))
    assert client.get('/api/model', headers={'Host': host}).status_code == code


@pytest.mark.parametrize(
    'public, host, source, code',
    [
        (None, 'testserver', 'http://testserver', 200),
        (None, '[::1]:80', 'http://[::1]:80', 200),
        (None, 'testserver', 'http://evil.example', 403),
        (None, 'testserver', 'null', 403),
        (None, 'testserver', 'https://a.example', 403),  # a proxy that nobody told of
        ('https://a.example', 'testserver', 'https://a.example', 200),  # it sends its own name
        ('https://a.example', 'a.example', 'https://a.example', 200),  # or the visitor's
        ('https://a.example', 'testserver', 'https://evil.example', 403),
        ('https://a.example', 'testserver', 'https://a.example.evil.example', 403),
        ('https://a.example', 'evil.example', 'https://a.example', 400),
    ],
)
def test_posts_come_from_the_page_itself(inferencer, public, host, source, code):
    client = TestClient(serve(inferencer, hosts=('testserver', '::1'), public=public))
    headers = {'Origin': source, 'Host': host}
    answer = client.post('/api/label', content=png(np.zeros((16, 16), np.uint8)), headers=headers)
    assert answer.status_code == code
    if code == 403:
        assert answer.json()['error'].endswith(f'start it with --origin {source}')


def test_users_wait_in_turn_and_a_full_queue_says_so(inferencer, monkeypatch):
    go_on, order, servers = threading.Event(), [], []

    def slow(label, seed, **_):
        assert go_on.wait(60)
        order.append(seed)
        return dict(visualization=[np.zeros((1, 1, 3), np.uint8)])

    class Seen(painter.Painter):
        def __init__(self, *args):
            super().__init__(*args)
            servers.append(self)

    monkeypatch.setattr(painter, 'Painter', Seen)
    monkeypatch.setattr(type(inferencer), '__call__', lambda self, *args, **kw: slow(*args, **kw))
    with TestClient(serve(inferencer, queue=2)) as client, ThreadPoolExecutor(3) as pool:
        answers = []
        for seed in range(3):
            path = f'/api/picture?{QUERY.replace("seed=0", f"seed={seed}")}'
            answers.append(pool.submit(client.post, path, content=bytes(4096)))
            while servers[0].inside == seed and not answers[-1].done():  # on its way
                time.sleep(0.01)
        full = client.post(f'/api/picture?{QUERY}', content=bytes(4096))
        assert full.status_code == 503
        assert full.json()['error'] == '2 requests wait already: try again soon'
        go_on.set()
        assert [answer.result().status_code for answer in answers] == [200] * 3
        assert client.post(f'/api/picture?{QUERY}', content=bytes(4096)).status_code == 200
    assert order == [0, 1, 2, 0]


def test_port_in_use_is_named(use, capsys):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        assert use('painter', '--port', port) == 1
    said = capsys.readouterr().err
    assert re.search(f'cannot listen at 127.0.0.1:{port} .* another --port', said)


@pytest.mark.parametrize(
    'host, reached', [('::1', ['::1']), ('::', ['::1', '127.0.0.1']), ('127.0.0.1', ['127.0.0.1'])]
)
def test_listens_where_the_printed_address_says(load_tool, monkeypatch, capsys, host, reached):
    if ':' in host:
        try:
            socket.create_server(('::1', 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip('no IPv6 on this machine')
    tool, ports = load_tool('painter', '--host', host, '--port', '0'), []

    def run(_, sockets):
        ports.append(sockets[0].getsockname()[1])
        for place in reached:
            socket.create_connection((place, ports[0]), 60).close()

    monkeypatch.setattr(tool, 'menu', lambda _: [tool.Model('Toy', '', None)])
    monkeypatch.setattr(tool.uvicorn.Server, 'run', run)
    tool.main()
    shown = f'[{host}]' if ':' in host else host
    assert f'painter: http://{shown}:{ports[0]} (Ctrl+C' in capsys.readouterr().out


# The page


@pytest.fixture(scope='module')
def address(app):
    """The server on a free port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level='error'))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f'http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}'
    server.should_exit = True
    thread.join(5)


@pytest.fixture(scope='module')
def browser():
    chromium = shutil.which('chromium') or shutil.which('chromium-browser')
    if not chromium:
        pytest.skip('no chromium on PATH: install it (Debian, Ubuntu: apt-get install chromium)')
    from playwright.sync_api import sync_playwright

    flags = (
        '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking '
        '--disable-component-update --disable-sync'
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags.split())
        yield browser
        browser.close()


def open_page(browser, address, problems, **options):
    """Open the page; it must ask nobody else and raise no error."""
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(60000)  # of a busy machine
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.on(
        'request', lambda r: r.url.startswith((address, 'data:', 'blob:')) or problems.append(r.url)
    )
    page.goto(address)
    wait(page, 'state.pictures.length === 1')
    return page


@pytest.fixture(scope='module')
def visitor(browser, address):
    problems = []
    page = open_page(browser, address, problems, viewport=dict(width=1200, height=760))
    yield page
    page.context.close()
    assert problems == []


@pytest.fixture
def page(visitor):
    """The page as a new visitor sees it."""
    visitor.unroute_all()
    visitor.evaluate(  # the last test's map may be about to be kept
        """() => {
            clearTimeout(keeping);
            keeping = 0;
            localStorage.clear();
            sessionStorage.clear();
            history.replaceState(null, '', '/');
        }"""
    )
    visitor.reload()
    wait(visitor, 'state.pictures.length === 1')
    return visitor


def wait(page, condition='true'):
    """Until a condition holds and the picture is of the map as it is."""
    page.wait_for_function(f'() => !live.busy && !live.timer && ({condition})')


def ids(page):
    width, height, values = page.evaluate('[state.width, state.height, Array.from(state.ids)]')
    return np.array(values, np.uint8).reshape(height, width)


def shown(page, canvas='#picture'):
    """What a canvas of the page holds, (H, W, 3)."""
    height, values = page.evaluate(
        """(name) => {
            const canvas = document.querySelector(name);
            const { width, height } = canvas;
            const image = canvas.getContext('2d').getImageData(0, 0, width, height);
            return [height, Array.from(image.data)];
        }""",
        canvas,
    )
    return np.array(values, np.uint8).reshape(height, -1, 4)[..., :3]


def spot(page, x, y, canvas='#map'):
    """Where a point of the map is on the screen."""
    box = page.locator(canvas).bounding_box()
    scale = box['width'] / page.evaluate('state.width')
    return box['x'] + x * scale, box['y'] + y * scale


def drag(page, *points):
    page.mouse.move(*spot(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*spot(page, *point))
    page.mouse.up()


def blank(page):
    page.keyboard.press('n')
    page.click('text=Start blank')
    wait(page, 'state.pictures.length === 0')


def test_first_visit_shows_an_example_and_its_picture(page, inferencer, label):
    assert np.array_equal(ids(page), label)
    assert np.array_equal(shown(page, '#map'), colored(label))
    assert np.array_equal(shown(page), inferencer(label, seed=0)['visualization'][0])


def test_brush_paints_whole_pixels_of_the_searched_class(page, inferencer):
    """Size 5 from (10.5, 10.5) to (30.5, 10.5): a bar with round ends."""
    blank(page)
    page.keyboard.press('/')
    page.keyboard.type('CAR')
    assert page.locator('#classes li:visible').count() == 1
    page.keyboard.press('Enter')
    page.evaluate('chooseSize(5)')
    drag(page, (10.5, 10.5), (20.5, 10.5), (30.5, 10.5))
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    distance = np.hypot(x - np.clip(x, 10.5, 30.5), y - 10.5)
    wanted = np.where(distance <= 2.5, CAR, 255)
    assert np.array_equal(ids(page), wanted)
    wait(page, 'state.pictures.length === 1')
    assert np.array_equal(shown(page), inferencer(ids(page), seed=0)['visualization'][0])

    page.keyboard.press('e')  # a row of the bar away again
    page.evaluate('chooseSize(1)')
    drag(page, (0.5, 10.5), (63.5, 10.5))
    wanted[10] = 255
    assert np.array_equal(ids(page), wanted)


def test_rectangle_polygon_and_fill(page):
    blank(page)
    wanted = np.full((SIZE, SIZE), 255)
    page.keyboard.press('r')
    page.keyboard.press('4')  # the fourth class of the list
    drag(page, (40.5, 50.5), (20.5, 30.5))
    wanted[30:51, 20:41] = GRASS
    assert np.array_equal(ids(page), wanted)

    page.keyboard.press('p')
    page.click('#classes >> text=water')
    for point in ((2, 2), (18, 2), (18, 10), (2, 10)):
        page.mouse.click(*spot(page, *point))
    page.keyboard.press('Enter')
    wanted[2:10, 2:18] = WATER
    assert np.array_equal(ids(page), wanted)

    page.keyboard.press('f')
    page.click('#classes >> text=sky')
    page.mouse.click(*spot(page, 60.5, 60.5))
    wanted[wanted == 255] = SKY
    assert np.array_equal(ids(page), wanted)
    page.mouse.click(*spot(page, 30.5, 40.5), button='right')
    assert page.evaluate('state.cls') == GRASS


def test_undo_and_redo(page, label):
    page.evaluate(f'chooseClass({CAR})')
    drag(page, (10, 10), (20, 20))
    painted = ids(page)
    assert not np.array_equal(painted, label)
    page.keyboard.press('Control+z')
    assert np.array_equal(ids(page), label) and page.is_disabled('#undo')
    page.click('#redo')
    assert np.array_equal(ids(page), painted)
    page.keyboard.press('Control+z')
    wait(page)
    blank(page)  # another size too
    page.keyboard.press('Control+z')
    assert np.array_equal(ids(page), label)


def test_another_seed_and_four_variations(page, inferencer, label):
    page.click('#another')
    wait(page, 'state.seed === 1')
    assert np.array_equal(shown(page), inferencer(label, seed=1)['visualization'][0])
    page.fill('#seed', '7')
    page.keyboard.press('Enter')
    page.click('#four')
    wait(page, 'state.pictures.length === 4')
    wanted = inferencer(label, seed=7, num_samples=4)['visualization']
    assert np.array_equal(shown(page, '#variations button:nth-child(3) canvas'), wanted[2])
    page.click('text=seed 9')
    assert page.input_value('#seed') == '9' and page.is_hidden('#variations')
    assert np.array_equal(shown(page), wanted[2])


def test_click_on_an_object_draws_it_alone_anew(page, inferencer, label):
    rows, cols = np.nonzero(label == TREE)
    page.mouse.click(*spot(page, cols[0] + 0.5, rows[0] + 0.5, '#picture'))
    wait(page, 'state.pins.length === 1')
    number = int(inferencer.instances(label)[rows[0], cols[0]])
    seed = page.evaluate('state.pins[0].seed')
    wanted = inferencer(label, seed=0, resample={number: seed})['visualization'][0]
    assert np.array_equal(shown(page), wanted)
    assert page.text_content('#pins-text') == '1 object resampled'

    page.keyboard.press('o')  # the same object on the map: another code in its pin's place
    page.mouse.click(*spot(page, cols[-1] + 0.5, rows[-1] + 0.5))
    if number == inferencer.instances(label)[rows[-1], cols[-1]]:
        assert page.evaluate('state.pins.length') == 1
    page.click('#pins-clear')
    wait(page, 'state.pins.length === 0')
    assert np.array_equal(shown(page), inferencer(label, seed=0)['visualization'][0])


def test_style_of_a_photograph_and_back(page, inferencer, label):
    photo = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    file = dict(name='beach.png', mimeType='image/png', buffer=png(photo))
    page.set_input_files('#style-file', file)
    wait(page, 'state.style')
    assert page.text_content('#style-name') == 'beach.png'
    assert np.array_equal(shown(page), inferencer(label, style=photo)['visualization'][0])
    assert page.is_disabled('#another') and page.is_disabled('#four')
    page.click('#style-clear')
    wait(page, '!state.style')
    assert np.array_equal(shown(page), inferencer(label, seed=0)['visualization'][0])


def test_upload_and_both_downloads(page, tmp_path, inferencer):
    label = draw_scene((0, 1, 5), SIZE)[1]
    file = dict(name='mine.png', mimeType='image/png', buffer=png(colored(label)))
    page.set_input_files('#label-file', file)
    wait(page, 'past.length === 1')
    assert np.array_equal(ids(page), label)
    for button, name in (('#save-map', 'label-map.png'), ('#save-picture', 'picture-seed0.png')):
        with page.expect_download() as download:
            page.click(button)
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
    found = cv2.imread(str(tmp_path / 'label-map.png'), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(found, ids(page))
    picture = cv2.imread(str(tmp_path / 'picture-seed0.png'))[..., ::-1]
    assert np.array_equal(picture, inferencer(label, seed=0)['visualization'][0])


def test_errors_are_shown_and_leave_the_map(page, label):
    file = dict(name='photo.png', mimeType='image/png', buffer=b'no picture')
    page.set_input_files('#label-file', file)
    page.wait_for_selector('#alert:visible')
    assert page.text_content('#alert-text').startswith('the file is no PNG image')
    assert np.array_equal(ids(page), label)
    page.click('#alert-close')

    page.route('**/api/picture*', lambda route: route.abort())
    page.click('#another')
    page.wait_for_selector('#alert:visible')
    assert page.text_content('#alert-text') == 'The server does not answer. Is it still running?'
    page.unroute('**/api/picture*')
    page.click('#alert-again')
    wait(page, 'state.pictures.length === 1')
    assert page.is_hidden('#alert')


def test_full_queue_is_waited_for(page, inferencer, label):
    answers = [dict(status=503, json={'error': 'full'})]
    page.route(
        '**/api/picture*',
        lambda route: route.fulfill(**answers.pop()) if answers else route.continue_(),
    )
    page.click('#another')
    page.wait_for_function("() => document.querySelector('#status').textContent.startsWith('Wait')")
    page.wait_for_function("() => document.querySelector('#status').textContent.endsWith(' s')")
    assert np.array_equal(shown(page), inferencer(label, seed=1)['visualization'][0])


def test_stale_answers_are_dropped(page, inferencer, label):
    """The answer for seed 1 comes after seed 2 was asked for: it is never shown."""
    held = []
    page.route('**/api/picture*', lambda r: r.continue_() if held else held.append(r))
    page.evaluate(
        '() => { window.drawn = []; const own = showPictures; '
        'showPictures = () => { window.drawn.push(state.seed); own(); }; }'
    )
    page.click('#another')
    page.wait_for_function('() => live.busy && !live.timer')
    page.click('#another')
    page.wait_for_function('() => live.again')
    assert 'seed=1' in held[0].request.url
    held[0].continue_()
    wait(page)
    assert page.evaluate('window.drawn') == [2]
    assert np.array_equal(shown(page), inferencer(label, seed=2)['visualization'][0])


def test_each_tab_keeps_its_own_map_and_a_new_one_starts_from_the_last(page, address):
    """A reload right after a stroke, with another tab that paints too."""
    page.evaluate(f'chooseClass({CAR})')
    drag(page, (10, 10), (40, 20))
    mine = ids(page)
    page.reload()
    wait(page, 'state.pictures.length === 1')
    assert np.array_equal(ids(page), mine)

    tab = page.context.new_page()
    tab.goto(address)
    wait(tab, 'state.pictures.length === 1')
    assert np.array_equal(ids(tab), mine)
    tab.evaluate(f'chooseClass({WATER})')
    drag(tab, (10, 40), (40, 50))
    other = ids(tab)
    assert not np.array_equal(other, mine)
    tab.reload()
    page.reload()
    for one, wanted in ((page, mine), (tab, other)):
        wait(one, 'state.pictures.length === 1')
        assert np.array_equal(ids(one), wanted)
    tab.close()


def test_painting_before_the_example_is_there_is_kept(page):
    page.evaluate('() => { keeping = 0; localStorage.clear(); sessionStorage.clear(); }')
    held = []
    page.route('**/api/example*', lambda route: held.append(route))
    page.reload()
    page.wait_for_function('() => state.ids.length > 0 && rows.size > 0')
    page.evaluate(f'chooseClass({CAR})')
    drag(page, (10, 10), (40, 20))
    painted = ids(page)
    with page.expect_response('**/api/example*'):
        held[0].continue_()
    page.wait_for_timeout(200)
    assert np.array_equal(ids(page), painted) and CAR in painted


def test_menu_changes_the_model_and_keeps_both_maps(page, cells, label):
    assert page.locator('#model option').all_text_contents() == [
        'Toy · drawn',
        'Cells · two classes',
    ]
    page.evaluate(f'chooseClass({CAR})')
    drag(page, (10, 10), (40, 20))
    scene = ids(page)
    page.select_option('#model', 'Cells')
    wait(page, 'state.model.name === "Cells" && state.pictures.length === 1')
    assert np.array_equal(ids(page), np.eye(SIZE))
    names = page.locator('#classes .name').all_text_contents()
    assert names == ['ground', 'cell', 'unlabelled'] and page.is_disabled('#undo')
    palette = np.array(cells.inferencer.palette, np.uint8)
    assert np.array_equal(shown(page, '#map'), palette[ids(page)])
    page.evaluate('chooseClass(1)')
    drag(page, (10, 40), (40, 50))
    field = ids(page)
    assert field[45, 25] == 1

    page.reload()  # the address names the model
    wait(page, 'state.pictures.length === 1')
    assert page.input_value('#model') == 'Cells' and np.array_equal(ids(page), field)
    page.select_option('#model', 'Toy')
    wait(page, 'state.model.name === "Toy" && state.pictures.length === 1')
    assert np.array_equal(ids(page), scene)

    page.evaluate('history.replaceState(null, "", "#model=gone")')
    page.reload()
    wait(page, 'state.pictures.length === 1')
    assert page.input_value('#model') == 'Toy'


def test_model_that_cannot_be_loaded_leaves_the_page_as_it_is(page, label):
    page.route('**/api/model*', lambda route: route.fulfill(status=400, json={'error': 'damaged'}))
    page.select_option('#model', 'Cells')
    page.wait_for_selector('#alert:visible')
    assert page.text_content('#alert-text') == 'damaged'
    assert page.input_value('#model') == 'Toy' and np.array_equal(ids(page), label)


def test_phone_width_paints_by_touch_without_scrolling_sideways(browser, address):
    phone = dict(viewport=dict(width=390, height=844), has_touch=True, is_mobile=True)
    page = open_page(browser, address, [], **phone)
    assert page.evaluate('document.documentElement.scrollWidth') == 390
    for name in ('#map', '#picture', '#tools', '#classes', '#another'):
        box = page.locator(name).bounding_box()
        assert box['x'] >= 0 and box['x'] + box['width'] <= 390, name
        assert box['y'] >= 0 and box['y'] + box['height'] <= 844, name
    page.tap('#classes >> text=cloud')
    page.tap('[aria-label=Fill]')
    before = ids(page)
    page.touchscreen.tap(*spot(page, 32, 60))
    assert (ids(page) != before).sum() > 10 and ids(page)[60, 32] == CLASSES.index('cloud')
    page.context.close()


def test_help_theme_and_names(page):
    page.keyboard.press('?')
    assert page.is_visible('#help-dialog') and 'Resample object' in page.inner_text('#shortcuts')
    page.keyboard.press('Escape')
    page.click('#theme')
    assert page.evaluate('document.documentElement.style.colorScheme') == 'dark'
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, canvas[role]')]
            .filter((one) => !one.getAttribute('aria-label') && !one.labels?.length)
            .filter((one) => one.matches('select') || !one.textContent.trim())
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []
