// What would fit where: an estimate from sizes alone, said as one. The scheduler knows more; this is for people
// who plan a pull.
import { vram } from './history.ts'
import type { Node } from './types.ts'

export type Fit = 'loaded' | 'gpu' | 'gpu-after' | 'ram' | 'no' | 'unknown'

export const fitWords: Record<Fit, string> = {
  loaded: 'in memory', gpu: 'fits on the GPU now', 'gpu-after': 'fits on the GPU when others leave', ram: 'fits in RAM only: slow', no: 'does not fit', unknown: 'its memory is not known'
}

/** `size` as on disk; a fifth is added for context and buffers. */
export function fitOf(node: Node, model: string, size: number): Fit {
  if ((node.loaded ?? []).some((each) => each.name === model)) {
    return 'loaded'
  }
  const need = size * 1.2
  const video = vram(node)
  if (video && need <= (video.free ?? 0)) {
    return 'gpu'
  }
  if (video && need <= video.total * 0.95) {
    return 'gpu-after'
  }
  const total = node.memory?.total_bytes
  if (!total) {
    return 'unknown'
  }
  return need <= total * 0.85 + (video?.total ?? 0) ? 'ram' : 'no'
}
