'use strict';

// ---------------------------------------------------------------------------
// State: a label map is an array of class ids from first to last; colors are
// only looked up for the screen and never read back.
// ---------------------------------------------------------------------------
const UNLABELLED = 255;
const $ = (id) => document.getElementById(id);

const state = {
  model: null, // what api/model says: classes, palette, sizes
  width: 0,
  height: 0,
  ids: new Uint8Array(0), // row by row, 0..C-1 or 255
  pins: [], // resampled objects: a pixel of each and its seed, {x, y, cls, seed}
  tool: 'brush',
  cls: 0,
  size: 10, // of the brush, pixels
  seed: 0,
  four: false,
  style: null, // {name, url, noise} of a photograph
  pictures: [], // ImageData of what is shown
};

// name, key, icon, what the hint line says
const TOOLS = [
  ['brush', 'B', 'Brush', 'Drag to paint. Shift+click: straight line. Right-click: pick the class.'],
  ['eraser', 'E', 'Eraser', 'Drag to make pixels unlabelled.'],
  ['fill', 'F', 'Fill', 'Click to fill a connected area.'],
  ['polygon', 'P', 'Polygon', 'Click corner by corner; the first corner, a double click or Enter closes it.'],
  ['rectangle', 'R', 'Rectangle', 'Drag from corner to corner.'],
  ['pick', 'I', 'Pick class', 'Click to choose the class under the pointer.'],
  ['object', 'O', 'Resample object', 'Click an object to draw it anew; everything else stays.'],
];

const at = (x, y) => y * state.width + x;
const className = (cls) => state.model.classes[cls] ?? 'unlabelled';

// ---------------------------------------------------------------------------
// Raster: shapes become whole pixels of the array. Points are in pixels, the
// center of pixel (x, y) is (x + 0.5, y + 0.5).
// ---------------------------------------------------------------------------

// Pixels whose center is within half the size of the segment from a to b.
function rasterStroke(a, b, size, cls) {
  const snap = (v) => (size % 2 ? Math.floor(v) + 0.5 : Math.round(v));
  const [ax, ay, bx, by] = [a.x, a.y, b.x, b.y].map(snap);
  const [dx, dy, radius] = [bx - ax, by - ay, size / 2];
  const length = dx * dx + dy * dy || 1;
  const x0 = Math.max(0, Math.floor(Math.min(ax, bx) - radius));
  const x1 = Math.min(state.width - 1, Math.ceil(Math.max(ax, bx) + radius));
  const y0 = Math.max(0, Math.floor(Math.min(ay, by) - radius));
  const y1 = Math.min(state.height - 1, Math.ceil(Math.max(ay, by) + radius));
  for (let y = y0; y <= y1; y++) {
    for (let x = x0; x <= x1; x++) {
      const [px, py] = [x + 0.5 - ax, y + 0.5 - ay];
      const t = Math.min(1, Math.max(0, (px * dx + py * dy) / length));
      if ((px - t * dx) ** 2 + (py - t * dy) ** 2 <= radius * radius) state.ids[at(x, y)] = cls;
    }
  }
}

// Pixels whose center is inside, by the even-odd rule.
function rasterPolygon(points, cls) {
  for (let y = 0; y < state.height; y++) {
    const crossings = [];
    points.forEach((a, i) => {
      const b = points[(i + 1) % points.length];
      if (a.y <= y + 0.5 !== b.y <= y + 0.5) {
        crossings.push(a.x + ((y + 0.5 - a.y) / (b.y - a.y)) * (b.x - a.x));
      }
    });
    crossings.sort((p, q) => p - q);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const from = Math.max(0, Math.ceil(crossings[i] - 0.5));
      const to = Math.min(state.width, Math.ceil(crossings[i + 1] - 0.5));
      for (let x = from; x < to; x++) state.ids[at(x, y)] = cls;
    }
  }
}

// The pixels that two corners span, both included.
function rasterRectangle(a, b, cls) {
  const [x0, x1] = [Math.min(a.x, b.x), Math.max(a.x, b.x)].map(Math.floor);
  const [y0, y1] = [Math.min(a.y, b.y), Math.max(a.y, b.y)].map(Math.floor);
  for (let y = Math.max(0, y0); y <= Math.min(state.height - 1, y1); y++) {
    for (let x = Math.max(0, x0); x <= Math.min(state.width - 1, x1); x++) state.ids[at(x, y)] = cls;
  }
}

