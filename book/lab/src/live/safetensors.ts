/**
 * The package's own files: safetensors with a card in JSON (gan_tutorial/layout.py).
 *
 * Eight bytes with the header's length, little-endian; the header, JSON: name -> {dtype, shape, data_offsets}; then the
 * tensors' bytes, one behind the other, little-endian. The card is the text `gan_tutorial` in the header's metadata.
 */

export interface Tensor {
  shape: number[];
  values: Float32Array;
}

/** What a card must hold for a network to be built; it holds more, see ENTRIES in layout.py. */
export interface Card {
  format: number;
  recipe: string;
  shape: number[];
  classes: number;
  settings: { latent_dim: number };
}

export interface File {
  card: Card;
  tensors: Map<string, Tensor>;
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

const FORMAT = 2;
const LONGEST = 50_000_000; // bytes of a file that a page opens

const whole = (x: unknown, least = 0): x is number =>
  Number.isSafeInteger(x) && (x as number) >= least;
const wholes = (x: unknown, least = 0): x is number[] =>
  Array.isArray(x) && x.every((one) => whole(one, least));

/** Bytes of one number, and how it is read, of the types that networks hold. */
const KINDS: Record<string, [number, (view: DataView, at: number) => number]> = {
  F16: [2, (view, at) => half(view.getUint16(at, true))],
  BF16: [2, (view, at) => bfloat(view.getUint16(at, true))],
  F32: [4, (view, at) => view.getFloat32(at, true)],
  F64: [8, (view, at) => view.getFloat64(at, true)],
  I64: [8, (view, at) => Number(view.getBigInt64(at, true))],
};

/** A number in half precision from its 16 bits: one sign, five of the exponent, ten of the fraction. */
export function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent
    ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024)
    : sign * 2 ** -14 * (fraction / 1024);
}

function bfloat(bits: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, bits << 16);
  return view.getFloat32(0);
}

function json(text: string): Record<string, any> | null {
  try {
    const found = JSON.parse(text);
    return found && typeof found === "object" && !Array.isArray(found) ? found : null;
  } catch {
    return null;
  }
}

/**
 * The card and those tensors whose names `wanted` accepts, as 32-bit numbers. Throws an Error, with a sentence, for a
 * file that is damaged, of another program or of another version. (The SHA-256 in the card is for the package to check:
 * a browser offers none to a page that came by plain http.)
 */
export function parse(
  bytes: Uint8Array,
  wanted = (name: string) => /^(model|net)\./.test(name),
): File {
  const damaged = (why: string) =>
    new Error(`This is no model of the package, or it is damaged (${why}).`);
  if (bytes.length < 10 || bytes.length > LONGEST) throw damaged(`it has ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = 8 + Number(view.getBigUint64(0, true));
  if (start > bytes.length) throw damaged("it does not begin as safetensors do");
  const header = json(new TextDecoder().decode(bytes.subarray(8, start)));
  if (!header) throw damaged("its header is not one of safetensors");
  const text = header.__metadata__?.gan_tutorial;
  if (typeof text !== "string")
    throw new Error("This file holds no card: another program wrote it.");
  const card = json(text);
  if (!card || !whole(card.format, 1)) throw damaged("its card cannot be read");
  if (card.format !== FORMAT)
    throw new Error(`This file has format ${card.format}; expected ${FORMAT}.`);
  if (
    typeof card.recipe !== "string" ||
    !wholes(card.shape, 1) ||
    !card.shape.length ||
    !whole(card.classes) ||
    !whole(card.settings?.latent_dim, 1)
  ) {
    throw damaged("its card lacks the recipe, the shape, the classes or latent_dim");
  }
  const tensors = new Map<string, Tensor>();
  let end = 0;
  const entries = Object.entries(header).filter(([name]) => name !== "__metadata__");
  for (const [name, entry] of entries.sort(([, a], [, b]) => order(a) - order(b))) {
    const found = tensor(name, entry);
    if (found) tensors.set(name, found);
  }
  if (end !== bytes.length - start) throw damaged("its tensors do not fill it");
  return { card: card as Card, tensors };

  function tensor(name: string, entry: Entry | null): Tensor | null {
    const { dtype, shape, data_offsets: place } = entry ?? ({} as Entry);
    if (!wholes(shape) || !wholes(place) || place.length !== 2 || place[0] !== end) {
      throw damaged(`${name} has no place in it`);
    }
    end = place[1];
    const read = wanted(name);
    if (!(dtype in KINDS)) {
      if (read) throw damaged(`${name} has the type ${dtype}`);
      return null;
    }
    const [size, number] = KINDS[dtype];
    const count = shape.reduce((product, side) => product * side, 1);
    if (place[1] - place[0] !== size * count || start + place[1] > bytes.length) {
      throw damaged(`${name} has no place in it`);
    }
    if (!read) return null;
    const values = new Float32Array(count);
    for (let i = 0; i < count; i++) values[i] = number(view, start + place[0] + size * i);
    if (!values.every(Number.isFinite)) throw damaged(`${name} is not finite`);
    return { shape, values };
  }
}

const order = (entry: Entry | null) => Number(entry?.data_offsets?.[0]);
