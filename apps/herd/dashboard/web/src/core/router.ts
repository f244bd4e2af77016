// Views live under /dashboard; Ollama Herd's page names lead to ours.
import { Cell } from './cell.ts'

export interface Place { view: string, id: string, query: URLSearchParams }

const aliases: Record<string, [string, string]> = { trends: ['usage', 'by=model'], tags: ['usage', 'by=tag'], apps: ['usage', 'by=tag'], recommendations: ['health', ''] }
export const root = '/dashboard'

export function parsePlace(path: string, search: string): Place {
  const parts = (path.startsWith(root) ? path.slice(root.length) : '').split('/').filter((part) => part !== '')
  const decode = (text: string) => {
    try {
      return decodeURIComponent(text)
    } catch {
      return text
    }
  }
  const view = parts[0] ?? ''
  const [named, wish] = aliases[view] ?? [view, '']
  return { view: named, id: decode(parts.slice(1).join('/')), query: new URLSearchParams(search || wish) }
}

export const place = new Cell<Place>(parsePlace(globalThis.location?.pathname ?? root, globalThis.location?.search ?? ''))

export function href(view: string, id = '', query: Record<string, string> = {}): string {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== '')).toString()
  return root + (view ? `/${view}` : '') + (id ? `/${encodeURIComponent(id)}` : '') + (search ? `?${search}` : '')
}

export function go(to: string, replace = false): void {
  history[replace ? 'replaceState' : 'pushState'](null, '', to)
  place.set(parsePlace(location.pathname, location.search))
}

/** Links inside of the page change the place without loading it anew. */
export function followLinks(): void {
  addEventListener('popstate', () => place.set(parsePlace(location.pathname, location.search)))
  document.addEventListener('click', (event) => {
    const link = (event.target as Element | null)?.closest?.('a')
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey
    if (!link || !plain || event.defaultPrevented || link.target || !link.getAttribute('href')?.startsWith(root)) {
      return
    }
    event.preventDefault()
    const from = place.value.view
    go(link.getAttribute('href') ?? root)
    if (place.value.view !== from) {
      scrollTo(0, 0)
    }
  })
}