// Mask of the pixels of one id that are connected with (x, y), by sides or by
// sides and corners. The latter is an object, as the data sets count them.
function connected(x, y, corners) {
  const mask = new Uint8Array(state.ids.length);
  const wanted = state.ids[at(x, y)];
  const queue = [at(x, y)];
  mask[queue[0]] = 1;
  while (queue.length) {
    const place = queue.pop();
    const [px, py] = [place % state.width, Math.floor(place / state.width)];
    for (let dy = -1; dy <= 1; dy++) {
      for (let dx = -1; dx <= 1; dx++) {
        const [nx, ny] = [px + dx, py + dy];
        if (nx < 0 || ny < 0 || nx >= state.width || ny >= state.height) continue;
        if (!corners && dx && dy) continue;
        const next = at(nx, ny);
        if (mask[next] || state.ids[next] !== wanted) continue;
        mask[next] = 1;
        queue.push(next);
      }
    }
  }
  return mask;
}

// ---------------------------------------------------------------------------
// History: a snapshot of map and resampled objects before each change.
// ---------------------------------------------------------------------------
const past = [];
const future = [];
const STEPS = 100;

const snapshot = () => ({
  width: state.width, height: state.height, ids: state.ids.slice(), pins: state.pins.slice(),
});

function remember() {
  past.push(snapshot());
  if (past.length > STEPS) past.shift();
  future.length = 0;
}

function travel(from, to) {
  cancelShape();
  if (!from.length) return;
  to.push(snapshot());
  const other = from[from.length - 1].width !== state.width || from[from.length - 1].height !== state.height;
  Object.assign(state, from.pop());
  if (other) resized();
  changed({ drop: other });
}

const undo = () => travel(past, future);
const redo = () => travel(future, past);

// Everything that follows from another label map.
function changed({ drop = false } = {}) {
  outline.mask = null;
  state.pins = state.pins.filter((pin) => state.ids[at(pin.x, pin.y)] === pin.cls);
  showMap();
  showShares();
  $('undo').disabled = !past.length;
  $('redo').disabled = !future.length;
  showChips();
  schedule(drop);
  keep();
}

// ---------------------------------------------------------------------------
// Screen: the map, and marks above both canvases.
// ---------------------------------------------------------------------------
function colored(ids, width, height) {
  const table = new Uint32Array(256); // RGBA as one word; unlabelled stays transparent
  state.model.palette.forEach((rgb, cls) => { new Uint8Array(table.buffer).set([...rgb, 255], 4 * cls); });
  const image = new ImageData(width, height);
  const words = new Uint32Array(image.data.buffer);
  ids.forEach((cls, i) => { words[i] = table[cls]; });
  return image;
}

function showMap() {
  const { ids, width, height } = state;
  $('map').getContext('2d').putImageData(colored(ids, width, height), 0, 0);
}

function resized() {
  for (const id of ['map', 'picture']) Object.assign($(id), { width: state.width, height: state.height });
  document.body.style.setProperty('--ratio', state.width / state.height);
  $('map-size').textContent = `${state.width} × ${state.height}`;
  state.pictures = [];
  showPictures();
}

const pointer = { map: null, picture: null }; // where the mouse is, in pixels
const outline = { mask: null }; // the object under the mouse

function showMarks() {
  for (const [name, other] of [['map', 'picture'], ['picture', 'map']]) {
    const canvas = $(`${name}-marks`);
    const box = canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(box.width * ratio);
    canvas.height = Math.round(box.height * ratio);
    const brush = canvas.getContext('2d');
    const scale = canvas.width / state.width;
    if (outline.mask) line(brush, ratio, () => traceMask(brush, outline.mask, scale));
    if (name === 'map') {
      if (shape.points.length) line(brush, ratio, () => traceShape(brush, scale));
      if (pointer.map && ['brush', 'eraser'].includes(state.tool)) {
        const { x, y } = pointer.map;
        line(brush, ratio, () => brush.arc(x * scale, y * scale, (state.size / 2) * scale, 0, 7));
      }
    }
    const away = pointer[other];
    if (away && !outline.mask) line(brush, ratio, () => brush.arc(away.x * scale, away.y * scale, 4 * ratio, 0, 7));
  }
}

// A path in white over black is seen on every picture.
function line(brush, ratio, trace) {
  for (const [style, width] of [['#000a', 3.5], ['#fff', 1.5]]) {
    brush.beginPath();
    trace();
    brush.strokeStyle = style;
    brush.lineWidth = width * ratio;
    brush.stroke();
  }
}

function traceMask(brush, mask, scale) {
  const inside = (x, y) => x >= 0 && y >= 0 && x < state.width && y < state.height && mask[at(x, y)];
  for (let y = 0; y < state.height; y++) {
    for (let x = 0; x < state.width; x++) {
      if (!inside(x, y)) continue;
      const sides = [
        [x, y - 1, x, y, x + 1, y], [x, y + 1, x, y + 1, x + 1, y + 1],
        [x - 1, y, x, y, x, y + 1], [x + 1, y, x + 1, y, x + 1, y + 1],
      ];
      for (const [nx, ny, ax, ay, bx, by] of sides) {
        if (inside(nx, ny)) continue;
        brush.moveTo(ax * scale, ay * scale);
        brush.lineTo(bx * scale, by * scale);
      }
    }
  }
}

