/**
 * Random numbers that are the same in every browser: xoshiro128** (Blackman & Vigna 2021), seeded by splitmix32.
 *
 * A stream is named by words, such as (seed, "batch", 17), as in the package: what is drawn in one place does not
 * depend on how much was drawn in another.
 */
export class Random {
  private readonly state: Uint32Array;
  private spare: number | null = null;

  constructor(...words: (string | number)[]) {
    let hash = 0x811c9dc5; // FNV-1a of the words, written with commas between them
    for (const letter of words.join(","))
      hash = Math.imul(hash ^ letter.codePointAt(0)!, 0x01000193);
    this.state = Uint32Array.from({ length: 4 }, () => {
      hash = (hash + 0x9e3779b9) | 0;
      let t = Math.imul(hash ^ (hash >>> 16), 0x21f0aaad);
      t = Math.imul(t ^ (t >>> 15), 0x735a2d97);
      return t ^ (t >>> 15);
    });
  }

  /** The next 32 bits. */
  bits(): number {
    const s = this.state;
    const turned = Math.imul(s[1], 5);
    const result = Math.imul((turned << 7) | (turned >>> 25), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result;
  }

  /** Uniform on [0, 1). */
  uniform(): number {
    return this.bits() / 2 ** 32;
  }

  /** Uniform on (-1, 1). */
  symmetric(): number {
    return (this.bits() + 0.5) / 2 ** 31 - 1;
  }

  /** Uniform on 0, …, n - 1. */
  below(n: number): number {
    return Math.floor(this.uniform() * n);
  }

  /** Standard normal, by Box & Muller: two at a time. */
  normal(): number {
    if (this.spare !== null) {
      const value = this.spare;
      this.spare = null;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** n of them, for the network. */
  normals(n: number): Float32Array {
    return Float32Array.from({ length: n }, () => this.normal());
  }
}
