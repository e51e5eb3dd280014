// Opens a page in headless Chromium and has it fetch addresses: node fetch.mjs
// PAGE METHOD URL TOKEN [METHOD URL TOKEN …]. Prints a JSON array of what the
// page got: {"status": …, "text": …}, or {"error": …}.
import { chromium } from 'playwright-core'

const [page, ...requests] = process.argv.slice(2)
const browser = await chromium.launch({
  timeout: 600_000, // only what hangs is to fail
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})
try {
  const tab = await browser.newPage()
  await tab.goto(page, { timeout: 600_000 })
  const results = []
  for (let i = 0; i < requests.length; i += 3) {
    const [method, url, token] = requests.slice(i, i + 3)
    results.push(await tab.evaluate(async ([method, url, token]) => {
      try {
        const answer = await fetch(url, { method, headers: token ? { Authorization: `Bearer ${token}` } : {} })
        return { status: answer.status, text: await answer.text() }
      } catch (error) {
        return { error: String(error) }
      }
    }, [method, url, token]))
  }
  console.log(JSON.stringify(results))
} finally {
  await browser.close()
}