function traceShape(brush, scale) {
  const points = pointer.map ? [...shape.points, pointer.map] : shape.points;
  const [a, b] = [points[0], points[points.length - 1]];
  if (state.tool === 'rectangle') {
    brush.rect(a.x * scale, a.y * scale, (b.x - a.x) * scale, (b.y - a.y) * scale);
    return;
  }
  points.forEach((point) => brush.lineTo(point.x * scale, point.y * scale));
  brush.closePath();
  brush.moveTo(a.x * scale + 5, a.y * scale);
  brush.arc(a.x * scale, a.y * scale, 5, 0, 7);
}

function showHint() {
  const cls = state.tool === 'eraser' ? UNLABELLED : state.cls;
  const place = pointer.map || pointer.picture;
  const under = place && state.ids[at(Math.floor(place.x), Math.floor(place.y))];
  const hint = TOOLS.find(([name]) => name === state.tool)[3];
  $('hint').textContent = pointer.picture ? `Click to draw this object (${className(under)}) anew.` : hint;
  $('map-size').textContent = `${state.width} × ${state.height}`
    + (place ? ` · ${Math.floor(place.x)}, ${Math.floor(place.y)} · ${className(under)}` : ` · ${className(cls)}`);
}

// ---------------------------------------------------------------------------
// Pointer: tools on the map, objects in the picture.
// ---------------------------------------------------------------------------
const shape = { points: [] }; // corners of an unfinished polygon or rectangle
let stroke = null; // last point of the stroke that is being drawn
let lastPoint = null; // end of the last stroke, where Shift+click starts

// Where an event is on the label map; outside it only while a drag goes on.
function place(event, canvas) {
  const box = canvas.getBoundingClientRect();
  return {
    x: ((event.clientX - box.left) / box.width) * state.width,
    y: ((event.clientY - box.top) / box.height) * state.height,
  };
}

const within = ({ x, y }) => x >= 0 && y >= 0 && x < state.width && y < state.height;
const paintClass = () => (state.tool === 'eraser' ? UNLABELLED : state.cls);

function cancelShape() {
  if (state.tool === 'rectangle') stroke = null;
  shape.points = [];
  showMarks();
}

function closePolygon() {
  const points = shape.points;
  cancelShape();
  if (points.length < 3) return;
  remember();
  rasterPolygon(points, state.cls);
  changed();
}

function mapDown(event) {
  const point = place(event, $('map'));
  if (!within(point) || !event.isPrimary) return;
  const [x, y] = [Math.floor(point.x), Math.floor(point.y)];
  if (event.button === 2 || state.tool === 'pick') {
    chooseClass(state.ids[at(x, y)]);
    return;
  }
  if (event.button !== 0) return;
  pointer.map = point;
  if (state.tool === 'object') {
    resample(x, y);
  } else if (state.tool === 'fill') {
    if (state.ids[at(x, y)] === state.cls) return;
    remember();
    connected(x, y, false).forEach((one, i) => { if (one) state.ids[i] = state.cls; });
    changed();
  } else if (state.tool === 'polygon') {
    const [first, scale] = [shape.points[0], $('map').clientWidth / state.width];
    if (first && Math.hypot(first.x - point.x, first.y - point.y) * scale < 10 && shape.points.length > 2) {
      closePolygon();
      return;
    }
    shape.points.push(point);
    showMarks();
  } else {
    $('map').setPointerCapture(event.pointerId);
    stroke = point;
    if (state.tool === 'rectangle') {
      shape.points = [point];
      return;
    }
    remember();
    rasterStroke(event.shiftKey && lastPoint ? lastPoint : point, point, state.size, paintClass());
    changed();
  }
}

function mapMove(event) {
  if (!event.isPrimary) return;
  const point = place(event, $('map'));
  pointer.map = within(point) || stroke ? point : null;
  if (stroke && state.tool !== 'rectangle') {
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) {
      const next = place(one, $('map'));
      rasterStroke(stroke, next, state.size, paintClass());
      stroke = next;
    }
    changed();
  }
  outline.mask = state.tool === 'object' && within(point) ? objectAt(point) : null;
  if (stroke && !within(point)) pointer.map = state.tool === 'rectangle' ? point : null;
  if (within(point)) showHint();
  showMarks();
}

function mapUp(event) {
  if (!stroke || !event.isPrimary) return;
  if (state.tool === 'rectangle' && event.type === 'pointerup') {
    remember();
    rasterRectangle(stroke, place(event, $('map')), state.cls);
    changed();
  }
  lastPoint = stroke;
  stroke = null;
  if (state.tool === 'rectangle') shape.points = [];
  if (event.pointerType !== 'mouse') pointer.map = null;
  showMarks();
}

