'use strict';
// The map of a report. The document is whole without it.
(async () => {
  const $ = id => document.getElementById(id), root = document.documentElement;
  const packed = $('packed').textContent;
  $('packed').remove();
  if (!$('map')) return;
  const {table: t, fields, land} = await unpack(packed), n = t.id.length;
  const CLEAR = 0, OWN = 1, OTHER = 2, BOTH = 3, INVALID = 4, names = ['clear', 'own', 'other', 'both', 'invalid'];
  // unpack reads what pack.go writes.
  async function unpack(text) {
    const chars = atob(text), zipped = new Uint8Array(chars.length);
    for (let i = 0; i < zipped.length; i++) zipped[i] = chars.charCodeAt(i);
    const stream = new Blob([zipped]).stream().pipeThrough(new DecompressionStream('gzip'));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer()), view = new DataView(bytes.buffer);
    let at = 0;
    const part = () => bytes.subarray(at + 4, at += 4 + view.getUint32(at, true));
    const table = JSON.parse(new TextDecoder().decode(part()));
    return {table, fields: shapes(part(), part(), part(), table.id.length, 1e6), land: shapes(part(), part(), part(), table.land.length, 1e3)};
  }
  // varints gives a function that reads one number after another.
  function varints(bytes, at = 0) {
    return () => {
      for (let value = 0, factor = 1; ; factor *= 128) {
        const byte = bytes[at++];
        value += (byte & 127) * factor;
        if (byte < 128) return value;
      }
    };
  }
  // shapes reads geometries: x and y in degrees; where each ring begins, and
  // which ring begins each geometry. A polygon's holes are rings like its shell.
  function shapes(counts, low, rest, length, scale) {
    const count = varints(counts), more = varints(rest), size = low.length / 2;
    const x = new Float64Array(size), y = new Float64Array(size), rings = [0], first = new Uint32Array(length + 1);
    let at = 0, lon = 0, lat = 0;
    const step = k => {
      const folded = low[k] + 256 * more();
      return folded % 2 ? -(folded + 1) / 2 : folded / 2;
    };
    for (let i = 0; i < length; i++) {
      for (let polygons = count(); polygons > 0; polygons--) {
        for (let left = count(); left > 0; left--) {
          for (let positions = count(); positions > 0; positions--, at++) {
            x[at] = (lon += step(2 * at)) / scale;
            y[at] = (lat += step(2 * at + 1)) / scale;
          }
          rings.push(at);
        }
      }
      first[i + 1] = rings.length - 1;
    }
    return {x, y, rings: Uint32Array.from(rings), first, length, box: new Float64Array(4 * length)};
  }
  // The world is cut in the widest gap between fields, and laid out from there.
  function cut(g) {
    const lons = [];
    for (let i = 0; i < g.length; i++) if (g.first[i] < g.first[i + 1]) lons.push(((g.x[g.rings[g.first[i]]] + 540) % 360 + 360) % 360 - 180);
    if (!lons.length) return -180;
    lons.sort((a, b) => a - b);
    lons.push(lons[0] + 360);
    let last = 1;
    for (let i = 1; i < lons.length; i++) if (lons[i] - lons[i - 1] >= lons[last] - lons[last - 1]) last = i;
    return (lons[last] + lons[last - 1]) / 2 - (last === lons.length - 1 ? 360 : 0);
  }
  // project turns degrees into pixels of zoom 0, in place, and measures boxes.
  function project(g, west) {
    for (let i = 0; i < g.length; i++) {
      const from = g.rings[g.first[i]], to = g.rings[g.first[i + 1]];
      const shift = west === undefined ? 0 : Math.ceil((west - g.x[from]) / 360) * 360, box = [Infinity, Infinity, -Infinity, -Infinity];
      for (let k = from; k < to; k++) {
        const lat = Math.max(-85, Math.min(85, g.y[k])) * Math.PI / 180;
        const x = g.x[k] = (g.x[k] + shift + 180) / 360 * 256, y = g.y[k] = 128 - 128 / Math.PI * Math.log(Math.tan(Math.PI / 4 + lat / 2));
        if (x < box[0]) box[0] = x; if (x > box[2]) box[2] = x;
        if (y < box[1]) box[1] = y; if (y > box[3]) box[3] = y;
      }
      g.box.set(box, 4 * i);
    }
  }
  const west = cut(fields);
  project(fields, west);
  project(land);
  const box = fields.box, visible = new Uint8Array(n).fill(1), pairsOf = new Map();
  const placed = i => box[4 * i] <= box[4 * i + 2];
  const centre = i => [(box[4 * i] + box[4 * i + 2]) / 2, (box[4 * i + 1] + box[4 * i + 3]) / 2];
  const size = i => Math.max(box[4 * i + 2] - box[4 * i], box[4 * i + 3] - box[4 * i + 1]);
  const within = (b, i, v, by = 0) => b[4 * i] + by <= v.e && b[4 * i + 2] + by >= v.w && b[4 * i + 1] <= v.s && b[4 * i + 3] >= v.n;
  t.pairs.forEach((p, k) => {
    for (const i of [p[0], p[1]]) if (typeof i === 'number') pairsOf.has(i) ? pairsOf.get(i).push(k) : pairsOf.set(i, [k]);
  });
  const title = i => t.alt[i] || t.id[i] || 'field ' + (i + 1);
  const number = (v, digits = 0) => v.toLocaleString('en', {minimumFractionDigits: digits, maximumFractionDigits: digits});
  const hectares = v => v === null ? '–' : number(v, 2) + ' ha';
  const percent = v => v > 0 && v < .001 ? '< 0.1 %' : number(100 * v, 1) + ' %';
  // --- drawing
  const unproject = (x, y) => L.CRS.EPSG3857.pointToLatLng(L.point(x, y), 0);
  const map = L.map('map', {
    zoomSnap: .5, maxZoom: 20, scrollWheelZoom: false, attributionControl: false, maxBounds: [[-85, west], [85, west + 360]], maxBoundsViscosity: 1,
  });
  L.control.scale().addTo(map);
  L.control.attribution({prefix: false}).addAttribution('Leaflet, Natural Earth').addTo(map);
  function extent(list) {
    let w = Infinity, top = Infinity, e = -Infinity, s = -Infinity;
    for (const i of list) if (typeof i === 'number' && placed(i)) {
      w = Math.min(w, box[4 * i]); top = Math.min(top, box[4 * i + 1]);
      e = Math.max(e, box[4 * i + 2]); s = Math.max(s, box[4 * i + 3]);
    }
    return w <= e ? L.latLngBounds(unproject(w, s), unproject(e, top)) : L.latLngBounds([-60, west + 1], [75, west + 359]);
  }
  $('where').hidden = false;
  root.classList.add('live');
  map.fitBounds(extent(t.id.keys()), {maxZoom: 16, padding: [24, 24]});
  let colours, hatch, selected = [], marks = [];
  function paint() {
    const css = getComputedStyle(root), tile = document.createElement('canvas'), c = tile.getContext('2d');
    colours = Object.fromEntries(['sea', 'land', 'border', 'place', 'halo', 'text', 'page', 'select', ...names].map(k => [k, css.getPropertyValue('--' + k).trim()]));
    tile.width = tile.height = 8;
    c.strokeStyle = colours.own;
    c.lineWidth = 1.6;
    c.stroke(new Path2D('M-10 10 2-2M-2 10 10-2M6 10 18-2'));
    hatch = c.createPattern(tile, 'repeat');
  }
  // trace makes a path of a geometry, without positions that fall together.
  function trace(c, g, i, v, by = 0) {
    c.beginPath();
    for (let r = g.first[i]; r < g.first[i + 1]; r++) {
      let lx = NaN, ly = NaN;
      for (let k = g.rings[r], end = g.rings[r + 1]; k < end; k++) {
        const x = (g.x[k] + by) * v.scale - v.x, y = g.y[k] * v.scale - v.y;
        if (Math.abs(x - lx) < .7 && Math.abs(y - ly) < .7) continue;
        lx === lx ? c.lineTo(x, y) : c.moveTo(x, y);
        lx = x; ly = y;
      }
      c.closePath();
    }
  }
  // symbol draws the mark of a state, in the form that the document's legend has.
  const forms = ['M0-4A4 4 0 1 0 .01-4Z', 'M0-6 6 0 0 6-6 0Z', 'M0-6 6 5H-6Z', 'M0-7 2-2 7 0 2 2 0 7-2 2-7 0-2-2Z', 'M-5-5 5 5M5-5-5 5'].map(d => new Path2D(d));
  function symbol(c, state, x, y) {
    c.save();
    c.translate(x, y);
    c.strokeStyle = colours.page;
    c.lineWidth = state === INVALID ? 5 : 2;
    c.stroke(forms[state]);
    c.strokeStyle = c.fillStyle = colours[names[state]];
    c.lineWidth = 2.2;
    state === INVALID ? c.stroke(forms[state]) : c.fill(forms[state]);
    c.restore();
  }
  const dashes = [[], [], [7, 4], [9, 3, 2, 3], [2, 3]];
  function drawField(c, i, v) {
    const state = t.state[i], small = size(i) * v.scale < 12;
    trace(c, fields, i, v);
    c.fillStyle = c.strokeStyle = colours[names[state]];
    c.globalAlpha = [.28, .2, .2, .2, .12][state];
    c.fill('evenodd');
    c.globalAlpha = 1;
    c.lineWidth = small ? 1 : state === CLEAR ? 1.2 : 2;
    c.setLineDash(small ? [] : dashes[state]);
    c.stroke();
    c.setLineDash([]);
  }
  function text(c, words, x, y, colour) {
    Object.assign(c, {font: '12px system-ui, sans-serif', lineWidth: 3, strokeStyle: colours.halo, fillStyle: colour});
    c.strokeText(words, x, y);
    c.fillText(words, x, y);
  }
  // drawLand draws the countries, and the names of those that have room for them.
  function drawLand(c, v) {
    const named = new Map();
    c.fillStyle = colours.sea;
    c.fillRect(v.w * v.scale - v.x, v.n * v.scale - v.y, (v.e - v.w) * v.scale, (v.s - v.n) * v.scale);
    c.fillStyle = colours.land;
    c.strokeStyle = colours.border;
    c.lineWidth = .8;
    for (let i = 0; i < land.length; i++) for (const by of [-256, 0, 256]) if (within(land.box, i, v, by)) {
      trace(c, land, i, v, by);
      c.fill('evenodd');
      c.stroke();
      const wide = land.box[4 * i + 2] - land.box[4 * i], key = t.land[i] + by;
      if (!(named.get(key)?.wide >= wide)) named.set(key, {i, by, wide});
    }
    for (const {i, by, wide} of named.values()) {
      if (wide * v.scale < 11 * t.land[i].length + 16 || wide * v.scale > 6000) continue;
      let x = 0, y = 0, area = 0;
      for (let p = land.rings[land.first[i]], end = land.rings[land.first[i] + 1], q = end - 1; p < end; q = p++) {
        const a = land.x[q] * land.y[p] - land.x[p] * land.y[q];
        area += a; x += (land.x[p] + land.x[q]) * a; y += (land.y[p] + land.y[q]) * a;
      }
      if (area) text(c, t.land[i], (x / (3 * area) + by) * v.scale - v.x, y / (3 * area) * v.scale - v.y, colours.place);
    }
  }
  // sort tells the fields to draw from those that are too small to be seen.
  // These are counted, those of one place together; one alone gets its mark.
  function sort(v) {
    const cells = new Map(), drawn = [], kept = [];
    for (let i = 0; i < n; i++) {
      if (!visible[i] || !placed(i) || !within(box, i, v)) continue;
      const x = centre(i)[0] * v.scale, y = centre(i)[1] * v.scale, key = Math.floor(x / 60) * 1e7 + Math.floor(y / 60);
      let cell = cells.get(key);
      if (!cell) cells.set(key, cell = {x: 0, y: 0, size: 0, fields: []});
      cell.x += x; cell.y += y; cell.size += size(i) * v.scale;
      cell.fields.push(i);
    }
    const radius = k => k.fields.length === 1 ? 6 : 12 + 3.2 * Math.log10(k.fields.length);
    for (const cell of [...cells.values()].sort((a, b) => b.fields.length - a.fields.length)) {
      const count = cell.fields.length, near = k => Math.hypot(k.px + v.x - cell.x / count, k.py + v.y - cell.y / count) < .9 * (k.r + radius(cell));
      if (cell.size / count >= 6) { for (const i of cell.fields) drawn.push(i); continue; }
      let mark = kept.find(near);
      if (mark) { mark.x += cell.x; mark.y += cell.y; mark.fields = mark.fields.concat(cell.fields); } else kept.push(mark = cell);
      mark.px = mark.x / mark.fields.length - v.x;
      mark.py = mark.y / mark.fields.length - v.y;
      mark.r = radius(mark);
    }
    for (const mark of kept) {
      mark.states = [0, 0, 0, 0, 0];
      for (const i of mark.fields) mark.states[t.state[i]]++;
    }
    return [drawn.sort((a, b) => t.state[a] - t.state[b] || a - b), kept];
  }
  // drawMark draws a ring whose parts are the states of the fields it counts.
  function drawMark(c, {px, py, r, fields, states}) {
    if (fields.length === 1) return symbol(c, t.state[fields[0]], px, py);
    const parts = states.map((count, state) => count && Math.max(count / fields.length, state ? .05 : 0));
    const arc = (from, to) => { c.beginPath(); c.arc(px, py, r, from, to); };
    let from = -Math.PI / 2;
    arc(0, 7);
    c.fillStyle = colours.page;
    c.fill();
    for (const state of [OWN, BOTH, OTHER, INVALID, CLEAR]) if (parts[state]) {
      const to = from + 2 * Math.PI * parts[state] / parts.reduce((a, b) => a + b);
      arc(from, to);
      c.strokeStyle = colours[names[state]];
      c.lineWidth = state ? 5 : 2;
      c.stroke();
      from = to;
    }
    c.font = '600 11px system-ui, sans-serif';
    c.fillStyle = colours.text;
    c.fillText(fields.length < 1e4 ? fields.length : Math.round(fields.length / 1e3) + 'k', px, py + .5);
  }
  function draw(c, area) {
    const scale = 2 ** map.getZoom(), {x, y} = map.getPixelOrigin();
    const v = {scale, x, y, w: (area.min.x + x) / scale, e: (area.max.x + x) / scale, n: (area.min.y + y) / scale, s: (area.max.y + y) / scale};
    Object.assign(c, {textAlign: 'center', textBaseline: 'middle', lineJoin: 'round'});
    drawLand(c, v);
    const [drawn, counted] = sort(v), there = new Set(drawn);
    for (const i of drawn) drawField(c, i, v);
    for (const [a, b] of t.pairs) if (there.has(a) && there.has(b) && size(a) * scale >= 10) {
      c.save();
      for (const i of [a, b]) { trace(c, fields, i, v); c.clip('evenodd'); }
      c.fillStyle = hatch;
      c.fillRect(area.min.x, area.min.y, area.max.x - area.min.x, area.max.y - area.min.y);
      c.restore();
    }
    let labels = 0;
    for (const i of drawn) {
      const wide = size(i) * scale, px = centre(i)[0] * scale - x, py = centre(i)[1] * scale - y, marked = t.state[i] !== CLEAR && wide >= 16;
      if (marked) symbol(c, t.state[i], px, py);
      if (wide > 8 * title(i).length + 20 && labels++ < 150) text(c, title(i), px, py + (marked ? 16 : 0), colours.text);
    }
    marks = counted;
    for (const mark of marks) drawMark(c, mark);
    for (const i of selected) {
      if (there.has(i)) trace(c, fields, i, v);
      else { c.beginPath(); c.arc(centre(i)[0] * scale - x, centre(i)[1] * scale - y, 11, 0, 7); }
      c.strokeStyle = colours.page; c.lineWidth = 5; c.stroke();
      c.strokeStyle = colours.select; c.lineWidth = 2.5; c.stroke();
    }
    root.dataset.drawn = drawn.length + ' drawn, ' + marks.length + ' marks';
  }
  paint();
  const canvas = new (L.Canvas.extend({_draw() { draw(this._ctx, this._bounds); }}))({padding: .2}).addTo(map);
  const redraw = () => canvas._updatePaths();
  // --- picking
  // under gives the mark or the field under a point of the map; of several
  // fields the smallest.
  function under(point) {
    for (const mark of marks) if (Math.hypot(mark.px - point.x, mark.py - point.y) <= mark.r + 2) return mark.fields.length > 1 ? {mark} : {field: mark.fields[0]};
    const scale = 2 ** map.getZoom(), origin = map.getPixelOrigin(), x = (point.x + origin.x) / scale, y = (point.y + origin.y) / scale;
    let field;
    for (let i = 0; i < n; i++) if (visible[i] && within(box, i, {w: x, e: x, n: y, s: y}) && !(size(field) <= size(i)) && inside(i, x, y)) field = i;
    return {field};
  }
  function inside(i, x, y) {
    let odd = false;
    for (let r = fields.first[i]; r < fields.first[i + 1]; r++) {
      for (let k = fields.rings[r], end = fields.rings[r + 1], l = end - 1; k < end; l = k++) {
        const yk = fields.y[k], yl = fields.y[l];
        if (yk > y !== yl > y && x < (fields.x[l] - fields.x[k]) * (y - yk) / (yl - yk) + fields.x[k]) odd = !odd;
      }
    }
    return odd;
  }
  // Foreign text goes into the page as text, never as HTML.
  const element = (name, properties, ...children) => {
    const e = Object.assign(document.createElement(name), properties);
    e.append(...children);
    return e;
  };
  const line = words => element('span', {textContent: words});
  const tip = L.tooltip({direction: 'top', offset: [0, -8], opacity: 1});
  map.on('mousemove', L.Util.throttle(e => {
    const {mark, field} = under(e.layerPoint);
    $('map').classList.toggle('over', mark || field !== undefined);
    if (!mark && field === undefined) return tip.remove();
    const words = mark ? `${number(mark.fields.length)} fields, ${number(mark.states[OWN] + mark.states[OTHER] + mark.states[BOTH])} in conflict` : `${title(field)} · ${hectares(t.ha[field])}`;
    tip.setContent(line(words)).setLatLng(e.latlng).addTo(map);
  }, 30));
  map.on('mouseout', () => tip.remove());
  map.on('click', e => {
    const {mark, field} = under(e.layerPoint);
    mark ? zoomTo(mark.fields) : field === undefined ? close() : select(field);
  });
  function zoomTo(list) {
    const room = map.getSize().x > 640 && list.length <= 2 ? 380 : 50; // for the card
    map.fitBounds(extent(list), {maxZoom: 17, paddingTopLeft: [50, 50], paddingBottomRight: [room, 50], animate: false});
  }
  // The wheel scrolls the page unless the map has the focus or Ctrl is held.
  let hinted;
  $('map').parentNode.addEventListener('wheel', e => {
    if (!$('map').contains(e.target)) return;
    const may = e.ctrlKey || $('map').contains(document.activeElement);
    map.scrollWheelZoom[may ? 'enable' : 'disable']();
    $('hint').hidden = may;
    clearTimeout(hinted);
    hinted = setTimeout(() => { $('hint').hidden = true; }, 1500);
  }, {capture: true, passive: true});
  // --- card
  function select(i, others = []) {
    selected = [i, ...others].filter(placed);
    const said = t.said[0][i] || {}, facts = element('dl'), with_ = element('ul');
    const fact = (name, value) => value && facts.append(element('dt', {textContent: name}), element('dd', {textContent: value}));
    fact('Source ID', t.id[i]);
    fact('State', document.querySelectorAll('#states label span')[t.state[i]].textContent);
    fact('Area', t.ha[i] === null ? '' : `${hectares(t.ha[i])}, ${number(t.ha[i] * 2.4710538146717, 2)} acres`);
    fact('Overlap', t.share[i] === null ? '' : percent(t.share[i]) + ' of it');
    fact('Country', t.texts[t.country[i]]);
    fact('Period', t.texts[t.period[i]]);
    fact('Methodology', t.texts[t.method[i]]);
    fact('Protected area', said.protected);
    for (const problem of said.problems || []) fact('Problem', problem);
    for (const k of pairsOf.get(i) || []) {
      const [a, b, shared, upTo] = t.pairs[k], other = a === i ? b : a;
      with_.append(element('li', {}, typeof other === 'number' ? element('button', {type: 'button', textContent: title(other), onclick: () => showPair(k)})
        : line(other || 'not said'), shared === null ? '' : ` ${upTo ? 'up to ' : ''}${hectares(shared)}`));
    }
    $('card').replaceChildren(element('button', {type: 'button', className: 'close', textContent: '×', ariaLabel: 'Close', onclick: close}),
      element('h3', {textContent: title(i)}), facts);
    if (with_.children.length) $('card').append(element('p', {textContent: 'In conflict with'}), with_);
    if (placed(i)) {
      const at = unproject(...centre(i)).wrap(), lat = at.lat.toFixed(5), lon = at.lng.toFixed(5);
      $('card').append(element('a', {href: `https://www.openstreetmap.org/?mlat=${lat}&mlon=${lon}#map=15/${lat}/${lon}`, target: '_blank', rel: 'noopener noreferrer', textContent: 'in OpenStreetMap'}));
    }
    $('card').hidden = false;
    redraw();
  }
  function close() { selected = []; $('card').hidden = true; redraw(); }
  function show(i) { zoomTo([i]); select(i); }
  function showPair(k) {
    const [a, b] = t.pairs[k];
    zoomTo([a, b]);
    select(a, typeof b === 'number' ? [b] : []);
  }
  document.addEventListener('keydown', e => e.key === 'Escape' && close());
  // --- lists, search, filters
  // choose lets arrow keys walk a list's options, so that the list is one stop
  // of the Tab key however long it is.
  function choose(list, keys, pick, pickAtOnce) {
    const options = () => [...list.querySelectorAll('[role=option]')];
    const move = to => {
      for (const o of options()) o.ariaSelected = String(o === to);
      keys.setAttribute('aria-activedescendant', to.id);
      to.scrollIntoView({block: 'nearest'});
      return +to.dataset.key;
    };
    keys.addEventListener('keydown', e => {
      const all = options(), now = all.findIndex(o => o.ariaSelected === 'true');
      const to = {ArrowDown: now + 1, ArrowUp: now - 1, Enter: Math.max(now, 0), ...(pickAtOnce && {Home: 0, End: all.length - 1})}[e.key];
      const option = all[Math.max(0, Math.min(all.length - 1, to))];
      if (to === undefined || !option) return;
      e.preventDefault();
      const key = move(option);
      if (pickAtOnce || e.key === 'Enter') pick(key);
    });
    list.addEventListener('click', e => {
      const option = e.target.closest('[role=option]');
      if (option) pick(move(option));
    });
  }
  function option(list, key, words, below) {
    const o = element('li', {id: list.id + '-' + key, textContent: words, role: 'option', ariaSelected: 'false'}, element('small', {textContent: below}));
    o.dataset.key = key;
    return o;
  }
  const rest = words => element('li', {className: 'rest', textContent: words});
  function listPairs() {
    const most = 500, shown = t.pairs.map((_, k) => k).filter(k => visible[t.pairs[k][0]] || visible[t.pairs[k][1]]);
    const items = shown.slice(0, most).map(k => {
      const [a, b, shared, upTo] = t.pairs[k], own = typeof b === 'number', how = shared === null ? 'not known' : (upTo ? 'up to ' : '') + hectares(shared);
      return option($('pairs'), k, `${title(a)} – ${own ? title(b) : 'another custodian’s'}`, how + ' shared' + (own ? '' : ' · ' + b));
    });
    if (shown.length > most) items.push(rest(`and ${number(shown.length - most)} more in the table below`));
    $('pairs').replaceChildren(...items.length ? items : [rest('none')]);
  }
  choose($('pairs'), $('pairs'), showPair, true);
  const find = $('find'), found = $('found');
  const open = is => { found.hidden = !is; find.ariaExpanded = String(is); };
  function search() {
    const words = find.value.trim().toLowerCase(), items = [];
    for (let i = 0; words && i < n && items.length < 30; i++) {
      if (t.alt[i].toLowerCase().includes(words) || t.id[i].toLowerCase().includes(words)) items.push(option(found, i, title(i), [t.id[i], t.texts[t.period[i]]].filter(Boolean).join(' · ')));
    }
    found.replaceChildren(...items.length ? items : [rest('no such field')]);
    open(words !== '');
  }
  find.addEventListener('input', search);
  find.addEventListener('focus', search);
  find.addEventListener('blur', () => setTimeout(open, 200, false));
  choose(found, find, i => { open(false); show(i); }, false);
  const boxes = [...document.querySelectorAll('#states input')];
  function filter() {
    const year = $('year').value, method = $('method').value, count = [0, 0, 0, 0, 0];
    let shown = 0, area = 0;
    for (let i = 0; i < n; i++) {
      const fits = (year === '*' || t.texts[t.year[i]] === year) && (method === '*' || t.texts[t.method[i]] === method);
      if (fits) count[t.state[i]]++;
      visible[i] = fits && boxes[t.state[i]].checked;
      if (visible[i]) { shown++; area += t.ha[i]; }
    }
    boxes.forEach((b, k) => { b.parentNode.querySelector('output').value = number(count[k]); });
    $('shown').textContent = `${number(shown)} of ${number(n)} fields, ${hectares(area)}`;
    listPairs();
    redraw();
  }
  for (const [select, column] of [[$('year'), t.year], [$('method'), t.method]]) {
    const values = [...new Set(column)].map(k => t.texts[k]).sort();
    select.replaceChildren(element('option', {value: '*', textContent: 'all'}), ...values.map(v => element('option', {value: v, textContent: v || 'not said'})));
  }
  for (const input of [$('year'), $('method'), ...boxes]) input.addEventListener('change', filter);
  filter();
  // A row of the document shows its field on the map.
  document.addEventListener('click', e => {
    const row = e.target.closest('tr[data-field]');
    if (!row || String(getSelection())) return;
    const a = +row.dataset.field, k = t.pairs.findIndex(p => p[0] === a && p[1] === +row.dataset.with);
    k >= 0 ? showPair(k) : show(a);
    $('where').scrollIntoView();
  });
  // --- light, dark and paper: there the map has one size, and light colours
  const repaint = () => { paint(); redraw(); };
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);
  let before;
  const printing = is => {
    if (is) before = map.getBounds();
    root.classList.toggle('printing', is);
    map.invalidateSize({animate: false});
    map.fitBounds(before, {animate: false});
    repaint();
  };
  addEventListener('beforeprint', () => printing(true));
  addEventListener('afterprint', () => printing(false));
  root.dataset.ready = Math.round(performance.now());
})();
