// What the sparklines draw: one sample a second of each node, kept in this page alone.
import type { Node } from './types.ts'

export const seconds = 180
const gap = Number.NaN

/** The last `seconds` values, oldest first; NaN where nothing was known. */
export class Ring {
  private readonly values = new Float32Array(seconds).fill(gap)
  private at = 0

  push(value: number | null | undefined): void {
    this.values[this.at] = value ?? gap
    this.at = (this.at + 1) % seconds
  }

  toArray(): number[] {
    return [...this.values.subarray(this.at), ...this.values.subarray(0, this.at)]
  }
}

export interface Track { cpu: Ring, memory: Ring, gpu: Ring, vram: Ring, flight: Ring }

const newTrack = (): Track => ({ cpu: new Ring(), memory: new Ring(), gpu: new Ring(), vram: new Ring(), flight: new Ring() })

export function memoryUsed(node: Node): number | null {
  const total = node.memory?.total_bytes
  const free = node.memory?.available_bytes
  return total && free !== null && free !== undefined ? 1 - free / total : null
}

export function vram(node: Node): { total: number, free: number | null } | null {
  const gpus = (node.gpus ?? []).filter((gpu) => (gpu.vram_total_bytes ?? 0) > 0)
  if (gpus.length === 0) {
    return null
  }
  const known = gpus.every((gpu) => gpu.vram_free_bytes !== null && gpu.vram_free_bytes !== undefined)
  const sum = (pick: (gpu: typeof gpus[number]) => number | null | undefined) => gpus.reduce((all, gpu) => all + (pick(gpu) ?? 0), 0)
  return { total: sum((gpu) => gpu.vram_total_bytes), free: known ? sum((gpu) => gpu.vram_free_bytes) : null }
}

export function vramUsed(node: Node): number | null {
  const memory = vram(node)
  return memory && memory.free !== null && memory.total > 0 ? 1 - memory.free / memory.total : null
}

/** The mean over its GPUs that say it. */
export function gpuBusy(node: Node): number | null {
  const busy = (node.gpus ?? []).map((gpu) => gpu.busy).filter((value): value is number => typeof value === 'number')
  return busy.length ? busy.reduce((a, b) => a + b, 0) / busy.length : null
}

export class History {
  private readonly tracks = new Map<string, Track>()
  readonly flight = new Ring()
  readonly queued = new Ring()
  readonly rate = new Ring()

  /** `heard`: whether what is shown is current; otherwise a gap is remembered, not an old value. */
  sample(nodes: Node[], heard: boolean, queued: number | null, perSecond: number | null): void {
    const present = new Set<string>()
    let flight = 0
    for (const node of nodes) {
      present.add(node.id)
      let track = this.tracks.get(node.id)
      if (!track) {
        track = newTrack()
        this.tracks.set(node.id, track)
      }
      const known = heard && node.state !== 'offline' && node.state !== 'unreachable'
      track.cpu.push(known ? node.cpu?.busy : null)
      track.memory.push(known ? memoryUsed(node) : null)
      track.gpu.push(known ? gpuBusy(node) : null)
      track.vram.push(known ? vramUsed(node) : null)
      track.flight.push(known ? node.in_flight : null)
      flight += node.in_flight ?? 0
    }
    for (const id of this.tracks.keys()) {
      if (!present.has(id)) {
        this.tracks.delete(id)
      }
    }
    this.flight.push(heard ? flight : null)
    this.queued.push(heard ? queued : null)
    this.rate.push(heard ? perSecond : null)
  }

  track(id: string): Track | undefined { return this.tracks.get(id) }
}