// The object at a point; null where nothing is labelled.
function objectAt(point) {
  const [x, y] = [Math.floor(point.x), Math.floor(point.y)];
  if (state.ids[at(x, y)] === UNLABELLED) return null;
  return outline.mask?.[at(x, y)] ? outline.mask : connected(x, y, true);
}

// A new code for one object: its pin replaces those inside it.
function resample(x, y) {
  const cls = state.ids[at(x, y)];
  if (cls === UNLABELLED) {
    say('Nothing is labelled here, so there is no object to draw anew.');
    return;
  }
  const mask = connected(x, y, true);
  const others = state.pins.filter((pin) => !mask[at(pin.x, pin.y)]);
  if (others.length >= state.model.max_pins) {
    say(`At most ${state.model.max_pins} objects can be drawn anew.`);
    return;
  }
  remember();
  state.pins = [...others, { x, y, cls, seed: Math.floor(Math.random() * 2 ** 31) }];
  changed();
}

function leave(name) {
  if (stroke) return;
  pointer[name] = null;
  outline.mask = null;
  showHint();
  showMarks();
}

function listenToPointer() {
  const [map, picture] = [$('map'), $('picture')];
  map.addEventListener('pointerdown', mapDown);
  map.addEventListener('pointermove', mapMove);
  map.addEventListener('pointerup', mapUp);
  map.addEventListener('pointercancel', mapUp);
  map.addEventListener('pointerleave', () => leave('map'));
  map.addEventListener('dblclick', () => { if (state.tool === 'polygon') closePolygon(); });
  map.addEventListener('contextmenu', (event) => event.preventDefault());

  picture.addEventListener('pointermove', (event) => {
    const point = place(event, picture);
    if (!state.pictures.length || !within(point)) return;
    pointer.picture = point;
    outline.mask = objectAt(point);
    showHint();
    showMarks();
  });
  picture.addEventListener('pointerleave', () => leave('picture'));
  picture.addEventListener('click', (event) => {
    const point = place(event, picture);
    if (state.pictures.length && within(point)) resample(Math.floor(point.x), Math.floor(point.y));
  });
}

// ---------------------------------------------------------------------------
// Tools and classes.
// ---------------------------------------------------------------------------
function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

// An element with properties, attributes (those with a dash) and children.
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes('-')) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

function makeTools() {
  for (const [name, key, title] of TOOLS) {
    const button = element('button', {
      id: `tool-${name}`, title: `${title} (${key})`, 'aria-label': title, onclick: () => chooseTool(name),
    }, icon(name));
    $('tools').append(button);
  }
  chooseTool('brush');
}

function chooseTool(tool) {
  if (tool !== state.tool) cancelShape();
  state.tool = tool;
  for (const [name] of TOOLS) $(`tool-${name}`).setAttribute('aria-pressed', name === tool);
  showHint();
  showMarks();
}

function chooseSize(size) {
  state.size = Math.min(64, Math.max(1, size));
  $('size').value = state.size;
  $('size-text').textContent = `${state.size} px`;
  showMarks();
}

const rows = new Map(); // from class to its parts of the list

function makeClasses() {
  const { classes } = state.model;
  rows.clear();
  $('classes').replaceChildren();
  $('search').value = '';
  for (const cls of [...classes.keys(), UNLABELLED]) {
    const swatch = element('span', { className: cls === UNLABELLED ? 'swatch none' : 'swatch' });
    if (cls !== UNLABELLED) swatch.style.background = `rgb(${state.model.palette[cls]})`;
    const [share, key] = [element('span', { className: 'share' }), element('kbd', { 'aria-hidden': true })];
    const name = element('span', { className: 'name', title: className(cls) }, className(cls));
    const button = element('button', { onclick: () => chooseClass(cls), 'aria-pressed': false }, swatch, name, share, key);
    const item = element('li', {}, button);
    rows.set(cls, { item, button, share, key });
    $('classes').append(item);
  }
  filterClasses();
  chooseClass(0);
}

function chooseClass(cls) {
  state.cls = cls;
  for (const [one, { button }] of rows) button.setAttribute('aria-pressed', one === cls);
  rows.get(cls).item.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  if (['eraser', 'pick', 'object'].includes(state.tool)) chooseTool('brush');
  showHint();
}

// Show the classes whose name has all words that are searched for.
function filterClasses() {
  const words = $('search').value.toLowerCase().split(/\s+/);
  const used = $('only-used').getAttribute('aria-pressed') === 'true';
  const here = new Set(state.ids);
  let count = 0;
  for (const [cls, { item, key }] of rows) {
    const found = words.every((word) => className(cls).toLowerCase().includes(word)) && (!used || here.has(cls));
    item.hidden = !found;
    count += found;
    key.hidden = !found || count > 10;
    key.textContent = count % 10;
  }
  $('no-class').hidden = count > 0;
}

