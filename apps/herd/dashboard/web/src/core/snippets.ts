// The request of the explorer as something to paste elsewhere.
import type { Outgoing } from './call.ts'

export type Language = 'curl' | 'python' | 'javascript'

const shell = (text: string) => `'${text.replaceAll('\'', '\'\\\'\'')}'`

function allHeaders(out: Outgoing): [string, string][] {
  return [...(out.host ? [['Host', out.host] as [string, string]] : []), ...(out.endpoint.method === 'GET' ? [] : [['Content-Type', 'application/json'] as [string, string]]), ...Object.entries(out.headers)]
}

function curl(out: Outgoing, origin: string): string {
  const parts = [`curl${out.endpoint.streams ? ' -N' : ''} ${origin}${out.base ?? ''}${out.endpoint.path}`]
  if (out.endpoint.method === 'DELETE') {
    parts.push('-X DELETE')
  }
  parts.push(...allHeaders(out).map(([name, value]) => `-H ${shell(`${name}: ${value}`)}`))
  if (out.endpoint.method !== 'GET') {
    parts.push(`-d ${shell(out.body)}`)
  }
  return parts.join(' \\\n  ')
}

/** JSON in Python: the same but for three words. Strings are left as they are. */
export function pythonLiteral(source: string): string {
  return source.replace(/"(?:\\.|[^"\\])*"|\b(?:true|false|null)\b/g, (token) => ({ true: 'True', false: 'False', null: 'None' } as Record<string, string>)[token] ?? token)
}

const streamed = (out: Outgoing) => /"stream"\s*:\s*true/.test(out.body)

function python(out: Outgoing, origin: string): string {
  const hasBody = out.endpoint.method !== 'GET'
  const headers = [...(out.host ? [['Host', out.host]] : []), ...Object.entries(out.headers)]
  const parts = [`"${origin}${out.base ?? ''}${out.endpoint.path}"`]
  if (headers.length) {
    parts.push(`headers=${JSON.stringify(Object.fromEntries(headers))}`)
  }
  if (hasBody) {
    parts.push(`json=${pythonLiteral(out.body)}`)
  }
  if (streamed(out)) {
    parts.push('stream=True')
  }
  const call = `requests.${out.endpoint.method.toLowerCase()}(\n    ${parts.join(',\n    ').replace(/\n(?! {4})/g, '\n    ')},\n)`
  const tail = streamed(out) ? 'answer.raise_for_status()\nfor line in answer.iter_lines():\n    print(line.decode())' : 'answer.raise_for_status()\nprint(answer.text)'
  return `import requests\n\nanswer = ${call}\n${tail}\n`
}

function javascript(out: Outgoing, origin: string): string {
  const headers = Object.fromEntries(allHeaders(out))
  const parts = [out.endpoint.method === 'GET' ? '' : `  method: '${out.endpoint.method}',`, Object.keys(headers).length ? `  headers: ${JSON.stringify(headers)},` : '',
    out.endpoint.method === 'GET' ? '' : `  body: JSON.stringify(${out.body.trim().replaceAll('\n', '\n  ')}),`].filter((part) => part)
  const call = parts.length ? `, {\n${parts.join('\n')}\n}` : ''
  const tail = streamed(out) ? 'const decoder = new TextDecoder()\nfor await (const piece of answer.body) {\n  process.stdout.write(decoder.decode(piece, { stream: true }))\n}' : 'console.log(await answer.text())'
  return `const answer = await fetch('${origin}${out.base ?? ''}${out.endpoint.path}'${call})\n${tail}\n`
}

/** JavaScript's fetch sets no Host either: it calls the name itself. */
function byName(out: Outgoing, origin: string): string {
  if (!out.host) {
    return origin
  }
  const url = new URL(origin)
  url.hostname = out.host
  return url.origin
}

export function snippet(language: Language, out: Outgoing, origin: string): string {
  return language === 'curl' ? curl(out, origin) : language === 'python' ? python(out, origin) : javascript({ ...out, host: undefined }, byName(out, origin))
}
