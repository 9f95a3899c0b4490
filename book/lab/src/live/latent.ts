/** Ways through the latent space. */

import type { Generator } from "./networks.ts";

/**
 * `n` directions of z, orthonormal, along which the first layer stretches most: eigenvectors of AᵀA for its weights A of
 * z (Shen & Zhou 2021). The coordinates of z along them are N(0, 1), as all its coordinates are.
 */
export function directions({ first, latent }: Generator, n: number): Float32Array[] {
  const [outputs, inputs] = first.shape;
  const size = Math.min(inputs, latent); // a label's code may follow; a stack's first level takes a part of z
  const found: Float32Array[] = [];
  while (found.length < Math.min(n, size)) {
    let v = new Float32Array(size).map((_, i) => 1 + ((i * 7) % 5)); // any start, the same each time
    for (let step = 0; step < 200; step++) {
      const made = new Float32Array(size);
      for (let o = 0; o < outputs; o++) {
        const row = first.values.subarray(o * inputs, o * inputs + size);
        const dot = row.reduce((sum, w, i) => sum + w * v[i], 0);
        for (let i = 0; i < size; i++) made[i] += dot * row[i];
      }
      for (const one of found) add(made, one, -inner(made, one));
      const length = Math.sqrt(inner(made, made)) || 1;
      v = made.map((x) => x / length);
    }
    found.push(v);
  }
  return found.map((v) => Float32Array.from({ length: latent }, (_, i) => v[i] ?? 0));
}

export const inner = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, x, i) => sum + x * b[i], 0);

/** a += factor · b */
export function add(a: Float32Array, b: Float32Array, factor: number): void {
  for (let i = 0; i < a.length; i++) a[i] += factor * b[i];
}

/** cos(πt/2) a + sin(πt/2) b: if a and b are independent and N(0, I), so is every z on the way (chapter 5). */
export const walk = (a: Float32Array, b: Float32Array, t: number): Float32Array =>
  a.map((x, i) => Math.cos((Math.PI * t) / 2) * x + Math.sin((Math.PI * t) / 2) * b[i]);