const shownClasses = () => [...rows].filter(([, { item }]) => !item.hidden).map(([cls]) => cls);

// How much of the map each class covers, in the list.
function showShares() {
  const counts = new Array(256).fill(0);
  state.ids.forEach((cls) => { counts[cls] += 1; });
  for (const [cls, { share }] of rows) {
    const percent = (100 * counts[cls]) / state.ids.length;
    share.textContent = counts[cls] ? (percent < 1 ? '<1%' : `${Math.round(percent)}%`) : '';
  }
  if ($('only-used').getAttribute('aria-pressed') === 'true') filterClasses();
}

// ---------------------------------------------------------------------------
// Server: ids go as bytes, errors come as one sentence.
// ---------------------------------------------------------------------------
async function ask(path, query = {}, body = null) {
  let answer;
  const model = state.model ? { model: state.model.name } : {};
  try {
    answer = await fetch(`api/${path}?${new URLSearchParams({ ...model, ...query })}`, body === null ? {} : {
      method: 'POST', headers: { 'Content-Type': 'application/octet-stream' }, body,
    });
  } catch {
    throw new Error('The server does not answer. Is it still running?');
  }
  if (answer.ok) return answer;
  const { error } = await answer.json().catch(() => ({ error: `The server failed (${answer.status}).` }));
  throw Object.assign(new Error(error), { status: answer.status });
}

function send(path, file) {
  const most = state.model.max_bytes;
  if (file.size > most) throw new Error(`${file.name} is too large: at most ${Math.floor(most / 2 ** 20)} MB are taken.`);
  return ask(path, {}, file);
}

// Live pictures: at most one request runs; a change while it runs starts the
// next. Its answer shows a stroke growing, but one for another seed, style or
// map (`drop`) is thrown away.
const live = { timer: 0, since: 0, busy: false, again: false, epoch: 0 };

function schedule(drop = false) {
  if (drop) live.epoch += 1;
  const now = performance.now();
  if (!live.timer) live.since = now;
  clearTimeout(live.timer);
  live.timer = setTimeout(generate, Math.max(0, Math.min(100, live.since + 400 - now)));
}

async function generate() {
  clearTimeout(live.timer);
  live.timer = 0;
  live.again = live.busy;
  if (live.busy) return;
  if (state.ids.every((cls) => cls === UNLABELLED)) {
    state.pictures = [];
    showPictures();
    return;
  }
  const { width, height, ids, style } = state;
  const epoch = live.epoch;
  const start = performance.now();
  const count = state.four ? 4 : 1;
  live.busy = true;
  status('Drawing…', true);
  try {
    const query = { width, height, seed: state.seed, count };
    if (state.pins.length) query.pins = state.pins.map(({ x, y, seed }) => [x, y, seed]).join(';');
    const answer = await ask('picture', query, new Blob(style ? [ids, style.noise] : [ids]));
    const rgb = new Uint8Array(await answer.arrayBuffer());
    if (epoch === live.epoch) {
      state.pictures = Array.from({ length: count }, (_, k) => asImage(rgb, k, width, height));
      showPictures();
    }
    status(epoch === live.epoch ? `${((performance.now() - start) / 1000).toFixed(2)} s` : '');
    hideAlert();
  } catch (error) {
    if (error.status === 503) {
      status('Waiting for a turn…', true);
      setTimeout(generate, 700);
    } else {
      status('');
      say(error.message, generate);
    }
  }
  live.busy = false;
  if (live.again) generate();
}

function asImage(rgb, k, width, height) {
  const image = new ImageData(width, height);
  const first = 3 * width * height * k;
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = rgb[first + 3 * i + c];
    image.data[4 * i + 3] = 255;
  }
  return image;
}

// ---------------------------------------------------------------------------
// Picture pane.
// ---------------------------------------------------------------------------
function status(text, busy = false) {
  $('status').textContent = text;
  $('status').classList.toggle('busy', busy);
}

function draw(canvas, image) {
  Object.assign(canvas, { width: image.width, height: image.height });
  canvas.getContext('2d').putImageData(image, 0, 0);
}

function showPictures() {
  const some = state.pictures.length > 0;
  $('empty').hidden = some;
  $('save-picture').disabled = !some;
  if (!some) status('');
  $('picture').hidden = !some;
  if (some) draw($('picture'), state.pictures[0]);
  $('variations').hidden = state.pictures.length < 2;
  if (state.pictures.length < 2) return;
  $('variations').replaceChildren(...state.pictures.map((image, k) => {
    const seed = state.seed + k;
    const canvas = element('canvas');
    draw(canvas, image);
    return element('button', {
      'aria-label': `Take the variation of seed ${seed}`, title: 'Take this one', onclick: () => take(k),
    }, canvas, element('span', {}, `seed ${seed}`));
  }));
}

