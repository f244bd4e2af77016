// Server-sent events out of a byte stream, for answers of models and for herd's own events: EventSource can
// neither send a key nor POST.

export interface ServerEvent { event: string, data: string, id: string }

/** Feed it text as it comes; it gives complete events. Follows the living standard: CR, LF, CRLF; several data lines. */
export class EventParser {
  private rest = ''
  private event = ''
  private data: string[] = []
  private afterReturn = false
  lastId = ''
  retry: number | null = null

  feed(text: string): ServerEvent[] {
    const events: ServerEvent[] = []
    this.rest += text
    let from = 0
    for (let at = 0; at < this.rest.length; ++at) {
      const letter = this.rest[at]
      if (letter === '\n' && this.afterReturn && at === from) {
        this.afterReturn = false
        from = at + 1
        continue
      }
      this.afterReturn = false
      if (letter === '\n' || letter === '\r') {
        this.line(this.rest.slice(from, at), events)
        this.afterReturn = letter === '\r'
        from = at + 1
      }
    }
    this.rest = this.rest.slice(from)
    return events
  }

  private line(line: string, events: ServerEvent[]): void {
    if (line === '') {
      if (this.data.length > 0) {
        events.push({ event: this.event || 'message', data: this.data.join('\n'), id: this.lastId })
      }
      this.event = ''
      this.data = []
      return
    }
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'data') {
      this.data.push(value)
    } else if (field === 'event') {
      this.event = value
    } else if (field === 'id' && !value.includes('\0')) {
      this.lastId = value
    } else if (field === 'retry' && /^\d+$/.test(value)) {
      this.retry = Number(value)
    }
  }
}

/** Whole lines out of pieces: newline-delimited JSON. */
export class LineParser {
  private rest = ''

  feed(text: string): string[] {
    const lines = (this.rest + text).split('\n')
    this.rest = lines.pop() ?? ''
    return lines.filter((line) => line.trim() !== '')
  }

  end(): string[] {
    const last = this.rest.trim() === '' ? [] : [this.rest]
    this.rest = ''
    return last
  }
}
