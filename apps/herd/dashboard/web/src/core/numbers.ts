// Small arithmetic of samples.

/** The value below which `share` of the sorted samples lie (nearest rank); null without samples. */
export function percentile(samples: number[], share: number): number | null {
  if (samples.length === 0) {
    return null
  }
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? null
}

export function mean(samples: number[]): number | null {
  return samples.length === 0 ? null : samples.reduce((sum, each) => sum + each, 0) / samples.length
}