// One of the four becomes the picture; nothing has to be drawn again.
function take(k) {
  state.pictures = [state.pictures[k]];
  state.four = false;
  live.epoch += 1;
  chooseSeed(state.seed + k, false);
  $('four').setAttribute('aria-pressed', false);
  showPictures();
}

function chooseSeed(seed, redraw = true) {
  state.seed = Math.min(2 ** 31 - 5, Math.max(0, Math.floor(seed) || 0));
  $('seed').value = state.seed;
  if (redraw) schedule(true);
}

function another() {
  if (!state.style) chooseSeed(state.seed + (state.four ? 4 : 1));
}

function toggleFour() {
  if (state.style) return; // the photograph is the noise: all four would be alike
  state.four = !state.four;
  $('four').setAttribute('aria-pressed', state.four);
  if (!state.four) state.pictures.length = Math.min(1, state.pictures.length);
  showPictures();
  schedule(true);
}

function showChips() {
  $('pins-chip').hidden = !state.pins.length;
  $('pins-text').textContent = `${state.pins.length} ${state.pins.length > 1 ? 'objects' : 'object'} resampled`;
  $('style-chip').hidden = !state.style;
  for (const id of ['seed', 'another', 'four']) $(id).disabled = Boolean(state.style);
  if (state.style) {
    $('style-image').src = state.style.url;
    $('style-name').textContent = state.style.name;
  }
}

function clearPins() {
  remember();
  state.pins = [];
  changed();
}

async function chooseStyle(file) {
  const { model } = state;
  status('Looking at the photograph…', true);
  try {
    const noise = await (await send('style', file)).arrayBuffer();
    if (model !== state.model) return;
    if (state.four) toggleFour();
    clearStyle();
    state.style = { name: file.name, url: URL.createObjectURL(file), noise };
    hideAlert();
  } catch (error) {
    say(error.message);
  }
  status('');
  showChips();
  schedule(true);
}

function clearStyle() {
  if (state.style) URL.revokeObjectURL(state.style.url);
  state.style = null;
  showChips();
  schedule(true);
}

