/**
 * PyTorch's normal numbers: `torch.randn(n, generator=torch.Generator().manual_seed(seed))` on a CPU, up to rounding.
 * So the sample of seed 7 on the page is the one that three lines of Python draw.
 */

/** The Mersenne Twister MT19937 (Matsumoto & Nishimura 1998): uniform whole numbers below 2^32. */
export function twister(seed: number): () => number {
  const state = new Uint32Array(624);
  state[0] = seed;
  for (let i = 1; i < 624; i++) {
    state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  }
  let next = 624;
  return () => {
    if (next === 624) {
      for (let i = 0; i < 624; i++) {
        const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
        state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      next = 0;
    }
    let y = state[next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

/** n normal numbers. PyTorch makes pairs of uniform ones normal (Box & Muller 1958), in blocks of sixteen if it can. */
export function normal(seed: number, n: number): Float32Array {
  const bits = twister(seed);
  const made = new Float32Array(n);
  if (n < 16) {
    const uniform = () => (((bits() & 0x1fffff) * 2 ** 32 + bits()) as number) / 2 ** 53;
    for (let i = 0; i < n; i += 2) {
      const [angle, radius] = [2 * Math.PI * uniform(), Math.sqrt(-2 * Math.log1p(-uniform()))];
      made[i] = radius * Math.cos(angle);
      if (i + 1 < n) made[i + 1] = radius * Math.sin(angle);
    }
    return made;
  }
  const fill = (from: number, to: number) => {
    for (let i = from; i < to; i++) made[i] = (bits() & 0xffffff) / 2 ** 24;
  };
  const block = (start: number) => {
    for (let i = start; i < start + 8; i++) {
      const [radius, angle] = [Math.sqrt(-2 * Math.log(1 - made[i])), 2 * Math.PI * made[i + 8]];
      made[i] = radius * Math.cos(angle);
      made[i + 8] = radius * Math.sin(angle);
    }
  };
  fill(0, n);
  for (let start = 0; start + 16 <= n; start += 16) block(start);
  if (n % 16) {
    fill(n - 16, n); // the last block is drawn anew
    block(n - 16);
  }
  return made;
}
