// The report in Chromium. "make test-browser" writes the pages and runs this.
import {after, before, test} from 'node:test';
import assert from 'node:assert/strict';
import {existsSync} from 'node:fs';
import {chromium} from 'playwright-core';

const hostile = '</script><img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';
const patience = 600_000; // milliseconds: a machine may be slow, and only what hangs is to fail
let browser;
before(async () => {
  browser = await chromium.launch({
    timeout: patience,
    executablePath: process.env.CHROMIUM || ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync),
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
});
after(() => browser.close());

// open gives a page that shows a report. What leaves the file, and what fails
// in it, is an error at the end, but what page.expected matches.
async function open(t, name, options = {}) {
  const context = await browser.newContext({viewport: {width: 1280, height: 900}, ...options});
  context.setDefaultTimeout(patience);
  const page = await context.newPage(), wrong = [];
  context.on('request', r => r.url().startsWith('file:') && r.url().endsWith(name + '.html') || wrong.push('a request of ' + r.url()));
  page.on('pageerror', e => wrong.push(String(e)));
  page.on('console', m => m.type() === 'error' && wrong.push(m.text()));
  page.on('dialog', d => wrong.push('a dialog: ' + d.message()));
  t.after(async () => {
    await context.close();
    assert.deepEqual(wrong.filter(text => !page.expected?.test(text)), []);
  });
  await page.goto(`file://${process.env.PAGES}/${name}.html`);
  if (options.javaScriptEnabled !== false) await page.waitForFunction(() => document.documentElement.dataset.ready);
  return page;
}
const card = page => page.locator('#card h3').textContent();
const number = text => Number(text.replace(/[^\d.]/g, ''));
// pixels are those of the map's canvas in a part of it, as distinct colours.
const colours = (page, x, y, w, h) => page.evaluate(([x, y, w, h]) => {
  const canvas = document.querySelector('#map canvas'), at = canvas.getBoundingClientRect(), map = document.querySelector('#map').getBoundingClientRect();
  const scale = canvas.width / at.width, d = canvas.getContext('2d').getImageData((map.left + x - at.left) * scale, (map.top + y - at.top) * scale, w * scale, h * scale).data;
  const seen = new Set();
  for (let i = 0; i < d.length; i += 4) seen.add(d.slice(i, i + 3).join());
  return [...seen];
}, [x, y, w, h]);

test('nothing leaves the file, even when asked to', async t => {
  const page = await open(t, 'states');
  page.expected = /Content Security Policy/; // on the console, some time
  const refused = await page.evaluate(() => new Promise(done => {
    const violations = [];
    document.addEventListener('securitypolicyviolation', e => violations.push(e.effectiveDirective) === 3 && done(violations));
    fetch('data:text/plain,x').catch(() => {});
    document.body.append(Object.assign(new Image(), {src: 'data:image/png;base64,AAAA'}));
    document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hacked = 1'}));
  }));
  assert.deepEqual(refused.sort(), ['connect-src', 'img-src', 'script-src-elem']);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
});

test('a hostile alt_id is text everywhere', async t => {
  const page = await open(t, 'states');
  assert.equal(await page.locator('#fields .alt').filter({hasText: 'onerror'}).textContent(), hostile);
  await page.fill('#find', 'onerror');
  assert.match(await page.locator('#found [role=option]').textContent(), /onerror/);
  await page.press('#find', 'Enter');
  assert.equal(await card(page), hostile);
  assert.match(await page.locator('#card').textContent(), /Problem<\/script><img/);
  await page.mouse.move(...await page.locator('#map').evaluate(m => { const b = m.getBoundingClientRect(); return [b.left + (b.width - 330) / 2, b.top + b.height / 2]; }));
  await page.waitForSelector('.leaflet-tooltip');
  assert.match(await page.locator('.leaflet-tooltip').textContent(), /<img/);
  assert.equal(await page.locator('img').count(), 0);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
});

test('the sums of the tables equal the fields', async t => {
  const page = await open(t, 'states');
  const column = await page.locator('#fields tbody tr td:nth-child(7)').allTextContents();
  const sum = column.map(c => c === '–' ? 0 : number(c)).reduce((a, b) => a + b);
  assert.equal(column.length, 40);
  for (const place of ['#fields tfoot td', '#summary .figures div:nth-child(2) dd']) {
    assert.ok(Math.abs(number((await page.locator(place).first().textContent())) - sum) < .01 * 40, place);
  }
  for (const k of [0, 1]) {
    const table = page.locator('#counts table').nth(k);
    const cells = async n => (await table.locator(`tbody td:nth-child(${n})`).allTextContents()).map(number).reduce((a, b) => a + b);
    assert.equal(await cells(2), 40);
    assert.ok(Math.abs(await cells(3) - sum) < .4);
  }
  assert.equal(await page.locator('#conflicts tbody tr').count(), 34);
  assert.equal(await page.locator('#shown').textContent(), '40 of 40 fields, ' + (await page.locator('#summary .figures div:nth-child(2) dd').first().textContent()));
});

test('pairs, search and rows show their fields', async t => {
  const page = await open(t, 'states');
  await page.locator('#pairs [role=option]').first().click();
  assert.equal(await card(page), 'field-00');
  assert.match(await page.locator('#card ul').textContent(), /field-01 30\.00 ha/);
  await page.locator('#card ul button').click();
  await page.fill('#find', 'SRC_0000000000004');
  await page.press('#find', 'Enter');
  assert.equal(await card(page), 'field-04');
  assert.match(await page.locator('#card').textContent(), /src_elsewhere0002 up to 35\.67 ha/);
  assert.match(await page.locator('#card a').getAttribute('href'), /^https:\/\/www\.openstreetmap\.org\/\?mlat=48\.00500&mlon=9\.08500#map=15\//);
  await page.keyboard.press('Escape');
  assert.ok(await page.locator('#card').isHidden());
  await page.locator('#fields tr', {hasText: 'field-05'}).locator('td').nth(2).click();
  assert.equal(await card(page), 'field-05');
  assert.match(await page.locator('#card').textContent(), /A marsh/);
  await page.fill('#find', 'nowhere');
  assert.equal(await page.locator('#found').textContent(), 'no such field');
});

test('the overlap of two own fields is hatched, and a click picks a field', async t => {
  const page = await open(t, 'states');
  await page.locator('#pairs [role=option]').first().click();
  await page.keyboard.press('Escape');
  // The pair's middle is where both overlap; beside it is the first alone.
  const map = await page.locator('#map').boundingBox(), x = (map.width - 330) / 2, y = map.height / 2 - 60;
  const both = await colours(page, x - 15, y - 15, 30, 30), one = await colours(page, x - 130, y - 10, 20, 20);
  assert.ok(both.length > 3, `${both.length} colours where they overlap`);
  assert.equal(one.length, 1);
  await page.mouse.click(map.x + x - 120, map.y + y);
  assert.equal(await card(page), 'field-00');
});

test('filters', async t => {
  const page = await open(t, 'states');
  await page.selectOption('#year', '2026');
  assert.match(await page.locator('#shown').textContent(), /^20 of 40 fields/);
  await page.selectOption('#method', 'Reforestation');
  assert.match(await page.locator('#shown').textContent(), /^0 of 40 fields/);
  await page.selectOption('#year', '*');
  assert.match(await page.locator('#shown').textContent(), /^10 of 40 fields/);
  await page.selectOption('#method', '*');
  const before = await page.evaluate(() => document.documentElement.dataset.drawn);
  for (const state of ['clear', 'conflict with own', 'conflict with both']) await page.getByLabel(state, {exact: false}).first().uncheck();
  assert.match(await page.locator('#shown').textContent(), /^2 of 40 fields/);
  assert.notEqual(await page.evaluate(() => document.documentElement.dataset.drawn), before);
  assert.equal(await page.locator('#pairs [role=option]').count(), 1);
});

test('the keyboard reaches everything in few steps', async t => {
  const page = await open(t, 'states');
  const stops = new Set();
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press('Tab');
    stops.add(await page.evaluate(() => document.activeElement.id || document.activeElement.className || document.activeElement.tagName));
  }
  for (const stop of ['map', 'find', 'year', 'method', 'pairs']) assert.ok(stops.has(stop), `${stop} is not in ${[...stops]}`);
  assert.ok(await page.evaluate(() => document.querySelectorAll('a[href], button, input, select, [tabindex="0"]').length) < 25);
  await page.focus('#pairs');
  await page.keyboard.press('ArrowDown');
  assert.equal(await card(page), 'field-00');
  await page.keyboard.press('End');
  assert.equal(await page.locator('#pairs [aria-selected=true]').count(), 1);
  assert.match(await page.locator('#pairs [aria-selected=true]').textContent(), /another custodian/);
  await page.focus('#map');
  const scale = () => page.locator('.leaflet-control-scale-line').first().textContent();
  const before = await scale();
  await page.keyboard.press('-');
  await page.waitForFunction(b => document.querySelector('.leaflet-control-scale-line').textContent !== b, before);
});

test('the wheel scrolls the page, and zooms with Ctrl or the focus', async t => {
  const page = await open(t, 'states');
  const scale = () => page.locator('.leaflet-control-scale-line').first().textContent();
  const map = await page.locator('#map').boundingBox(), before = await scale();
  await page.mouse.move(map.x + 300, map.y + 100);
  await page.evaluate(() => { // the hint goes by itself, so whether it came is noted
    const hint = document.querySelector('#hint');
    new MutationObserver(() => { window.hinted ||= !hint.hidden; }).observe(hint, {attributes: true});
  });
  await page.mouse.wheel(0, 50);
  await page.waitForFunction(() => scrollY > 0 && window.hinted);
  assert.equal(await scale(), before);
  await page.keyboard.down('Control');
  await page.mouse.wheel(0, 200);
  await page.waitForFunction(b => document.querySelector('.leaflet-control-scale-line').textContent !== b, before);
});

test('light and dark', async t => {
  const light = await colours(await open(t, 'states'), 2, 200, 4, 4);
  const page = await open(t, 'states', {colorScheme: 'dark'});
  const dark = await colours(page, 2, 200, 4, 4);
  assert.ok(light[0].split(',').every(c => c > 200), light[0]);
  assert.ok(dark[0].split(',').every(c => c < 80), dark[0]);
  // The map paints at this event too, and its listener is the older one.
  await page.evaluate(() => { matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { window.changed = true; }); });
  await page.emulateMedia({colorScheme: 'light'});
  await page.waitForFunction(() => window.changed);
  assert.deepEqual(await colours(page, 2, 200, 4, 4), light);
});