function save(blob, name) {
  const link = element('a', { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// The picture, or the four side by side.
function savePicture() {
  const { width, height, pictures } = state;
  if (!pictures.length) return;
  const columns = pictures.length > 1 ? 2 : 1;
  const canvas = element('canvas', { width: columns * width, height: columns * height });
  pictures.forEach((image, k) => {
    canvas.getContext('2d').putImageData(image, (k % columns) * width, Math.floor(k / columns) * height);
  });
  canvas.toBlob((blob) => save(blob, `picture-seed${state.seed}.png`));
}

async function saveMap() {
  const { width, height, ids } = state;
  try {
    save(await (await ask('png', { width, height }, ids)).blob(), 'label-map.png');
  } catch (error) {
    say(error.message, saveMap);
  }
}

// ---------------------------------------------------------------------------
// Maps: blank, example, file, and the one of the last visit.
// ---------------------------------------------------------------------------
function setMap(ids, width, height) {
  if (state.ids.length) remember();
  cancelShape();
  lastPoint = null;
  Object.assign(state, { ids: ids.slice(), width, height, pins: [] }); // an example stays as it is
  resized();
  changed({ drop: true });
}

// Ids with their sizes from the server's answer.
async function readMap(answer) {
  const [width, height] = answer.headers.get('X-Size').split('x').map(Number);
  return [new Uint8Array(await answer.arrayBuffer()), width, height];
}

async function upload(file) {
  const { model } = state;
  try {
    const answer = await send('label', file);
    const map = await readMap(answer);
    if (model !== state.model) return;
    setMap(...map);
    hideAlert();
    $('new-dialog').close();
    if (answer.headers.get('X-Note')) say(answer.headers.get('X-Note'), null, true);
  } catch (error) {
    $('new-dialog').close();
    say(error.message);
  }
}

let firstExample = 0;

async function showExamples() {
  const numbers = Array.from({ length: Math.min(6, state.model.examples) }, (_, k) => firstExample + k);
  try {
    const maps = await Promise.all(numbers.map(async (number) => readMap(await ask('example', { number }))));
    $('examples').replaceChildren(...maps.map((map, k) => {
      const canvas = element('canvas');
      draw(canvas, colored(...map));
      return element('button', {
        'aria-label': `Example ${numbers[k] + 1}`,
        onclick: () => { setMap(...map); $('new-dialog').close(); },
      }, canvas);
    }));
  } catch (error) {
    $('new-dialog').close();
    say(error.message);
  }
}

function openNew() {
  const { size_divisor: step, max_side: max } = state.model;
  for (const side of ['width', 'height']) {
    Object.assign($(`blank-${side}`), { min: step, step, max: max - (max % step), value: state[side] });
  }
  $('new-dialog').showModal();
  if (state.model.examples && !$('examples').children.length) showExamples();
}

function startBlank() {
  const [width, height] = [$('blank-width').valueAsNumber, $('blank-height').valueAsNumber];
  setMap(new Uint8Array(width * height).fill(UNLABELLED), width, height);
}

// The map survives a reload, for a model of the same classes: each tab has its own, and a new tab
// starts from the last one of all.
const keptName = () => `slnp_mm painter ${state.model.classes}`;
let keeping = 0;

function keep() {
  clearTimeout(keeping);
  keeping = setTimeout(keepNow, 500);
}

function keepNow() {
  if (!keeping) return;
  clearTimeout(keeping);
  keeping = 0;
  const text = Array.from(state.ids, (cls) => String.fromCharCode(cls)).join('');
  const { width, height, seed, pins } = state;
  const kept = JSON.stringify({ width, height, seed, pins, ids: btoa(text) });
  for (const storage of [sessionStorage, localStorage]) {
    try { storage.setItem(keptName(), kept); } catch { /* no room: the map is only on the screen */ }
  }
}

function restore() {
  const kept = JSON.parse(sessionStorage.getItem(keptName()) ?? localStorage.getItem(keptName()) ?? 'null');
  const { size_divisor: step, max_side: most } = state.model;
  if (!kept || [kept.width, kept.height].some((side) => side % step || side > most)) return false;
  setMap(Uint8Array.from(atob(kept.ids), (one) => one.charCodeAt(0)), kept.width, kept.height);
  state.pins = kept.pins;
  chooseSeed(kept.seed);
  showChips();
  return true;
}

// ---------------------------------------------------------------------------
// Messages, theme, help, keys.
// ---------------------------------------------------------------------------
// A sentence at the bottom: an error, perhaps with a way to try again, or a note.
function say(text, again = null, note = false) {
  $('alert').classList.toggle('note', note);
  $('alert-text').textContent = text;
  $('alert-again').hidden = !again;
  $('alert-again').onclick = () => { hideAlert(); again(); };
  $('alert').hidden = false;
}

function hideAlert() {
  $('alert').hidden = true;
}

function setTheme(theme) {
  document.documentElement.style.colorScheme = theme ?? '';
  if (theme) localStorage.setItem('slnp_mm theme', theme);
}

function toggleTheme() {
  const system = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  setTheme((document.documentElement.style.colorScheme || system) === 'dark' ? 'light' : 'dark');
}

// key, what it does, words for the help panel (none where another line says it)
const resizeBrush = (sign) => () => chooseSize(state.size + sign * Math.max(1, Math.round(state.size / 8)));
const KEYS = [
  ...TOOLS.map(([name, key, title]) => [key, () => chooseTool(name), title]),
  ['/', () => $('search').focus(), 'Search classes'],
  ['[', resizeBrush(-1)],
  [']', resizeBrush(1)],
  ['A', another, 'Another picture'],
  ['V', toggleFour, 'Four variations'],
  ['S', () => $('style-file').click(), 'Style from a photo'],
  ['N', openNew, 'New map'],
  ['D', savePicture, 'Download picture'],
  ['M', saveMap, 'Download label map'],
  ['T', toggleTheme, 'Dark or light'],
  ['?', () => $('help-dialog').showModal(), 'This help'],
  ['Enter', closePolygon, 'Close the polygon'],
  ['Escape', cancelShape],
  ['Backspace', () => { shape.points.pop(); showMarks(); }, 'Take back a corner'],
];
const MORE_KEYS = [
  ['Esc', null, 'Cancel the polygon'], ['[ ]', null, 'Brush size'], ['1 … 0', null, 'First classes of the list'],
  ['Ctrl Z', null, 'Undo'], ['Ctrl Shift Z', null, 'Redo'],
];

function pressed(event) {
  if (document.querySelector('dialog[open]') || event.altKey || (stroke && event.key !== 'Escape')) return;
  const typing = event.target.matches?.('select, input[type=search], input[type=number]');
  const key = event.key.length === 1 ? event.key.toUpperCase() : event.key;
  if (event.ctrlKey || event.metaKey) {
    if (typing || !['Z', 'Y'].includes(key)) return;
    event.preventDefault();
    (key === 'Y' || event.shiftKey ? redo : undo)();
    return;
  }
  if (typing) return;
  if (/^\d$/.test(key)) {
    const cls = shownClasses()[(Number(key) + 9) % 10];
    if (cls !== undefined) chooseClass(cls);
    return;
  }
  const found = KEYS.find(([one]) => one === key);
  if (!found || (key === 'Enter' && event.target.matches('button'))) return;
  event.preventDefault();
  found[1]();
}

function makeHelp() {
  for (const [key, , what] of [...KEYS, ...MORE_KEYS]) {
    if (!what) continue;
    const caps = key.split(' ').map((one) => (one === '…' ? '…' : element('kbd', {}, one)));
    $('shortcuts').append(element('dt', {}, ...caps), element('dd', {}, what));
  }
}

function listen() {
  listenToPointer();
  addEventListener('keydown', pressed);
  addEventListener('pagehide', keepNow);
  $('model').addEventListener('change', changeModel);
  new ResizeObserver(showMarks).observe($('map'));

  const clicks = {
    undo,
    redo,
    another,
    four: toggleFour,
    theme: toggleTheme,
    new: openNew,
    random: () => { firstExample += 6; showExamples(); },
    help: () => $('help-dialog').showModal(),
    upload: () => $('label-file').click(),
    style: () => $('style-file').click(),
    'style-clear': clearStyle,
    'pins-clear': clearPins,
    'save-map': saveMap,
    'save-picture': savePicture,
    'alert-close': hideAlert,
  };
  for (const [id, act] of Object.entries(clicks)) $(id).addEventListener('click', act);
  for (const dialog of document.querySelectorAll('dialog')) { // its cross and the page around it
    dialog.addEventListener('click', (event) => {
      if (event.target === dialog || event.target.closest('[data-close]')) dialog.close();
    });
  }

  $('size').addEventListener('input', () => chooseSize($('size').valueAsNumber));
  $('seed').addEventListener('change', () => chooseSeed($('seed').valueAsNumber));
  $('blank').addEventListener('submit', startBlank); // method=dialog closes it
  $('search').addEventListener('input', filterClasses);
  $('search').addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && shownClasses().length) chooseClass(shownClasses()[0]);
    if (event.key === 'Enter' || event.key === 'Escape') $('search').blur();
  });
  $('only-used').addEventListener('click', () => {
    $('only-used').setAttribute('aria-pressed', $('only-used').getAttribute('aria-pressed') !== 'true');
    filterClasses();
  });

  // files, chosen or dropped; the same file may be chosen twice
  for (const [id, act] of [['label-file', upload], ['style-file', chooseStyle]]) {
    $(id).addEventListener('change', () => { if ($(id).files[0]) act($(id).files[0]); $(id).value = ''; });
  }
  addEventListener('dragover', (event) => { event.preventDefault(); document.body.classList.add('dropping'); });
  addEventListener('dragleave', () => document.body.classList.remove('dropping'));
  addEventListener('drop', (event) => {
    event.preventDefault();
    document.body.classList.remove('dropping');
    const file = event.dataTransfer.files[0];
    if (file) (event.target.closest('#picture-pane') ? chooseStyle : upload)(file);
  });
}

