// A headless Chromium that does what a test says, line by line: a JSON command in, a JSON answer out. The test keeps
// the thread of the story; this knows only the browser.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

const [modules, executablePath, origin] = process.argv.slice(2)
const { chromium } = createRequire(`${modules}/package.json`)('playwright-core')
const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage']
})

let page
const troubles = [] // console errors, exceptions, requests that left for elsewhere
const expected = [] // patterns of troubles a test provokes on purpose

function note(text) {
  if (!expected.some((pattern) => text.includes(pattern))) {
    troubles.push(text)
  }
}

async function open({ width = 1440, height = 900, scheme = 'light', strange = false }) { // strange: a certificate that nobody knows
  await page?.context().close()
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, reducedMotion: 'reduce', ignoreHTTPSErrors: strange })
  page = await context.newPage()
  page.setDefaultTimeout(10_000)
  page.on('console', (message) => { if (message.type() === 'error') { note(`console: ${message.text()} ${message.location().url}`) } })
  page.on('pageerror', (error) => note(`exception: ${error.stack ?? error.message}`))
  page.on('request', (request) => { if (!request.url().startsWith(origin) && !request.url().startsWith('data:')) { note(`request to ${request.url()}`) } })
}

// Asked from here, again and again: within the page our content security policy forbids what waitForFunction does from its
// second look on.
async function when({ js, timeout = 10_000 }) {
  for (const end = Date.now() + timeout; ;) {
    const holds = await page.evaluate(js).catch((error) => {
      if (!error.message.includes('Execution context was destroyed')) { throw error } // a page that is just left
      return false
    })
    if (holds) { return Date.now() }
    if (Date.now() >= end) { throw new Error(`not within ${timeout} ms: ${js}`) }
    await new Promise((later) => setTimeout(later, 20))
  }
}

const commands = {
  open,
  goto: async ({ path }) => { await page.goto(origin + path, { waitUntil: 'domcontentloaded' }) },
  wait: async ({ selector, state = 'visible', timeout = 10_000 }) => { await page.waitForSelector(selector, { state, timeout }); return Date.now() },
  when,
  click: async ({ selector }) => { await page.click(selector) },
  fill: async ({ selector, text }) => { await page.fill(selector, text) },
  select: async ({ selector, value }) => { await page.selectOption(selector, value) },
  press: async ({ keys }) => { for (const key of keys) { await page.keyboard.press(key) } },
  run: async ({ js }) => page.evaluate(js),
  fulfil: async ({ pattern, json, status = 200 }) => { await page.route(pattern, (route) => route.fulfill({ status, contentType: 'application/json', body: JSON.stringify(json) })) },
  expect: async ({ pattern }) => { expected.push(pattern) },
  shot: async ({ file, full = false }) => { await page.screenshot({ path: file, fullPage: full }) },
  cookies: async () => page.context().cookies(),
  troubles: async () => troubles.splice(0)
}

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...rest } = JSON.parse(line)
  let answer
  try {
    answer = { value: (await commands[command](rest)) ?? null }
  } catch (error) {
    answer = { error: error.message }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
await browser.close()