test('a phone', async t => {
  const page = await open(t, 'states', {viewport: {width: 390, height: 844}, isMobile: true, hasTouch: true});
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
  const map = await page.locator('#map').boundingBox();
  assert.ok(map.width > 340 && map.height < 600, JSON.stringify(map));
  await page.locator('#pairs [role=option]').first().click();
  const box = await page.locator('#card').boundingBox(), now = await page.locator('#map').boundingBox();
  assert.ok(box.y >= now.y + now.height, 'the card covers the map');
});

test('paper', async t => {
  const page = await open(t, 'states', {colorScheme: 'dark'});
  await page.emulateMedia({media: 'print', colorScheme: 'dark'});
  await page.evaluate(() => dispatchEvent(new Event('beforeprint')));
  assert.deepEqual(await page.locator('#map').evaluate(m => [m.offsetWidth, m.offsetHeight]), [680, 440]);
  assert.ok((await colours(page, 2, 200, 4, 4))[0].split(',').every(c => c > 200));
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(255, 255, 255)');
  assert.ok(await page.locator('#find').isHidden());
  await page.emulateMedia({media: 'screen', colorScheme: 'dark'});
  await page.evaluate(() => dispatchEvent(new Event('afterprint')));
  assert.ok((await colours(page, 2, 200, 4, 4))[0].split(',').every(c => c < 80));
  assert.ok((await page.pdf({format: 'A4', printBackground: true})).length > 20_000);
});