// ---------------------------------------------------------------------------
// Start.
// ---------------------------------------------------------------------------
async function start() {
  setTheme(localStorage.getItem('slnp_mm theme'));
  try {
    state.model = await firstModel();
  } catch (error) {
    say(error.message, () => location.reload());
    return;
  }
  makeTools();
  makeHelp();
  listen();
  await showModel();
}

const loadModel = async (query) => (await ask('model', query)).json();

// The model that the address names, if there is one, or the server's first.
async function firstModel() {
  const model = new URLSearchParams(location.hash.slice(1)).get('model');
  if (!model) return loadModel({});
  return loadModel({ model }).catch((error) => {
    if (error.status === 404) return loadModel({});
    throw error;
  });
}

async function changeModel() {
  const model = $('model').value;
  $('model').disabled = true;
  status(`Loading ${model}…`, true);
  try {
    const found = await loadModel({ model });
    keepNow();
    state.model = found;
    history.replaceState(null, '', `#${new URLSearchParams({ model })}`);
    await showModel();
  } catch (error) {
    status('');
    say(error.message);
  }
  $('model').value = state.model.name;
  $('model').disabled = false;
}

// Classes, sizes and examples of the model, and the map last drawn for it or its first example.
async function showModel() {
  const { name, models, examples, image_size: [height, width] } = state.model;
  const options = Object.entries(models).map(([one, about]) => element('option', { value: one }, `${one} · ${about}`));
  $('model').replaceChildren(...options);
  $('model').value = name;
  $('example-part').hidden = !examples;
  $('random').hidden = examples <= 6;
  $('examples').replaceChildren();
  firstExample = 0;
  stroke = null;
  clearStyle();
  Object.assign(state, { width, height, pins: [], ids: new Uint8Array(width * height).fill(UNLABELLED) });
  makeClasses();
  chooseSize(Math.max(4, Math.round(height / 12)));
  resized();
  let restored = false;
  try { restored = restore(); } catch { /* not ours: begin anew */ }
  past.length = future.length = 0;
  if (!restored && examples) {
    try {
      const map = await readMap(await ask('example', { number: 0 }));
      if (!past.length) { // else somebody paints already
        setMap(...map);
        past.length = 0;
      }
    } catch (error) { say(error.message); }
  }
  changed({ drop: true });
}

start();
