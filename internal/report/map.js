'use strict';
// The map of a report. The document is whole without it.
(async () => {
  const $ = id => document.getElementById(id);
  const data = await unpack($('packed').textContent);
  const t = data.table, n = t.id.length;
  $('packed').remove();
  if (!$('map')) return;
  const CLEAR = 0, OWN = 1, OTHER = 2, BOTH = 3, INVALID = 4;
  const names = ['clear', 'own', 'other', 'both', 'invalid'];

  // --- data ---------------------------------------------------------------

  // unpack reads what pack.go writes.
  async function unpack(text) {
    const zipped = Uint8Array.from(atob(text), c => c.charCodeAt(0));
    const stream = new Blob([zipped]).stream().pipeThrough(new DecompressionStream('gzip'));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    const view = new DataView(bytes.buffer);
    let at = 0;
    const part = () => {
      const size = view.getUint32(at, true);
      at += 4 + size;
      return bytes.subarray(at - size, at);
    };
    const table = JSON.parse(new TextDecoder().decode(part()));
    return {
      table,
      fields: shapes(part(), part(), part(), table.id.length, 1e6),
      land: shapes(part(), part(), part(), table.land.length, 1e3),
    };
  }

  // varints gives a function that reads one number after another.
  function varints(bytes) {
    let at = 0;
    return () => {
      let value = 0, factor = 1, byte;
      do {
        byte = bytes[at++];
        value += (byte & 127) * factor;
        factor *= 128;
      } while (byte > 127);
      return value;
    };
  }

  // shapes reads geometries: x and y in degrees; where each ring begins, and
  // which ring begins each geometry. A polygon's holes are rings like its shell.
  function shapes(counts, low, rest, length, scale) {
    const count = varints(counts), more = varints(rest), size = low.length / 2;
    const x = new Float64Array(size), y = new Float64Array(size);
    const rings = [0], first = new Uint32Array(length + 1);
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
    return {x, y, rings: Uint32Array.from(rings), first, length};
  }

  // The world is cut in the widest gap between fields, and laid out from there.
  function cut(g) {
    const lons = [];
    for (let i = 0; i < g.length; i++) if (g.first[i] < g.first[i + 1]) lons.push(((g.x[g.rings[g.first[i]]] + 540) % 360 + 360) % 360 - 180);
    if (!lons.length) return -180;
    lons.sort((a, b) => a - b);
    let widest = lons[0] + 360 - lons[lons.length - 1], at = lons[0] - widest / 2;
    for (let i = 1; i < lons.length; i++) {
      const gap = lons[i] - lons[i - 1];
      if (gap > widest) [widest, at] = [gap, lons[i] - gap / 2];
    }
    if (widest > 358) at = lons[0] - 180;
    return at;
  }

  // project turns degrees into pixels of zoom 0, in place, and measures boxes.
  function project(g, west) {
    g.box = new Float64Array(4 * g.length);
    for (let i = 0; i < g.length; i++) {
      const from = g.rings[g.first[i]], to = g.rings[g.first[i + 1]];
      const shift = west === undefined ? 0 : Math.ceil((west - g.x[from]) / 360) * 360;
      let w = Infinity, e = -Infinity, s = -Infinity, top = Infinity;
      for (let k = from; k < to; k++) {
        const lat = Math.max(-85, Math.min(85, g.y[k])) * Math.PI / 180;
        const px = g.x[k] = (g.x[k] + shift + 180) / 360 * 256;
        const py = g.y[k] = 128 - 128 / Math.PI * Math.log(Math.tan(Math.PI / 4 + lat / 2));
        if (px < w) w = px;
        if (px > e) e = px;
        if (py < top) top = py;
        if (py > s) s = py;
      }
      g.box.set([w, top, e, s], 4 * i);
    }
  }

  const fields = data.fields, land = data.land, west = cut(fields);
  project(fields, west);
  project(land);
  const box = fields.box, visible = new Uint8Array(n).fill(1);
  const placed = i => box[4 * i] <= box[4 * i + 2];
  const centre = i => [(box[4 * i] + box[4 * i + 2]) / 2, (box[4 * i + 1] + box[4 * i + 3]) / 2];
  const size = i => Math.max(box[4 * i + 2] - box[4 * i], box[4 * i + 3] - box[4 * i + 1]);
  const partners = new Map(); // of a field: its pairs
  t.pairs.forEach((p, k) => {
    for (const i of [p[0], p[1]]) if (typeof i === 'number') partners.has(i) ? partners.get(i).push(k) : partners.set(i, [k]);
  });
  const order = Uint32Array.from({length: n}, (_, i) => i).sort((a, b) => t.state[a] - t.state[b] || a - b); // conflicts on top
  const title = i => t.alt[i] || t.id[i] || 'field ' + (i + 1);
  const number = (v, digits) => v.toLocaleString('en', {minimumFractionDigits: digits, maximumFractionDigits: digits});
  const hectares = v => v === null ? '–' : number(v, 2) + ' ha';
  const percent = v => v > 0 && v < .001 ? '< 0.1 %' : number(100 * v, 1) + ' %';

  // --- map ----------------------------------------------------------------

  const bounds = (w, top, e, s) => L.latLngBounds(unproject(w, s), unproject(e, top));
  function unproject(x, y) { return L.CRS.EPSG3857.pointToLatLng(L.point(x, y), 0); }
  const map = L.map('map', {
    zoomSnap: .5, maxZoom: 20, minZoom: 0, scrollWheelZoom: false, attributionControl: false, worldCopyJump: false,
    maxBounds: [[-85, west], [85, west + 360]], maxBoundsViscosity: 1,
  });
  L.control.scale().addTo(map);
  L.control.attribution({prefix: false}).addAttribution('Leaflet, Natural Earth').addTo(map);
  function everywhere(shown) {
    let w = Infinity, top = Infinity, e = -Infinity, s = -Infinity;
    for (let i = 0; i < n; i++) if (placed(i) && shown[i]) {
      w = Math.min(w, box[4 * i]); top = Math.min(top, box[4 * i + 1]);
      e = Math.max(e, box[4 * i + 2]); s = Math.max(s, box[4 * i + 3]);
    }
    return w <= e ? bounds(w, top, e, s) : L.latLngBounds([-60, west + 1], [75, west + 359]);
  }
  $('where').hidden = false;
  document.documentElement.classList.add('live');
  map.fitBounds(everywhere(visible), {maxZoom: 16, padding: [24, 24]});

  let colours, hatch, selected = -1, pair = null, marks = [], names_ = [];
  function paint() {
    const css = getComputedStyle(document.documentElement);
    colours = {};
    for (const name of ['sea', 'land', 'border', 'place', 'halo', 'text', 'page', 'select', ...names]) colours[name] = css.getPropertyValue('--' + name).trim();
    const tile = document.createElement('canvas');
    tile.width = tile.height = 8;
    const c = tile.getContext('2d');
    c.strokeStyle = colours.own;
    c.lineWidth = 1.6;
    c.beginPath();
    for (const k of [-8, 0, 8]) { c.moveTo(k - 2, 10); c.lineTo(k + 10, -2); }
    c.stroke();
    hatch = c.createPattern(tile, 'repeat');
  }

  // trace makes a path of a geometry, without positions that fall together.
  function trace(c, g, i, scale, ox, oy) {
    for (let r = g.first[i]; r < g.first[i + 1]; r++) {
      let lx = NaN, ly = NaN;
      for (let k = g.rings[r], end = g.rings[r + 1]; k < end; k++) {
        const x = g.x[k] * scale - ox, y = g.y[k] * scale - oy;
        if (Math.abs(x - lx) < .7 && Math.abs(y - ly) < .7) continue;
        lx === lx ? c.lineTo(x, y) : c.moveTo(x, y);
        lx = x; ly = y;
      }
      c.closePath();
    }
  }

  // symbol draws the mark of a state.
  function symbol(c, state, x, y, r) {
    c.beginPath();
    switch (state) {
      case CLEAR: c.arc(x, y, r * .8, 0, 7); break;
      case OWN: c.moveTo(x, y - r); c.lineTo(x + r, y); c.lineTo(x, y + r); c.lineTo(x - r, y); break;
      case OTHER: c.moveTo(x, y - r); c.lineTo(x + r, y + r * .8); c.lineTo(x - r, y + r * .8); break;
      case BOTH: for (let k = 0; k < 8; k++) { const a = k * Math.PI / 4, d = k % 2 ? r * .42 : r * 1.15; c.lineTo(x + d * Math.sin(a), y - d * Math.cos(a)); } break;
      default:
        c.moveTo(x - r, y - r); c.lineTo(x + r, y + r); c.moveTo(x + r, y - r); c.lineTo(x - r, y + r);
        c.strokeStyle = colours.page; c.lineWidth = 4.5; c.stroke();
        c.strokeStyle = colours.invalid; c.lineWidth = 2.2; c.stroke();
        return;
    }
    c.closePath();
    c.lineWidth = 1.5;
    c.strokeStyle = colours.page;
    c.fillStyle = colours[names[state]];
    c.fill();
    c.stroke();
  }

  const dashes = [[], [], [7, 4], [9, 3, 2, 3], [2, 3]];

  function drawField(c, i, scale, ox, oy) {
    const state = t.state[i], px = size(i) * scale;
    c.beginPath();
    trace(c, fields, i, scale, ox, oy);
    c.fillStyle = colours[names[state]];
    c.globalAlpha = state === CLEAR ? .28 : state === INVALID ? .12 : .2;
    c.fill('evenodd');
    c.globalAlpha = 1;
    c.strokeStyle = c.fillStyle;
    c.lineWidth = px < 12 ? 1 : state === CLEAR ? 1.2 : 2;
    c.setLineDash(px < 12 ? [] : dashes[state]);
    c.stroke();
    c.setLineDash([]);
  }

  function text(c, words, x, y, font, colour) {
    c.font = font;
    c.lineWidth = 3;
    c.strokeStyle = colours.halo;
    c.strokeText(words, x, y);
    c.fillStyle = colour;
    c.fillText(words, x, y);
  }

  function drawLand(c, scale, ox, oy, west, top, east, south) {
    c.fillStyle = colours.sea;
    c.fillRect(west * scale - ox, top * scale - oy, (east - west) * scale, (south - top) * scale);
    const named = new Map();
    c.fillStyle = colours.land;
    c.strokeStyle = colours.border;
    c.lineWidth = .8;
    for (let i = 0; i < land.length; i++) {
      for (let k = -256; k <= 256; k += 256) {
        if (land.box[4 * i] + k > east || land.box[4 * i + 2] + k < west || land.box[4 * i + 1] > south || land.box[4 * i + 3] < top) continue;
        c.beginPath();
        trace(c, land, i, scale, ox - k * scale, oy);
        c.fill('evenodd');
        c.stroke();
        const wide = land.box[4 * i + 2] - land.box[4 * i], known = named.get(t.land[i] + k);
        if (!known || known.wide < wide) named.set(t.land[i] + k, {name: t.land[i], i, k, wide});
      }
    }
    names_ = named;
  }

  // drawNames writes the names of countries that have room for them.
  function drawNames(c, scale, ox, oy) {
    for (const {name, i, k, wide} of names_.values()) {
      if (wide * scale < 11 * name.length + 16 || wide * scale > 6000) continue;
      let x = 0, y = 0, area = 0;
      for (let p = land.rings[land.first[i]], end = land.rings[land.first[i] + 1], q = end - 1; p < end; q = p++) {
        const a = land.x[q] * land.y[p] - land.x[p] * land.y[q];
        area += a; x += (land.x[p] + land.x[q]) * a; y += (land.y[p] + land.y[q]) * a;
      }
      if (area) text(c, name, (x / (3 * area) + k) * scale - ox, y / (3 * area) * scale - oy, '12px system-ui, sans-serif', colours.place);
    }
  }

  // Fields that are too small to be seen are counted, those of one place
  // together; a field is drawn, marked or counted, and never two of these.
  function sort(scale, west, top, east, south) {
    const cells = new Map(), drawn = [];
    for (const i of order) {
      if (!visible[i] || !placed(i) || box[4 * i] > east || box[4 * i + 2] < west || box[4 * i + 1] > south || box[4 * i + 3] < top) continue;
      const [x, y] = centre(i), key = Math.floor(x * scale / 60) * 1e7 + Math.floor(y * scale / 60);
      let cell = cells.get(key);
      if (!cell) cells.set(key, cell = {x: 0, y: 0, n: 0, size: 0, states: [0, 0, 0, 0, 0], fields: []});
      cell.x += x * scale; cell.y += y * scale; cell.n++;
      cell.size += size(i) * scale;
      cell.states[t.state[i]]++;
      cell.fields.push(i);
    }
    let list = [];
    for (const cell of cells.values()) {
      if (cell.size / cell.n >= 6) drawn.push(...cell.fields);
      else list.push(cell);
    }
    list.sort((a, b) => b.n - a.n);
    const kept = [];
    for (const cell of list) {
      cell.r = cell.n === 1 ? 6 : 12 + 3.2 * Math.log10(cell.n);
      const near = kept.find(k => Math.hypot(k.x / k.n - cell.x / cell.n, k.y / k.n - cell.y / cell.n) < (k.r + cell.r) * .9);
      if (!near) { kept.push(cell); continue; }
      near.x += cell.x; near.y += cell.y; near.n += cell.n;
      near.states = near.states.map((v, k) => v + cell.states[k]);
      near.fields = near.fields.concat(cell.fields);
      near.r = 12 + 3.2 * Math.log10(near.n);
    }
    drawn.sort((a, b) => t.state[a] - t.state[b] || a - b);
    return [drawn, kept];
  }

  const short = v => v < 1e4 ? String(v) : Math.round(v / 1e3) + 'k';

  function drawMark(c, mark) {
    const x = mark.px, y = mark.py;
    if (mark.n === 1) return symbol(c, t.state[mark.fields[0]], x, y, 6);
    c.beginPath();
    c.arc(x, y, mark.r, 0, 7);
    c.fillStyle = colours.page;
    c.fill();
    const parts = mark.states.map((count, state) => count && Math.max(count / mark.n, state ? .05 : 0));
    const whole = parts.reduce((a, b) => a + b) / (2 * Math.PI);
    let from = -Math.PI / 2;
    [OWN, BOTH, OTHER, INVALID, CLEAR].forEach(state => {
      if (!parts[state]) return;
      const to = from + parts[state] / whole;
      c.beginPath();
      c.arc(x, y, mark.r - (state ? 1 : 0), from, to);
      c.strokeStyle = colours[names[state]];
      c.lineWidth = state ? 5 : 2;
      c.stroke();
      from = to;
    });
    c.font = '600 11px system-ui, sans-serif';
    c.fillStyle = colours.text;
    c.fillText(short(mark.n), x, y + .5);
  }

  function draw(c, area) {
    const scale = 2 ** map.getZoom(), {x: ox, y: oy} = map.getPixelOrigin();
    const west = (area.min.x + ox) / scale, east = (area.max.x + ox) / scale, top = (area.min.y + oy) / scale, south = (area.max.y + oy) / scale;
    c.textAlign = 'center';
    c.textBaseline = 'middle';
    c.lineJoin = 'round';
    drawLand(c, scale, ox, oy, west, top, east, south);
    drawNames(c, scale, ox, oy);
    const [drawn, counted] = sort(scale, west, top, east, south);
    const there = new Set(drawn);
    for (const i of drawn) drawField(c, i, scale, ox, oy);
    for (const [a, b] of t.pairs) {
      if (!there.has(a) || !there.has(b) || size(a) * scale < 10) continue;
      c.save();
      for (const i of [a, b]) { c.beginPath(); trace(c, fields, i, scale, ox, oy); c.clip('evenodd'); }
      c.fillStyle = hatch;
      c.fillRect(box[4 * a] * scale - ox, box[4 * a + 1] * scale - oy, (box[4 * a + 2] - box[4 * a]) * scale, (box[4 * a + 3] - box[4 * a + 1]) * scale);
      c.restore();
    }
    let labels = 0;
    for (const i of drawn) {
      const px = size(i) * scale, [x, y] = centre(i), state = t.state[i];
      const marked = state !== CLEAR && px >= 18;
      if (marked) symbol(c, state, x * scale - ox, y * scale - oy, 6);
      if (px > 8 * title(i).length + 20 && labels++ < 150) text(c, title(i), x * scale - ox, y * scale - oy + (marked ? 16 : 0), '12px system-ui, sans-serif', colours.text);
    }
    marks = counted;
    for (const mark of marks) {
      mark.px = mark.x / mark.n - ox;
      mark.py = mark.y / mark.n - oy;
      drawMark(c, mark);
    }
    for (const i of pair || (selected >= 0 ? [selected] : [])) {
      if (typeof i !== 'number' || !placed(i)) continue;
      c.beginPath();
      if (there.has(i)) trace(c, fields, i, scale, ox, oy);
      else c.arc(centre(i)[0] * scale - ox, centre(i)[1] * scale - oy, 10, 0, 7);
      c.strokeStyle = colours.page; c.lineWidth = 5; c.stroke();
      c.strokeStyle = colours.select; c.lineWidth = 2.5; c.stroke();
    }
    document.documentElement.dataset.drawn = drawn.length + ' drawn, ' + counted.length + ' marks';
  }

  const Canvas = L.Canvas.extend({_draw() { draw(this._ctx, this._bounds); }});
  paint();
  const canvas = new Canvas({padding: .2}).addTo(map);
  const redraw = () => canvas._updatePaths();

  // --- picking ------------------------------------------------------------

  // under gives the mark or the field under a point of the map; of several
  // fields the smallest.
  function under(point) {
    for (const mark of marks) if (Math.hypot(mark.px - point.x, mark.py - point.y) <= mark.r + 2) return mark.n > 1 ? {mark} : {field: mark.fields[0]};
    const scale = 2 ** map.getZoom(), origin = map.getPixelOrigin();
    const x = (point.x + origin.x) / scale, y = (point.y + origin.y) / scale;
    let best = -1;
    for (let i = 0; i < n; i++) {
      if (!visible[i] || x < box[4 * i] || x > box[4 * i + 2] || y < box[4 * i + 1] || y > box[4 * i + 3]) continue;
      if (inside(i, x, y) && (best < 0 || size(i) < size(best))) best = i;
    }
    return best < 0 ? {} : {field: best};
  }

  function inside(i, x, y) {
    let odd = false;
    for (let r = fields.first[i]; r < fields.first[i + 1]; r++) {
      const from = fields.rings[r], end = fields.rings[r + 1];
      for (let k = from, l = end - 1; k < end; l = k++) {
        const yk = fields.y[k], yl = fields.y[l];
        if (yk > y !== yl > y && x < (fields.x[l] - fields.x[k]) * (y - yk) / (yl - yk) + fields.x[k]) odd = !odd;
      }
    }
    return odd;
  }

  const tip = L.tooltip({direction: 'top', offset: [0, -8], opacity: 1});
  let waiting = false;
  map.on('mousemove', e => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      const hit = under(e.layerPoint);
      $('map').classList.toggle('over', hit.mark !== undefined || hit.field !== undefined);
      if (hit.mark) {
        const s = hit.mark.states;
        tip.setContent(line(`${number(hit.mark.n, 0)} fields` + (hit.mark.n > s[CLEAR] ? `, ${number(s[OWN] + s[OTHER] + s[BOTH], 0)} in conflict` : ''))).setLatLng(e.latlng).addTo(map);
      } else if (hit.field !== undefined) {
        tip.setContent(line(`${title(hit.field)} · ${hectares(t.ha[hit.field])}`)).setLatLng(e.latlng).addTo(map);
      } else tip.remove();
    });
  });
  map.on('mouseout', () => tip.remove());
  map.on('click', e => {
    const hit = under(e.layerPoint);
    if (hit.mark) zoomTo(hit.mark.fields);
    else if (hit.field !== undefined) select(hit.field);
    else close();
  });

  function zoomTo(list) {
    const shown = new Uint8Array(n);
    for (const i of list) if (typeof i === 'number') shown[i] = 1;
    map.fitBounds(everywhere(shown), {maxZoom: 17, paddingTopLeft: [50, 50], paddingBottomRight: [map.getSize().x > 640 && list.length <= 2 ? 380 : 50, 50], animate: !matchMedia('(prefers-reduced-motion: reduce)').matches && list.length > 2});
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

  // --- card ---------------------------------------------------------------

  function element(name, properties, ...children) {
    const e = Object.assign(document.createElement(name), properties);
    e.append(...children);
    return e;
  }
  // Foreign text goes into the page as text, never as HTML.
  function line(words) { return element('span', {textContent: words}); }

  function select(i) {
    selected = i;
    pair = null;
    const said = t.said[i] || {}, card = $('card'), facts = element('dl');
    const fact = (name, value) => value && facts.append(element('dt', {textContent: name}), element('dd', {textContent: value}));
    fact(t.alt[i] ? 'Source ID' : '', t.id[i]);
    fact('State', document.querySelectorAll('#states span')[t.state[i]].textContent);
    fact('Area', t.ha[i] === null ? '' : `${hectares(t.ha[i])}, ${number(t.ha[i] * 2.4710538146717, 2)} acres`);
    fact('Overlap', t.share[i] === null ? '' : percent(t.share[i]) + ' of it');
    fact('Country', t.texts[t.country[i]]);
    fact('Period', t.texts[t.period[i]]);
    fact('Methodology', t.texts[t.method[i]]);
    fact('Protected area', said.protected);
    for (const problem of said.problems || []) fact('Problem', problem);
    const with_ = element('ul');
    for (const k of partners.get(i) || []) {
      const [a, b, shared, upTo] = t.pairs[k], other = a === i ? b : a;
      const share = shared === null ? '' : ` ${upTo ? 'up to ' : ''}${hectares(shared)}`;
      with_.append(element('li', {}, typeof other === 'number'
        ? element('button', {type: 'button', textContent: title(other), onclick: () => showPair(k)}) : line(other || 'not said'), share));
    }
    card.replaceChildren(element('button', {type: 'button', className: 'close', textContent: '×', ariaLabel: 'Close', onclick: close}),
      element('h3', {textContent: title(i)}), facts);
    if (with_.children.length) card.append(element('p', {textContent: 'In conflict with'}), with_);
    if (placed(i)) {
      const at = unproject(...centre(i)).wrap(), [lat, lon] = [at.lat.toFixed(5), at.lng.toFixed(5)];
      card.append(element('a', {href: `https://www.openstreetmap.org/?mlat=${lat}&mlon=${lon}#map=15/${lat}/${lon}`, target: '_blank', rel: 'noopener noreferrer', textContent: 'in OpenStreetMap'}));
    }
    card.hidden = false;
    redraw();
  }
  function close() {
    selected = -1;
    pair = null;
    $('card').hidden = true;
    redraw();
  }
  document.addEventListener('keydown', e => { if (e.key === 'Escape') close(); });
  function show(i) { zoomTo([i]); select(i); }
  function showPair(k) {
    zoomTo(t.pairs[k].slice(0, 2));
    select(t.pairs[k][0]);
    pair = t.pairs[k].slice(0, 2);
    redraw();
  }

  // --- lists, search, filters ---------------------------------------------

  // choose lets arrow keys walk a list's options, so that the list is one stop
  // of the Tab key however long it is.
  function choose(list, keys, pick, onArrow) {
    const move = to => {
      const options = [...list.querySelectorAll('[role=option]')];
      const now = options.findIndex(o => o.ariaSelected === 'true'), next = options[Math.max(0, Math.min(options.length - 1, to(now, options.length)))];
      if (!next) return;
      for (const o of options) o.ariaSelected = String(o === next);
      keys.setAttribute('aria-activedescendant', next.id);
      next.scrollIntoView({block: 'nearest'});
      if (onArrow) pick(+next.dataset.key);
    };
    keys.addEventListener('keydown', e => {
      const to = {ArrowDown: i => i + 1, ArrowUp: i => i - 1, ...(onArrow && {Home: () => 0, End: (_, all) => all - 1})}[e.key];
      const now = list.querySelector('[aria-selected=true]') || list.querySelector('[role=option]');
      if (to) move(to);
      else if (e.key === 'Enter' && now) pick(+now.dataset.key);
      else return;
      e.preventDefault();
    });
    list.addEventListener('click', e => {
      const option = e.target.closest('[role=option]');
      if (!option) return;
      move(() => [...list.querySelectorAll('[role=option]')].indexOf(option));
      if (!onArrow) pick(+option.dataset.key);
    });
  }
  function option(list, key, words, below) {
    const o = element('li', {id: list.id + '-' + key, textContent: words, role: 'option', ariaSelected: 'false'}, element('small', {textContent: below}));
    o.dataset.key = key;
    return o;
  }

  const most = 500;
  function listPairs() {
    const items = [];
    let count = 0;
    t.pairs.forEach(([a, b, shared, upTo], k) => {
      const own = typeof b === 'number';
      if (!visible[a] && !(own && visible[b])) return;
      if (++count <= most) items.push(option($('pairs'), k, `${title(a)} – ${own ? title(b) : 'another custodian’s'}`, (shared === null ? '' : (upTo ? 'up to ' : '') + hectares(shared) + ' shared') + (own ? '' : ' · ' + b)));
    });
    if (count > most) items.push(element('li', {className: 'rest', textContent: `and ${number(count - most, 0)} more in the table below`}));
    if (!count) items.push(element('li', {className: 'rest', textContent: 'none'}));
    $('pairs').replaceChildren(...items);
  }
  choose($('pairs'), $('pairs'), showPair, true);

  const find = $('find'), found = $('found');
  function search() {
    const words = find.value.trim().toLowerCase(), items = [];
    for (let i = 0; words && i < n && items.length < 30; i++) {
      if (t.alt[i].toLowerCase().includes(words) || t.id[i].toLowerCase().includes(words)) items.push(option(found, i, title(i), [t.id[i], t.texts[t.period[i]]].filter(Boolean).join(' · ')));
    }
    if (words && !items.length) items.push(element('li', {className: 'rest', textContent: 'no such field'}));
    found.replaceChildren(...items);
    found.hidden = !items.length;
    find.ariaExpanded = String(!found.hidden);
  }
  const leave = () => { found.hidden = true; find.ariaExpanded = 'false'; };
  find.addEventListener('input', search);
  find.addEventListener('focus', search);
  find.addEventListener('blur', () => setTimeout(leave, 200));
  choose(found, find, i => { leave(); show(i); }, false);

  function fill(select, column) {
    const values = [...new Set(column)].map(k => t.texts[k]).sort();
    select.replaceChildren(element('option', {value: '*', textContent: 'all'}), ...values.map(v => element('option', {value: v, textContent: v || 'not said'})));
    select.addEventListener('change', filter);
  }
  const boxes = [...document.querySelectorAll('#states input')];
  function filter() {
    const year = $('year').value, method = $('method').value, count = [0, 0, 0, 0, 0];
    let shown = 0, area = 0;
    for (let i = 0; i < n; i++) {
      const fits = (year === '*' || t.texts[t.year[i]] === year) && (method === '*' || t.texts[t.method[i]] === method);
      if (fits) count[t.state[i]]++;
      visible[i] = fits && boxes[t.state[i]].checked ? 1 : 0;
      if (visible[i]) { shown++; area += t.ha[i] || 0; }
    }
    boxes.forEach((b, k) => { b.parentNode.querySelector('output').value = number(count[k], 0); });
    $('shown').textContent = `${number(shown, 0)} of ${number(n, 0)} fields, ${hectares(area)}`;
    listPairs();
    redraw();
  }
  fill($('year'), t.year);
  fill($('method'), t.method);
  for (const b of boxes) b.addEventListener('change', filter);
  filter();

  // A row of the document shows its field on the map.
  document.addEventListener('click', e => {
    const row = e.target.closest('tr[data-field]');
    if (!row || String(getSelection())) return;
    const a = +row.dataset.field, k = 'with' in row.dataset ? t.pairs.findIndex(p => p[0] === a && p[1] === +row.dataset.with) : -1;
    k >= 0 ? showPair(k) : show(a);
    $('where').scrollIntoView();
  });

  // --- light, dark and paper ----------------------------------------------

  const repaint = () => { paint(); redraw(); };
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);
  let before;
  const resize = () => { map.invalidateSize({animate: false}); map.fitBounds(before, {animate: false}); repaint(); };
  addEventListener('beforeprint', () => {
    before = map.getBounds();
    document.documentElement.classList.add('printing');
    resize();
  });
  addEventListener('afterprint', () => {
    document.documentElement.classList.remove('printing');
    resize();
  });
  document.documentElement.dataset.ready = Math.round(performance.now());
})();
