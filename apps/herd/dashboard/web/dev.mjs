// For working on the dashboard: bundles on every reload and passes all else on to a running herd.
//
//   npm ci && node dev.mjs [--herd http://127.0.0.1:11435] [--port 5173]
import http from 'node:http'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundle } from './build.mjs'

const option = (name, otherwise) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? otherwise : process.argv[at + 1]
}
const herd = new URL(option('herd', 'http://127.0.0.1:11435'))
const work = dirname(fileURLToPath(import.meta.url))
let files = []

function pass(request, response) {
  const headers = { ...request.headers, host: herd.host }
  if (headers.origin) {
    headers.origin = herd.origin
  }
  const onward = http.request({ hostname: herd.hostname, port: herd.port, path: request.url, method: request.method, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers)
    answer.pipe(response)
  })
  onward.on('error', (error) => { response.headersSent ? response.destroy() : response.writeHead(502).end(error.message) })
  response.on('close', () => onward.destroy())
  request.pipe(onward)
}

http.createServer(async (request, response) => {
  const path = request.url.split('?')[0]
  const page = path === '/' || path === '/dashboard' || (path.startsWith('/dashboard/') && !path.includes('.') && !path.startsWith('/dashboard/api/'))
  if (page) {
    try {
      files = await bundle(work, { minify: false })
    } catch (error) {
      response.writeHead(500).end(error.message)
      return
    }
  }
  const file = files.find((each) => each.path === (page ? '/dashboard' : path))
  if (!file) {
    pass(request, response)
    return
  }
  response.writeHead(200, { 'Content-Type': file.type, 'Cache-Control': 'no-store' }).end(file.bytes)
}).listen(Number(option('port', '5173')), '127.0.0.1', function () {
  console.log(`dashboard on http://127.0.0.1:${this.address().port}/dashboard, herd at ${herd.origin}`)
})