test('without JavaScript the document is whole', async t => {
  const page = await open(t, 'states', {javaScriptEnabled: false});
  assert.ok(await page.locator('#where').isHidden());
  assert.equal(await page.locator('#fields tbody tr').count(), 40);
  assert.equal(await page.locator('#conflicts tbody tr').count(), 34);
  const said = await page.locator('#said').textContent();
  for (const what of ['src_elsewhere0001', 'A marsh', 'the ring crosses itself']) assert.ok(said.includes(what), what);
  for (const head of ['Source ID', 'Alt ID', 'Country', 'Overlap %', 'Hectares']) assert.ok(said.includes(head), head);
  assert.match(await page.locator('#summary').textContent(), /36 of 40 fields are in conflict/);
});

test('fields on both sides of the antimeridian lie side by side', async t => {
  const page = await open(t, 'fiji');
  assert.match(await page.locator('.leaflet-control-scale-line').first().textContent(), /^\d+ m$|^[1-3] km$/);
  assert.equal(await page.evaluate(() => document.documentElement.dataset.drawn), '2 drawn, 0 marks');
});

for (const [name, fields] of [['large', '20,000'], ['largest', '95,000']]) {
  test(`${fields} fields`, async t => {
    const page = await open(t, name);
    assert.match(await page.locator('#shown').textContent(), new RegExp(`^${fields} of ${fields} fields`));
    const bytes = await page.evaluate(() => performance.memory.usedJSHeapSize);
    t.diagnostic(`drawn ${await page.evaluate(() => document.documentElement.dataset.ready)} ms after it was opened, with ${Math.round(bytes / 1e6)} MB of JavaScript's memory`);
    await page.fill('#find', 'FARM-19999');
    await page.press('#find', 'Enter');
    assert.equal(await card(page), 'FARM-19999');
    assert.match(await page.evaluate(() => document.documentElement.dataset.drawn), /^[1-9]/);
    assert.match(await page.locator('#fields').textContent(), /fields have nothing to say and are only in the map above. meti report -o csv/);
  });
}
